//! The cursor: kept in last_start_dates.txt, and the user's there. The API's cursors are opaque: `at "N"}`.

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use logzio_api_fetcher::record::date;
use logzio_api_fetcher::state::Checkpoints;

use crate::harness::{
    Asked, Fetcher, MockListener, MockServer, Outcome, Reply, decoded, minutes_ago, record, wait_until,
};
use crate::status::{get, page_of};

const CHECKPOINTS: &str = "last_start_dates.txt";
const STORE: &str = ".logzio-api-fetcher.store";
/// Records of a page.
const PAGE: u64 = 2;

/// What an API was asked for: by its cursor, or else by its start date.
type Begun = Arc<Mutex<Vec<String>>>;

/// A stream of records, read by `cursor` or from `since` on; it refuses everything else. `answer` may spoil a page.
fn stream(records: u64, answer: impl Fn(u64, String) -> Reply + Send + Sync + 'static) -> (MockServer, Begun) {
    let dates: Vec<String> = (0..records).map(|id| minutes_ago((60 - id) as i64)).collect();
    let begun = Begun::default();
    let kept = Arc::clone(&begun);
    let api = MockServer::start(move |asked, _| {
        let field = |name: &str| asked.raw_field(name).map(decoded);
        if asked
            .query
            .split('&')
            .any(|field| !field.is_empty() && !field.starts_with("cursor=") && !field.starts_with("since="))
        {
            return Reply::status(400, "unknown parameter");
        }
        let at: u64 = match (field("cursor"), field("since")) {
            (Some(cursor), None) => match cursor.strip_prefix("at \"").and_then(|rest| rest.strip_suffix("\"}")) {
                Some(at) => at.parse().unwrap(),
                None => return Reply::status(400, &format!("no such cursor: {cursor}")),
            },
            (None, Some(_)) => 0,
            _ => return Reply::status(400, "either a cursor or a start date"),
        };
        kept.lock().unwrap().push(said(asked));
        let next = (at + PAGE).min(records);
        let all: Vec<String> = (at..next).map(|id| record(id, &dates[id as usize])).collect();
        answer(at, format!("{{\"data\":[{}],\"cursor\":\"at \\\"{next}\\\"}}\"}}", all.join(",")))
    });
    (api, begun)
}

/// What a request begins with, in short.
fn said(asked: &Asked) -> String {
    match asked.raw_field("cursor") {
        Some(cursor) => decoded(cursor).chars().filter(char::is_ascii_digit).collect(),
        None => "date".to_owned(),
    }
}

fn taken(begun: &Begun) -> Vec<String> {
    std::mem::take(&mut *begun.lock().unwrap())
}

/// The date in a line.
fn date_of(line: &str) -> &str {
    line.split(' ').nth(1).unwrap()
}

fn config(api: &str, listener: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nstatus: {{listen: 127.0.0.1:0}}\nauth_apis:\n  - type: \
         general\n    name: events\n    credentials: {{id: i, key: the-basic-key}}\n    settings: {{time_interval: 1s}}\n    \
         http_request: {{url: '{api}/events'}}\n    start_date_name: since\n    filters: {{since: '2020-01-01'}}\n    \
         next_request: {{filters: {{cursor: '{{cursor}}'}}}}\n    json_paths: {{data: data, data_date: date, cursor: cursor}}\n"
    )
}

fn good(_: u64, page: String) -> Reply {
    Reply::json(&page)
}

/// A stream of six records that were shipped once.
fn shipped() -> (MockServer, MockListener, Begun, Outcome) {
    let (api, begun) = stream(6, good);
    let listener = MockListener::start();
    let outcome = Fetcher::new(&config(api.url(), listener.url())).once().assert_code(0);
    assert_eq!(listener.ids(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(taken(&begun), ["date", "2", "4", "6"]);
    (api, listener, begun, outcome)
}

fn again(outcome: Outcome) -> Outcome {
    Fetcher::again(outcome).once().assert_code(0)
}

#[test]
fn the_cursor_stands_behind_the_date_and_an_edited_one_is_where_the_next_start_begins() {
    let (_api, listener, begun, outcome) = shipped();
    let line = outcome.read(CHECKPOINTS).lines().last().unwrap().to_owned();
    let date = date_of(&line);
    assert_eq!(line, format!("events: {date} {{\"cursor\":\"at \\\"6\\\"}}\"}}"));
    let outcome = again(outcome);
    assert_eq!(taken(&begun), ["6"], "it goes on there");
    assert!(!outcome.stderr.contains("edited"), "{}", outcome.stderr);
    // Edited: what comes from there on is shipped, whether it was before or not.
    outcome.write(CHECKPOINTS, &format!("{}\r\n", line.replace("at \\\"6", "at \\\"2")));
    let outcome = again(outcome).assert_says("has another cursor, and the next iteration begins with it");
    assert_eq!(taken(&begun), ["2", "4", "6"]);
    assert_eq!(listener.ids(), [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    // Deleted: the window begins at the date, and what was delivered is known.
    outcome.write(CHECKPOINTS, &format!("events: {date}"));
    let outcome = again(outcome).assert_says("the cursor was deleted in last_start_dates.txt");
    assert_eq!(taken(&begun)[0], "date");
    let changes = Fetcher::again(outcome).run("state").assert_says("events: the cursor was deleted in the file");
    assert!(changes.stdout.contains("to another cursor"), "{}", changes.stdout);
    // The mock ignores its start date, so it lists all of them: what lies before it is left out.
    assert_eq!(listener.ids(), [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
}

#[test]
fn a_cursor_beside_an_edited_date_is_dropped_and_a_deleted_line_starts_over() {
    let (_api, listener, begun, outcome) = shipped();
    let line = outcome.read(CHECKPOINTS).lines().last().unwrap().to_owned();
    let earlier = date::parse(date_of(&line)).unwrap() - TimeDelta::minutes(3);
    outcome.write(CHECKPOINTS, &line.replace(date_of(&line), &date::format(earlier)));
    let outcome = again(outcome).assert_says("the cursor belongs to the checkpoint of before, and is dropped");
    assert_eq!(taken(&begun)[0], "date");
    assert_eq!(listener.ids(), [0, 1, 2, 2, 3, 3, 4, 4, 5, 5], "everything since that date");
    outcome.write(CHECKPOINTS, "");
    again(outcome);
    assert_eq!(taken(&begun)[0], "date");
    assert_eq!(listener.ids(), [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]);
}

#[test]
fn a_deleted_store_costs_no_cursor() {
    let (_api, listener, begun, outcome) = shipped();
    outcome.remove(STORE);
    again(outcome);
    assert_eq!(taken(&begun), ["6"]);
    assert_eq!(listener.ids(), [0, 1, 2, 3, 4, 5]);
}

/// The third page never comes; no iteration was ever complete, so there is no date yet.
#[test]
fn a_cursor_that_leads_from_page_to_page_is_written_with_each_delivered_page() {
    let hangs = Arc::new(Mutex::new(true));
    let may_come = Arc::clone(&hangs);
    let (api, begun) =
        stream(6, move |at, page| if at == 4 && *hangs.lock().unwrap() { Reply::Hang } else { good(at, page) });
    let listener = MockListener::start();
    let running = Fetcher::new(&config(api.url(), listener.url())).start();
    let second = "events: {\"cursor\":\"at \\\"4\\\"}\"}";
    wait_until("the second page's cursor", || running.read(CHECKPOINTS).lines().last() == Some(second));
    let outcome = running.kill();
    *may_come.lock().unwrap() = false;
    assert_eq!(listener.ids(), [0, 1, 2, 3]);
    taken(&begun);
    // As if it had been killed between the store and the file.
    let first = outcome.read(CHECKPOINTS).replace(&format!("{second}\n"), "");
    for (text, has_store) in [(outcome.read(CHECKPOINTS), true), (first, true), (second.to_owned(), false)] {
        let config = std::fs::read_to_string(outcome.path().join("config.yaml")).unwrap();
        let fetcher = Fetcher::new(&config).file(CHECKPOINTS, &text);
        if has_store {
            std::fs::copy(outcome.path().join(STORE), fetcher.path().join(STORE)).unwrap();
        }
        let before = listener.ids().len();
        let ended = fetcher.once().assert_code(0);
        assert!(!ended.stderr.contains("cursor"), "{}", ended.stderr);
        assert_eq!(listener.ids().len(), before + 2, "the last two records alone: {text}");
        let begun = taken(&begun);
        assert!(begun.iter().all(|at| ["2", "4", "6"].contains(&at.as_str())), "{begun:?}");
    }
}

#[test]
fn a_rewind_drops_the_cursor_and_an_undo_brings_it_back() {
    let (_api, listener, begun, outcome) = shipped();
    let line = outcome.read(CHECKPOINTS);
    let state =
        |outcome: Outcome, arguments: &[&str]| Fetcher::again(outcome).arguments(arguments).run("state").assert_code(0);
    let outcome = state(outcome, &[]).assert_says("  cursor      \"at \\\"6\\\"}\", kept since ");
    let outcome = state(outcome, &["rewind", "events", "2024-01-01"]).assert_says("The cursor is dropped.");
    assert_eq!(outcome.read(CHECKPOINTS), "events: 2024-01-01T00:00:00Z\n");
    let outcome = state(outcome, &["undo"]);
    assert_eq!(outcome.read(CHECKPOINTS).lines().last(), line.lines().last());
    let outcome = again(outcome);
    assert_eq!(taken(&begun), ["6"]);
    assert_eq!(listener.ids(), [0, 1, 2, 3, 4, 5]);
    let outcome = state(outcome, &["forget", "events"]);
    assert_eq!(outcome.read(CHECKPOINTS), "");
    let outcome = again(outcome);
    assert_eq!(taken(&begun)[0], "date");
    assert_eq!(listener.ids().len(), 12);
    let outcome = state(outcome, &["undo"]);
    assert_eq!(outcome.read(CHECKPOINTS).lines().last(), line.lines().last());
    again(outcome);
    assert_eq!((taken(&begun), listener.ids().len()), (vec!["6".to_owned()], 12));
}

#[test]
fn the_status_tells_since_when_a_cursor_is_kept() {
    let (api, _begun) = stream(2, good);
    let listener = MockListener::start();
    let running = Fetcher::new(&config(api.url(), listener.url())).start();
    running.wait_for_log("iteration done", 1);
    let url = page_of(&running, 1);
    let since = || -> Option<String> {
        let status: serde_json::Value = serde_json::from_str(&get(&format!("{url}/status.json")).text).unwrap();
        Some(status["apis"][0]["cursor_since"].as_str()?.to_owned())
    };
    wait_until("a cursor in the status", || since().is_some());
    let first = since();
    running.wait_for_log("iteration done", 3);
    assert_eq!(since(), first, "it is the same cursor");
    running.stop().assert_code(0);
}

/// As APIs write them: of any kind, on several lines; and a name that looks like a line of the file.
#[test]
fn a_cursor_of_any_kind_of_an_api_of_any_name_is_sent_again_as_it_was() {
    for cursor in ["1716900000123456789012", "[ \"a: {\",\n  7 ]", "\"\\u007b\\n}\\\\\""] {
        let date = minutes_ago(10);
        let api = MockServer::start(move |_, before| {
            let records = if before == 0 { record(1, &date) } else { String::new() };
            Reply::json(&format!("{{\"data\":[{records}],\"cursor\":{cursor}}}"))
        });
        let listener = MockListener::start();
        let name = "a: 2024-01-01 {\"cursor\":1}";
        let config = config(api.url(), listener.url()).replace("name: events", &format!("name: '{name}'"));
        let outcome = Fetcher::new(&config).once().assert_code(0);
        let line = Checkpoints::parse(&outcome.read(CHECKPOINTS)).by_name()[name].clone();
        assert!(line.cursor().is_some() && line.date.is_some(), "{}", outcome.read(CHECKPOINTS));
        let expected = decoded(api.asked()[1].raw_field("cursor").unwrap());
        let outcome = again(outcome);
        assert_eq!(decoded(api.asked().last().unwrap().raw_field("cursor").unwrap()), expected);
        assert!(!outcome.stderr.contains("kept and ignored"), "{}", outcome.stderr);
    }
}

#[test]
fn a_cursor_that_is_too_long_or_holds_a_secret_is_not_kept() {
    let date = minutes_ago(10);
    let page = move |cursor: &str| format!("{{\"data\":[{}],\"cursor\":\"{cursor}\"}}", record(1, &date));
    let long = page(&"x".repeat(64 * 1024));
    let api = MockServer::start(move |_, _| Reply::json(&long));
    let listener = MockListener::start();
    let outcome = Fetcher::new(&config(api.url(), listener.url())).once().assert_code(1);
    let outcome = outcome.assert_says("json_paths.cursor finds 65538 bytes, and a cursor of up to 65536 is kept");
    assert_eq!((outcome.read(CHECKPOINTS).as_str(), listener.ids()), ("", vec![1]), "the record is shipped");

    let telling = page_with_secret();
    let api = MockServer::start(move |_, _| Reply::json(&telling));
    let listener = MockListener::start();
    let outcome = Fetcher::new(&config(api.url(), listener.url())).once().assert_code(0);
    let outcome = outcome.assert_says("the cursor holds a secret of the config and is not kept");
    assert!(!outcome.everything().contains("the-basic-key") && !outcome.read(CHECKPOINTS).contains("cursor"));
    let again = again(outcome);
    assert_eq!(listener.ids(), [1], "{}", again.stderr);
}

fn page_with_secret() -> String {
    format!("{{\"data\":[{}],\"cursor\":\"next?key=the-basic-key\"}}", record(1, &minutes_ago(10)))
}
