//! How often slots changed hands, by the history that etcd keeps.

use std::collections::BTreeMap;

use logzio_api_fetcher::cluster::{ClusterKeys, EngineChange, KeyRange, Slot};

use crate::harness::{Etcd, awaited, done, patient, put};
use crate::world::APIS;

/// How often the slot of each API was taken from an owner that had not given it back, since etcd began.
///
/// That is the bound of its doubled batches, and an exact one: who takes a slot puts its name into the slot's key, and
/// who gives it back deletes the key. So each put of another name over one that is there is such a takeover, and a put
/// where nothing is, is none. etcd compacts nothing by itself, so its history has all of them.
pub async fn takeovers(etcd: &Etcd) -> BTreeMap<usize, usize> {
    let (engine, keys) = (etcd.engine(), ClusterKeys::of("default"));
    // Behind all slots: when the watch tells of it, it has told of all that came before.
    let last = keys.slots().to;
    patient(async || engine.commit(&done(vec![put(&last, "")])).await).await;
    let slots_and_last = KeyRange { from: keys.slots().from, to: format!("{last}\0") };
    let mut watch = patient(async || engine.watch(&slots_and_last, 1).await).await;
    let api_of: BTreeMap<Slot, Vec<usize>> = (0..APIS).fold(BTreeMap::new(), |mut all, api| {
        all.entry(Slot::of(&format!("api-{api}"))).or_default().push(api);
        all
    });
    let (mut owners, mut takeovers) = (BTreeMap::new(), BTreeMap::new());
    loop {
        for change in awaited(watch.next()).await.expect("the history of the slots") {
            match change {
                EngineChange::Put(entry) if entry.key == last => return takeovers,
                EngineChange::Put(entry) => {
                    let Some(slot) = keys.slot_in(&entry.key) else { continue };
                    let before = owners.insert(slot, entry.value.clone());
                    if before.is_some_and(|before| before != entry.value) {
                        api_of
                            .get(&slot)
                            .into_iter()
                            .flatten()
                            .for_each(|api| *takeovers.entry(*api).or_default() += 1);
                    }
                }
                EngineChange::Deleted { key, .. } => drop(keys.slot_in(&key).and_then(|slot| owners.remove(&slot))),
            }
        }
    }
}
