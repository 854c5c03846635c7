//! Iterations that go on with what the answers of the one before said (`next_iteration`), and start dates in the form of
//! the records' own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Outcome, Reply, decoded, wait_until};

const CHECKPOINTS: &str = "last_start_dates.txt";

/// The config of one API; `more` are lines of its entry.
fn config(api: &str, listener: &str, more: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: events\n    \
         credentials: {{id: i, key: the-basic-key}}\n    settings: {{time_interval: 1s}}\n    http_request: {{url: \
         '{api}/events'}}\n{more}"
    )
}

/// What each first request said of where to begin: the value of a parameter, or `start`.
fn begun(api: &MockServer, name: &str) -> Vec<String> {
    let firsts = api.asked().into_iter().filter(|asked| asked.raw_field("p").is_none());
    firsts.map(|asked| asked.raw_field(name).map_or("start".to_owned(), decoded)).collect()
}

fn again(outcome: Outcome) -> Outcome {
    Fetcher::again(outcome).once().assert_code(0)
}

fn state(outcome: Outcome, arguments: &[&str]) -> Outcome {
    Fetcher::again(outcome).arguments(arguments).run("state")
}

/// What an API of cursors does with a request, besides answering it.
type Fault = dyn Fn(&Asked) -> Option<Reply> + Send + Sync;

/// Records 1, 2, 3 … without dates, three an iteration, on pages of two; an answer's `next` is where the next iteration goes
/// on, and it lists what stands behind a cursor without that itself.
fn by_cursor(available: &Arc<Mutex<u64>>, fault: Box<Fault>) -> MockServer {
    let available = Arc::clone(available);
    MockServer::start(move |asked, _| {
        if let Some(reply) = fault(asked) {
            return reply;
        }
        let field =
            |name: &str| asked.raw_field(name).map(|text| decoded(text).trim_start_matches("c&").parse::<u64>());
        let (after, page) = match (field("after"), field("p")) {
            (Some(Err(_)), _) | (_, Some(Err(_))) => return Reply::status(400, "no such cursor"),
            (after, page) => (after.map_or(0, Result::unwrap), page.map_or(0, Result::unwrap)),
        };
        let last = *available.lock().unwrap();
        let from = after + 2 * page;
        let ids: Vec<String> = (from + 1..=last.min(from + 2)).map(|id| format!("{{\"id\":{id}}}")).collect();
        let more = if last > from + 2 { format!("\"?after=c%26{after}&p={}\"", page + 1) } else { "null".to_owned() };
        let next = if last > after { format!("\"c&{last}\"") } else { "null".to_owned() };
        Reply::json(&format!("{{\"items\":[{}],\"more\":{more},\"meta\":{{\"next\":{next}}}}}", ids.join(",")))
    })
}

const BY_CURSOR: &str =
    "    next_iteration: {filters: {after: '{res.meta.next}'}}\n    json_paths: {data: items, next_url: more}\n";

#[test]
fn an_iteration_goes_on_with_what_the_first_answer_said_and_the_user_may_edit_it() {
    let available = Arc::new(Mutex::new(3));
    let api = by_cursor(&available, Box::new(|_| None));
    let listener = MockListener::start();
    let outcome = Fetcher::new(&config(api.url(), listener.url(), BY_CURSOR)).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 2, 3]);
    assert_eq!(outcome.read(CHECKPOINTS), "events: {\"res.meta.next\":\"c&3\"}\n");
    *available.lock().unwrap() = 6;
    let outcome = again(outcome);
    // Nothing new: the answer names no cursor, and the one before stays.
    let outcome = again(again(outcome));
    assert_eq!(begun(&api, "after"), ["start", "c&3", "c&6", "c&6"]);
    assert_eq!(listener.ids(), [1, 2, 3, 4, 5, 6]);
    let outcome = state(outcome, &[]).assert_code(0).assert_says("position    {\"res.meta.next\":\"c&6\"}, kept since");
    outcome.write(CHECKPOINTS, "events: {\"res.meta.next\":\"c&4\"}\n");
    let outcome = again(outcome).assert_says("has another cursor, and the next iteration begins with it");
    assert_eq!(listener.ids(), [1, 2, 3, 4, 5, 5, 6, 6], "what comes from there on is shipped again");
    let outcome = state(outcome, &["rewind", "events", "2024-01-01"]).assert_code(2);
    let outcome = state(outcome.assert_says("names no date in its request"), &["forget", "events"]).assert_code(0);
    assert_eq!(outcome.read(CHECKPOINTS), "");
    let outcome = state(outcome, &["undo"]).assert_code(0);
    assert_eq!(outcome.read(CHECKPOINTS), "events: {\"res.meta.next\":\"c&6\"}\n");
    again(outcome);
    assert_eq!(begun(&api, "after").last().unwrap(), "c&6");
    assert_eq!(listener.ids().len(), 8);
}

#[test]
fn a_refused_position_begins_again_without_what_was_delivered_and_is_a_possible_gap() {
    let available = Arc::new(Mutex::new(3));
    let refuses = Arc::new(AtomicBool::new(false));
    let is_refusing = Arc::clone(&refuses);
    let fault = move |asked: &Asked| {
        let is_refused = is_refusing.load(Ordering::SeqCst) && asked.raw_field("after").is_some_and(|at| at != "c%260");
        (is_refused && asked.raw_field("p").is_none()).then(|| Reply::status(410, "gone"))
    };
    let api = by_cursor(&available, Box::new(fault));
    let listener = MockListener::start();
    let outcome = Fetcher::new(&config(api.url(), listener.url(), BY_CURSOR)).once().assert_code(0);
    // An iteration without records between: what was delivered before stays known.
    let outcome = again(outcome);
    refuses.store(true, Ordering::SeqCst);
    *available.lock().unwrap() = 4;
    let outcome = again(outcome).assert_says("so it began at http_request again").assert_says("a possible gap");
    assert_eq!(begun(&api, "after"), ["start", "c&3", "c&3", "c&3", "start"]);
    assert_eq!(listener.ids(), [1, 2, 3, 4]);
    let outcome = state(outcome, &[]).assert_code(0).assert_says("the API refused the place to go on from");
    assert_eq!(outcome.read(CHECKPOINTS).lines().last(), Some("events: {\"res.meta.next\":\"c&4\"}"));
}

#[test]
fn a_kill_in_the_middle_a_failed_page_and_a_failed_listener_move_nothing() {
    let available = Arc::new(Mutex::new(5));
    let trouble = Arc::new(Mutex::new("hang"));
    let now = Arc::clone(&trouble);
    let fault = move |asked: &Asked| match (*now.lock().unwrap(), asked.raw_field("p")) {
        ("hang", Some("2")) => Some(Reply::Hang),
        ("fail", Some("1")) => Some(Reply::status(403, "not now")),
        _ => None,
    };
    let api = by_cursor(&available, Box::new(fault));
    let refuses = Arc::new(AtomicBool::new(false));
    let is_refusing = Arc::clone(&refuses);
    let listener = MockListener::answering(move |_, _| match is_refusing.load(Ordering::SeqCst) {
        true => Reply::status(401, ""),
        false => Reply::status(200, ""),
    });
    let running = Fetcher::new(&config(api.url(), listener.url(), BY_CURSOR)).start();
    listener.wait_for_lines(4);
    listener.wait_until_idle();
    wait_until("the third page is asked for", || api.asked().iter().any(|asked| asked.raw_field("p") == Some("2")));
    let outcome = running.kill();
    *trouble.lock().unwrap() = "";
    assert_eq!(outcome.read(CHECKPOINTS), "", "nothing is gone on with before all is delivered");
    let outcome = again(outcome);
    let ids = listener.ids();
    let unique: std::collections::BTreeSet<u64> = ids.iter().copied().collect();
    assert_eq!(unique.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(ids.len() <= 7, "a kill doubles one batch at most: {ids:?}");
    // The first answer of the iteration that was cut says where to go on, though it was not asked for again.
    assert_eq!(outcome.read(CHECKPOINTS).lines().last(), Some("events: {\"res.meta.next\":\"c&5\"}"));
    *available.lock().unwrap() = 9;
    *trouble.lock().unwrap() = "fail";
    let outcome = Fetcher::again(outcome).once().assert_code(1);
    assert_eq!(outcome.read(CHECKPOINTS).lines().last(), Some("events: {\"res.meta.next\":\"c&5\"}"));
    *trouble.lock().unwrap() = "";
    let outcome = again(outcome);
    assert_eq!(listener.ids().len(), ids.len() + 4, "6 to 9, once");
    refuses.store(true, Ordering::SeqCst);
    *available.lock().unwrap() = 10;
    let outcome = Fetcher::again(outcome).once().assert_code(1);
    refuses.store(false, Ordering::SeqCst);
    assert_eq!(outcome.read(CHECKPOINTS).lines().last(), Some("events: {\"res.meta.next\":\"c&9\"}"));
    let outcome = again(outcome);
    assert_eq!(listener.ids().iter().filter(|id| **id == 10).count(), 1);
    assert_eq!(outcome.read(CHECKPOINTS).lines().last(), Some("events: {\"res.meta.next\":\"c&10\"}"));
}

/// The dates of records: this many microseconds after a moment ten minutes ago.
fn at(micros: i64) -> DateTime<Utc> {
    static BEGUN: std::sync::LazyLock<DateTime<Utc>> = std::sync::LazyLock::new(Utc::now);
    let minute = BEGUN.timestamp() / 60 * 60 - 600;
    DateTime::from_timestamp(minute, 0).unwrap() + TimeDelta::microseconds(micros)
}

fn written(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Dates of events by their ids.
type Events = Arc<Mutex<Vec<(u64, i64)>>>;

/// Whether an event of one date is listed where another is asked for.
type IsListed = fn(DateTime<Utc>, DateTime<Utc>) -> bool;

/// Lists what `is_listed` says of the events since a date, in the order in which they stand.
fn by_date(events: &Events, is_listed: IsListed) -> MockServer {
    let events = Arc::clone(events);
    MockServer::start(move |asked, _| {
        let since = asked.raw_field("since").map(decoded);
        let since = match since.as_deref().map(DateTime::parse_from_rfc3339) {
            None => DateTime::<Utc>::MIN_UTC,
            Some(Ok(since)) if written(since.to_utc()) == decoded(asked.raw_field("since").unwrap()) => since.to_utc(),
            Some(_) => return Reply::status(422, "not as this API writes dates"),
        };
        let listed = events.lock().unwrap();
        let listed = listed.iter().filter(|(_, micros)| is_listed(at(*micros), since));
        let records = listed.map(|(id, micros)| format!("{{\"id\":{id},\"sent\":\"{}\"}}", written(at(*micros))));
        Reply::json(&format!("{{\"result\":[{}]}}", records.collect::<Vec<_>>().join(",")))
    })
}

fn newest_date() -> String {
    "    next_iteration: {url: 'URL/events?since={res.result[0].sent}'}\n    json_paths: {data: result}\n".to_owned()
}

/// Oldest first, so that the first record is not the newest; with starts that are part of the window, and that are not.
#[test]
fn the_newest_date_counts_wherever_it_stands_and_is_sent_a_unit_earlier_in_the_form_of_the_records() {
    let listings: [IsListed; 2] = [|date, since| date >= since, |date, since| date > since];
    for is_listed in listings {
        let events = Events::default();
        events.lock().unwrap().extend([(1, 10), (2, 20), (3, 20)]);
        let api = by_date(&events, is_listed);
        let listener = MockListener::start();
        let config = config(api.url(), listener.url(), &newest_date().replace("URL", api.url()));
        let outcome = Fetcher::new(&config).once().assert_code(0);
        assert_eq!(outcome.read(CHECKPOINTS), format!("events: {}\n", written(at(20))));
        // A twin of the newest instant that surfaces later, and a new one.
        events.lock().unwrap().extend([(4, 20), (5, 1_000_000)]);
        let outcome = again(outcome);
        let outcome = again(outcome);
        assert_eq!(begun(&api, "since"), ["start".to_owned(), written(at(19)), written(at(999_999))]);
        assert_eq!(listener.ids(), [1, 2, 3, 4, 5]);
        // A line of the user's before the first start, or a rewind, is where it begins.
        let outcome = state(outcome, &["rewind", "events", &written(at(15))]).assert_code(0);
        again(outcome);
        assert_eq!(listener.ids(), [1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }
}

/// The same API, whose answers and listener fail at times.
#[test]
fn a_date_moves_only_over_what_was_delivered_whole() {
    let fails = Arc::new(Mutex::new(""));
    let now = Arc::clone(&fails);
    let api = MockServer::start(move |asked, _| {
        let since = asked.raw_field("since").map(decoded).map(|since| since.parse::<DateTime<Utc>>().unwrap());
        let record = |id: u64, micros: i64| format!("{{\"id\":{id},\"sent\":\"{}\"}}", written(at(micros)));
        let is_listed = |micros: i64| since.is_none_or(|since| at(micros) >= since);
        match (*now.lock().unwrap(), asked.raw_field("p")) {
            ("hang", Some(_)) => return Reply::Hang,
            ("fail", Some(_)) => return Reply::status(403, "not now"),
            _ => {}
        }
        // Newest first, on two pages.
        let (all, next) = match asked.raw_field("p") {
            None => ([(3, 30), (2, 20)], "\"?p=2\""),
            Some(_) => ([(1, 10), (0, 5)], "null"),
        };
        let records: Vec<String> =
            all.into_iter().filter(|(_, micros)| is_listed(*micros)).map(|(id, micros)| record(id, micros)).collect();
        Reply::json(&format!("{{\"result\":[{}],\"next\":{next}}}", records.join(",")))
    });
    let refuses = Arc::new(AtomicBool::new(false));
    let is_refusing = Arc::clone(&refuses);
    let listener = MockListener::answering(move |_, _| match is_refusing.load(Ordering::SeqCst) {
        true => Reply::status(401, ""),
        false => Reply::status(200, ""),
    });
    let more = format!(
        "    next_iteration: {{url: '{}/events?since={{res.result[0].sent}}'}}\n    json_paths: {{data: result, next_url: next}}\n",
        api.url()
    );
    refuses.store(true, Ordering::SeqCst);
    let outcome = Fetcher::new(&config(api.url(), listener.url(), &more)).once().assert_code(1);
    refuses.store(false, Ordering::SeqCst);
    *fails.lock().unwrap() = "fail";
    let outcome = Fetcher::again(outcome).once().assert_code(1);
    *fails.lock().unwrap() = "hang";
    let running = Fetcher::again(outcome).start();
    wait_until("the second page hangs", || {
        api.asked().iter().filter(|asked| asked.raw_field("p").is_some()).count() > 1
    });
    let outcome = running.kill();
    assert_eq!(outcome.read(CHECKPOINTS), "", "nothing is gone on with before all is delivered");
    assert!(begun(&api, "since").iter().all(|since| since == "start"), "{:?}", begun(&api, "since"));
    *fails.lock().unwrap() = "";
    let outcome = again(outcome);
    assert_eq!(listener.ids(), [0, 1, 2, 3]);
    assert_eq!(outcome.read(CHECKPOINTS), format!("events: {}\n", written(at(30))));
    again(outcome);
    assert_eq!(begun(&api, "since").last().unwrap(), &written(at(29)));
    assert_eq!(listener.ids(), [0, 1, 2, 3]);
}

#[test]
fn a_line_that_the_user_wrote_before_the_first_start_is_where_it_begins() {
    let events = Events::default();
    events.lock().unwrap().extend([(1, 0), (2, 9_000_000)]);
    let begins = Arc::new(Mutex::new(Vec::new()));
    let (kept, listed) = (Arc::clone(&begins), Arc::clone(&events));
    let api = MockServer::start(move |asked, _| {
        kept.lock().unwrap().push(asked.raw_field("since").map(decoded));
        let records = listed.lock().unwrap().clone();
        let records =
            records.iter().map(|(id, micros)| format!("{{\"id\":{id},\"sent\":\"{}\"}}", written(at(*micros))));
        Reply::json(&format!("{{\"result\":[{}]}}", records.collect::<Vec<_>>().join(",")))
    });
    let listener = MockListener::start();
    let config = config(api.url(), listener.url(), &newest_date().replace("URL", api.url()));
    let line = format!("events: {}\n", at(5_000_000).to_rfc3339_opts(SecondsFormat::Secs, true));
    Fetcher::new(&config).file(CHECKPOINTS, &line).once().assert_code(0);
    assert_eq!(listener.ids(), [2], "what lies before it is left out");
    assert!(begins.lock().unwrap()[0].is_some(), "the first request names it");
}

#[test]
fn of_numbers_the_largest_is_gone_on_with_and_a_place_where_the_config_says_so() {
    for (take, expected) in [("", ["start", "7", "9"]), (", take: position", ["start", "5", "9"])] {
        let listed = Arc::new(Mutex::new(vec![5, 7, 6]));
        let kept = Arc::clone(&listed);
        let api = MockServer::start(move |_, _| {
            let ids: Vec<String> = kept.lock().unwrap().iter().map(|id| format!("{{\"id\":{id}}}")).collect();
            Reply::json(&format!("[{}]", ids.join(",")))
        });
        let listener = MockListener::start();
        let more = format!(
            "    next_iteration: {{filters: {{after: '{{res.[0].id}}'}}{take}}}\n    json_paths: {{data: $}}\n"
        );
        let outcome = Fetcher::new(&config(api.url(), listener.url(), &more)).once().assert_code(0);
        let is_told = outcome.stderr.contains("which stands neither first nor last in the answers");
        assert_eq!(is_told, take.is_empty(), "{}", outcome.stderr);
        *listed.lock().unwrap() = vec![9, 7, 8];
        again(again(outcome));
        assert_eq!(begun(&api, "after"), expected);
        assert_eq!(listener.ids(), [5, 6, 7, 8, 9], "what comes again is known");
    }
}

#[test]
fn a_body_goes_on_too_and_what_leads_from_page_to_page_walks_on() {
    let api = MockServer::start(move |asked, before| {
        let cursor = serde_json::from_str::<serde_json::Value>(&asked.text()).unwrap()["cursor"].as_u64().unwrap_or(0);
        let record = if before < 3 { format!("{{\"id\":{before}}}") } else { String::new() };
        let more = before < 2;
        Reply::json(&format!("{{\"items\":[{record}],\"cursor\":{},\"more\":{more}}}", cursor + 1))
    });
    let listener = MockListener::start();
    let more = "    next_request: {body: {cursor: '{res.cursor}'}}\n    next_iteration: {body: {cursor: '{res.cursor}'}}\n    \
                json_paths: {data: items, has_more: more}\n";
    let config =
        config(api.url(), listener.url(), more).replace("/events'}", "/events', method: POST, body: {limit: 1}}");
    let outcome = again(Fetcher::new(&config).once().assert_code(0));
    let bodies: Vec<String> = api.asked().iter().map(Asked::text).collect();
    assert_eq!(bodies, ["{\"limit\":1}", "{\"cursor\":1}", "{\"cursor\":2}", "{\"cursor\":3}"]);
    assert_eq!(outcome.read(CHECKPOINTS).lines().last(), Some("events: {\"res.cursor\":4}"));
    assert_eq!(listener.ids(), [0, 1, 2]);
}

#[test]
fn a_value_that_is_missing_is_told_and_what_holds_a_secret_is_not_kept() {
    let api = MockServer::start(|_, _| Reply::json("{\"items\":[{\"id\":1}]}"));
    let listener = MockListener::start();
    let outcome = Fetcher::new(&config(api.url(), listener.url(), BY_CURSOR)).once().assert_code(0);
    let outcome = again(outcome.assert_says("answers with records lack a value that next_iteration names"));
    assert_eq!((outcome.read(CHECKPOINTS).as_str(), listener.ids()), ("", vec![1]));
    let api = MockServer::start(|_, _| Reply::json("{\"items\":[{\"id\":1}],\"meta\":{\"next\":\"k=the-basic-key\"}}"));
    let listener = MockListener::start();
    let outcome = Fetcher::new(&config(api.url(), listener.url(), BY_CURSOR)).once().assert_code(0);
    let outcome = outcome.assert_says("the cursor holds a secret of the config and is not kept");
    assert!(!outcome.everything().contains("the-basic-key"), "a secret is in a file");
}

#[test]
fn a_start_date_is_written_as_records_write_theirs() {
    let events = Events::default();
    events.lock().unwrap().extend([(1, 10), (2, 20)]);
    let asked_for = Arc::new(Mutex::new(Vec::new()));
    let (kept, listed) = (Arc::clone(&asked_for), Arc::clone(&events));
    let api = MockServer::start(move |asked, _| {
        kept.lock().unwrap().push(decoded(asked.raw_field("since").unwrap()));
        let records = listed.lock().unwrap().clone();
        let records =
            records.iter().map(|(id, micros)| format!("{{\"id\":{id},\"sent\":\"{}\"}}", written(at(*micros))));
        Reply::json(&format!("{{\"result\":[{}]}}", records.collect::<Vec<_>>().join(",")))
    });
    let listener = MockListener::start();
    let more = "    filters: {since: '{start_date:like_records}'}\n    json_paths: {data: result, data_date: sent}\n";
    let outcome = Fetcher::new(&config(api.url(), listener.url(), more)).once().assert_code(0);
    events.lock().unwrap().push((3, 20));
    again(outcome);
    let asked_for = asked_for.lock().unwrap();
    assert!(DateTime::parse_from_rfc3339(&asked_for[0]).is_ok(), "{asked_for:?}");
    assert_eq!(asked_for[1], written(at(19)));
    assert_eq!(listener.ids(), [1, 2, 3]);
}
