//! Several outputs of an API that gives nothing twice: what one lacks waits on the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{numbers, unsteady};
use crate::harness::{Fetcher, MockListener, MockServer, Outcome, Reply, decoded, minutes_ago, record, wait_until};

/// Records of an answer.
const PAGE: u64 = 2;

/// A queue of records: each answer takes those off it that it gives.
fn queue(last: Arc<AtomicU64>) -> MockServer {
    let (taken, dates) = (AtomicU64::new(0), (0..100).map(|id| minutes_ago(120 - id)).collect::<Vec<_>>());
    MockServer::start(move |_, _| {
        let from = taken.load(Ordering::SeqCst);
        let until = (from + PAGE).min(last.load(Ordering::SeqCst));
        taken.store(until, Ordering::SeqCst);
        Reply::json(&format!(r#"{{"data":[{}]}}"#, records(from, until, &dates)))
    })
}

/// A stream that is read by its cursor, and forgets what lies so many records before the last cursor that it was asked for.
fn stream(last: Arc<AtomicU64>, remembered: u64) -> MockServer {
    let (forgotten, dates) = (AtomicU64::new(0), (0..100).map(|id| minutes_ago(120 - id)).collect::<Vec<_>>());
    MockServer::start(move |asked, _| {
        let from: u64 = asked.raw_field("cursor").map_or(0, |cursor| decoded(cursor).parse().unwrap());
        if from + remembered < forgotten.fetch_max(from, Ordering::SeqCst) {
            return Reply::status(410, "this cursor is forgotten");
        }
        let until = (from + PAGE).min(last.load(Ordering::SeqCst));
        Reply::json(&format!(r#"{{"data":[{}],"cursor":"{until}"}}"#, records(from, until, &dates)))
    })
}

fn records(from: u64, until: u64, dates: &[String]) -> String {
    (from + 1..=until).map(|id| record(id, &dates[id as usize])).collect::<Vec<_>>().join(",")
}

fn config(one: &str, other: &str, entry: &str) -> String {
    format!(
        "logzio:\n  - {{name: one, url: '{one}', token: shipping-token-1}}\n  - {{name: other, url: '{other}', token: \
         shipping-token-1}}\nauth_apis:\n  - type: general\n    name: events\n    credentials: {{id: i, key: \
         the-basic-key}}\n{entry}"
    )
}

fn of_queue(api: &str) -> String {
    format!(
        "    settings: {{time_interval: 1s, checkpoint: server}}\n    http_request: {{url: '{api}/events'}}\n    \
         json_paths: {{data: data, data_date: date, id: id}}\n"
    )
}

fn of_stream(api: &str) -> String {
    format!(
        "    settings: {{time_interval: 1s}}\n    http_request: {{url: '{api}/events'}}\n    start_date_name: since\n    \
         next_request: {{filters: {{cursor: '{{cursor}}'}}}}\n    json_paths: {{data: data, data_date: date, cursor: \
         cursor, id: id}}\n"
    )
}

/// How many batches wait on the disk.
fn waiting(outcome: &Outcome) -> usize {
    let names = std::fs::read_dir(outcome.path()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().is_some_and(|name| name.starts_with(".logzio-api-fetcher.waiting-"))).count()
}

/// While one output is down the position moves for both; what it lacks arrives once it is back, and nothing twice.
#[track_caller]
fn check(api: &MockServer, last: &AtomicU64, entry: &str) {
    let is_down = Arc::new(AtomicBool::new(true));
    let (one, other) = (MockListener::start(), unsteady(&is_down, 503));
    let text = config(one.url(), other.url(), entry);
    let outcome = Fetcher::new(&text).once().assert_code(0).assert_says("what it lacks waits on the disk");
    assert_eq!((one.ids(), other.ids()), (numbers(5), Vec::new()), "{}", outcome.stderr);
    assert!(waiting(&outcome) > 0, "{}", outcome.stderr);
    last.store(7, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(7), Vec::new()), "{}", outcome.stderr);
    let asked = api.asked().len();
    is_down.store(false, Ordering::SeqCst);
    last.store(8, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(8), numbers(8)), "{}", outcome.stderr);
    assert_eq!(waiting(&outcome), 0, "{}", outcome.stderr);
    assert!(api.asked().len() > asked, "it is asked again, for what is new");
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(8), numbers(8)), "{}", outcome.stderr);
}

#[test]
fn what_a_queue_gave_while_an_output_was_down_arrives_there_later() {
    let last = Arc::new(AtomicU64::new(5));
    let api = queue(Arc::clone(&last));
    check(&api, &last, &of_queue(api.url()));
}

#[test]
fn what_a_cursor_left_behind_while_an_output_was_down_arrives_there_later() {
    let last = Arc::new(AtomicU64::new(5));
    let api = stream(Arc::clone(&last), 0);
    check(&api, &last, &of_stream(api.url()));
}

/// What waits isn't forgotten where the entry is edited so that nothing waits any more.
#[test]
fn what_waits_is_shipped_also_where_the_api_no_longer_keeps_the_position() {
    let last = Arc::new(AtomicU64::new(5));
    let api = stream(Arc::clone(&last), 0);
    let is_down = Arc::new(AtomicBool::new(true));
    let (one, other) = (MockListener::start(), unsteady(&is_down, 503));
    let text = config(one.url(), other.url(), &of_stream(api.url()));
    let outcome = Fetcher::new(&text).once().assert_code(0);
    assert!(waiting(&outcome) > 0, "{}", outcome.stderr);
    is_down.store(false, Ordering::SeqCst);
    outcome.write("config.yaml", &text.replace(", cursor: cursor", "").replace("{cursor}", "0"));
    let outcome = Fetcher::again(outcome).once();
    assert_eq!(waiting(&outcome), 0, "{}", outcome.stderr);
    assert_eq!(other.ids(), numbers(5), "{}", outcome.stderr);
}

/// An answer that an output lacks isn't replaced by the next one, whatever keeps it from the output.
#[test]
fn a_queue_is_not_asked_on_where_an_output_can_neither_ship_nor_keep_what_came() {
    let api = queue(Arc::new(AtomicU64::new(8)));
    let one = MockListener::start();
    let other = MockListener::answering(|_, _| Reply::status(400, r#"{"malformedLines": 1, "successfulLines": 1}"#));
    let fetcher = Fetcher::new(&config(one.url(), other.url(), &of_queue(api.url())));
    std::fs::create_dir(fetcher.path().join("undelivered.ndjson")).unwrap();
    let mut outcome = fetcher.once().assert_code(1);
    for _ in 0..3 {
        assert_eq!(api.asked().len(), 1, "nothing is taken off the queue: {}", outcome.stderr);
        assert_eq!(one.ids(), numbers(PAGE), "{}", outcome.stderr);
        outcome = Fetcher::again(outcome).once().assert_code(1);
    }
    std::fs::remove_dir(outcome.path().join("undelivered.ndjson")).unwrap();
    Fetcher::again(outcome).once();
    assert!(api.asked().len() > 1, "and then it goes on");
}

/// Every record, and no more of them twice than the batches that so many kills may double.
#[track_caller]
fn assert_all(listener: &MockListener, last: u64, kills: u64, log: &str) {
    let ids = listener.ids();
    let mut distinct = ids.clone();
    distinct.dedup();
    assert_eq!(distinct, numbers(last), "{log}");
    assert!(ids.len() as u64 <= last + kills * PAGE, "more than {kills} batches came twice: {ids:?}\n{log}");
}

/// Kills while one output doesn't take what comes, so that it goes to the disk, and another one while it is shipped from there.
/// Where an answer is on its way as the kill comes a queue may lose it; here none is.
#[track_caller]
fn check_kills(api: &MockServer, last: &AtomicU64, entry: &str) {
    const KILLED_AT: [u64; 4] = [3, 8, 14, 24];
    const KILLS: u64 = KILLED_AT.len() as u64;
    let (is_down, hangs_at) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(u64::MAX)));
    let (taken, down, hangs) = (Arc::new(AtomicU64::new(0)), Arc::clone(&is_down), Arc::clone(&hangs_at));
    let (one, count) = (MockListener::start(), Arc::clone(&taken));
    let other = MockListener::answering(move |text, _| {
        if down.load(Ordering::SeqCst) {
            return Reply::status(503, "");
        }
        let is_stuck = !text.is_empty() && count.fetch_add(1, Ordering::SeqCst) >= hangs.load(Ordering::SeqCst);
        if is_stuck { Reply::Hang } else { Reply::status(200, "") }
    });
    let text = config(one.url(), other.url(), entry);
    let mut fetcher = Fetcher::new(&text);
    for records in KILLED_AT {
        last.store(records, Ordering::SeqCst);
        let running = fetcher.start();
        wait_until("the records at the one output", || one.ids().last().is_some_and(|id| *id == records));
        let outcome = running.kill();
        one.wait_until_idle();
        assert_all(&one, records, KILLS, &outcome.stderr);
        fetcher = Fetcher::again(outcome);
    }
    let outcome = fetcher.once().assert_code(0);
    let records = KILLED_AT[KILLED_AT.len() - 1];
    assert_all(&one, records, KILLS, &outcome.stderr);
    assert!(waiting(&outcome) > 4, "{}", outcome.stderr);

    let before = one.ids().len();
    is_down.store(false, Ordering::SeqCst);
    hangs_at.store(3, Ordering::SeqCst);
    let running = Fetcher::again(outcome).start();
    wait_until("the fourth batch that waits", || taken.load(Ordering::SeqCst) > 3);
    let outcome = running.kill();
    assert!(waiting(&outcome) > 0 && !other.ids().is_empty(), "{}", outcome.stderr);
    hangs_at.store(u64::MAX, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((waiting(&outcome), one.ids().len()), (0, before), "{}", outcome.stderr);
    assert_all(&other, records, KILLS + 1, &outcome.stderr);
    assert!(api.asked().len() > KILLED_AT.len());
}

#[test]
fn kills_amid_a_queue_lose_nothing_and_each_doubles_a_batch_at_most() {
    let last = Arc::new(AtomicU64::new(0));
    let api = queue(Arc::clone(&last));
    check_kills(&api, &last, &of_queue(api.url()));
}

#[test]
fn kills_amid_a_stream_lose_nothing_and_each_doubles_a_batch_at_most() {
    let last = Arc::new(AtomicU64::new(0));
    // A kill may leave the position of one output behind that of the other: it has to be given what lies there.
    let api = stream(Arc::clone(&last), 100);
    check_kills(&api, &last, &of_stream(api.url()));
}

const LEFT_OVER: &str =
    "batches wait on the disk for an output or an API that is not in the config; put it back under its name";

/// What waits for an output or an API that is taken out of the config stays, and is told of at each start, until it is back.
#[test]
fn what_waits_for_nobody_any_more_is_told_of_and_shipped_once_it_is_back() {
    let last = Arc::new(AtomicU64::new(5));
    let api = queue(Arc::clone(&last));
    let is_down = Arc::new(AtomicBool::new(true));
    let (one, other) = (MockListener::start(), unsteady(&is_down, 503));
    let text = config(one.url(), other.url(), &of_queue(api.url()));
    let outcome = Fetcher::new(&text).once().assert_code(0);
    let batches = waiting(&outcome);
    assert!(batches > 1 && !outcome.stderr.contains(LEFT_OVER), "{}", outcome.stderr);
    let of_output = text.lines().filter(|line| !line.contains("name: other")).collect::<Vec<_>>().join("\n");
    let without_api = text.replace("name: events", "name: renamed");
    let mut outcome = outcome;
    for without in [of_output, without_api] {
        outcome.write("config.yaml", &without);
        let again = Fetcher::again(outcome).once().assert_code(0).assert_says(&format!("batches={batches}"));
        assert_eq!(again.stderr.matches(LEFT_OVER).count(), 1, "{}", again.stderr);
        outcome = again;
    }
    outcome.write("config.yaml", &text.replace("    name: events\n", "    name: events\n    enabled: false\n"));
    let resting = Fetcher::again(outcome).once();
    assert!(!resting.stderr.contains(LEFT_OVER), "one that rests comes back: {}", resting.stderr);

    is_down.store(false, Ordering::SeqCst);
    resting.write("config.yaml", &text);
    let running = Fetcher::again(resting).start();
    other.wait_for_lines(5);
    wait_until("nothing to wait", || {
        let names = std::fs::read_dir(running.directory()).unwrap().map(|entry| entry.unwrap().file_name());
        !names.into_iter().any(|name| name.to_str().is_some_and(|name| name.contains(".waiting-")))
    });
    let outcome = running.stop().assert_code(0);
    assert!(!outcome.stderr.contains(LEFT_OVER), "{}", outcome.stderr);
    assert_eq!((one.ids(), other.ids()), (numbers(5), numbers(5)), "{}", outcome.stderr);
}

/// The same where it is taken out while the fetcher runs.
#[test]
fn what_waits_for_an_output_that_is_taken_out_by_an_edit_is_told_of() {
    let api = queue(Arc::new(AtomicU64::new(5)));
    let (one, other) = (MockListener::start(), unsteady(&Arc::new(AtomicBool::new(true)), 503));
    let text = config(one.url(), other.url(), &of_queue(api.url()));
    let running = Fetcher::new(&text).start();
    one.wait_for_lines(5);
    running.wait_for_log("what it lacks waits on the disk", 1);
    let without = text.lines().filter(|line| !line.contains("name: other")).collect::<Vec<_>>().join("\n");
    std::fs::write(running.directory().join("config.yaml"), without).unwrap();
    running.wait_for_log(LEFT_OVER, 1);
    running.stop().assert_code(0);
}

/// What the output took in part isn't sent again, however long the rest of it can't be kept in a file.
#[test]
fn a_batch_that_waited_and_is_taken_in_part_is_sent_once_though_it_cannot_be_kept() {
    let last = Arc::new(AtomicU64::new(3));
    let api = queue(Arc::clone(&last));
    let is_down = Arc::new(AtomicBool::new(true));
    let (one, down) = (MockListener::start(), Arc::clone(&is_down));
    let other = MockListener::answering(move |text, _| match down.load(Ordering::SeqCst) {
        true => Reply::status(503, ""),
        false if text.contains(r#""id":1,"#) => Reply::status(400, r#"{"malformedLines": 1, "successfulLines": 1}"#),
        false => Reply::status(200, ""),
    });
    let outcome = Fetcher::new(&config(one.url(), other.url(), &of_queue(api.url()))).once().assert_code(0);
    assert!(waiting(&outcome) > 1, "{}", outcome.stderr);
    is_down.store(false, Ordering::SeqCst);
    let undelivered = outcome.path().join("undelivered.ndjson");
    std::fs::create_dir(&undelivered).unwrap();
    let running = Fetcher::again(outcome).start();
    running.wait_for_log("still failing, 3rd time", 1);
    assert_eq!(other.ids(), [1, 2], "it is sent once: {}", running.log());

    std::fs::remove_dir(&undelivered).unwrap();
    other.wait_for_lines(3);
    last.store(4, Ordering::SeqCst);
    other.wait_for_lines(4);
    let outcome = running.stop().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(4), numbers(4)), "{}", outcome.stderr);
    let kept = outcome.read("undelivered.ndjson");
    assert!(kept.lines().count() == 2 && kept.contains("1 malformed"), "{kept}");
    assert_eq!(waiting(&outcome), 0, "{}", outcome.stderr);
}

/// Where the output wants less at a time and fails in the middle, what it has isn't sent again.
#[test]
fn of_a_batch_that_waited_the_part_that_is_lacking_is_sent_again() {
    let api = queue(Arc::new(AtomicU64::new(2)));
    let step = Arc::new(AtomicU64::new(0));
    let (one, at) = (MockListener::start(), Arc::clone(&step));
    let other = MockListener::answering(move |text, _| match at.load(Ordering::SeqCst) {
        0 => Reply::status(503, ""),
        1 if text.lines().count() > 1 => Reply::status(413, ""),
        1 if text.contains(r#""id":2,"#) => Reply::status(503, ""),
        _ => Reply::status(200, ""),
    });
    let outcome = Fetcher::new(&config(one.url(), other.url(), &of_queue(api.url()))).once().assert_code(0);
    step.store(1, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once();
    assert_eq!((other.ids(), waiting(&outcome)), (vec![1], 1), "{}", outcome.stderr);
    step.store(2, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((other.ids(), waiting(&outcome)), (vec![1, 2], 0), "{}", outcome.stderr);
}
