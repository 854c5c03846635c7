//! An etcd that has no room left, with fetchers at work.

use std::time::Instant;

use logzio_api_fetcher::cluster::{EngineError, Operation};

use crate::fetchers::{Fetcher, wait_until};
use crate::harness::{Etcd, awaited, done, put, range};
use crate::world::{APIS, Play};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_etcd_is_told_and_costs_nothing_once_it_is_mended() {
    let etcd = Etcd::one_with(&["--quota-backend-bytes", "16777216"]).await;
    let mut play = Play::new(&etcd);
    let first = play.start();
    first.wait_for_log("iteration done", APIS);
    let config = play.config_over(&etcd.endpoints());
    let status = || Fetcher::new(&config).arguments(&["status"]).run("cluster");
    let well = status().assert_code(0);
    for part in ["1 members, 0 slots without", "etcd: 1 of 1 nodes answer", "leads", "version 3.", "in use"] {
        assert!(well.stdout.contains(part), "{}", well.stdout);
    }

    let (engine, value) = (etcd.engine(), "x".repeat(1_000_000));
    let refused = awaited(async {
        let mut written = 0;
        loop {
            match engine.commit(&done(vec![put(&format!("others/{written}"), &value)])).await {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        }
    })
    .await;
    assert!(matches!(&refused, EngineError::Refused { cause, .. } if cause.contains("space exceeded")), "{refused}");
    let since = Instant::now();
    first.wait_for_log("takes no writes", 1);
    let full = status().assert_code(1);
    assert!(full.stdout.contains("alarm: ") && full.stdout.contains("NOSPACE"), "{}", full.stdout);

    // As docs/cluster.md says, once whoever filled it has made room.
    let made_room = engine.commit(&done(vec![Operation::DeleteRange(range("others/"))])).await.unwrap();
    etcd.ctl(&["compaction", "--physical", &made_room.revision.to_string()]);
    etcd.ctl(&["defrag"]);
    etcd.ctl(&["alarm", "disarm"]);
    first.wait_for_log("takes writes again", 1);
    wait_until("`cluster status` is well again", || status().code == Some(0));
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("etcd full", 0);
    first.stop().assert_code(0);
}
