//! `once --from`: a span shipped again.

use crate::harness::{Fetcher, MockListener, MockServer, decoded, general, minutes_ago, page, record};

const CHECKPOINTS: &str = "last_start_dates.txt";

/// Records of 40, 30, 20 and 10 minutes ago.
fn api() -> MockServer {
    let dates = [40, 30, 20, 10].map(minutes_ago);
    MockServer::start(move |_, _| {
        let records: Vec<String> = dates.iter().zip(1..).map(|(date, id)| record(id, date)).collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
    })
}

#[test]
fn a_span_is_shipped_again_and_no_checkpoint_moves_also_while_a_fetcher_runs() {
    let (api, listener) = (api(), MockListener::start());
    let config = general(api.url(), listener.url(), "").replace("time_interval: 1s", "time_interval: 1h");
    let running = Fetcher::new(&config).start();
    running.wait_for_log("iteration done", 1);
    let before = running.read(CHECKPOINTS);
    let (from, until, path) = (minutes_ago(35), minutes_ago(15), running.config_path());
    let again = ["--from", &from, "--until", &until, "--config", &path];
    let outcome = Fetcher::new("").arguments(&again).run_bare("once").assert_code(0);
    assert_eq!(listener.ids(), [1, 2, 2, 3, 3, 4], "{}", outcome.stderr);
    outcome.assert_says("records=2").assert_says("no checkpoint moves");
    let asked = decoded(&api.asked().last().unwrap().query);
    assert!(asked.contains(from.get(..16).unwrap()), "the start is sent: {asked}");
    // Another time, all of it.
    Fetcher::new("").arguments(&["--from", "2024-01-01", "--config", &path]).run_bare("once").assert_code(0);
    assert_eq!(listener.ids().len(), 10);
    let directory = running.directory();
    let left = std::fs::read_dir(&directory).unwrap().filter_map(Result::ok).filter(|entry| entry.path().is_dir());
    assert_eq!(left.count(), 0, "the state of a span is thrown away");
    let outcome = running.stop().assert_code(0);
    assert_eq!(outcome.read(CHECKPOINTS), before);
    Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(listener.ids().len(), 10, "the fetcher knows what it had delivered");
}

#[test]
fn a_span_that_is_none_is_refused_and_a_failure_is_one() {
    let (api, listener) =
        (MockServer::start(|_, _| crate::harness::Reply::status(404, "no")), MockListener::start().may_be_idle());
    let config = general(api.url(), listener.url(), "");
    let run = |arguments: &[&str]| Fetcher::new(&config).arguments(arguments).once();
    run(&["--from", "2026-01-02", "--until", "2026-01-01"]).assert_code(2).assert_says("--from must lie before");
    run(&["--until", "2026-01-01"]).assert_code(2);
    run(&["--from", "yesterday"]).assert_code(2).assert_says("it is not a valid date");
    run(&["--from", "2026-01-02"]).assert_code(1).assert_says("answered 404");
}
