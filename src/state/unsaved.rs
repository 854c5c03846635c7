//! What waits for a store that can be written.

use std::collections::HashMap;

use super::account::ApiState;
use super::delivered;
use super::store::{Write, had_arrived_since};
use crate::record::{Fingerprint, RecordKey};

/// How many records are kept in memory while the store can't be written, some 80 MB. Beyond it the rest is not remembered,
/// and may be shipped twice.
const UNSAVED_MAX: usize = 1_000_000;

/// Everything that waits, each record once.
#[derive(Default)]
pub(super) struct Unsaved {
    /// How often it was delivered, and in which iteration it came last.
    pub(super) delivered: HashMap<(u64, Fingerprint), (RecordKey, u32, u32)>,
    /// Without a date, and came again in an iteration.
    again: HashMap<(u64, Fingerprint), (RecordKey, u32)>,
    accounts: HashMap<String, Box<ApiState>>,
}

impl Unsaved {
    /// All of it, to be written.
    pub(super) fn writes(&self) -> Vec<Write> {
        let mut delivered: HashMap<(u64, u32), Vec<RecordKey>> = HashMap::new();
        for ((ledger, _), (identity, times, iteration)) in &self.delivered {
            let together = delivered.entry((*ledger, *iteration)).or_default();
            together.extend(std::iter::repeat_n(*identity, *times as usize));
        }
        let delivered = delivered.into_iter();
        let mut writes: Vec<Write> = delivered
            .map(|((ledger, iteration), identities)| Write::Remember { ledger, iteration, identities })
            .collect();
        let mut again: HashMap<(u64, u32), Vec<RecordKey>> = HashMap::new();
        for ((ledger, _), (identity, iteration)) in &self.again {
            again.entry((*ledger, *iteration)).or_default().push(*identity);
        }
        let again = again.into_iter();
        writes.extend(again.map(|((ledger, iteration), identities)| Write::SeeAgain { ledger, iteration, identities }));
        let accounts = self.accounts.iter();
        writes.extend(accounts.map(|(name, account)| Write::Save { name: name.clone(), account: account.clone() }));
        writes
    }

    /// Gives whether there was room for all of it.
    pub(super) fn take(&mut self, writes: Vec<Write>) -> bool {
        let had_room = self.delivered.len() < UNSAVED_MAX;
        let mut has_room = true;
        for write in writes {
            match write {
                Write::Remember { ledger, iteration, identities } => {
                    for identity in identities {
                        let is_full = self.delivered.len() >= UNSAVED_MAX;
                        match self.delivered.get_mut(&(ledger, identity.fingerprint)) {
                            Some((_, times, last)) => (*times, *last) = (times.saturating_add(1), iteration),
                            None if is_full => has_room = false,
                            None => {
                                self.delivered.insert((ledger, identity.fingerprint), (identity, 1, iteration));
                            }
                        }
                    }
                }
                Write::Forget { ledger, before, iteration } => self.delivered.retain(|(of, _), (identity, _, last)| {
                    *of != ledger || identity.date.map_or(*last >= iteration, |date| date >= before)
                }),
                Write::ForgetArrived { ledger, before } => self.delivered.retain(|(of, _), (identity, _, last)| {
                    *of != ledger || had_arrived_since(delivered::place(identity).0, *last, before)
                }),
                Write::SeeAgain { ledger, iteration, identities } => {
                    for identity in identities {
                        let key = (ledger, identity.fingerprint);
                        if let Some((.., last)) = self.delivered.get_mut(&key) {
                            *last = iteration;
                        } else if self.again.len() < UNSAVED_MAX {
                            self.again.insert(key, (identity, iteration));
                        }
                    }
                }
                Write::Save { name, account } => {
                    self.accounts.insert(name, account);
                }
            }
        }
        has_room || !had_room
    }
}
