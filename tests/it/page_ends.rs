//! Where pages end by what an answer says or by their number, and answers that are read as they come.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply};

/// An entry whose parts are given, each as YAML of its own.
fn entry(api: &str, listener: &str, query: &str, next: &str, paths: &str, more: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: events\n    \
         credentials: {{id: i, key: the-key}}\n    settings: {{time_interval: 1s, checkpoint: window}}\n    \
         start_date_name: since\n    http_request: {{url: '{api}/events{query}'}}\n    json_paths: {{{paths}}}\n    \
         next_request: {{{next}}}\n{more}"
    )
}

/// Page `number` of so many, with two records each.
fn page(number: u64, pages: u64) -> Value {
    static BEGUN: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);
    let date = |id: u64| {
        (*BEGUN - TimeDelta::minutes(60) + TimeDelta::seconds(id as i64)).to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    let records = (2 * number - 2..2 * number).map(|id| json!({ "id": id, "date": date(id) }));
    json!({ "result": records.collect::<Vec<_>>(), "page": number, "more": number < pages })
}

/// An API of so many pages, and pages beyond them without records.
fn pages(pages: u64) -> MockServer {
    MockServer::start(move |asked, _| {
        let number: u64 = asked.raw_field("page").map_or(1, |page| page.parse().unwrap());
        match number <= pages {
            true => Reply::json(&page(number, pages).to_string()),
            false => Reply::json(&json!({ "result": [], "page": number, "more": false }).to_string()),
        }
    })
}

/// The pages that were asked for.
fn asked(api: &MockServer) -> Vec<String> {
    let page = |asked: &Asked| asked.raw_field("page").unwrap_or("1").to_owned();
    api.asked().iter().map(page).collect()
}

fn ids(count: u64) -> Vec<u64> {
    (0..count).collect()
}

const COUNTED: &str = "append: '&page={res.page+1}'";
const PATHS: &str = "data: result, data_date: date, id: id";

#[test]
fn a_stop_rule_ends_the_pages_and_what_is_appended_is_joined_to_the_first_url() {
    for (query, path) in [("", "/events?since="), ("?size=2", "/events?size=2&since=")] {
        let api = pages(3);
        let listener = MockListener::start();
        let next = format!("{COUNTED}, stop: {{field: more, condition: equals, value: false}}");
        Fetcher::new(&entry(api.url(), listener.url(), query, &next, PATHS, "")).once().assert_code(0);
        assert_eq!(listener.ids(), ids(6));
        assert_eq!(asked(&api), ["1", "2", "3"]);
        let last = api.asked().pop().unwrap();
        let whole = format!("{}?{}", last.path, last.query);
        assert!(whole.starts_with(path) && whole.ends_with("&page=3"), "{whole}");
    }
}

#[test]
fn empty_pages_in_the_middle_end_nothing_where_the_answer_says_which_is_the_last() {
    let api = MockServer::start(|asked, _| {
        let number: u64 = asked.raw_field("page").map_or(1, |page| page.parse().unwrap());
        let records = if number == 1 { 1 } else { 2 };
        match number {
            1 | 7 => Reply::json(
                &json!({ "page": number, "more": number < 7, "result": page(records, 9)["result"] }).to_string(),
            ),
            _ => Reply::json(&json!({ "result": [], "page": number, "more": number < 7 }).to_string()),
        }
    });
    let listener = MockListener::start();
    let next = format!("{COUNTED}, stop: {{field: more, condition: equals, value: false}}");
    Fetcher::new(&entry(api.url(), listener.url(), "", &next, PATHS, "")).once().assert_code(0);
    assert_eq!((listener.ids(), asked(&api).len()), (ids(4), 7));
}

#[test]
fn a_stop_rule_that_never_holds_ends_with_as_many_empty_pages_as_the_original_asks_for() {
    let api = pages(2);
    let listener = MockListener::start();
    let next = format!("{COUNTED}, stop: {{field: more, condition: equals, value: 'false'}}");
    Fetcher::new(&entry(api.url(), listener.url(), "", &next, PATHS, "")).once().assert_code(0);
    assert_eq!((listener.ids(), asked(&api).len()), (ids(4), 102));
}

#[test]
fn a_stop_rule_is_asked_of_the_first_answer() {
    let api = pages(1);
    let listener = MockListener::start();
    let next = format!("{COUNTED}, stop: {{field: more, value: false}}");
    Fetcher::new(&entry(api.url(), listener.url(), "", &next, PATHS, "")).once().assert_code(0);
    assert_eq!((listener.ids(), asked(&api).len()), (ids(2), 1));
}

#[test]
fn a_number_of_pages_is_their_end_where_nothing_else_says_it() {
    for (most, expected) in [(0, 1), (1, 2), (9, 6)] {
        let api = pages(3);
        let listener = MockListener::start();
        let next = format!("{COUNTED}, max_pages: {most}");
        Fetcher::new(&entry(api.url(), listener.url(), "", &next, PATHS, "")).once().assert_code(0);
        assert_eq!(asked(&api).len(), expected, "max_pages {most}: {:?}", asked(&api));
        assert_eq!(listener.ids(), ids(2 * expected.min(3) as u64), "max_pages {most}");
    }
}

#[test]
fn a_number_of_pages_beside_a_stop_rule_leaves_the_rest_to_the_next_iterations() {
    let api = pages(4);
    let listener = MockListener::start();
    let next = format!("{COUNTED}, stop: {{field: more, condition: equals, value: false}}, max_pages: 1");
    let config = entry(api.url(), listener.url(), "", &next, PATHS, "").replace(", checkpoint: window", "");
    let first = Fetcher::new(&config).once().assert_code(0).assert_says("next_request.max_pages");
    assert_eq!(listener.ids(), ids(4));
    assert!(!first.read("last_start_dates.txt").contains("events:"), "the checkpoint moves at the end of the pages");
    let second = Fetcher::again(first).once().assert_code(0);
    let third = Fetcher::again(second).once().assert_code(0);
    assert_eq!(listener.ids(), ids(8), "nothing lost, nothing twice");
    assert!(third.read("last_start_dates.txt").contains("events:"), "{}", third.read("last_start_dates.txt"));
    assert_eq!(asked(&api).iter().filter(|page| *page == "1").count(), 1, "{:?}", asked(&api));
}

#[test]
fn a_scroll_whose_records_are_json_in_a_text_is_read_to_the_answer_without_any() {
    let api = MockServer::start(|asked, before| {
        let body: Value = serde_json::from_str(&asked.text()).unwrap();
        let expected = match before {
            0 => json!({ "size": 2 }),
            number => json!({ "scroll_id": format!("s{}", number - 1) }),
        };
        if body != expected {
            return Reply::status(400, "another scroll");
        }
        let hits = page(before as u64 + 1, 9)["result"].as_array().unwrap().clone();
        let hits = if before < 3 { hits } else { Vec::new() };
        let held = json!({ "total": 6, "hits": hits }).to_string();
        Reply::json(&json!({ "code": 200, "scrollId": format!("s{before}"), "hits": held }).to_string())
    });
    let listener = MockListener::start();
    let next = "body: {scroll_id: '{res.scrollId}'}, stop: {field: hits, condition: contains, value: '\"hits\":[]'}";
    let paths = "data: hits.hits, data_date: date, id: id";
    let config = entry(api.url(), listener.url(), "", next, paths, "    response: {records: any}\n");
    let config = config.replace("/events'}", "/events', method: POST, body: {size: 2}}");
    Fetcher::new(&config).once().assert_code(0);
    assert_eq!((listener.ids(), api.asked().len()), (ids(6), 4));
}

/// What is shipped of an answer that is read as it comes, without the type.
fn shipped(paths: &str, answer: &str) -> Vec<Value> {
    let answer = answer.to_owned();
    let api = MockServer::start(move |_, _| Reply::json(&answer));
    let listener = MockListener::start();
    let config = entry(api.url(), listener.url(), "", "", paths, "    response: {records: any}\n");
    Fetcher::new(&config).once().assert_code(0);
    let lines = listener.lines();
    let mut records: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    records.iter_mut().filter_map(Value::as_object_mut).for_each(|record| drop(record.remove("type")));
    records
}

#[test]
fn an_answer_is_read_as_it_comes() {
    assert_eq!(shipped("", "{\"status\": \"ok\", \"n\": 1}"), [json!({ "status": "ok", "n": 1 })]);
    assert_eq!(shipped("", "[{\"n\": 1}, {\"n\": 2}]"), [json!({ "n": 1 }), json!({ "n": 2 })]);
    assert_eq!(shipped("", "{\"a\": 1}\n{\"a\": 2}\n"), [json!({ "a": 1 }), json!({ "a": 2 })]);
    assert_eq!(shipped("", "line one\nline two é\n"), [json!({ "message": "line one\nline two é\n" })]);
    let held = json!({ "hits": [{ "n": 1 }, "{\"n\": 2}", "text", 3] }).to_string();
    let expected = [json!({ "n": 1 }), json!({ "n": 2 }), json!({ "message": "text" }), json!({ "message": 3 })];
    assert_eq!(shipped("data: hits.hits", &json!({ "hits": held, "id": "x" }).to_string()), expected);
    assert_eq!(shipped("data: data", "\u{feff}{\"data\": [{\"id\": 1}]}"), [json!({ "id": 1 })]);
}

#[test]
fn an_empty_answer_holds_no_records() {
    let api = MockServer::start(|_, _| Reply::json(""));
    let listener = MockListener::start().may_be_idle();
    let config = entry(api.url(), listener.url(), "", "", "", "    response: {records: any}\n");
    Fetcher::new(&config).once().assert_code(0);
    assert!(listener.ids().is_empty());
}

/// Pages by number, the newest first, of a list that grows by so many records before each request for it. `/detail` gives the
/// record that it is asked about.
fn growing(old: u64, size: usize, grows_by: impl Fn(usize) -> usize + Send + Sync + 'static) -> MockServer {
    let begun = Utc::now();
    let dates = (0..old).map(|id| begun - TimeDelta::minutes(1 + id as i64));
    let list = Mutex::new(dates.enumerate().collect::<Vec<(usize, DateTime<Utc>)>>());
    let requests = AtomicUsize::new(0);
    MockServer::start(move |asked, _| {
        if let Some(id) = asked.raw_field("of") {
            return Reply::json(&json!({ "result": [{ "id": id.parse::<u64>().unwrap() }] }).to_string());
        }
        let number: usize = asked.raw_field("page").map_or(1, |page| page.parse().unwrap());
        let mut list = list.lock().unwrap();
        for _ in 0..grows_by(requests.fetch_add(1, Ordering::SeqCst)) {
            let id = list.len();
            list.insert(0, (id, Utc::now()));
        }
        let record = |(id, date): &(usize, DateTime<Utc>)| json!({ "id": id, "date": date.to_rfc3339() });
        let page: Vec<Value> = list.iter().skip(size * (number - 1)).take(size).map(record).collect();
        Reply::json(&json!({ "result": page }).to_string())
    })
}

fn growing_entry(api: &MockServer, listener: &MockListener) -> String {
    let filters = "    filters: {page: '{page}'}\n";
    let config = entry(api.url(), listener.url(), "", "", PATHS, filters);
    config.replace(", checkpoint: window", "").replace("    next_request: {}\n", "")
}

/// The pages 2 to 4 hold records of the first one, and later ones: as where a server gives its first page for any number.
fn growing_by_less_than_a_page() -> MockServer {
    growing(12, 4, |before| [0, 6, 3, 3].get(before).copied().unwrap_or_default())
}

#[track_caller]
fn assert_has_all(api: &MockServer, listener: &MockListener) {
    let ids = listener.ids();
    assert!((0..12).all(|id| ids.contains(&id)), "{ids:?} by the pages {:?}", asked(api));
}

#[track_caller]
fn assert_read_to_its_end(api: &MockServer, listener: &MockListener) {
    assert_has_all(api, listener);
    let pages: Vec<String> =
        api.asked().iter().filter_map(|asked| asked.raw_field("page").map(str::to_owned)).collect();
    assert_eq!(pages, ["1", "2", "3", "4", "1", "5", "6", "7", "8", "9"]);
}

#[test]
fn a_list_that_grows_about_as_fast_as_it_is_read_is_read_to_its_end() {
    let (api, listener) = (growing_by_less_than_a_page(), MockListener::start());
    Fetcher::new(&growing_entry(&api, &listener)).once().assert_code(0);
    assert_read_to_its_end(&api, &listener);
}

#[test]
fn so_is_one_of_whose_entries_each_is_asked_about() {
    let (api, listener) = (growing_by_less_than_a_page(), MockListener::start());
    let step = format!(
        "    steps:\n      - http_request: {{url: '{}/detail?of={{item.id}}'}}\n        json_paths: {{data: result}}\n",
        api.url()
    );
    Fetcher::new(&(growing_entry(&api, &listener) + &step)).once().assert_code(0);
    assert_read_to_its_end(&api, &listener);
}

#[test]
fn so_is_one_that_two_outputs_get_by_the_same_requests() {
    let (api, one, other) = (growing_by_less_than_a_page(), MockListener::start(), MockListener::start());
    let output = |name: &str, listener: &MockListener| {
        format!("  - {{name: {name}, url: '{}', token: shipping-token-1}}\n", listener.url())
    };
    let config = growing_entry(&api, &one);
    let apis = config.split_once('\n').unwrap().1;
    let config = format!("logzio:\n{}{}{apis}", output("one", &one), output("other", &other));
    Fetcher::new(&config).once().assert_code(0);
    assert_has_all(&api, &one);
    assert_has_all(&api, &other);
}

#[test]
fn a_list_that_grows_faster_than_it_is_read_is_not_called_complete() {
    let is_calm = Arc::new(AtomicBool::new(false));
    let calm = Arc::clone(&is_calm);
    let api = growing(9, 2, move |before| if before == 0 || calm.load(Ordering::SeqCst) { 0 } else { 3 });
    let listener = MockListener::start();
    let busy = Fetcher::new(&growing_entry(&api, &listener)).once();
    let busy = busy.assert_says("the list grows at its front as fast as its pages are read");
    assert!(!listener.ids().contains(&8), "it is behind pages that weren't reached: {:?}", asked(&api));
    let checkpoints = busy.read("last_start_dates.txt");
    assert!(!checkpoints.contains("events:"), "the checkpoint stays: {checkpoints}");
    assert!(asked(&api).len() < 40, "{:?}", asked(&api));

    is_calm.store(true, Ordering::SeqCst);
    Fetcher::again(busy).once().assert_code(0);
    let ids = listener.ids();
    let all: Vec<u64> = (0..=*ids.last().unwrap()).collect();
    assert_eq!(ids, all, "nothing lost, nothing twice");
}
