//! How often slots changed hands, by the history that etcd keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use logzio_api_fetcher::cluster::etcd::EtcdEngine;
use logzio_api_fetcher::cluster::{ClusterKeys, EngineChange, KeyRange, Slot};
use tokio::task::JoinHandle;

use crate::harness::{Etcd, awaited, done, patient, put};
use crate::world::APIS;

/// The pause before a watch that broke is begun again where it was.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What becomes of the slots of APIs, from the beginning of etcd on.
///
/// Who takes a slot puts its name into the slot's key, and who gives it back deletes the key. So each put of another name over
/// one that is there is a takeover from an owner that had not given it back, and a put where nothing is, is none. That is
/// the bound of doubled batches, and an exact one: etcd compacts nothing by itself, so its history has all of them.
pub struct OwnerHistory {
    engine: EtcdEngine,
    /// Behind all slots: when the watch tells of it, it has told of all that came before.
    last: String,
    following: JoinHandle<BTreeMap<usize, usize>>,
}

impl OwnerHistory {
    /// Follows it from now on: of an hour, it is too much to be read at once.
    pub fn follow(etcd: &Etcd) -> Self {
        let (engine, slots) = (etcd.engine(), ClusterKeys::of("default").slots());
        let range = KeyRange { from: slots.from, to: format!("{}\0", slots.to) };
        let following = tokio::spawn(follow(engine.clone(), range, slots.to.clone()));
        Self { engine, last: slots.to, following }
    }

    /// How often the slot of each API was taken from an owner that had not given it back, until now.
    pub async fn takeovers(self) -> BTreeMap<usize, usize> {
        patient(async || self.engine.commit(&done(vec![put(&self.last, "")])).await).await;
        awaited(self.following).await.unwrap()
    }
}

async fn follow(engine: EtcdEngine, range: KeyRange, last: String) -> BTreeMap<usize, usize> {
    let keys = ClusterKeys::of("default");
    let api_of: BTreeMap<Slot, Vec<usize>> = (0..APIS).fold(BTreeMap::new(), |mut all, api| {
        all.entry(Slot::of(&format!("api-{api}"))).or_default().push(api);
        all
    });
    let (mut owners, mut takeovers, mut next) = (BTreeMap::new(), BTreeMap::new(), 1);
    loop {
        tokio::time::sleep(AGAIN_AFTER).await;
        let Ok(mut watch) = engine.watch(&range, next).await else { continue };
        while let Ok(changes) = watch.next().await {
            for change in changes {
                next = change.revision() + 1;
                match change {
                    EngineChange::Put(entry) if entry.key == last => return takeovers,
                    EngineChange::Put(entry) => {
                        let Some(slot) = keys.slot_in(&entry.key) else { continue };
                        let before = owners.insert(slot, entry.value.clone());
                        if before.is_some_and(|before| before != entry.value) {
                            let apis = api_of.get(&slot).into_iter().flatten();
                            apis.for_each(|api| *takeovers.entry(*api).or_default() += 1);
                        }
                    }
                    EngineChange::Deleted { key, .. } => drop(keys.slot_in(&key).and_then(|slot| owners.remove(&slot))),
                }
            }
        }
    }
}
