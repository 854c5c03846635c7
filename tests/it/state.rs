//! `last_start_dates.txt` and the lock, as users find them.

use crate::harness::{Fetcher, MockListener, MockServer, decoded, general, minutes_ago, page, record};

const CHECKPOINTS: &str = "last_start_dates.txt";

#[test]
fn odd_files_are_understood_and_kept() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let odd = "\r\nevents: 2026-01-01T00%3A00%3A00%2B00%3A00\r\nold: api: 2020-01-01T00:00:00Z\r\nevents: None\r\n\r\nevents: 2026-01-0";
    let config = general(api.url(), listener.url(), "");
    let outcome = Fetcher::new(&config).file(CHECKPOINTS, odd).once().assert_code(0);
    assert_eq!(decoded(&api.asked()[0].query), "since=2025-12-31T23:59:59+00:00");
    let outcome = outcome.assert_says("is kept and ignored");
    assert_eq!(
        outcome.read(CHECKPOINTS),
        "events: 2026-01-01T00:00:00Z\nold: api: 2020-01-01T00:00:00Z\nevents: None\nevents: 2026-01-0\n"
    );
}

#[test]
fn an_edit_is_obeyed_at_the_next_start() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "");
    let outcome = Fetcher::new(&config).once().assert_code(0);
    outcome.write(CHECKPOINTS, "events: 2026-02-02T02:02:02Z");
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(decoded(&api.asked()[1].query), "since=2026-02-02T02:02:01+00:00");
    outcome.write(CHECKPOINTS, "");
    Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 1, 1], "an earlier date or no line: fetched and shipped again");
}

#[test]
fn a_missing_file_is_created_and_names_may_hold_anything_on_one_line() {
    let date = minutes_ago(10);
    let expected = format!("an: odd: name 100%: {date}\n");
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "").replace("name: events", "name: 'an: odd: name 100%'");
    let outcome = Fetcher::new(&config).once().assert_code(0);
    assert_eq!(outcome.read(CHECKPOINTS), expected);
}

#[test]
fn a_second_fetcher_is_kept_off_and_check_is_not() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let config = general(api.url(), listener.url(), "");
    let first = Fetcher::new(&config).start();
    first.wait_for_log("iteration done", 1);
    let path = first.config_path();
    let second = |command: &str| Fetcher::new("").arguments(&["--config", &path]).run_bare(command);
    second("run").assert_code(1).assert_says("another fetcher (process ").assert_says("stop it first");
    second("once").assert_code(1).assert_says("another fetcher");
    second("check").assert_code(0);
    first.stop().assert_code(0);
}

#[test]
fn a_folder_where_nothing_can_be_written_is_said_at_the_start() {
    let fetcher = Fetcher::new(&general("http://127.0.0.1:1", "http://127.0.0.1:1", ""));
    std::fs::create_dir(fetcher.path().join(CHECKPOINTS)).unwrap();
    fetcher.run("run").assert_code(2).assert_says("last_start_dates.txt can't be read and written");
}

#[test]
fn a_linked_file_stays_a_link_when_it_is_rewritten() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let fetcher = Fetcher::new(&general(api.url(), listener.url(), ""))
        .file("real.txt", "a: 2026-01-01\na: 2026-01-02T00:00:00Z\n");
    std::os::unix::fs::symlink("real.txt", fetcher.path().join(CHECKPOINTS)).unwrap();
    let outcome = fetcher.once().assert_code(0);
    assert_eq!(outcome.read("real.txt"), "a: 2026-01-02T00:00:00Z\n");
    assert_eq!(outcome.read(CHECKPOINTS), outcome.read("real.txt"));
}
