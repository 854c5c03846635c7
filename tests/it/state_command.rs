//! `state`: looking at what is known, and changing it.

use std::os::unix::fs::PermissionsExt;

use chrono::{TimeDelta, Utc};
use logzio_api_fetcher::record::date;
use logzio_api_fetcher::state::{Checkpoint, StoreFile};

use crate::harness::{
    Fetcher, MockListener, MockServer, Outcome, Reply, Running, decoded, general, minutes_ago, page, record, wait_until,
};

const CHECKPOINTS: &str = "last_start_dates.txt";
const SOCKET: &str = ".logzio-api-fetcher.sock";

/// An API with three records, and a fetcher that has shipped them.
fn shipped() -> (MockServer, MockListener, Outcome) {
    let dates = [minutes_ago(30), minutes_ago(20), minutes_ago(10)];
    let api = MockServer::start(move |_, _| {
        let records: Vec<String> = dates.iter().zip(1..).map(|(date, id)| record(id, date)).collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
    });
    let listener = MockListener::start();
    let config =
        general(api.url(), listener.url(), "").replace("days_back_fetch: 5", "days_back_fetch: 5, overlap: 15");
    let outcome = Fetcher::new(&config).once().assert_code(0);
    (api, listener, outcome)
}

fn state(outcome: Outcome, arguments: &[&str]) -> Outcome {
    Fetcher::again(outcome).arguments(arguments).run("state")
}

fn once(outcome: Outcome) -> Outcome {
    Fetcher::again(outcome).once().assert_code(0)
}

#[test]
fn shows_what_is_known_of_each_api() {
    let (_api, _listener, outcome) = shipped();
    let checkpoint = outcome.read(CHECKPOINTS).trim().strip_prefix("events: ").unwrap().to_owned();
    let shown = state(outcome, &[]).assert_code(0);
    let shown = shown.assert_says(&format!("events\n  checkpoint  {checkpoint}, 10")).assert_says("overlap     15 min");
    let shown = shown.assert_says("remembered  2 delivered records since ").assert_says("complete    until ");
    assert!(shown.stdout.contains("s  3 records, 1 page"), "{}", shown.stdout);
    state(shown, &["show"]).assert_code(0).assert_says("delay       not measured yet");
}

#[test]
fn a_rewind_ships_again_and_an_undo_takes_it_back() {
    let (_api, listener, outcome) = shipped();
    let before = outcome.read(CHECKPOINTS);
    let outcome =
        state(outcome, &["rewind", "events", "2024-01-01"]).assert_code(0).assert_says("2024-01-01T00:00:00Z");
    assert_eq!(outcome.read(CHECKPOINTS), "events: 2024-01-01T00:00:00Z\n");
    let outcome = state(outcome, &["undo"]).assert_code(0).assert_says("taken back: rewind to 2024-01-01T00:00:00Z");
    assert_eq!(outcome.read(CHECKPOINTS), before);
    let outcome = once(outcome);
    assert_eq!(listener.ids(), [1, 2, 3], "remembered again: {}", outcome.stderr);
    let outcome = state(outcome, &["rewind", "events", "2024-01-01"]).assert_code(0);
    once(outcome);
    assert_eq!(listener.ids(), [1, 1, 2, 2, 3, 3]);
}

#[test]
fn an_undo_after_an_iteration_ships_nothing_again_that_is_remembered() {
    let (_api, listener, outcome) = shipped();
    let outcome = once(state(outcome, &["forget", "events"]).assert_code(0));
    assert_eq!(listener.ids(), [1, 1, 2, 2, 3, 3]);
    let outcome = once(state(outcome, &["undo"]).assert_code(0));
    assert_eq!(listener.ids(), [1, 1, 2, 2, 3, 3], "{}", outcome.stderr);
}

#[test]
fn a_forgotten_api_begins_like_the_first_time() {
    let (api, listener, outcome) = shipped();
    let outcome = state(outcome, &["forget", "events"]).assert_code(0);
    assert_eq!(outcome.read(CHECKPOINTS), "");
    once(outcome);
    assert_eq!(listener.ids(), [1, 1, 2, 2, 3, 3]);
    let back = Utc::now() - date::parse(&decoded(api.asked()[1].raw_field("since").unwrap())).unwrap();
    assert!((back - TimeDelta::days(5)).abs() < TimeDelta::minutes(1), "{back}");
}

#[test]
fn an_edit_of_the_file_can_be_undone_too_and_ten_changes_are_kept() {
    let (_api, _listener, outcome) = shipped();
    let before = outcome.read(CHECKPOINTS);
    outcome.write(CHECKPOINTS, "");
    let mut outcome = state(outcome, &[]).assert_code(0).assert_says("events: the file was edited, to none");
    outcome = state(outcome, &["undo"]).assert_code(0);
    assert_eq!(outcome.read(CHECKPOINTS), before);
    for day in 1..=12 {
        outcome = state(outcome, &["rewind", "events", &format!("2024-01-{day:02}")]).assert_code(0);
    }
    for day in (2..=11).rev() {
        outcome = state(outcome, &["undo"]).assert_code(0);
        assert_eq!(outcome.read(CHECKPOINTS), format!("events: 2024-01-{day:02}T00:00:00Z\n"));
    }
    state(outcome, &["undo"]).assert_code(0).assert_says("There is nothing to undo");
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let (_api, _listener, outcome) = shipped();
    let before = outcome.read(CHECKPOINTS);
    let outcome = state(outcome, &["rewind", "evnts", "2024-01-01"])
        .assert_code(2)
        .assert_says("unknown API `evnts`; there are: events");
    let outcome =
        state(outcome, &["rewind", "events", "yesterday"]).assert_code(2).assert_says("it is not a valid date");
    let outcome = state(outcome, &["rewind", "events", "2199-01-01"]).assert_code(2).assert_says("in the future");
    let outcome = state(outcome, &["forget"]).assert_code(2);
    assert_eq!(outcome.read(CHECKPOINTS), before);
}

#[test]
fn an_undo_that_is_cut_short_is_no_edit() {
    for is_written in [false, true] {
        let (_api, listener, outcome) = shipped();
        let before = outcome.read(CHECKPOINTS);
        let outcome = state(outcome, &["rewind", "events", "2024-01-01"]).assert_code(0);
        let store = StoreFile::open(&outcome.path().join(".logzio-api-fetcher.store")).unwrap();
        store.undo(&Checkpoint::new(date::parse("2024-01-01"), None)).unwrap().expect("a change");
        drop(store);
        if is_written {
            outcome.write(CHECKPOINTS, &before);
        }
        let outcome = state(outcome, &[]).assert_code(0);
        assert!(!outcome.stderr.contains("edited"), "{}", outcome.stderr);
        if is_written {
            once(outcome);
            assert_eq!(listener.ids(), [1, 2, 3]);
        }
    }
}

#[test]
fn a_date_that_is_written_after_more_was_shipped_is_an_edit() {
    let (_api, listener, outcome) = shipped();
    let before = outcome.read(CHECKPOINTS);
    let outcome = state(outcome, &["rewind", "events", "2024-01-01"]).assert_code(0);
    let outcome = once(outcome);
    assert_eq!(listener.ids(), [1, 1, 2, 2, 3, 3]);
    outcome.write(CHECKPOINTS, &before.replace('Z', ".000000001Z"));
    let outcome = once(outcome);
    assert_eq!(listener.ids(), [1, 1, 2, 2, 3, 3], "later than the checkpoint: {}", outcome.stderr);
    outcome.write(CHECKPOINTS, "events: 2026-01-01T00:00:00Z");
    once(outcome).assert_says("was edited");
    assert_eq!(listener.ids(), [1, 1, 1, 2, 2, 2, 3, 3, 3]);
}

#[test]
fn a_config_that_cannot_be_used_is_said_and_one_that_is_missing_refused() {
    let (_api, _listener, outcome) = shipped();
    outcome.write("config.yaml", "auth_apis: 7");
    let outcome = state(outcome, &[]).assert_code(0).assert_says("the config is invalid").assert_says("checkpoint");
    outcome.remove("config.yaml");
    state(outcome, &[]).assert_code(2).assert_says("there is no config");
}

#[test]
fn a_rewind_begins_exactly_there_whatever_the_overlap() {
    let (api, _listener, outcome) = shipped();
    once(state(outcome, &["rewind", "events", "2026-01-01T10:00:00Z"]).assert_code(0));
    assert_eq!(decoded(&api.asked()[1].query), "since=2026-01-01T09:59:59+00:00", "what lies before it is left out");
}

/// The command, beside a fetcher that runs.
fn beside(running: &Running, arguments: &[&str]) -> Outcome {
    let path = running.config_path();
    Fetcher::new("").arguments(&[arguments, &["--config", &path]].concat()).run_bare("state")
}

#[test]
fn a_fetcher_that_runs_shows_its_state_and_takes_changes() {
    let dates = [minutes_ago(30), minutes_ago(20)];
    let api = MockServer::start(move |_, _| {
        let records: Vec<String> = dates.iter().zip(1..).map(|(date, id)| record(id, date)).collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
    });
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "").replace("time_interval: 1s", "time_interval: 1h");
    let running = Fetcher::new(&config).start();
    running.wait_for_log("iteration done", 1);
    let before = running.read(CHECKPOINTS);
    beside(&running, &["show"]).assert_code(0).assert_says("events\n  checkpoint  ").assert_says("2 records, 1 page");
    beside(&running, &["show", "nobody"]).assert_code(2).assert_says("unknown API `nobody`; there are: events");
    beside(&running, &["rewind", "events", "2199-01-01"]).assert_code(2).assert_says("in the future");
    let moved = beside(&running, &["rewind", "events", "2024-01-01"]).assert_code(0);
    moved.assert_says("→ 2024-01-01T00:00:00Z");
    // It doesn't wait for its interval.
    listener.wait_for_lines(4);
    running.wait_for_log("iteration done", 2);
    assert_eq!(listener.ids(), [1, 1, 2, 2]);
    let asked = decoded(&api.asked().last().unwrap().query);
    assert!(asked.contains("2023-12-31T23:59:59"), "{asked}");
    beside(&running, &["forget", "events"]).assert_code(0);
    listener.wait_for_lines(6);
    beside(&running, &["undo"]).assert_code(0).assert_says("taken back: forget");
    running.wait_for_log("iteration done", 4);
    assert_eq!(listener.ids().len(), 6, "an undo knows again what was delivered");
    let outcome = running.stop().assert_code(0);
    assert_eq!(outcome.read(CHECKPOINTS), before);
}

#[test]
fn a_change_ends_the_iteration_under_way_and_voids_its_place() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |asked, before| match asked.raw_field("p") {
        None => page(&[&record(1, &date)], Some("?p=2")),
        Some(_) if before < 2 => Reply::Hang,
        Some(_) => page(&[&record(2, &date)], None),
    });
    let listener = MockListener::start();
    // The page hangs for longer than any test waits: the change doesn't wait for it.
    let config = general(api.url(), listener.url(), "").replace("/events'}", "/events', timeout: 5m}");
    let running = Fetcher::new(&config).start();
    listener.wait_for_lines(1);
    api.wait_for_requests(2);
    beside(&running, &["rewind", "events", "2024-01-01"]).assert_code(0);
    listener.wait_for_lines(3);
    running.wait_for_log("iteration done", 1);
    assert_eq!(listener.ids(), [1, 1, 2], "all of it again, from the first page on");
    let asked: Vec<String> = api.asked().iter().map(|asked| decoded(&asked.query)).collect();
    assert!(asked[2].contains("2023-12-31T23:59:59"), "{asked:?}");
    running.stop().assert_code(0);
}

#[test]
fn a_change_does_not_wait_for_a_listener_that_is_down() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::answering(|_, before| Reply::status(if before < 3 { 503 } else { 200 }, ""));
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("retrying the batch", 1);
    beside(&running, &["forget", "events"]).assert_code(0);
    listener.wait_for_lines(1);
    running.stop().assert_code(0);
}

#[test]
fn the_socket_is_its_owners_alone_and_one_that_was_left_behind_is_replaced() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    let socket = running.directory().join(SOCKET);
    wait_until("the socket", || socket.exists());
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let outcome = running.kill();
    assert!(outcome.path().join(SOCKET).exists(), "a kill leaves it behind");
    let outcome = state(outcome, &["show"]).assert_code(0).assert_says("events");
    let running = Fetcher::again(outcome).start();
    running.wait_for_log("iteration done", 1);
    beside(&running, &[]).assert_code(0).assert_says("events");
    let outcome = running.stop().assert_code(0);
    assert!(!outcome.path().join(SOCKET).exists(), "a stop takes it away");
}

#[test]
fn many_apis_are_a_table() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let one = general(api.url(), listener.url(), "");
    let (head, entry) = one.split_once("auth_apis:\n").unwrap();
    let config = format!("{head}auth_apis:\n{entry}\n{}", entry.replace("name: events", "name: other events"));
    let outcome = Fetcher::new(&config).once().assert_code(0);
    let outcome = state(outcome, &[]).assert_code(0).assert_says("API           CHECKPOINT");
    assert_eq!(outcome.stdout.lines().count(), 3, "{}", outcome.stdout);
    state(outcome, &["show", "other events"]).assert_code(0).assert_says("other events\n  checkpoint  none");
}
