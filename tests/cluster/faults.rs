//! Nodes that die, hang, and come back.

use std::time::{Duration, Instant};

use logzio_api_fetcher::cluster::etcd::{EtcdEngine, EtcdOptions};
use logzio_api_fetcher::cluster::{EngineError, LeaseState, Operation};

use crate::harness::{Etcd, awaited, done, once, patient, range};
use crate::proxy::{Link, Passage};

#[tokio::test]
async fn a_node_that_hangs_is_passed_over() {
    let etcd = Etcd::three().await;
    let asked = etcd.follower().await;
    let engine = etcd.engine_from(asked);
    let lease = engine.grant(60).await.unwrap();
    engine.commit(&once("f/1", "x")).await.unwrap();
    etcd.nodes[asked].stop();
    let begun = Instant::now();
    let outcome = engine.commit(&once("f/2", "x")).await.unwrap();
    println!("a node hangs: passed over after {:?}", begun.elapsed());
    // The node that hangs may have passed it on before.
    assert!(outcome.held || outcome.read[0].is_some());
    engine.try_commit(&once("f/3", "x")).await.expect("the node that answered is asked first");
    assert_eq!(engine.keep_alive(lease).await.unwrap(), LeaseState::Alive);
    etcd.nodes[asked].go_on();
    let alone = etcd.engine_of(asked);
    assert_eq!(patient(async || alone.read(&range("f/")).await).await.0.len(), 3);
}

#[tokio::test]
async fn the_death_of_the_leader_is_outlasted() {
    let mut etcd = Etcd::three().await;
    let leader = etcd.leader().await;
    let engine = etcd.engine_from(leader);
    let lease = engine.grant(60).await.unwrap();
    engine.commit(&once("l/1", "x")).await.unwrap();
    etcd.nodes[leader].kill();
    let begun = Instant::now();
    patient(async || engine.commit(&once("l/2", "x")).await).await;
    println!("the leader died: written again after {:?}", begun.elapsed());
    assert_eq!(patient(async || engine.keep_alive(lease).await).await, LeaseState::Alive);
    etcd.nodes[leader].start();
    let alone = etcd.engine_of(leader);
    assert_eq!(patient(async || alone.read(&range("l/")).await).await.0.len(), 2);
    let members = engine.members().await.unwrap();
    assert_eq!(members.iter().filter(|member| member.name.starts_with('n') && !member.is_learner).count(), 3);
    let status = etcd.status().await;
    assert!(status.iter().flatten().all(|status| status.version.starts_with("3.") && status.troubles.is_empty()));
    let clusters: Vec<u64> = status.iter().flatten().map(|status| status.cluster_id).collect();
    assert!(clusters.len() == 3 && clusters.iter().all(|cluster| *cluster == clusters[0]), "{clusters:?}");
}

#[tokio::test]
async fn what_nobody_answers_is_in_doubt_and_is_done_once() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    engine.commit(&once("o/1", "x")).await.unwrap();
    etcd.nodes[0].stop();
    let begun = Instant::now();
    let error = engine.try_commit(&once("o/2", "x")).await.unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(690), "one try");
    assert!(matches!(error, EngineError::InDoubt { .. }), "{error}");
    let error = engine.commit(&once("o/2", "x")).await.unwrap_err();
    assert!(matches!(error, EngineError::InDoubt { .. }), "{error}");
    assert!(error.to_string().ends_with(": no answer within 700 ms"), "{error}");
    etcd.nodes[0].go_on();
    let outcome = patient(async || engine.commit(&once("o/2", "x")).await).await;
    assert!(outcome.held || outcome.read[0].is_some());
    assert_eq!(engine.read(&range("o/")).await.unwrap().0.len(), 2);
}

#[tokio::test]
async fn a_node_that_begins_again_is_found_again() {
    let mut etcd = Etcd::one().await;
    let engine = etcd.engine();
    engine.commit(&once("r/1", "x")).await.unwrap();
    etcd.nodes[0].kill();
    let begun = Instant::now();
    let error = engine.commit(&once("r/2", "x")).await.unwrap_err();
    assert!(matches!(error, EngineError::InDoubt { .. }), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(690), "a node that refuses at once gets some time to begin");
    etcd.nodes[0].start();
    patient(async || engine.commit(&once("r/2", "x")).await).await;
    assert_eq!(engine.read(&range("r/")).await.unwrap().0.len(), 2);
}

#[tokio::test]
async fn what_is_refused_after_a_try_in_doubt_is_in_doubt() {
    let etcd = Etcd::one().await;
    let gone = etcd.engine().grant(60).await.unwrap();
    etcd.engine().revoke(gone).await.unwrap();
    // Nobody listens on port 1: but the engine can't know whether that node got it, as it didn't answer.
    let endpoints = vec!["127.0.0.1:1".to_owned(), etcd.endpoints().remove(0)];
    let engine = EtcdEngine::new(EtcdOptions { endpoints, ..EtcdOptions::default() }).unwrap();
    let put = Operation::Put { key: "g/1".to_owned(), value: Vec::new(), lease: Some(gone) };
    let first = engine.commit(&done(vec![put.clone()])).await.unwrap_err();
    assert!(matches!(&first, EngineError::InDoubt { endpoint, .. } if endpoint == "127.0.0.1:1"), "{first}");
    let second = engine.commit(&done(vec![put])).await.unwrap_err();
    assert!(matches!(&second, EngineError::Refused { .. }), "{second}");
}

#[tokio::test]
async fn a_connection_that_swallows_everything_is_made_anew() {
    let etcd = Etcd::one().await;
    let link = Link::to(etcd.nodes[0].port).await;
    let endpoints = vec![link.endpoint.clone()];
    let engine = EtcdEngine::new(EtcdOptions { endpoints, ..EtcdOptions::default() }).unwrap();
    patient(async || engine.try_commit(&once("s/1", "x")).await).await;
    let mut watch = patient(async || engine.watch(&range("s/"), 0).await).await;
    // The connections there are; new ones are as before.
    link.set(Passage::Swallowing);
    link.set(Passage::Open);
    let error = engine.try_commit(&once("s/2", "x")).await.unwrap_err();
    assert!(matches!(error, EngineError::InDoubt { .. }), "{error}");
    patient(async || engine.try_commit(&once("s/2", "x")).await).await;
    let error = awaited(watch.next()).await.unwrap_err();
    assert!(matches!(&error, EngineError::InDoubt { cause, .. } if cause.contains("nothing heard")), "{error}");
}
