use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;
use crate::cluster::engine::Operation;
use crate::cluster::memory::{LAG_MAX, MemoryEngine};
use crate::cluster::pause::{ToldPause, UntoldPause};
use crate::cluster::slot::SLOTS;

/// Much longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn membership(engine: &MemoryEngine, name: &str) -> Membership {
    Membership {
        engine: Engine::Memory(engine.clone()),
        keys: ClusterKeys::of("default"),
        me: MemberId { member: name.to_owned(), incarnation: 1 },
        about: AboutMember::default(),
        entries: MemberEntries { slots: [Slot::of("api")].into(), ..MemberEntries::default() },
        counters: ClusterCounters::default(),
    }
}

async fn join(engine: &MemoryEngine, name: &str) -> (Joined, Ownership) {
    let ownership = Ownership::default();
    let joined = membership(engine, name).join(ownership.clone()).await.expect("it joins");
    (joined, ownership)
}

async fn next(joined: &mut Joined) -> SlotEvent {
    timeout(PATIENCE, joined.events.recv()).await.expect("soon").expect("it goes on")
}

/// Waits until it has every slot.
async fn take_all(joined: &mut Joined) {
    for taken in 0..SLOTS {
        let event = next(joined).await;
        assert!(matches!(event, SlotEvent::Taken(_)), "{event:?} after {taken}");
    }
}

/// More changes come than the engine keeps for whoever is slow.
#[tokio::test]
async fn an_edit_in_a_gap_of_the_watch_is_heard() {
    let engine = MemoryEngine::default();
    let (mut first, _owned) = join(&engine, "first").await;
    take_all(&mut first).await;
    let keys = ClusterKeys::of("default");
    let put = |key: String| {
        let then = vec![Operation::Put { key, value: Vec::new(), lease: None }];
        engine.with(|store| store.commit(&Transaction { then, ..Transaction::default() }));
    };
    let ring = || put(keys.lane(Slot::of("api"), "api").bell());
    ring();
    assert!(matches!(next(&mut first).await, SlotEvent::Edited(lane) if lane == "api"), "heard by the watch");
    ring();
    for number in 0..=LAG_MAX {
        put(format!("elsewhere/{number}"));
    }
    assert!(matches!(next(&mut first).await, SlotEvent::Edited(lane) if lane == "api"), "heard by reading again");
    assert!(first.events.try_recv().is_err(), "once");
}

/// A proxy may let connections through that live, and no new ones.
#[tokio::test]
async fn whoever_can_read_and_not_watch_takes_over_and_hears_of_edits_all_the_same() {
    let engine = MemoryEngine::default();
    let (mut first, owned) = join(&engine, "first").await;
    take_all(&mut first).await;
    let (mut second, of_second) = join(&engine, "second").await;
    engine.set_unwatchable(true);
    let keys = ClusterKeys::of("default");
    first.handle.leave();
    let (mut given, mut taken) = (0, 0);
    while taken < usize::from(SLOTS) {
        tokio::select! {
            event = next(&mut first), if given < SLOTS => match event {
                SlotEvent::HandOver(slot) => {
                    given += 1;
                    first.handle.release(slot);
                }
                event => panic!("{event:?} after {given}"),
            },
            event = next(&mut second) => match event {
                SlotEvent::Taken(_) => taken += 1,
                event => panic!("{event:?} after {taken}"),
            },
        }
    }
    assert_eq!((owned.count(), of_second.count()), (0, usize::from(SLOTS)));
    let bell = keys.lane(Slot::of("api"), "api").bell();
    let put = Operation::Put { key: bell, value: Vec::new(), lease: None };
    engine.with(|store| store.commit(&Transaction { then: vec![put], ..Transaction::default() }));
    assert!(matches!(next(&mut second).await, SlotEvent::Edited(lane) if lane == "api"), "by reading");
    engine.set_unwatchable(false);
    second.handle.leave();
    for _ in 0..SLOTS {
        let SlotEvent::HandOver(slot) = next(&mut second).await else { panic!("it leaves") };
        second.handle.release(slot);
    }
    timeout(PATIENCE, second.handle.has_left()).await.expect("it has left");
}

/// It tells how long is to be waited from when it is written, and each reading brings it again.
#[tokio::test]
async fn a_wait_that_a_host_asked_for_is_heard_once_however_often_it_is_read() {
    let engine = MemoryEngine::default();
    let (mut first, _owned) = join(&engine, "first").await;
    take_all(&mut first).await;
    engine.set_unwatchable(true);
    let keys = ClusterKeys::of("default");
    let put = |key: String, value: &str| {
        let then = vec![Operation::Put { key, value: value.as_bytes().to_vec(), lease: None }];
        engine.with(|store| store.commit(&Transaction { then, ..Transaction::default() }));
    };
    put(keys.pause("host"), "9");
    let told = timeout(PATIENCE, first.pauses.recv()).await.expect("soon").expect("it goes on");
    assert_eq!((told.host.as_str(), told.wait), ("host", Some(Duration::from_secs(9))));
    for number in 0..3 {
        put(keys.lane(Slot::of("api"), "api").bell(), &number.to_string());
        assert!(matches!(next(&mut first).await, SlotEvent::Edited(_)), "by reading");
    }
    assert!(first.pauses.try_recv().is_err(), "it was heard before");
}

/// What came through late says nothing of now, also where only a reading shows it.
#[tokio::test]
async fn an_earlier_word_of_ours_that_comes_late_is_said_anew_also_where_only_reading_tells() {
    let engine = MemoryEngine::default();
    let (mut first, _owned) = join(&engine, "first").await;
    take_all(&mut first).await;
    let key = ClusterKeys::of("default").member(&membership(&engine, "first").me);
    let said = engine.with(|store| store.get(&key).cloned()).expect("its key");
    engine.set_unwatchable(true);
    let late = Operation::Put { key: key.clone(), value: b"{}".to_vec(), lease: said.lease };
    engine.with(|store| store.commit(&Transaction { then: vec![late], ..Transaction::default() }));
    let is_said = async {
        while engine.with(|store| store.get(&key).map(|entry| entry.value.clone())) != Some(said.value.clone()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, is_said).await.expect("soon");
}

#[tokio::test]
async fn a_single_member_takes_every_slot_and_gives_each_back_before_it_goes() {
    let engine = MemoryEngine::default();
    let (mut first, owned) = join(&engine, "first").await;
    take_all(&mut first).await;
    assert_eq!(owned.count(), usize::from(SLOTS));
    let (mut second, _) = join(&engine, "second").await;
    first.handle.leave();
    for _ in 0..SLOTS {
        let SlotEvent::HandOver(slot) = next(&mut first).await else { panic!("it leaves") };
        first.handle.release(slot);
    }
    timeout(PATIENCE, first.handle.has_left()).await.expect("it has left");
    take_all(&mut second).await;
    let members = engine.read(&ClusterKeys::of("default").members()).0;
    assert_eq!(members.len(), 1, "the key of who left is gone: {members:?}");
    assert_eq!(owned.count(), 0);
}

/// The answer to a release comes too late: by then the slot is another one's, or nobody's.
#[tokio::test]
async fn a_slot_that_is_given_back_twice_is_not_begun_with_again() {
    let engine = MemoryEngine::default();
    let (mut first, owned) = join(&engine, "first").await;
    take_all(&mut first).await;
    first.handle.leave();
    for _ in 0..SLOTS {
        assert!(matches!(next(&mut first).await, SlotEvent::HandOver(_)), "it leaves");
    }
    let keys = ClusterKeys::of("default");
    for slot in Slot::all().take(50) {
        // In one step of the tasks, so that it may hear of either first.
        engine.with(|store| {
            let gone = vec![Operation::Delete { key: keys.slot(slot) }];
            store.commit(&Transaction { then: gone, ..Transaction::default() })
        });
        first.handle.release(slot);
        let is_back = async {
            while owned.token(slot).is_some() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, is_back).await.expect("soon");
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    while let Ok(event) = first.events.try_recv() {
        assert!(matches!(event, SlotEvent::Lost(_)), "{event:?}");
    }
}

#[tokio::test]
async fn a_lease_that_the_engine_drops_by_mistake_costs_no_slot() {
    let engine = MemoryEngine::default();
    let (mut first, owned) = join(&engine, "first").await;
    take_all(&mut first).await;
    let (_second, of_second) = join(&engine, "second").await;
    let key = ClusterKeys::of("default").member(&MemberId { member: "first".to_owned(), incarnation: 1 });
    let dropped = engine.with(|store| {
        let lease = store.get(&key).and_then(|entry| entry.lease).expect("it hangs on a lease");
        store.end_lease(lease);
        lease
    });
    let is_back = async {
        loop {
            let lease = engine.with(|store| store.get(&key).and_then(|entry| entry.lease));
            if lease.is_some_and(|lease| lease != dropped) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, is_back).await.expect("it joins anew");
    assert_eq!((owned.count(), of_second.count()), (usize::from(SLOTS), 0));
    assert!(first.events.try_recv().is_err(), "no slot was lost");
    let sends = first.clock.wait_for(|clock| clock.may_send(since_boot()));
    timeout(PATIENCE, sends).await.expect("soon").expect("it goes on");
}

#[tokio::test]
async fn whoever_lost_its_lease_sends_nothing_before_it_knows_which_slots_were_taken() {
    let engine = MemoryEngine::default();
    let (mut first, owned) = join(&engine, "first").await;
    take_all(&mut first).await;
    let keys = ClusterKeys::of("default");
    let (key, slot) = (keys.member(&membership(&engine, "first").me), Slot::of("api"));
    let thief = MemberId { member: "second".to_owned(), incarnation: 1 };
    // Its lease ends and its slot is taken before it hears of either.
    engine.with(|store| {
        let lease = store.get(&key).and_then(|entry| entry.lease).expect("it hangs on a lease");
        store.end_lease(lease);
        let value = thief.to_string().into_bytes();
        let put = Operation::Put { key: keys.slot(slot), value, lease: None };
        store.commit(&Transaction { then: vec![put], ..Transaction::default() });
    });
    let mut clock = first.clock.clone();
    let sends = |clock: &LeaseClock| clock.may_send(since_boot());
    timeout(PATIENCE, clock.wait_for(|clock| !sends(clock))).await.expect("soon").expect("it goes on");
    timeout(PATIENCE, clock.wait_for(sends)).await.expect("soon").expect("it joins anew");
    assert_eq!(owned.token(slot), None, "it is another one's");
    assert_eq!(owned.count(), usize::from(SLOTS) - 1);
}

/// It is nobody's by now, so that no key tells that another one had it.
#[tokio::test]
async fn whoever_lost_its_lease_sends_nothing_of_a_slot_that_another_one_had_meanwhile() {
    let engine = MemoryEngine::default();
    let (mut first, owned) = join(&engine, "first").await;
    take_all(&mut first).await;
    let keys = ClusterKeys::of("default");
    let (key, slot) = (keys.member(&membership(&engine, "first").me), Slot::of("api"));
    let before = owned.token(slot).expect("it is ours");
    assert!(owned.has_read(slot, "api", before));
    engine.with(|store| {
        let lease = store.get(&key).and_then(|entry| entry.lease).expect("it hangs on a lease");
        store.end_lease(lease);
        let gone = vec![Operation::Delete { key: keys.slot(slot) }];
        store.commit(&Transaction { then: gone, ..Transaction::default() });
    });
    let mut clock = first.clock.clone();
    let sends = |clock: &LeaseClock| clock.may_send(since_boot());
    timeout(PATIENCE, clock.wait_for(|clock| !sends(clock))).await.expect("soon").expect("it goes on");
    timeout(PATIENCE, clock.wait_for(sends)).await.expect("soon").expect("it joins anew");
    assert!(!owned.may_work(slot, "api", "api"), "it must be read again, whoever has it");
}

#[tokio::test]
async fn a_cluster_of_another_layout_is_not_joined() {
    let engine = MemoryEngine::default();
    let put = Operation::Put { key: ClusterKeys::of("default").layout(), value: b"9 64".to_vec(), lease: None };
    engine.with(|store| store.commit(&Transaction { then: vec![put], ..Transaction::default() }));
    let joined = membership(&engine, "first").join(Ownership::default()).await;
    let error = joined.expect_err("the layout is another one").to_string();
    assert!(error.contains("`9 64`") && error.contains("cluster.name"), "{error}");
}

#[tokio::test]
async fn what_one_member_is_asked_for_the_others_hear_as_long_as_it_lasts_and_whatever_stands_there() {
    let engine = MemoryEngine::default();
    let keys = ClusterKeys::of("default");
    let (mut first, _) = join(&engine, "first").await;
    let (untold, waits) = mpsc::channel(8);
    let telling = tokio::spawn(tell_pauses(Engine::Memory(engine.clone()), keys.clone(), waits));
    let until = Instant::now() + Duration::from_secs(100);
    untold.send(UntoldPause { host: "host".to_owned(), until }).await.expect("it goes on");
    let heard = async |joined: &mut Joined| timeout(PATIENCE, joined.pauses.recv()).await.expect("soon").expect("one");
    let told = heard(&mut first).await;
    assert!(
        told.wait.is_some_and(|wait| wait > Duration::from_secs(60) && wait <= Duration::from_secs(100)),
        "{told:?}"
    );
    let (mut second, _) = join(&engine, "second").await;
    assert_eq!(heard(&mut second).await, told, "who comes later hears it, too");
    for value in [&b"\xff"[..], b"", b"NaN", b"-3", b"1e999"] {
        let put = Operation::Put { key: keys.pause("other"), value: value.to_vec(), lease: None };
        engine.with(|store| store.commit(&Transaction { then: vec![put], ..Transaction::default() }));
    }
    let longest = Some(crate::cluster::PAUSE_MAX);
    assert_eq!(heard(&mut first).await, ToldPause { host: "other".to_owned(), wait: longest });
    engine.with(|store| {
        let lease = store.get(&keys.pause("host")).and_then(|entry| entry.lease).expect("it hangs on a lease");
        store.end_lease(lease);
    });
    assert_eq!(heard(&mut first).await, ToldPause { host: "host".to_owned(), wait: None });
    engine.set_full(true);
    untold.send(UntoldPause { host: "third".to_owned(), until }).await.expect("it goes on");
    drop(untold);
    timeout(PATIENCE, telling).await.expect("soon").expect("what can't be told is no failure");
}
