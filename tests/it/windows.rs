//! What a window is, and where the checkpoint goes, against APIs that refuse what lies outside of their limits.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, decoded, record, wait_until};

/// A record of an API: its id, its date, and when it arrived there.
type Event = (u64, DateTime<Utc>, DateTime<Utc>);

/// An entry of such an API; it asks from a start to an end.
fn entry(api: &str, listener: &str, settings: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: events\n    \
         credentials: {{id: i, key: the-key}}\n    settings: {{time_interval: 1s, {settings}}}\n    \
         http_request: {{url: '{api}/events'}}\n    json_paths: {{data: data, data_date: date, id: id, next_url: next}}\n    \
         filters: {{from: '{{start_date}}', to: '{{end_date}}'}}\n"
    )
}

/// The span that a request asks for; anything else in its query is refused.
fn span(asked: &Asked) -> Result<(DateTime<Utc>, DateTime<Utc>), Reply> {
    let mut span = (None, None);
    for field in asked.query.split('&') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        match name {
            "from" => span.0 = decoded(value).parse().ok(),
            "to" => span.1 = decoded(value).parse().ok(),
            _ => return Err(Reply::status(400, &format!("unknown parameter {name}"))),
        }
    }
    match span {
        (Some(from), Some(to)) if from <= to && to <= Utc::now() => Ok((from, to)),
        span => Err(Reply::status(400, &format!("no span: {span:?}"))),
    }
}

fn page<'e>(events: impl Iterator<Item = &'e Event>) -> Reply {
    let text = |(id, date, _): &Event| record(*id, &date.to_rfc3339_opts(SecondsFormat::Secs, true));
    Reply::json(&format!("{{\"data\":[{}],\"next\":null}}", events.map(text).collect::<Vec<_>>().join(",")))
}

#[test]
fn an_api_that_filters_by_arrival_gives_records_of_any_date_once() {
    let begun = Utc::now();
    let ago = |minutes: i64| begun - TimeDelta::minutes(minutes);
    let events: Vec<Event> =
        (0..30).map(|id| (id, ago(5_000 - 150 * (id as i64 % 7)), ago(1_400 - 45 * id as i64))).collect();
    let events = Arc::new(Mutex::new(events));
    let listed = Arc::clone(&events);
    let api = MockServer::start(move |asked, _| match span(asked) {
        Err(refused) => refused,
        Ok((from, to)) if to - from > TimeDelta::hours(6) => Reply::status(400, "more than 6 hours"),
        Ok((from, to)) => page(listed.lock().unwrap().iter().filter(|(.., arrived)| (from..=to).contains(arrived))),
    });
    let listener = MockListener::start();
    let settings = "days_back_fetch: 1, checkpoint: window, max_window: 6h, end_delay: 1s";
    let config = entry(api.url(), listener.url(), settings);
    let first = Fetcher::new(&config).once().assert_code(0);
    let ids = |count: u64| (0..count).collect::<Vec<u64>>();
    assert_eq!(listener.ids(), ids(30), "whatever their dates are");
    let checkpoint = |text: String| text.trim().rsplit(": ").next().unwrap().parse::<DateTime<Utc>>().unwrap();
    let moved = checkpoint(first.read("last_start_dates.txt"));
    assert!(moved >= begun - TimeDelta::seconds(2) && moved <= Utc::now(), "the end of the window: {moved}");
    let running = Fetcher::again(first).start();
    let now = Utc::now();
    events.lock().unwrap().extend([(30, ago(9_000), now), (31, now, now)]);
    wait_until("the record of last week", || listener.ids() == ids(32));
    let stopped = running.stop();
    Fetcher::again(stopped).once().assert_code(0);
    assert_eq!(listener.ids(), ids(32), "nothing twice");
}

#[test]
fn a_start_that_is_older_than_the_api_takes_is_never_sent_and_what_lies_before_is_listed() {
    let begun = Utc::now();
    let events: Vec<Event> = (0..10).map(|id| (id, begun - TimeDelta::hours(3 * (10 - id as i64)), begun)).collect();
    let api = MockServer::start(move |asked, _| match span(asked) {
        Err(refused) => refused,
        Ok((from, _)) if Utc::now() - from > TimeDelta::days(1) => Reply::status(400, "that start is not allowed"),
        Ok((from, to)) => page(events.iter().filter(|(_, date, _)| (from..=to).contains(date))),
    });
    let listener = MockListener::start();
    // Without a wish for more, what there is.
    let config = entry(api.url(), listener.url(), "max_age: 1d");
    let first = Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), (3..10).collect::<Vec<u64>>());
    assert!(!first.stderr.contains("a gap"), "{}", first.stderr);
    first.write("last_start_dates.txt", "events: 2024-05-28T10:00:00Z\n");
    let second = Fetcher::again(first).once().assert_code(0).assert_says("a gap");
    let state = Fetcher::again(second).arguments(&["show", "events"]).run("state").assert_code(0);
    state.assert_says("2024-05-28T10:00:00Z to ");
}

#[test]
fn an_api_that_fails_in_long_windows_is_asked_in_halves_that_outlive_a_restart() {
    const SPAN_MAX: TimeDelta = TimeDelta::hours(5);
    let begun = Utc::now();
    let events: Vec<Event> = (0..60).map(|id| (id, begun - TimeDelta::minutes(40 * (60 - id as i64)), begun)).collect();
    let spans = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&spans);
    let api = MockServer::start(move |asked, _| {
        let (query, at) = asked.query.split_once("&at=").unwrap_or((&asked.query, "0"));
        let (from, to) = match span(&Asked { query: query.to_owned(), ..asked.clone() }) {
            Ok(span) => span,
            Err(refused) => return refused,
        };
        let at: usize = at.parse().unwrap();
        if at > 0 && to - from > SPAN_MAX {
            return Reply::status(403, "the query takes too long");
        }
        kept.lock().unwrap().push((from, to));
        let inside: Vec<&Event> = events.iter().filter(|(_, date, _)| (from..=to).contains(date)).collect();
        let text = |(id, date, _): &&Event| record(*id, &date.to_rfc3339_opts(SecondsFormat::Secs, true));
        let page: Vec<String> = inside.iter().skip(at).take(3).map(text).collect();
        let next = match at + 3 < inside.len() {
            true => format!("\"/events?{query}&at={}\"", at + 3),
            false => "null".to_owned(),
        };
        Reply::json(&format!("{{\"data\":[{}],\"next\":{next}}}", page.join(",")))
    });
    let listener = MockListener::start();
    let config = entry(api.url(), listener.url(), "days_back_fetch: 2");
    let mut last = Fetcher::new(&config).once();
    let mut failed = 0;
    while last.code != Some(0) {
        failed += 1;
        assert!(failed < 20, "it comes no further: {}", last.stderr);
        last = Fetcher::again(last).once();
    }
    assert!(failed > 3, "each a process of its own: {failed}");
    let mut ids = listener.ids();
    ids.sort_unstable();
    assert_eq!(ids, (0..60).collect::<Vec<u64>>(), "nothing lost, nothing twice");
}

#[test]
fn a_queue_is_asked_for_nothing_that_the_listener_would_not_take_and_a_kill_loses_no_answer() {
    let queue = Mutex::new((0..5).collect::<std::collections::VecDeque<u64>>());
    let api = MockServer::start(move |asked, _| {
        let mut queue = queue.lock().unwrap();
        let records: Vec<String> =
            (0..2).filter_map(|_| queue.pop_front()).map(|id| record(id, "2024-05-28T10:00:00Z")).collect();
        match (asked.query.as_str(), records.is_empty()) {
            ("", true) => Reply::status(204, ""),
            ("", false) => Reply::json(&format!("{{\"data\":[{}]}}", records.join(","))),
            (query, _) => Reply::status(400, &format!("unknown parameters {query}")),
        }
    });
    // What the listener answers to batches, and whether it answers well to a request that only asks if it is there.
    let answers = Arc::new(AtomicU16::new(503));
    let (batches, is_up) = (Arc::clone(&answers), Arc::new(AtomicU16::new(200)));
    let up = Arc::clone(&is_up);
    let listener = MockListener::answering(move |text, _| match text.is_empty() {
        true => Reply::status(up.load(Ordering::SeqCst), ""),
        false => Reply::status(batches.load(Ordering::SeqCst), ""),
    });
    let config = entry(api.url(), listener.url(), "checkpoint: server")
        .replace("    filters: {from: '{start_date}', to: '{end_date}'}\n", "")
        .replace("data_date: date, id: id, next_url: next", "data_date: date, id: id");
    let running = Fetcher::new(&config).start();
    wait_until("a batch that the listener refuses", || !listener.asked().is_empty());
    let killed = running.kill();
    assert_eq!(api.asked().len(), 1, "nothing is asked ahead");
    assert!(
        std::fs::read_dir(killed.path())
            .unwrap()
            .any(|file| { file.unwrap().file_name().to_string_lossy().starts_with(".logzio-api-fetcher.answer-") })
    );
    is_up.store(503, Ordering::SeqCst);
    let down = Fetcher::again(killed).once().assert_code(1);
    assert_eq!(api.asked().len(), 1, "nothing is asked while the listener is down: {}", down.stderr);
    is_up.store(200, Ordering::SeqCst);
    answers.store(200, Ordering::SeqCst);
    let last = Fetcher::again(down).once().assert_code(0).assert_says("is shipped first");
    assert_eq!(listener.ids(), (0..5).collect::<Vec<u64>>(), "nothing lost, nothing twice");
    assert_eq!(api.asked().len(), 4, "until there is nothing");
    assert!(
        std::fs::read_dir(last.path())
            .unwrap()
            .all(|file| { !file.unwrap().file_name().to_string_lossy().starts_with(".logzio-api-fetcher.answer-") })
    );
}

#[test]
fn of_an_answer_that_comes_once_everything_is_shipped_before_a_record_that_cannot_be_kept() {
    let answers = AtomicU16::new(0);
    let api = MockServer::start(move |_, _| {
        let record = |id: u64, size: usize| {
            let text = "x".repeat(size);
            format!(r#"{{"id":{id},"date":"2024-05-28T12:00:0{id}Z","text":"{text}"}}"#)
        };
        let records = match answers.fetch_add(1, Ordering::SeqCst) {
            0 => [record(0, 1), record(1, 1), record(2, 600_000), record(3, 1)].join(","),
            _ => String::new(),
        };
        Reply::json(&format!(r#"{{"data":[{records}]}}"#))
    });
    let listener = MockListener::start();
    let config = entry(api.url(), listener.url(), "checkpoint: server")
        .replace("    filters: {from: '{start_date}', to: '{end_date}'}\n", "")
        .replace("data_date: date, id: id, next_url: next", "data_date: date, id: id");
    let fetcher = Fetcher::new(&config);
    let undelivered = fetcher.path().join("undelivered.ndjson");
    std::fs::create_dir(&undelivered).unwrap();
    let failed = fetcher.once().assert_code(1).assert_says("can't be kept in undelivered.ndjson");
    assert_eq!(listener.ids(), [0, 1], "{}", failed.stderr);
    std::fs::remove_dir(undelivered).unwrap();
    let last = Fetcher::again(failed).once().assert_code(0).assert_says("is shipped first");
    assert_eq!(listener.ids(), [0, 1, 3], "nothing lost, nothing twice");
    assert_eq!(last.read("undelivered.ndjson").lines().count(), 1);
}

#[test]
fn nothing_is_taken_off_a_queue_but_to_ship_it() {
    let api = MockServer::start(|_, _| Reply::json(r#"{"data":[]}"#)).may_be_idle();
    let config = entry(api.url(), "http://127.0.0.1:1", "checkpoint: server")
        .replace("    filters: {from: '{start_date}', to: '{end_date}'}\n", "")
        .replace("data_date: date, id: id, next_url: next", "data_date: date, id: id");
    let probed = Fetcher::new(&config).run("probe").assert_code(0);
    let probed = probed.assert_says("not asked for: the API keeps the position");
    let recorded = Fetcher::again(probed).arguments(&["--api", "events"]).run("record").assert_code(1);
    let recorded = recorded.assert_says("what it gives here it would not give to the fetcher again");
    let spanned = Fetcher::again(recorded).arguments(&["--from", "2024-05-28"]).run("once");
    assert!(api.asked().is_empty(), "{:?}: {}", api.asked(), spanned.stderr);
}
