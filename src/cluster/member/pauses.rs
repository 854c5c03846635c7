//! What members tell each other of hosts that asked for a wait.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::MemberWork;
use crate::cluster::client::Engine;
use crate::cluster::engine::{EngineError, Operation, Transaction};
use crate::cluster::keys::ClusterKeys;
use crate::cluster::pause::{PauseThrottle, ToldPause, UntoldPause, encode_wait, wait_of};

/// How many that were heard of wait to be kept; of more nothing is kept, as such a host says it again.
pub(super) const HEARD_MAX: usize = 1_024;

impl MemberWork {
    /// A host's key was written, or is gone.
    pub(super) fn hear_pause(&self, pause: ToldPause) {
        tracing::debug!(host = pause.host, wait = ?pause.wait, "a host's wait, as a member of the cluster told it");
        self.pauses.try_send(pause).ok();
    }
}

/// Tells the other members of waits, one after the other, as long as somebody has some to tell. What can't be told isn't.
pub async fn tell_pauses(engine: Engine, keys: ClusterKeys, mut untold: mpsc::Receiver<UntoldPause>) {
    let mut throttle = PauseThrottle::default();
    while let Some(pause) = untold.recv().await {
        let Some(wait) = throttle.admit(&pause, Instant::now()) else { continue };
        if let Err(cause) = tell(&engine, &keys, (&pause, wait)).await {
            tracing::debug!(%cause, "the other members can't be told of a host's wait");
        }
    }
}

/// Puts the key of a host, which goes when the wait is over.
async fn tell(engine: &Engine, keys: &ClusterKeys, (pause, wait): (&UntoldPause, Duration)) -> Result<(), EngineError> {
    let lease = engine.grant(u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)).await?;
    // The lease counts from before.
    let Some(wait) = wait_of(pause, Instant::now()) else { return Ok(()) };
    let put = Operation::Put { key: keys.pause(&pause.host), value: encode_wait(wait), lease: Some(lease) };
    engine.commit(&Transaction { then: vec![put], ..Transaction::default() }).await?;
    Ok(())
}
