use std::time::Duration;

use chrono::{DateTime, Utc};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::*;
use crate::cluster::{
    LaneHead, MemberId, MemoryEngine, Operation, SeenSlot, TakenSlot, Transaction, join, take as take_slot, taken,
};
use crate::record::Fingerprint;
use crate::state::{Configured, LockedStateDir, StateOrder};

mod unused_lanes;

const API: &str = "an api";
/// Much longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A replica, with its slot.
struct Replica {
    state: ReplicatedState,
    outdated: mpsc::UnboundedReceiver<String>,
    counters: ClusterCounters,
    _directory: TempDir,
}

fn keys() -> ClusterKeys {
    ClusterKeys::of("default")
}

/// Starts a replica that takes the API's slot from a former one, which is gone, and reads its lanes.
async fn replica(engine: &MemoryEngine, name: &str, former: Option<&str>) -> (Replica, BTreeMap<String, ApiState>) {
    let member = |name: &str| MemberId { member: name.to_owned(), incarnation: 1 };
    let slot = Slot::of(API);
    let taken = engine.with(|store| {
        let lease = store.grant();
        if let Some(former) = former.and_then(|former| store.get(&keys().member(&member(former)))?.lease) {
            store.end_lease(former);
        }
        store.commit(&join(&keys(), &member(name), lease, Vec::new()));
        let written_at = store.get(&keys().slot(slot)).map_or(0, |entry| entry.written_at);
        let seen = SeenSlot { slot, written_at, owner: former.map(member) };
        taken(&store.commit(&take_slot(&keys(), &[seen], &member(name), lease)), 1, &member(name))
    });
    let [TakenSlot::Ours { token }] = *taken else { panic!("the slot is free") };
    let ownership = Ownership::default();
    ownership.take(slot, token);
    let directory = tempfile::tempdir().expect("a directory");
    let (sender, outdated) = mpsc::unbounded_channel();
    let of = (Engine::Memory(engine.clone()), keys());
    let clock = watch::channel(LeaseClock::default()).1;
    let counters = ClusterCounters::default();
    let state =
        ReplicatedState::start(of, (ownership, clock), counters.clone(), directory.path(), sender).expect("a cache");
    let accounts = state.load(API).await.expect("the engine answers");
    (Replica { state, outdated, counters, _directory: directory }, accounts)
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_716_900_000 + second, 0).unwrap_or_default()
}

fn key(second: i64) -> RecordKey {
    RecordKey { fingerprint: Fingerprint::of(&[&second.to_le_bytes()]), date: Some(at(second)) }
}

fn commit(account: &ApiState, checkpoint: i64, remembered_since: i64) -> Commit {
    Commit {
        name: API.to_owned(),
        account: account.clone(),
        checkpoint: Some(at(checkpoint)),
        remembered_since: at(remembered_since),
        line: None,
    }
}

#[tokio::test]
async fn who_takes_an_api_over_knows_what_was_delivered_and_who_had_it_writes_no_more() {
    let engine = MemoryEngine::default();
    let (mut first, found) = replica(&engine, "first", None).await;
    assert_eq!(found, BTreeMap::new());
    let account = ApiState::blank();
    let ledger = account.ledger;
    first.state.save_soon(API, &account).await.end().await.expect("it is written");
    for second in [1, 2, 2] {
        let mut remembered = first.state.remember(API, (ledger, 1), vec![key(second)], None).await;
        remembered.end().await.expect("it is written");
    }
    let account = first.state.commit(commit(&account, 2, 2)).await.expect("it is written");
    first.state.remember(API, (ledger, 2), vec![key(3)], None).await.end().await.expect("it is written");

    let (second, found) = replica(&engine, "second", Some("first")).await;
    assert_eq!(found.get(API), Some(&account));
    let asked: Vec<RecordKey> = (1..5).map(key).collect();
    let counts = second.state.counts(API, ledger, asked.clone()).await.expect("it is ours");
    assert_eq!(counts, [0, 2, 1, 0], "what lies before the checkpoint's overlap is forgotten");

    let late = first.state.remember(API, (ledger, 2), vec![key(4)], None).await.end().await;
    assert!(late.is_err_and(|error| error.to_string().contains("another member")), "it lost the API");
    let late = first.state.commit(commit(&account, 4, 4)).await;
    assert!(late.is_err(), "it lost the API");
    assert!(first.state.counts(API, ledger, asked).await.is_err(), "nothing more is to be sent");
    assert!(first.outdated.try_recv().is_err(), "it isn't read again: it is somebody else's");

    let after = second.state.commit(commit(&account, 3, 3)).await.expect("it is ours");
    assert_eq!(after.checkpoint, Some(at(3)));
}

/// How often each record was delivered, as a directory knows it that the cluster is exported to.
async fn exported_counts(engine: &MemoryEngine, ledger: LedgerId, asked: &[RecordKey]) -> Vec<u32> {
    let directory = tempfile::tempdir().expect("a directory");
    let opened = LockedStateDir::open(directory.path(), &Configured::default(), at(100));
    let mut taken = opened.expect("the directory is free").0;
    let of = Engine::Memory(engine.clone());
    export_from_cluster(&of, &keys(), &mut taken).await.expect("the engine answers");
    taken.store.as_ref().expect("a store").counts(ledger, asked).expect("it is read")
}

/// As records without a date are known: for as long as they go on coming.
#[tokio::test]
async fn what_came_again_is_known_though_the_batch_that_delivered_it_is_forgotten() {
    let engine = MemoryEngine::default();
    let (first, _) = replica(&engine, "first", None).await;
    let undated = |number| RecordKey { date: None, ..key(number) };
    let (twice, once, gone) = (undated(1), undated(2), undated(3));
    let account = ApiState::blank();
    let ledger = account.ledger;
    let delivered = vec![twice, twice, once, gone];
    first.state.remember(API, (ledger, 1), delivered, Some(account.clone())).await.end().await.expect("it is written");
    first.state.see_again(API, ledger, 2, vec![twice, twice, once]).await;
    let account = ApiState { iteration: 2, undated_since: 2, ..account };
    first.state.commit(commit(&account, 5, 5)).await.expect("it is written");

    let asked = vec![twice, once, gone];
    let (second, _) = replica(&engine, "second", Some("first")).await;
    assert_eq!(second.state.counts(API, ledger, asked.clone()).await.expect("it is ours"), [2, 1, 0]);
    assert_eq!(exported_counts(&engine, ledger, &asked).await, [2, 1, 0]);
}

#[tokio::test]
async fn what_no_longer_comes_is_forgotten_though_its_batch_holds_others_that_are_known() {
    let engine = MemoryEngine::default();
    let (first, _) = replica(&engine, "first", None).await;
    let undated = RecordKey { date: None, ..key(1) };
    let account = ApiState::blank();
    let ledger = account.ledger;
    let delivered = vec![undated, key(9)];
    first.state.remember(API, (ledger, 1), delivered, Some(account.clone())).await.end().await.expect("it is written");
    let account = ApiState { iteration: 2, undated_since: 2, ..account };
    first.state.commit(commit(&account, 9, 5)).await.expect("it is written");

    let asked = vec![undated, key(9)];
    let (second, _) = replica(&engine, "second", Some("first")).await;
    assert_eq!(second.state.counts(API, ledger, asked.clone()).await.expect("it is ours"), [0, 1]);
    assert_eq!(exported_counts(&engine, ledger, &asked).await, [0, 1]);
}

#[tokio::test]
async fn who_gives_an_api_back_does_not_wait_for_the_others_to_fall_silent() {
    const WRITES: usize = 2_000;
    let engine = MemoryEngine::default();
    let (replica, _) = replica(&engine, "first", None).await;
    let account = ApiState::blank();
    // Two outputs of one API that always write: while one is answered, the other waits.
    let left = std::cell::Cell::new(2 * WRITES);
    let writes = async |lane: &str| {
        for _ in 0..WRITES {
            replica.state.save_soon(lane, &account).await.end().await.expect("it is written");
            left.set(left.get() - 1);
        }
    };
    let flushed = async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        replica.state.desk.end(None).await;
        assert!(left.get() > WRITES, "{} of {} writes were left", left.get(), 2 * WRITES);
    };
    let (one, two) = (format!("{API}\u{1f}one"), format!("{API}\u{1f}two"));
    tokio::join!(writes(&one), writes(&two), flushed);
}

#[tokio::test]
async fn an_api_whose_write_was_given_up_is_read_again_before_anything_else_of_it_is_sent() {
    let engine = MemoryEngine::default();
    let (mut replica, _) = replica(&engine, "first", None).await;
    let account = ApiState::blank();
    let ledger = account.ledger;
    replica.state.save_soon(API, &account).await.end().await.expect("it is written");
    engine.set_full(true);
    drop(replica.state.remember(API, (ledger, 1), vec![key(1)], None).await);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert!(replica.outdated.try_recv().is_err(), "whoever doesn't wait counts on it");
    assert!(replica.state.ownership().may_work(Slot::of(API), API, API), "its batches are still sent");
    let outdated = timeout(PATIENCE, replica.outdated.recv()).await.expect("it is told that nobody waits any more");
    assert_eq!(outdated.as_deref(), Some(API));
    tokio::time::resume();
    assert!(replica.state.counts(API, ledger, vec![key(1)]).await.is_err(), "nothing more is to be sent");
    engine.set_full(false);
    replica.state.load(API).await.expect("the engine answers");
    assert_eq!(
        replica.state.counts(API, ledger, vec![key(1)]).await.expect("it is ours"),
        [1],
        "it got there after all"
    );
    assert!(replica.outdated.try_recv().is_err(), "it is told once");
}

#[tokio::test]
async fn a_write_that_was_lost_is_lost_however_often_it_is_asked_for() {
    let engine = MemoryEngine::default();
    let (first, _) = replica(&engine, "first", None).await;
    let account = ApiState::blank();
    first.state.save_soon(API, &account).await.end().await.expect("it is written");
    let _second = replica(&engine, "second", Some("first")).await;
    let mut late = first.state.remember(API, (account.ledger, 1), vec![key(1)], None).await;
    for _ in 0..3 {
        let lost = late.end().await.expect_err("it lost the API").to_string();
        assert!(lost.contains("another member"), "{lost}");
    }
}

#[tokio::test]
async fn an_edit_from_outside_ends_what_was_under_way_and_the_api_is_read_again() {
    let engine = MemoryEngine::default();
    let (mut replica, _) = replica(&engine, "first", None).await;
    let account = ApiState::blank();
    replica.state.save_soon(API, &account).await.end().await.expect("it is written");
    let lane = keys().lane(Slot::of(API), API);
    let edited = ApiState { checkpoint: Some(at(7)), ..ApiState::blank() };
    engine.with(|store| {
        let head = LaneHead { ledger: edited.ledger, seq: 2, token: LaneHead::OF_AN_EDIT };
        let put = |key, value| Operation::Put { key, value, lease: None };
        let then = vec![
            put(lane.head(), head.to_string().into_bytes()),
            put(lane.account(), deflate(&edited).expect("an account")),
        ];
        store.commit(&Transaction { then, ..Transaction::default() });
    });
    let refused = replica.state.save_soon(API, &account).await.end().await;
    assert!(refused.is_err_and(|error| error.to_string().contains("`state` changed it")));
    assert_eq!(replica.outdated.recv().await.as_deref(), Some(API));
    assert!(replica.state.counts(API, 1, Vec::new()).await.is_err(), "nothing is done before it is read again");
    let found = replica.state.load(API).await.expect("the engine answers");
    assert_eq!(found.get(API), Some(&edited));
    replica.state.commit(commit(&edited, 8, 8)).await.expect("it goes on");
}

/// As where its disk is damaged: what it should know is in the engine.
#[tokio::test]
async fn a_cache_that_was_emptied_is_read_again_before_anything_is_sent() {
    let engine = MemoryEngine::default();
    let (mut replica, _) = replica(&engine, "first", None).await;
    let account = ApiState::blank();
    let (ledger, begun) = (account.ledger, Some(account.clone()));
    let mut remembered = replica.state.remember(API, (ledger, 1), vec![key(1)], begun).await;
    remembered.end().await.expect("it is written");
    let emptied = replica.state.cache.work(move |_, store| store.map(|store| store.forget_ledger(ledger))).await;
    assert!(emptied.is_ok_and(|emptied| emptied.is_some_and(|done| done.is_ok())));
    replica.state.cache.pulse().tell_emptied();
    let asked = || replica.state.counts(API, ledger, vec![key(1)]);
    for _ in 0..2 {
        assert!(asked().await.is_err_and(|error| error.to_string().contains("is read again")));
    }
    assert_eq!(replica.outdated.recv().await.as_deref(), Some(API));
    assert!(replica.outdated.try_recv().is_err(), "once");
    replica.state.load(API).await.expect("the engine answers");
    assert_eq!(replica.state.counts(API, ledger, vec![key(1)]).await.expect("it is ours"), [1]);
}

#[tokio::test]
async fn many_records_of_one_batch_are_several_chunks_and_all_of_them_are_known() {
    let engine = MemoryEngine::default();
    let (first, _) = replica(&engine, "first", None).await;
    let account = ApiState::blank();
    let keys: Vec<RecordKey> = (0..RECORDS_MAX as i64 + 10).map(key).collect();
    let mut remembered = first.state.remember(API, (account.ledger, 1), keys.clone(), Some(account.clone())).await;
    remembered.end().await.expect("it is written");
    let (second, found) = replica(&engine, "second", Some("first")).await;
    assert_eq!(found.get(API), Some(&account));
    let counts = second.state.counts(API, account.ledger, keys).await.expect("it is ours");
    assert!(counts.iter().all(|count| *count == 1));
}

#[tokio::test]
async fn a_rewind_of_a_running_api_is_heard_by_its_owner_and_undone_again() {
    let engine = MemoryEngine::default();
    let (mut replica, _) = replica(&engine, "first", None).await;
    let account = ApiState::blank();
    let ledger = account.ledger;
    replica.state.remember(API, (ledger, 1), vec![key(5)], Some(account.clone())).await.end().await.expect("written");
    let account = replica.state.commit(commit(&account, 5, 5)).await.expect("it is written");
    let of = Engine::Memory(engine.clone());
    let ask = async |order| obey_in_cluster(&of, &keys(), &order, &[], at(100)).await.expect("the engine answers");

    let shown = ask(StateOrder::Show { name: Some(API.to_owned()) }).await;
    assert!(shown.code == 0 && shown.text.contains(API) && shown.text.contains('1'), "{shown:?}");
    let reply = ask(StateOrder::Rewind { name: API.to_owned(), date: at(2) }).await;
    assert_eq!((reply.code, reply.error), (0, None), "{}", reply.text);
    assert!(replica.state.save_soon(API, &account).await.end().await.is_err(), "it was edited");
    assert_eq!(replica.outdated.recv().await.as_deref(), Some(API));
    let found = replica.state.load(API).await.expect("the engine answers");
    let rewound = found.get(API).expect("it is known");
    assert_eq!(rewound.checkpoint, Some(at(2)));
    let counts = replica.state.counts(API, rewound.ledger, vec![key(5)]).await.expect("it is ours");
    assert_eq!(counts, [0], "it is shipped again");

    let reply = ask(StateOrder::Undo).await;
    assert_eq!(reply.code, 0, "{reply:?}");
    let found = replica.state.load(API).await.expect("the engine answers");
    let undone = found.get(API).expect("it is known");
    assert_eq!((undone.checkpoint, undone.ledger), (Some(at(5)), ledger));
    let counts = replica.state.counts(API, ledger, vec![key(5)]).await.expect("it is ours");
    assert_eq!(counts, [1], "what was delivered before is known again");
    let reply = ask(StateOrder::Undo).await;
    assert!(reply.text.contains("nothing to undo"), "{reply:?}");
    let reply = ask(StateOrder::Forget { name: "another".to_owned() }).await;
    assert_eq!(reply.code, 2, "{reply:?}");
}

#[tokio::test]
async fn what_a_change_forgot_is_gone_from_the_engine_when_it_can_no_longer_be_undone() {
    let engine = MemoryEngine::default();
    let (replica, _) = replica(&engine, "first", None).await;
    let account = ApiState::blank();
    let of_batch = (account.ledger, 1);
    replica.state.remember(API, of_batch, vec![key(5)], Some(account.clone())).await.end().await.expect("written");
    let of = Engine::Memory(engine.clone());
    let chunks = || engine.read(&keys().lane(Slot::of(API), API).chunks()).0.len();
    for change in 0..crate::state::CHANGES_MAX {
        assert_eq!(chunks(), 1, "{change} changes");
        let order = StateOrder::Forget { name: API.to_owned() };
        let reply = obey_in_cluster(&of, &keys(), &order, &[], at(100)).await.expect("the engine answers");
        assert_eq!(reply.code, 0, "{reply:?}");
    }
    let order = StateOrder::Forget { name: API.to_owned() };
    obey_in_cluster(&of, &keys(), &order, &[], at(100)).await.expect("the engine answers");
    assert_eq!(chunks(), 0);
}

#[tokio::test]
async fn a_directory_goes_into_the_cluster_once_and_comes_back_as_it_was() {
    let directory = || tempfile::tempdir().expect("a directory");
    let open = |directory: &TempDir| {
        LockedStateDir::open(directory.path(), &Configured::default(), at(100)).expect("the directory is free")
    };
    let engine = MemoryEngine::default();
    let of = Engine::Memory(engine.clone());
    let before = directory();
    let account = ApiState { checkpoint: Some(at(3)), remembered_since: Some(at(1)), ..ApiState::blank() };
    {
        let (mut taken, _) = open(&before);
        let ledger = account.ledger;
        let store = taken.store.as_mut().expect("a store");
        let writes = [
            StoreWrite::Remember { ledger, iteration: 4, identities: vec![key(1), key(2), key(2)] },
            StoreWrite::Save { name: API.to_owned(), account: Box::new(account.clone()) },
        ];
        store.write(1, writes.iter()).expect("it is written");
        taken.checkpoints.set(API, &account.line()).expect("it is written");
    }
    for (moved, known) in [(1, 0), (0, 1)] {
        let (taken, found) = open(&before);
        let done = import_into_cluster(&of, &keys(), &found.accounts, &taken).await;
        let done = done.expect("the engine answers");
        assert_eq!((done.moved.len(), done.known.len(), done.behind.len()), (moved, known, 0));
    }
    let other = format!("{API}\u{1f}another output");
    let unknown = ReplicatedState::unknown(&of, &keys(), [API, &other].into_iter()).await;
    assert_eq!(unknown.expect("the engine answers"), [&other], "its import was cut, say");
    let (replica, found) = replica(&engine, "first", None).await;
    assert_eq!(found.get(API).map(|found| found.checkpoint), Some(Some(at(3))));
    let asked: Vec<RecordKey> = (1..4).map(key).collect();
    let counts = replica.state.counts(API, account.ledger, asked.clone()).await.expect("it is ours");
    assert_eq!(counts, [1, 2, 0]);
    replica.state.remember(API, (account.ledger, 5), vec![key(3)], None).await.end().await.expect("it is written");

    let after = directory();
    export_from_cluster(&of, &keys(), &mut open(&after).0).await.expect("the engine answers");
    let (taken, found) = open(&after);
    let exported = found.accounts.get(API).expect("it is known");
    assert_eq!((exported.checkpoint, exported.ledger), (Some(at(3)), account.ledger), "no edit is seen");
    let store = taken.store.as_ref().expect("a store");
    assert_eq!(store.counts(account.ledger, &asked).expect("it is read"), [1, 2, 1]);
}

#[tokio::test]
async fn many_small_chunks_become_few_that_say_the_same_and_are_forgotten_as_those() {
    let engine = MemoryEngine::default();
    let (first, _) = replica(&engine, "first", None).await;
    let mut account = ApiState::blank();
    let ledger = account.ledger;
    first.state.save_soon(API, &account).await.end().await.expect("it is written");
    let undated = |name: i64| RecordKey { date: None, ..key(name) };
    let delivered: Vec<RecordKey> = (0..3).map(undated).chain((0..300).map(key)).collect();
    for (number, record) in (0..).zip(&delivered) {
        let written = first.state.remember(API, (ledger, number / 10), vec![*record], None).await;
        { written }.end().await.expect("it is written");
        if number % 20 == 3 {
            first.state.see_again(API, ledger, number / 10, vec![undated(i64::from(number % 3))]).await;
        }
    }
    let chunks = keys().lane(Slot::of(API), API).chunks_of(ledger);
    let few = async {
        while engine.read(&chunks).0.len() > 70 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, few).await.unwrap_or_else(|_| panic!("{} chunks are left", engine.read(&chunks).0.len()));
    let bytes: usize = engine.read(&chunks).0.iter().map(|entry| entry.value.len()).sum();

    let once = vec![1; delivered.len()];
    assert_eq!(exported_counts(&engine, ledger, &delivered).await, once);
    let (second, _) = replica(&engine, "second", Some("first")).await;
    assert_eq!(second.state.counts(API, ledger, delivered.clone()).await.expect("it is ours"), once);
    assert_eq!(second.counters.remembered_bytes(), bytes as u64);

    account.undated_since = 1_000;
    second.state.commit(commit(&account, 500, 500)).await.expect("it is ours");
    assert_eq!(engine.read(&chunks).0, []);
    assert_eq!(second.counters.remembered_bytes(), 0);

    let written = second.state.remember(API, (ledger, 1_001), vec![key(600)], None).await;
    { written }.end().await.expect("it is ours");
    assert!(second.counters.remembered_bytes() > 0);
    second.state.unload(Slot::of(API)).await;
    // Whatever is asked next is answered after that.
    second.state.desk.end(None).await;
    assert_eq!(second.counters.remembered_bytes(), 0, "it is another member's");
}

/// A replica that has something written while the engine behaves so. From now on no time passes but what is waited for.
async fn with_a_write_where(behaves: impl FnOnce(&MemoryEngine)) -> (MemoryEngine, Replica, Durable) {
    let engine = MemoryEngine::default();
    let (first, _) = replica(&engine, "first", None).await;
    behaves(&engine);
    let written = first.state.save_soon(API, &ApiState::blank()).await;
    tokio::time::pause();
    (engine, first, written)
}

#[tokio::test]
async fn a_write_that_the_engine_goes_on_refusing_keeps_no_slot_here() {
    let (engine, first, mut refused) = with_a_write_where(|engine| engine.set_full(true)).await;
    let begun = tokio::time::Instant::now();
    first.state.unload(Slot::of(API)).await;
    assert!(begun.elapsed() > Duration::from_secs(2), "it was asked several times");
    assert!(refused.end().await.is_err(), "it is not done, and never will be");
    engine.set_full(false);
    let (_, found) = replica(&engine, "second", Some("first")).await;
    assert_eq!(found, BTreeMap::new());
}

#[tokio::test]
async fn a_write_that_is_refused_is_waited_for_before_its_api_is_read_but_no_other_is() {
    let other = (0..).map(|number| format!("api {number}")).find(|name| Slot::of(name) != Slot::of(API)).expect("one");
    let (engine, first, mut refused) = with_a_write_where(|engine| engine.set_full(true)).await;
    first.state.desk.finish(Slot::of(&other)).await;
    let begun = tokio::time::Instant::now();
    let waited = timeout(Duration::from_secs(30), first.state.desk.finish(Slot::of(API))).await;
    assert!(waited.is_err(), "it was refused {:?} ago", begun.elapsed());
    engine.set_full(false);
    first.state.desk.finish(Slot::of(API)).await;
    refused.end().await.expect("it is done");
}

#[tokio::test]
async fn a_write_that_is_in_doubt_keeps_its_slot_here_whatever_the_engine_says_later() {
    let (engine, first, mut doubted) = with_a_write_where(|engine| engine.set_silent(true)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    // The try that wasn't answered may still be done, seconds after this.
    engine.set_full(true);
    engine.set_silent(false);
    let waited = timeout(Duration::from_secs(30), first.state.unload(Slot::of(API))).await;
    assert!(waited.is_err(), "it was given up");
    engine.set_full(false);
    first.state.unload(Slot::of(API)).await;
    doubted.end().await.expect("it is done");
}

#[tokio::test]
async fn an_api_is_read_again_where_its_write_is_done_after_nobody_waited_for_it_any_more() {
    let (_, mut first, mut late) = with_a_write_where(|engine| engine.set_slow(61)).await;
    assert!(late.end().await.is_err(), "it isn't known to be there");
    let outdated = timeout(PATIENCE, first.outdated.recv()).await.expect("it is there, and nobody knows it");
    assert_eq!(outdated.as_deref(), Some(API));
}
