//! Accounts in a cluster of APIs that are no longer in the config.

use chrono::{DateTime, Utc};

use super::LoadError;
use super::orders::read;
use crate::cluster::{ABSENT, ClusterKeys, Compare, Engine, Operation, Slot, Transaction, cluster_status};
use crate::state::configured::Configured;
use crate::state::lane_key::api_of;
use crate::state::store::unused;

/// Forgets the accounts that nothing has used for long, and what was delivered for them. Gives the keys of their states.
///
/// As long as members have different configs, nothing is: what one doesn't know another one may run. An account that was written
/// since it was read stays, too.
///
/// # Errors
/// [`LoadError`]; what was forgotten before is.
pub(super) async fn forget_unused(
    engine: &Engine,
    keys: &ClusterKeys,
    configured: &Configured,
    now: DateTime<Utc>,
) -> Result<Vec<String>, LoadError> {
    if cluster_status(engine, keys).await?.configs() > 1 {
        return Ok(Vec::new());
    }
    let contents = read(engine, keys).await?;
    let mut forgotten = Vec::new();
    for lane in unused(&contents.accounts, |lane| configured.has(lane), now) {
        let of_lane = keys.lane(Slot::of(api_of(&lane)), &lane);
        let revision = contents.heads.get(&lane).map_or(ABSENT, |head| head.written_at);
        let gone = [of_lane.head(), of_lane.account(), of_lane.bell()].map(|key| Operation::Delete { key });
        let then = gone.into_iter().chain([Operation::DeleteRange(of_lane.chunks())]).collect();
        let compare = vec![Compare::WrittenAt { key: of_lane.head(), revision }];
        if engine.commit(&Transaction { compare, then, otherwise: Vec::new() }).await?.held {
            forgotten.push(lane);
        }
    }
    Ok(forgotten)
}
