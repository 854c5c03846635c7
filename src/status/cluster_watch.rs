//! Reads what a cluster's engine holds, for whoever asks the registry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::time::sleep;

use super::cluster::{AccountSummary, ClusterReading};
use super::registry::StatusRegistry;
use crate::cluster::{ClusterKeys, Engine, MemberId, cluster_status};
use crate::state::{ApiState, ReplicatedState, api_of};

/// How often is read who lives and who owns what: some 100 KB.
const READ_EVERY: Duration = Duration::from_secs(3);
/// How many of these readings go by until the accounts of all APIs and the engine's room are read: of ten thousand APIs that
/// is 4 MB.
const ROOM_EVERY: u32 = 5;

/// Reads what the engine holds again and again, for whoever asks the registry.
pub async fn watch_cluster(registry: Arc<StatusRegistry>, engine: Engine, keys: ClusterKeys, me: MemberId) {
    let mut reading = ClusterReading::default();
    for round in (0..ROOM_EVERY).cycle() {
        if let Ok(status) = cluster_status(&engine, &keys).await {
            reading.takeovers = reading.takeovers.and(&me, &reading.status, &status);
            reading.status = status;
            reading.read_at = Some(Utc::now());
        }
        if round == 0 {
            reading.room = engine.room().await;
            if let Ok(accounts) = ReplicatedState::accounts(&engine, &keys).await {
                reading.accounts = Arc::new(by_api(accounts));
            }
        }
        registry.cluster_was_read(reading.clone());
        sleep(READ_EVERY).await;
    }
}

/// The accounts of all APIs; of several outputs that which is behind the others.
fn by_api(accounts: BTreeMap<String, ApiState>) -> BTreeMap<String, AccountSummary> {
    let mut by_api: BTreeMap<String, AccountSummary> = BTreeMap::new();
    for (lane, account) in accounts {
        let last = account.past.back();
        let of = AccountSummary {
            last: last.map(|last| last.at),
            error: last.and_then(|last| last.error.clone()),
            checkpoint: account.checkpoint,
        };
        let known = by_api.entry(api_of(&lane).to_owned()).or_insert_with(|| of.clone());
        if of.checkpoint < known.checkpoint {
            *known = of;
        }
    }
    by_api
}
