//! Endpoints that belong to different etcds.

use logzio_api_fetcher::cluster::EngineError;
use logzio_api_fetcher::cluster::etcd::{EtcdEngine, EtcdOptions};

use crate::fetchers::{Fetcher, general};
use crate::harness::{Etcd, awaited, once, range};

async fn two() -> (Etcd, Etcd) {
    let [first, second] = ["first", "second"].map(|token| ["--initial-cluster-token", token]);
    (Etcd::one_with(&first).await, Etcd::one_with(&second).await)
}

#[tokio::test]
async fn the_answers_of_another_etcd_are_not_taken_and_nothing_is_written_there() {
    let (mut first, second) = two().await;
    let endpoints = vec![first.endpoints().remove(0), second.endpoints().remove(0)];
    let engine = EtcdEngine::new(EtcdOptions { endpoints, ..EtcdOptions::default() }).unwrap();
    engine.commit(&once("i/1", "x")).await.unwrap();
    assert!(matches!(engine.require_one().await, Err(EngineError::Foreign { .. })));
    let lease = engine.grant(60).await.unwrap();
    first.nodes[0].kill();
    for _ in 0..2 {
        let refused = engine.commit(&once("i/2", "x")).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    // It knows no such lease, and that is no word on ours.
    let renewed = engine.keep_alive(lease).await;
    assert!(renewed.is_err(), "{renewed:?}");
    assert_eq!(second.engine().read(&range("i/")).await.unwrap().0, []);
    first.nodes[0].start();
    awaited(async { while engine.commit(&once("i/2", "x")).await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_refuses_to_start_with_two_etcds() {
    let (first, second) = two().await;
    let endpoints = format!("'{}', '{}'", first.endpoints()[0], second.endpoints()[0]);
    let cluster = format!("cluster: {{etcd: [{endpoints}], member: m}}\n");
    let outcome = Fetcher::new(&general("http://127.0.0.1:1", "http://127.0.0.1:1", &cluster));
    let outcome = outcome.start_command(None).wait().assert_code(2);
    outcome.assert_says("belongs to another etcd").assert_says("cluster.etcd");
}
