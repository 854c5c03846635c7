//! Where the entries that ask one host with one login meet: a wait that one of them is told is a wait for all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::{FetchError, Waits};
use crate::pace::{Pace, Rate};
use crate::plan::Plan;
use crate::record::Fingerprint;

/// How often a wait may grow while it lasts; then it is asked all the same.
const TURNS_MAX: usize = 100;
/// Those that waited for the same moment don't come at the same instant, but within this.
const SPREAD: Duration = Duration::from_millis(500);

/// The gates of all hosts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Gates(Arc<Mutex<HashMap<Fingerprint, Weak<Gate>>>>);

/// One host and login.
#[derive(Debug, Default)]
pub struct Gate {
    pace: Mutex<Pace>,
    /// Whether the server refused HTTP/2.
    is_http1: AtomicBool,
}

impl Gates {
    /// The gate of a plan, as long as somebody has it.
    #[must_use]
    pub fn of(&self, plan: &Plan) -> Arc<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = plan.host_and_login();
        if let Some(gate) = gates.get(&key).and_then(Weak::upgrade) {
            return gate;
        }
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::<Gate>::default();
        gates.insert(key, Arc::downgrade(&gate));
        gate
    }
}

impl Gate {
    /// Waits until the next request may be made.
    ///
    /// # Errors
    /// [`FetchError::Held`] where that is too far away; a stop and a recall.
    pub(super) async fn pass(&self, rate: Option<Rate>, waits: &Waits, host: &str) -> Result<(), FetchError> {
        let taken = self.pace().take(rate, waits.longest(), waits.clock().instant());
        let mut wait = taken.map_err(|wait| waits.held(wait, host))?;
        for _ in 0..TURNS_MAX {
            if wait.is_zero() {
                return Ok(());
            }
            waits.wait(wait.saturating_add(SPREAD.mul_f64(fastrand::f64()))).await?;
            // Somebody else may have been told meanwhile.
            wait = self.pace().held(waits.clock().instant()).unwrap_or_default();
            if wait > waits.longest() {
                return Err(waits.held(wait, host));
            }
        }
        Ok(())
    }

    /// Notes a wait that the host asked for.
    pub(super) fn hold(&self, span: Duration, now: Instant) {
        self.pace().hold(span, now);
    }

    /// Notes what an answer's headers tell of requests that are left.
    pub(super) fn note(&self, quota: Option<(f64, Duration)>, now: Instant) {
        if let Some((left, until_more)) = quota {
            self.pace().note(left, until_more, now);
        }
    }

    pub(super) fn is_http1(&self) -> bool {
        self.is_http1.load(Ordering::Relaxed)
    }

    /// Goes on by HTTP/1.1; gives whether that is new.
    pub(super) fn go_on_by_http1(&self) -> bool {
        !self.is_http1.swap(true, Ordering::Relaxed)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
