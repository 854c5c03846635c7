//! What etcd doesn't take.

use logzio_api_fetcher::cluster::etcd::{EtcdEngine, EtcdOptions, REQUEST_OPERATIONS_MAX, excess};
use logzio_api_fetcher::cluster::{EngineError, Operation, Transaction};

use crate::harness::{Etcd, awaited, done, get, once, put, range, written_at};

/// Transactions that are exactly as large as allowed, with few and with many operations.
fn largest() -> [Transaction; 2] {
    let of = |count: usize| {
        let keys = || (0..count).map(|at| format!("k/{at:0200}"));
        let mut transaction = Transaction {
            compare: keys().map(|key| written_at(&key, 0)).collect(),
            then: keys().map(|key| put(&key, "")).collect(),
            otherwise: keys().map(|key| get(&key)).collect(),
        };
        let (mut least, mut most) = (0, 2_000_000);
        while most - least > 1 {
            let middle = (least + most) / 2;
            fill(&mut transaction, middle);
            if excess(&transaction).is_none() { least = middle } else { most = middle }
        }
        fill(&mut transaction, least);
        transaction
    };
    [of(1), of(REQUEST_OPERATIONS_MAX)]
}

fn fill(transaction: &mut Transaction, bytes: usize) {
    if let Some(Operation::Put { value, .. }) = transaction.then.first_mut() {
        *value = vec![b'x'; bytes];
    }
}

#[tokio::test]
async fn what_is_within_the_limits_is_taken() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    for transaction in largest() {
        assert!(engine.commit(&transaction).await.unwrap().held);
        let again = engine.commit(&transaction).await.unwrap();
        assert_eq!(again.read.len(), transaction.then.len());
        engine.commit(&done(vec![Operation::DeleteRange(range("k/"))])).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_over_the_limits_is_refused_before_it_is_sent() {
    let engine = EtcdEngine::new(EtcdOptions { endpoints: vec!["127.0.0.1:1".to_owned()], ..EtcdOptions::default() });
    let engine = engine.unwrap();
    let many: Vec<Operation> = (0..=REQUEST_OPERATIONS_MAX).map(|at| get(&at.to_string())).collect();
    let [mut large, _] = largest();
    if let Some(Operation::Put { value, .. }) = large.then.first_mut() {
        value.push(b'x');
    }
    let cases = [
        (done(many.clone()), "129 operations at once are more than 128"),
        (Transaction { otherwise: many, ..Transaction::default() }, "129 operations at once are more than 128"),
        (large, "1572865 bytes at once are more than 1572864"),
    ];
    for (transaction, text) in cases {
        for error in [engine.commit(&transaction).await, engine.try_commit(&transaction).await] {
            assert_eq!(error, Err(EngineError::Refused { endpoint: "etcd".to_owned(), cause: text.to_owned() }));
        }
    }
}

#[tokio::test]
async fn a_full_etcd_refuses_and_says_that_it_is_full() {
    let etcd = Etcd::one_with(&["--quota-backend-bytes", "1000000"]).await;
    let engine = etcd.engine();
    let value = "x".repeat(300_000);
    let mut written = 0;
    let error = awaited(async {
        loop {
            match engine.commit(&done(vec![put(&format!("f/{written}"), &value)])).await {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        }
    })
    .await;
    assert!(matches!(&error, EngineError::Refused { cause, .. } if cause.contains("space exceeded")), "{error}");
    assert!(written > 0);
    assert!(matches!(engine.grant(5).await, Err(EngineError::Refused { .. })), "nor is a lease granted");
    let status = etcd.status().await.remove(0).unwrap();
    assert!(status.is_full(), "{status:?}");
    assert!(status.database_bytes >= status.used_bytes && status.used_bytes > 0, "{status:?}");
}

#[tokio::test]
async fn what_was_compacted_is_an_error_of_its_own() {
    let etcd = Etcd::one().await;
    let engine = etcd.engine();
    let first = engine.commit(&once("c/1", "x")).await.unwrap().revision;
    let last = engine.commit(&done(vec![put("c/1", "y")])).await.unwrap().revision;
    etcd.ctl(&["compaction", &last.to_string()]);
    let page = engine.range(&range("c/"), 1, Some(first)).await;
    assert!(matches!(page, Err(EngineError::Compacted { .. })), "{page:?}");
    let told = match engine.watch(&range("c/"), first).await {
        Ok(mut watch) => awaited(watch.next()).await,
        Err(error) => Err(error),
    };
    assert!(matches!(told, Err(EngineError::Compacted { .. })), "{told:?}");
    assert_eq!(engine.read(&range("c/")).await.unwrap().0[0].value, b"y");
}

#[test]
fn an_engine_needs_endpoints_without_users() {
    for (endpoints, text) in [(vec![], "no endpoint"), (vec!["http://me:word@etcd:2379".to_owned()], "host and port")] {
        let error = EtcdEngine::new(EtcdOptions { endpoints, ..EtcdOptions::default() }).unwrap_err().to_string();
        assert!(error.contains(text) && !error.contains("word"), "{error}");
    }
}
