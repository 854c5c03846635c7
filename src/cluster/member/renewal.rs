//! The task that keeps a member's lease alive, and does nothing else.

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::cluster::client::Engine;
use crate::cluster::counters::{ClusterCounters, EngineOperation};
use crate::cluster::engine::{LeaseId, LeaseState};
use crate::cluster::lease::{LeaseClock, RENEW_EVERY};
use crate::cluster::leave::since_boot;

/// Keeps the lease alive.
pub(super) struct Renewal {
    pub(super) engine: Engine,
    pub(super) counters: ClusterCounters,
    pub(super) lease: watch::Receiver<Option<LeaseId>>,
    pub(super) clock: watch::Sender<LeaseClock>,
    pub(super) gone: mpsc::Sender<LeaseId>,
}

impl Renewal {
    pub(super) async fn go_on(self) {
        let mut ticks = interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.gone.is_closed() {
                return;
            }
            let lease = *self.lease.borrow();
            let Some(lease) = lease else { continue };
            let begun = since_boot();
            let kept = self.engine.keep_alive(lease).await;
            if kept.is_ok() {
                self.counters.answered(EngineOperation::Renew, since_boot().saturating_sub(begun));
            }
            match kept {
                Ok(LeaseState::Alive) => self.clock.send_modify(|clock| clock.renewed(begun)),
                Ok(LeaseState::Gone) => {
                    if *self.lease.borrow() == Some(lease) {
                        self.clock.send_modify(|clock| clock.lost(since_boot()));
                    }
                    // Where the member is busy it has heard of it already: a new lease must not wait to be renewed.
                    self.gone.try_send(lease).ok();
                }
                Err(cause) => tracing::debug!(%cause, "the lease can't be renewed"),
            }
        }
    }
}
