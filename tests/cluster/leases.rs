//! Leases, and what hangs on them.

use logzio_api_fetcher::cluster::{EngineError, LeaseState, Operation};

use crate::harness::{Etcd, awaited, done, put, range, told};

fn leased(key: &str, lease: i64) -> Operation {
    Operation::Put { key: key.to_owned(), value: Vec::new(), lease: Some(lease) }
}

#[tokio::test]
async fn keys_of_a_lease_that_ends_are_gone_and_the_watch_tells_it() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    // Longer than a node may say nothing: the watch goes on though nothing happens.
    let lease = engine.grant(3).await.unwrap();
    let revision = engine.commit(&done(vec![leased("m/1", lease), put("m/2", "")])).await.unwrap().revision;
    let mut watch = engine.watch(&range("m/"), revision + 1).await.unwrap();
    let changes = awaited(watch.next()).await.unwrap();
    assert_eq!(told(&changes), ["-m/1"]);
    assert!(changes[0].revision() > revision);
    let (left, _) = engine.read(&range("m/")).await.unwrap();
    assert_eq!(left.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["m/2"]);
    assert_eq!(engine.keep_alive(lease).await.unwrap(), LeaseState::Gone);
}

#[tokio::test]
async fn a_lease_is_alive_until_it_is_revoked() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    let lease = engine.grant(40).await.unwrap();
    engine.commit(&done(vec![leased("m/1", lease)])).await.unwrap();
    assert_eq!(engine.keep_alive(lease).await.unwrap(), LeaseState::Alive);
    engine.revoke(lease).await.unwrap();
    assert_eq!(engine.keep_alive(lease).await.unwrap(), LeaseState::Gone);
    assert!(engine.read(&range("m/")).await.unwrap().0.is_empty());
    engine.revoke(lease).await.expect("it is gone, as it should be");
}

#[tokio::test]
async fn nothing_of_a_transaction_is_done_where_its_lease_is_gone() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    let lease = engine.grant(40).await.unwrap();
    engine.revoke(lease).await.unwrap();
    let error = engine.commit(&done(vec![put("m/2", ""), leased("m/1", lease)])).await.unwrap_err();
    assert!(matches!(&error, EngineError::Refused { cause, .. } if cause.contains("lease not found")), "{error}");
    assert!(engine.read(&range("m/")).await.unwrap().0.is_empty());
}
