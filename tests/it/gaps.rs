//! Time that was not swept, and assumptions that don't hold.

use chrono::{TimeDelta, Utc};
use logzio_api_fetcher::record::date;

use crate::harness::{
    Asked, Fetcher, MockListener, MockServer, Outcome, Reply, decoded, general, minutes_ago, page, record,
};

const CHECKPOINTS: &str = "last_start_dates.txt";

fn since(asked: &Asked) -> chrono::DateTime<Utc> {
    date::parse(&decoded(asked.raw_field("since").expect("a start date"))).expect("a date")
}

fn days_ago(days: i64) -> String {
    minutes_ago(days * 24 * 60)
}

fn again(outcome: Outcome) -> Outcome {
    Fetcher::again(outcome).once().assert_code(0)
}

/// An API that keeps 30 days, and says so or not.
fn forgetful(names_the_date: bool) -> MockServer {
    MockServer::start(move |asked, _| {
        let limit = Utc::now() - TimeDelta::days(30);
        let said = if names_the_date {
            format!("Minimum allowed time is {}.", date::format(limit))
        } else {
            "too old".to_owned()
        };
        match since(asked) < limit {
            true => Reply::status(400, &format!(r#"{{"error":{{"code":"BadRequest","message":"{said}"}}}}"#)),
            false => page(&[&record(1, &days_ago(20))], None),
        }
    })
}

#[test]
fn a_start_that_is_refused_as_too_old_leaves_a_gap_that_is_told_and_listed() {
    let api = forgetful(true);
    let listener = MockListener::start();
    let from = days_ago(60);
    let fetcher = Fetcher::new(&general(api.url(), listener.url(), "")).file(CHECKPOINTS, &format!("events: {from}"));
    let outcome = fetcher.once().assert_code(0);
    assert_eq!((listener.ids(), api.asked().len()), (vec![1], 4), "{}", outcome.stderr);
    let outcome = outcome.assert_says("the API no longer has what lies at the start date").assert_says("a gap");
    let outcome = again(outcome);
    assert_eq!(api.asked().len(), 5, "the checkpoint lies within reach again");
    let shown = Fetcher::again(outcome).run("state").assert_code(0).assert_says("warning     the API no longer has");
    let from = date::format(date::parse(&from).unwrap() - TimeDelta::seconds(1));
    shown.assert_says(&format!("gap         {from} to ")).assert_says("the API refuses start dates so far back");
}

#[test]
fn a_limit_that_is_not_named_is_found_within_a_minute() {
    let api = forgetful(false);
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "").replace("days_back_fetch: 5", "days_back_fetch: 90");
    let outcome = Fetcher::new(&config).once().assert_code(0);
    let asked = api.asked();
    let earliest = asked.iter().map(since).filter(|since| *since >= Utc::now() - TimeDelta::days(30)).min().unwrap();
    let given_up = earliest - (Utc::now() - TimeDelta::days(30));
    assert!(given_up < TimeDelta::seconds(90), "{given_up}");
    assert!(asked.len() < 25, "{}", asked.len());
    assert_eq!(listener.ids(), [1]);
    outcome.assert_says("so far back");
}

#[test]
fn a_limit_is_not_asked_for_again_while_nothing_is_newer() {
    let api = MockServer::start(|asked, _| match since(asked) < Utc::now() - TimeDelta::days(30) {
        true => Reply::status(400, "Minimum allowed time"),
        false => page(&[], None),
    });
    let listener = MockListener::start().may_be_idle();
    let checkpoint = format!("events: {}", days_ago(60));
    let fetcher = Fetcher::new(&general(api.url(), listener.url(), "")).file(CHECKPOINTS, &checkpoint);
    let outcome = fetcher.once().assert_code(0);
    let before = api.asked().len();
    let outcome = again(outcome);
    assert_eq!(api.asked().len(), before + 1, "{}", outcome.stderr);
    assert_eq!(outcome.read(CHECKPOINTS), checkpoint);
    assert!(!outcome.stderr.contains("no longer has"), "told once: {}", outcome.stderr);
}

#[test]
fn an_api_that_takes_no_date_at_all_fails_and_moves_nothing() {
    let api = MockServer::start(|_, _| Reply::status(400, "the date is too old"));
    let listener = MockListener::start().may_be_idle();
    let fetcher =
        Fetcher::new(&general(api.url(), listener.url(), "")).file(CHECKPOINTS, "events: 2020-01-01T00:00:00Z\n");
    let outcome = fetcher.once().assert_code(1).assert_says("too old");
    assert_eq!(outcome.read(CHECKPOINTS), "events: 2020-01-01T00:00:00Z\n");
    assert_eq!(api.asked().len(), 3, "the date twice, and the last hour");
}

/// Words about an old start that come once, or come for another reason whatever the start, cost no data.
#[test]
fn a_refusal_that_passes_gives_no_time_up() {
    for passing in [1, 2] {
        let (old, new) = (days_ago(20), days_ago(1));
        let api = MockServer::start(move |asked, before| match since(asked) < Utc::now() - TimeDelta::days(10) {
            true if before < passing => Reply::status(400, r#"{"message":"the start of the session is too old"}"#),
            true => page(&[&record(1, &old), &record(2, &new)], None),
            false => page(&[&record(2, &new)], None),
        });
        let listener = MockListener::start();
        let fetcher = Fetcher::new(&general(api.url(), listener.url(), ""));
        let outcome = fetcher.file(CHECKPOINTS, &format!("events: {}", days_ago(30))).once().assert_code(0);
        assert_eq!(listener.ids(), [1, 2], "{passing}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("a gap"), "{}", outcome.stderr);
    }
}

#[test]
fn a_start_may_be_refused_in_other_words_and_by_another_status() {
    for (status, said) in [(422, "start exceeds the retention period"), (403, "since must be within the last 30 days")]
    {
        let api = MockServer::start(move |asked, _| match since(asked) < Utc::now() - TimeDelta::days(30) {
            true => Reply::status(status, said),
            false => page(&[&record(1, &days_ago(20))], None),
        });
        let listener = MockListener::start();
        let fetcher = Fetcher::new(&general(api.url(), listener.url(), ""));
        fetcher.file(CHECKPOINTS, &format!("events: {}", days_ago(60))).once().assert_code(0).assert_says("a gap");
        assert_eq!(listener.ids(), [1]);
    }
}

#[test]
fn any_other_400_to_an_old_start_says_what_may_be_wrong() {
    let api = MockServer::start(|_, _| Reply::status(400, "no"));
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    outcome.assert_says("further back than the API answers");
    assert_eq!(api.asked().len(), 1);
}

#[test]
fn what_an_outage_left_open_is_shown_and_swept_afterwards() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |_, before| match before {
        1 => Reply::status(404, ""),
        _ => page(&[&record(1, &date)], None),
    });
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "");
    let outcome = Fetcher::new(&config).once().assert_code(0);
    let outcome = Fetcher::again(outcome).once().assert_code(1).assert_says("complete_until=");
    let shown =
        Fetcher::again(outcome).run("state").assert_code(0).assert_says("what came since is still to be fetched");
    let shown = Fetcher::again(again(shown.assert_says("failed: page 1"))).run("state").assert_code(0);
    assert!(!shown.stdout.contains("still to be fetched") && !shown.stdout.contains("gap"), "{}", shown.stdout);
}

/// Iterations of an API whose answers depend on how many came before, and what was logged.
fn watched(iterations: usize, more: &str, answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Outcome {
    let api = MockServer::start(move |_, before| answer(before));
    let listener = MockListener::start().may_be_idle();
    let config = general(api.url(), listener.url(), more).replace("time_interval: 1s", "time_interval: 0.05s");
    let running = Fetcher::new(&config).start();
    running.wait_for_log("iteration done", iterations);
    running.stop().assert_code(0)
}

#[track_caller]
fn assert_told_once(outcome: Outcome, what: &str) {
    assert_eq!(outcome.stderr.matches(what).count(), 1, "{}", outcome.stderr);
    Fetcher::again(outcome).run("state").assert_code(0).assert_says(what);
}

#[test]
fn records_that_change_between_two_reads_are_told_once_with_what_to_set() {
    let date = minutes_ago(10);
    let changing = move |before| page(&[&format!(r#"{{"id":1,"date":"{date}","reads":{before}}}"#)], None);
    assert_told_once(watched(5, "", changing), "say in json_paths.id where a record holds its id");
}

#[test]
fn a_start_date_that_is_ignored_is_told_once() {
    let (old, new) = (minutes_ago(60 * 24 * 40), minutes_ago(10));
    let ignoring = move |_| page(&[&record(1, &old), &record(2, &new)], None);
    assert_told_once(watched(3, "", ignoring), "check start_date_name");
}

#[test]
fn dates_in_the_future_are_told_once() {
    let ahead = minutes_ago(-60);
    let clock = move |before: usize| page(&[&record(before as u64, &ahead)], None);
    assert_told_once(watched(3, "", clock), "records have a date in the future");
}

#[test]
fn an_order_that_changes_is_told_once() {
    let dates: Vec<String> = (1..5).map(|minutes| minutes_ago(10 * minutes)).collect();
    let turning = move |before: usize| {
        let mut dates = dates.clone();
        if before >= 2 {
            dates.reverse();
        }
        let (first, rest) = dates.split_at(2);
        let records = |dates: &[String]| -> Vec<String> { dates.iter().map(|date| record(1, date)).collect() };
        let (first, rest) = (records(first), records(rest));
        match before % 2 {
            0 => page(&first.iter().map(String::as_str).collect::<Vec<_>>(), Some(&format!("?p={before}"))),
            _ => page(&rest.iter().map(String::as_str).collect::<Vec<_>>(), None),
        }
    };
    let filter = format!("    filters: {{since: '{}'}}\n", days_ago(4));
    assert_told_once(watched(4, &filter, turning), "pages came newest first and no longer do");
}

#[test]
fn a_list_that_grows_under_the_reader_is_in_order_and_leaves_no_gap() {
    let outcome = watched(6, "", move |before| {
        // Two pages of a list, newest first, by offsets: between them something newer has come.
        let newest = before as i64 + 4;
        let dates: Vec<String> =
            (0..3).map(|at| (Utc::now() - TimeDelta::seconds(40 - newest + at)).to_rfc3339()).collect();
        let records: Vec<String> =
            dates.iter().zip(0..).map(|(date, at)| format!(r#"{{"id":{},"date":"{date}"}}"#, newest - at)).collect();
        let next = format!("?p={before}");
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), (before % 2 == 0).then_some(next.as_str()))
    });
    assert!(!outcome.stderr.contains("no longer do") && !outcome.stderr.contains("a gap"), "{}", outcome.stderr);
}

#[test]
fn what_surfaces_while_an_iteration_runs_leaves_no_gap() {
    let outcome = watched(4, "", move |before| {
        let date = (Utc::now() + TimeDelta::seconds(2)).to_rfc3339();
        page(&[&record(before as u64, &date)], None)
    });
    assert!(!outcome.stderr.contains("a gap"), "{}", outcome.stderr);
}

#[test]
fn nothing_is_odd_about_an_api_that_keeps_its_word() {
    let dates = [minutes_ago(30), minutes_ago(20), minutes_ago(10)];
    let outcome = watched(6, "", move |before| {
        // Newest first, and nothing from before the checkpoint.
        let records: Vec<String> = (before.saturating_sub(1).min(2)..dates.len().min(before + 1))
            .rev()
            .map(|at| record(at as u64, &dates[at]))
            .collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
    });
    assert!(!outcome.stderr.contains("WARN"), "{}", outcome.stderr);
    let shown = Fetcher::again(outcome).run("state").assert_code(0);
    assert!(!shown.stdout.contains("odd ") && !shown.stdout.contains("gap "), "{}", shown.stdout);
}
