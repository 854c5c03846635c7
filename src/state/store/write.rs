//! What is written into the store.

use chrono::{DateTime, Utc};

use crate::record::RecordKey;
use crate::state::account::{ApiState, LedgerId};

/// Something to be written.
#[derive(Clone, Debug)]
pub enum Write {
    /// Records were delivered.
    Remember {
        /// Of which account.
        ledger: LedgerId,
        /// In which iteration.
        iteration: u32,
        /// Which.
        identities: Vec<RecordKey>,
    },
    /// Records without a date came again.
    SeeAgain {
        /// Of which account.
        ledger: LedgerId,
        /// In which iteration.
        iteration: u32,
        /// Which.
        identities: Vec<RecordKey>,
    },
    /// What can't come again is forgotten: records before a date, and those without a date that came in no iteration
    /// since.
    Forget {
        /// Of which account.
        ledger: LedgerId,
        /// The date.
        before: DateTime<Utc>,
        /// The iteration.
        iteration: u32,
    },
    /// What can't come again is forgotten, where an API filters by arrival: records that had arrived before a date, whatever
    /// their own dates are.
    ForgetArrived {
        /// Of which account.
        ledger: LedgerId,
        /// The date.
        before: DateTime<Utc>,
    },
    /// An account changed.
    Save {
        /// The API.
        name: String,
        /// Its account.
        account: Box<ApiState>,
    },
}
