//! What was read once, and isn't so any more: nobody has used it for long, or the slot went and came back.

use super::*;

#[tokio::test]
async fn an_account_that_nothing_has_used_for_a_season_is_forgotten_where_all_members_have_one_config() {
    let engine = MemoryEngine::default();
    let (mut first, _) = replica(&engine, "first", None).await;
    let past = |days: i64| {
        let at = at(0) - chrono::TimeDelta::days(days);
        [crate::state::IterationSummary { at, seconds: 1.0, records: 1, pages: 1, error: None }].into()
    };
    let account = ApiState { past: past(91), ..ApiState::blank() };
    let remembered = first.state.remember(API, (account.ledger, 1), vec![key(5)], Some(account)).await.end().await;
    remembered.expect("it is written");
    let (of, configured) = (Engine::Memory(engine.clone()), Configured::default());
    let put_member = |name: &str, config: &str| {
        let about = format!(r#"{{"config": "{config}"}}"#).into_bytes();
        let me = MemberId { member: name.to_owned(), incarnation: 1 };
        engine.with(|store| {
            let lease = store.grant();
            store.commit(&join(&keys(), &me, lease, about));
        });
    };
    put_member("first", "a");
    put_member("second", "b");
    let forget = async || unused::forget_unused(&of, &keys(), &configured, at(0)).await.expect("it answers");
    assert_eq!(forget().await, Vec::<String>::new(), "another member may run it");
    put_member("second", "a");
    assert_eq!(forget().await, [API]);
    let lane = keys().lane(Slot::of(API), API);
    let left = engine.with(|store| [lane.head(), lane.account()].map(|key| store.get(&key).is_some()));
    assert_eq!((left, engine.read(&lane.chunks()).0.len()), ([false; 2], 0));

    // It is back in the config of the member that had it, and begins anew there.
    assert_eq!(first.state.load(API).await.expect("the engine answers"), BTreeMap::new());
    let account = ApiState::blank();
    let (ledger, begun) = (account.ledger, Some(account.clone()));
    let remembered = first.state.remember(API, (ledger, 1), vec![key(6)], begun).await.end().await;
    remembered.expect("it is its own");
    assert_eq!(first.state.commit(commit(&account, 6, 6)).await.expect("it is its own").checkpoint, Some(at(6)));
    assert!(first.outdated.try_recv().is_err(), "nothing has to be read again");
    let (_, found) = replica(&engine, "third", Some("first")).await;
    assert_eq!(found.get(API).and_then(|account| account.checkpoint), Some(at(6)));
}

/// Of what it goes on with it hears at the next write.
#[tokio::test]
async fn what_was_forgotten_while_it_ran_is_read_again_and_goes_on() {
    let engine = MemoryEngine::default();
    let (mut first, _) = replica(&engine, "first", None).await;
    let account = ApiState::blank();
    let ledger = account.ledger;
    first.state.save_soon(API, &account).await.end().await.expect("it is written");
    let lane = keys().lane(Slot::of(API), API);
    engine.with(|store| {
        let then = [lane.head(), lane.account()].map(|key| Operation::Delete { key }).into();
        store.commit(&Transaction { then, ..Transaction::default() })
    });
    let refused = first.state.remember(API, (ledger, 1), vec![key(1)], None).await.end().await;
    assert!(refused.is_err_and(|error| error.to_string().contains("is read again")));
    let told = timeout(PATIENCE, first.outdated.recv()).await.expect("soon");
    assert_eq!(told.as_deref(), Some(API));
    let stale = first.state.counts(API, ledger, vec![key(1)]).await;
    assert!(stale.is_err_and(|error| error.to_string().contains("is read again")), "nobody else has it");
    assert_eq!(first.state.load(API).await.expect("the engine answers"), BTreeMap::new());
    first.state.save_soon(API, &account).await.end().await.expect("it goes on");
}

#[tokio::test]
async fn what_was_read_before_the_slot_went_and_came_back_counts_no_more() {
    let engine = MemoryEngine::default();
    let (first, _) = replica(&engine, "first", None).await;
    let (ownership, slot) = (first.state.ownership(), Slot::of(API));
    let account = ApiState::blank();
    let ledger = account.ledger;
    first.state.save_soon(API, &account).await.end().await.expect("it is written");
    let token = ownership.token(slot).expect("it is ours");
    // Another one had it in between, of which this one hears at once that it is gone.
    let back = token + 1_000;
    ownership.give_up(slot);
    ownership.take(slot, back);
    let of_before = first.state.save_soon(API, &account).await.end().await;
    assert!(of_before.is_err_and(|error| error.to_string().contains("is read again")));
    assert!(first.state.counts(API, ledger, Vec::new()).await.is_err() && !ownership.is_read(slot, API));
    let opened = first.state.desk.open(API, token, Vec::new()).await;
    assert_eq!(opened, [API], "a reading that began before");
    assert!(!ownership.is_read(slot, API));
    assert!(first.state.load(API).await.expect("the engine answers").contains_key(API));
    assert!(ownership.is_read(slot, API));
}

/// A lane that has never been written, whose write is refused only when the slot is back: nothing of it can be read.
#[tokio::test]
async fn a_lane_that_was_lost_before_its_first_write_works_when_its_api_was_read() {
    let engine = MemoryEngine::default();
    let (first, _) = replica(&engine, "first", None).await;
    let (ownership, slot) = (first.state.ownership(), Slot::of(API));
    let account = ApiState::blank();
    engine.set_silent(true);
    let mut lost = first.state.save_soon(API, &account).await;
    // It is asked, and is in doubt.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // The slot is another one's, and ours again: the engine has another token for it.
    let put = |value: &str| Operation::Put { key: keys().slot(slot), value: value.as_bytes().to_vec(), lease: None };
    let again = engine.with(|store| {
        store.commit(&Transaction { then: vec![put("second 1")], ..Transaction::default() });
        store.commit(&Transaction { then: vec![put("first 1")], ..Transaction::default() }).revision
    });
    ownership.give_up(slot);
    ownership.take(slot, again);
    engine.set_silent(false);
    let told = lost.end().await.map_err(|error| error.to_string());
    assert!(told.as_ref().is_err_and(|told| told.contains("another member")), "{told:?}");
    first.state.unload(slot).await;
    assert_eq!(first.state.load(API).await.expect("the engine answers"), BTreeMap::new());
    first.state.save_soon(API, &account).await.end().await.expect("it goes on");
}
