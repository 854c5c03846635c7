//! What a transaction compares, writes, removes and reads.

use logzio_api_fetcher::cluster::{ABSENT, Compare, KeyRange, Operation, RangePages, Transaction};

use crate::harness::{Etcd, awaited, done, get, once, put, range, written_at};

#[tokio::test]
async fn a_transaction_does_one_list_or_the_other() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    let first = engine.commit(&once("a/1", "x")).await.unwrap();
    assert!(first.held && first.read.is_empty());

    let second = engine.commit(&once("a/1", "y")).await.unwrap();
    assert!(!second.held);
    assert_eq!(second.revision, first.revision, "nothing was written");
    let entry = second.read[0].as_ref().unwrap();
    assert_eq!((entry.key.as_str(), entry.value.as_slice()), ("a/1", b"x".as_slice()));
    assert_eq!((entry.written_at, entry.lease), (first.revision, None));

    let moved = Transaction {
        compare: vec![written_at("a/1", first.revision), written_at("a/2", ABSENT)],
        then: vec![get("a/1"), put("a/2", "z"), get("a/3"), Operation::Delete { key: "a/1".to_owned() }],
        otherwise: vec![get("a/1")],
    };
    let done_once = engine.try_commit(&moved).await.unwrap();
    assert!(done_once.held && done_once.revision > first.revision);
    assert_eq!(done_once.read.len(), 2);
    assert_eq!(done_once.read[0].as_ref().unwrap().value, b"x");
    assert_eq!(done_once.read[1], None);
    let again = engine.try_commit(&moved).await.unwrap();
    assert!(!again.held && again.read == [None]);
}

#[tokio::test]
async fn a_range_is_deleted_up_to_its_end() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    let puts = ["d/1", "d/2", "d/3", "e/1"].map(|key| put(key, "x"));
    engine.commit(&done(puts.to_vec())).await.unwrap();
    let range_of = KeyRange { from: "d/1".to_owned(), to: "d/3".to_owned() };
    engine.commit(&done(vec![Operation::DeleteRange(range_of)])).await.unwrap();
    let (left, _) = engine.read(&KeyRange { from: "a".to_owned(), to: "z".to_owned() }).await.unwrap();
    let left: Vec<&str> = left.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(left, ["d/3", "e/1"]);

    // What lies before a key can go in the transaction that writes it, as chunks do that become one.
    let range_of = KeyRange { from: "d/1".to_owned(), to: "e/1".to_owned() };
    let folded = done(vec![Operation::DeleteRange(range_of), put("e/1", "y")]);
    assert!(engine.commit(&folded).await.unwrap().held);
    let (left, _) = engine.read(&KeyRange { from: "a".to_owned(), to: "z".to_owned() }).await.unwrap();
    let left: Vec<_> = left.iter().map(|entry| (entry.key.as_str(), entry.value.as_slice())).collect();
    assert_eq!(left, [("e/1", b"y".as_slice())]);
}

#[tokio::test]
async fn a_condition_knows_the_lease_of_a_key() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    let [mine, other] = [engine.grant(60).await.unwrap(), engine.grant(60).await.unwrap()];
    let put_mine = Operation::Put { key: "m/1".to_owned(), value: Vec::new(), lease: Some(mine) };
    engine.commit(&done(vec![put_mine, put("m/2", "")])).await.unwrap();
    for (key, lease, is_held) in
        [("m/1", mine, true), ("m/1", other, false), ("m/2", mine, false), ("m/3", mine, false)]
    {
        let compare = vec![Compare::Leased { key: key.to_owned(), lease }];
        let outcome = engine.commit(&Transaction { compare, ..Transaction::default() }).await.unwrap();
        assert_eq!(outcome.held, is_held, "{key} {lease}");
    }
    let (entries, _) = engine.read(&range("m/")).await.unwrap();
    let leases: Vec<_> = entries.iter().map(|entry| entry.lease).collect();
    assert_eq!(leases, [Some(mine), None]);
}

#[tokio::test]
async fn pages_of_a_range_are_of_one_revision() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    for ten in 0..60 {
        let puts = (0..10).map(|one| put(&format!("p/{:03}", ten * 10 + one), "x"));
        engine.commit(&done(puts.collect())).await.unwrap();
    }
    let first = engine.range(&range("p/"), 3, None).await.unwrap();
    assert!(first.has_more && first.entries.len() == 3);
    engine.commit(&done(vec![Operation::DeleteRange(range("p/"))])).await.unwrap();
    let rest = KeyRange { from: "p/003".to_owned(), to: "p/~".to_owned() };
    let then = engine.range(&rest, 2, Some(first.revision)).await.unwrap();
    assert!(then.has_more);
    assert_eq!(then.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["p/003", "p/004"]);
    let now = engine.range(&range("p/"), 3, None).await.unwrap();
    assert!(!now.has_more && now.entries.is_empty() && now.revision > first.revision);

    for ten in 0..60 {
        let puts = (0..10).map(|one| put(&format!("p/{:03}", ten * 10 + one), "y"));
        engine.commit(&done(puts.collect())).await.unwrap();
    }
    let (all, revision) = awaited(engine.read(&range("p/"))).await.unwrap();
    let names: Vec<String> = all.iter().map(|entry| entry.key.clone()).collect();
    assert_eq!(names, (0..600).map(|at| format!("p/{at:03}")).collect::<Vec<_>>(), "over more than one page");
    assert_eq!(all.last().unwrap().written_at, revision);

    let (mut paged, mut pages, mut count) = (Vec::new(), Some(RangePages::of(range("p/"))), 0);
    while let Some(rest) = pages {
        let (entries, left) = engine.read_page(rest).await.unwrap();
        paged.extend(entries);
        pages = left;
        count += 1;
        // What is changed since isn't seen.
        engine.commit(&done(vec![put("p/599", "z"), put(&format!("p/more-{count}"), "z")])).await.unwrap();
    }
    assert!(count > 10 && paged == all, "{count} pages with {} keys", paged.len());
    let none = engine.read_page(RangePages::of(range("nothing/"))).await.unwrap();
    assert_eq!(none, (Vec::new(), None));
}
