//! What a watch tells, and when it says that it can't.

use std::time::Instant;

use logzio_api_fetcher::cluster::{EngineChange, EngineError, Operation};

use crate::harness::{Etcd, awaited, done, once, patient, put, range, told};

#[tokio::test]
async fn changes_come_in_their_order_and_whole() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    let first = engine.commit(&done(vec![put("w/1", "x"), put("w/2", "x"), put("other", "x")])).await.unwrap();
    let mut watch = engine.watch(&range("w/"), first.revision).await.unwrap();
    let changes = awaited(watch.next()).await.unwrap();
    assert_eq!(told(&changes), ["+w/1", "+w/2"]);
    let gone = vec![Operation::Delete { key: "w/1".to_owned() }, put("w/3", "y")];
    let second = engine.commit(&done(gone)).await.unwrap();
    let changes = awaited(watch.next()).await.unwrap();
    assert_eq!(told(&changes), ["-w/1", "+w/3"]);
    assert!(changes.iter().all(|change| change.revision() == second.revision));
    assert!(matches!(&changes[1], EngineChange::Put(entry) if entry.value == b"y"));

    let mut from_now = engine.watch(&range("w/"), 0).await.unwrap();
    engine.commit(&done(vec![put("w/4", "x")])).await.unwrap();
    assert_eq!(told(&awaited(from_now.next()).await.unwrap()), ["+w/4"]);
}

#[tokio::test]
async fn a_large_revision_comes_whole() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    let value = "x".repeat(10_000);
    let revision = engine.commit(&done(vec![put("w/000", "")])).await.unwrap().revision;
    for begin in [0, 100, 200, 300] {
        let puts = (begin..begin + 100).map(|at| put(&format!("w/{at:03}"), &value));
        engine.commit(&done(puts.collect())).await.unwrap();
    }
    // Its events are 4 MB, for which etcd needs several messages.
    engine.commit(&done(vec![Operation::DeleteRange(range("w/"))])).await.unwrap();
    let mut watch = engine.watch(&range("w/"), revision + 1).await.unwrap();
    let (mut count, mut last) = (0, revision);
    while count < 800 {
        let changes = awaited(watch.next()).await.unwrap();
        assert!(changes[0].revision() > last, "a revision came in two parts");
        last = changes.last().unwrap().revision();
        count += changes.len();
    }
    assert_eq!(count, 800);
}

#[tokio::test]
async fn a_watch_notices_a_node_that_hangs_and_goes_on_elsewhere_without_a_hole() {
    let etcd = Etcd::three().await;
    let asked = etcd.follower().await;
    let engine = etcd.engine_from(asked);
    let first = engine.commit(&once("w/1", "x")).await.unwrap().revision;
    let mut watch = engine.watch(&range("w/"), first).await.unwrap();
    let seen = awaited(watch.next()).await.unwrap();
    assert_eq!(told(&seen), ["+w/1"]);

    etcd.nodes[asked].stop();
    let begun = Instant::now();
    let other = etcd.engine_from((asked + 1) % 3);
    other.commit(&once("w/2", "x")).await.unwrap();
    let error = awaited(watch.next()).await.unwrap_err();
    println!("a node hangs: the watch notices after {:?}", begun.elapsed());
    assert!(matches!(&error, EngineError::InDoubt { cause, .. } if cause.contains("nothing heard")), "{error}");
    assert!(watch.next().await.is_err(), "it has ended");

    other.commit(&once("w/3", "x")).await.unwrap();
    let mut again = patient(async || engine.watch(&range("w/"), seen[0].revision() + 1).await).await;
    let mut all = Vec::new();
    while all.len() < 2 {
        all.extend(told(&awaited(again.next()).await.unwrap()));
    }
    assert_eq!(all, ["+w/2", "+w/3"]);
}

#[tokio::test]
async fn a_watch_notices_a_node_that_dies_and_one_without_a_leader() {
    let mut etcd = Etcd::three().await;
    let asked = etcd.follower().await;
    let engine = etcd.engine_from(asked);
    let mut watch = engine.watch(&range("w/"), 0).await.unwrap();
    let dead = (asked + 1) % 3;
    let mut doomed = etcd.engine_from(dead).watch(&range("w/"), 0).await.unwrap();
    etcd.nodes[dead].kill();
    assert!(matches!(awaited(doomed.next()).await, Err(EngineError::InDoubt { .. })));
    patient(async || engine.commit(&once("w/1", "x")).await).await;
    assert_eq!(told(&awaited(watch.next()).await.unwrap()), ["+w/1"], "one of three isn't missed");

    // The node answers, but would never tell of anything again.
    etcd.nodes[(asked + 2) % 3].kill();
    let error = awaited(watch.next()).await.unwrap_err();
    assert!(matches!(&error, EngineError::InDoubt { cause, .. } if cause.contains("no leader")), "{error}");
}
