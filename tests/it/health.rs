//! `health` asks the daemon itself; root is given up for the folder's owner.

use std::os::unix::fs::{MetadataExt, chown};
use std::time::Duration;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record, wait_until};

/// What `health` says about the fetcher with this config.
fn health(config: &str) -> crate::harness::Outcome {
    Fetcher::new("").arguments(&["--config", config]).run_bare("health")
}

#[test]
fn a_fetcher_that_works_is_healthy_and_one_that_hangs_or_is_gone_is_not() {
    let api = MockServer::start(|_, _| page(&[], None));
    let config = general(api.url(), "http://127.0.0.1:1", "").replace("time_interval: 1s", "time_interval: 1h");
    let running = Fetcher::new(&config).start();
    running.wait_for_log("iteration done", 1);
    let config = running.config_path();
    health(&config).assert_code(0).assert_says("healthy: 1 of 1 APIs");
    running.signal("STOP");
    // Docker and Kubernetes wait for ten seconds.
    health(&config).assert_code(1).assert_says("does not answer").assert_within(Duration::from_secs(10));
    running.signal("CONT");
    health(&config).assert_code(0);
    let outcome = running.stop().assert_code(0);
    health(&config).assert_code(1).assert_says("does not answer");
    drop(outcome);
    health(&config).assert_code(1).assert_says("no fetcher runs on");
}

#[test]
fn a_fetcher_whose_every_api_has_failed_three_times_is_unhealthy_until_one_succeeds() {
    let (date, mended) = (minutes_ago(5), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let is_mended = std::sync::Arc::clone(&mended);
    let api = MockServer::start(move |_, _| match is_mended.load(std::sync::atomic::Ordering::SeqCst) {
        true => page(&[&record(1, &date)], None),
        false => Reply::status(403, "the-basic-key is wrong"),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    let config = running.config_path();
    running.wait_for_log("iteration failed", 3);
    wait_until("an unhealthy fetcher", || health(&config).code == Some(1));
    health(&config).assert_says("events: page 1:").assert_says("403 Forbidden: *** is wrong");
    mended.store(true, std::sync::atomic::Ordering::SeqCst);
    running.wait_for_log("iteration done", 1);
    wait_until("a healthy fetcher", || health(&config).code == Some(0));
}

/// A cleaner removes the lock file, a restore empties it; a full disk may have kept it from being written.
#[test]
fn a_fetcher_is_found_again_after_its_lock_file_went() {
    let api = MockServer::start(|_, _| page(&[], None));
    let running = Fetcher::new(&general(api.url(), "http://127.0.0.1:1", "")).start();
    running.wait_for_log("iteration done", 1);
    let (config, lock) = (running.config_path(), running.directory().join(".logzio-api-fetcher.lock"));
    wait_until("a healthy fetcher", || health(&config).code == Some(0));
    std::fs::remove_file(&lock).unwrap();
    wait_until("a healthy fetcher", || health(&config).code == Some(0));
    std::fs::write(&lock, "").unwrap();
    wait_until("a healthy fetcher", || health(&config).code == Some(0));
    assert_eq!(std::fs::metadata(&lock).unwrap().mode() & 0o777, 0o600);
    // It is locked, too.
    let second = Fetcher::new("").arguments(&["--config", &config]).run_bare("once").assert_code(1);
    second.assert_says("another fetcher");
    running.stop().assert_code(0);
}

#[test]
fn a_copy_of_the_directory_on_which_nobody_runs_is_unhealthy() {
    let api = MockServer::start(|_, _| page(&[], None));
    let running = Fetcher::new(&general(api.url(), "http://127.0.0.1:1", "")).start();
    running.wait_for_log("iteration done", 1);
    wait_until("a healthy fetcher", || health(&running.config_path()).code == Some(0));
    let copy = Fetcher::new("").file(".logzio-api-fetcher.lock", &running.read(".logzio-api-fetcher.lock"));
    copy.run("health").assert_code(1).assert_says("no fetcher runs on this directory");
    // By a link it is the same one.
    let link = Fetcher::new("");
    std::os::unix::fs::symlink(running.directory(), link.path().join("linked")).unwrap();
    health(link.path().join("linked/config.yaml").to_str().unwrap()).assert_code(0);
    running.stop().assert_code(0);
}

#[test]
fn root_becomes_the_owner_of_the_folder() {
    const OWNER: u32 = 12_345;
    let api = MockServer::start(|_, _| page(&[], None));
    let fetcher = Fetcher::new(&general(api.url(), "http://127.0.0.1:1", ""));
    let owned = chown(fetcher.path(), Some(OWNER), Some(OWNER));
    owned.expect("only root can give a directory away: run this as root, as in a container");
    let directory = fetcher.path().to_owned();
    let outcome = fetcher.arguments(&["--level", "debug"]).once().assert_code(0).assert_says("root is given up");
    for name in ["last_start_dates.txt", ".logzio-api-fetcher.lock"] {
        let about = std::fs::metadata(directory.join(name)).unwrap();
        assert_eq!((about.uid(), about.gid()), (OWNER, OWNER), "{name}");
    }
    // What the owner may not write is said at once, with the numbers of both.
    chown(&directory, Some(OWNER), Some(OWNER)).unwrap();
    std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    std::fs::remove_file(directory.join(".logzio-api-fetcher.lock")).unwrap();
    Fetcher::again(outcome).once().assert_code(2).assert_says("as user 12345:12345");
}
