//! Reads what a cluster's engine holds, for whoever asks the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};

use super::cluster::{AccountSummary, ClusterReading};
use super::lasting::{LastingTroubles, ToldTrouble};
use super::registry::StatusRegistry;
use crate::cluster::{ClusterKeys, Engine, EngineNode, EngineRoom, MemberId, cluster_status};
use crate::state::{ApiState, ReplicatedState, api_of};

/// How often is read who lives and who owns what: some 100 KB.
const READ_EVERY: Duration = Duration::from_secs(3);
/// How many of these readings go by until the accounts of all APIs and the engine's room are read: of ten thousand APIs that
/// is 4 MB.
const ROOM_EVERY: u32 = 5;

/// Reads what the engine holds again and again, for whoever asks the registry.
pub async fn watch_cluster(registry: Arc<StatusRegistry>, engine: Engine, keys: ClusterKeys, me: MemberId) {
    let mut reading = ClusterReading::default();
    let (mut lasting, mut advised, mut is_untold) = (LastingTroubles::default(), BTreeSet::new(), false);
    for round in (0..ROOM_EVERY).cycle() {
        if let Ok(status) = cluster_status(&engine, &keys).await {
            reading.takeovers = reading.takeovers.and(&me, &reading.status, &status);
            reading.status = status;
            reading.read_at = Some(Utc::now());
        }
        if round == 0 {
            let nodes: Vec<EngineNode> = engine.nodes().await.into_iter().filter_map(|(_, node)| node.ok()).collect();
            reading.is_full = nodes.iter().any(EngineNode::is_full);
            reading.room = nodes.iter().filter_map(|node| node.room).reduce(EngineRoom::worse);
            if reading.room.is_none() && !nodes.is_empty() && !std::mem::replace(&mut is_untold, true) {
                tracing::info!(
                    "etcd tells only its user `root` how large its database is; watch that by etcd's own metrics, as a full one \
                     stops all members"
                );
            }
            nodes.iter().for_each(|node| tell_advice(node, &mut advised));
            if let Ok(accounts) = ReplicatedState::accounts(&engine, &keys).await {
                reading.accounts = Arc::new(by_api(accounts));
            }
        }
        registry.cluster_was_read(reading.clone());
        let troubles = registry.cluster_troubles();
        for told in lasting.take(troubles, Instant::now()) {
            match told {
                ToldTrouble::Lasts(trouble) => tracing::warn!("{trouble}"),
                ToldTrouble::Over(trouble) => tracing::info!("no longer so: {trouble}"),
            }
        }
        sleep(READ_EVERY).await;
    }
}

/// Tells what speaks against the version of a node, once.
fn tell_advice(node: &EngineNode, advised: &mut BTreeSet<(String, String)>) {
    if let Some(advice) = node.advice
        && advised.insert((node.endpoint.clone(), node.version.clone()))
    {
        tracing::warn!(endpoint = node.endpoint, version = node.version, "{advice}");
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
