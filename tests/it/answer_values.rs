//! Values of a page in the request for the next one, against APIs that refuse whatever they don't know.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, record};

/// An entry whose parts are given, each as YAML of its own.
fn entry(api: &str, listener: &str, request: &str, next: &str, more: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: events\n    \
         credentials: {{id: i, key: the-key}}\n    settings: {{time_interval: 1s}}\n    start_date_name: since\n    \
         http_request: {{url: '{api}/events'{request}}}\n    json_paths: {{data: data, data_date: date, id: id}}\n    \
         next_request: {{{next}}}\n{more}"
    )
}

/// Records `from..until`, oldest first.
fn records(from: u64, until: u64) -> String {
    static BEGUN: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);
    let date = |number: u64| *BEGUN - TimeDelta::minutes(60) + TimeDelta::seconds(number as i64);
    let one = |id| record(id, &date(id).to_rfc3339_opts(SecondsFormat::Secs, true));
    (from..until).map(one).collect::<Vec<_>>().join(",")
}

fn ids(count: u64) -> Vec<u64> {
    (0..count).collect()
}

/// What was asked, without the start date.
fn asked(api: &MockServer) -> Vec<String> {
    let without_start = |asked: &Asked| {
        let fields = asked.query.split('&').filter(|field| !field.starts_with("since=") && !field.is_empty());
        format!("{}?{}", asked.path, fields.collect::<Vec<_>>().join("&"))
    };
    api.asked().iter().map(without_start).collect()
}

#[test]
fn a_page_number_of_the_answer_leads_on_until_three_pages_bring_nothing() {
    for is_relative in [false, true] {
        let api = MockServer::start(|asked, _| {
            let page: u64 = asked.raw_field("page").map_or(1, |page| page.parse().unwrap());
            let (from, until) = ((2 * page - 2).min(5), (2 * page).min(5));
            Reply::json(&format!("{{\"data\":[{}],\"info\":{{\"page\":\"{page}\"}}}}", records(from, until)))
        });
        let listener = MockListener::start();
        let before = if is_relative { String::new() } else { format!("{}/events", api.url()) };
        let next = format!("url: '{before}?page={{res.info.page+1}}'");
        Fetcher::new(&entry(api.url(), listener.url(), "", &next, "")).once().assert_code(0);
        assert_eq!(listener.ids(), ids(5));
        let pages: Vec<String> = (2..7).map(|page| format!("/events?page={page}")).collect();
        assert_eq!(asked(&api)[1..], pages);
    }
}

#[test]
fn a_link_of_the_answer_is_followed_as_it_is_and_a_missing_one_ends_the_pages() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/events" => Reply::json(&format!(
            "{{\"data\":[{}],\"next\":\"http://{}/more?a=1%2B2+3&b=%c3%a9\"}}",
            records(0, 2),
            asked.header("host").unwrap()
        )),
        "/more" => Reply::json(&format!("{{\"data\":[{}],\"next\":\"last?x=%zz\"}}", records(2, 4))),
        _ => Reply::json(&format!("{{\"data\":[{}],\"next\":null}}", records(4, 5))),
    });
    let listener = MockListener::start();
    Fetcher::new(&entry(api.url(), listener.url(), "", "url: '{res.next}'", "")).once().assert_code(0);
    assert_eq!(listener.ids(), ids(5));
    assert_eq!(asked(&api)[1..], ["/more?a=1%2B2+3&b=%c3%a9", "/last?x=%zz"]);
}

#[test]
fn a_value_behind_an_equals_sign_breaks_no_url() {
    let api = MockServer::start(|asked, _| match asked.raw_field("cursor") {
        None => Reply::json(&format!("{{\"data\":[{}],\"next\":\"a+b/c==&d#e é%2F%\"}}", records(0, 2))),
        Some(_) => Reply::json(&format!("{{\"data\":[{}]}}", records(2, 3))),
    });
    let listener = MockListener::start();
    let next = "filters: {limit: 2, cursor: '{res.next}'}";
    Fetcher::new(&entry(api.url(), listener.url(), "", next, "")).once().assert_code(0);
    assert_eq!(listener.ids(), ids(3));
    assert_eq!(asked(&api)[1], "/events?limit=2&cursor=a%2Bb/c==%26d%23e%20%C3%A9%2F%25");
}

#[test]
fn a_link_to_a_host_that_the_entry_does_not_name_is_not_followed() {
    let other = MockServer::start(|_, _| Reply::status(500, "nobody should ask")).may_be_idle();
    let elsewhere = other.url().to_owned();
    let api = MockServer::start(move |_, _| {
        Reply::json(&format!("{{\"data\":[{}],\"next\":\"{elsewhere}/more\"}}", records(0, 2)))
    });
    let listener = MockListener::start();
    let ended = Fetcher::new(&entry(api.url(), listener.url(), "", "url: '{res.next}'", "")).once().assert_code(1);
    ended.assert_says("not to the configured origin");
    assert_eq!((listener.ids(), other.asked().len()), (ids(2), 0));
}

#[test]
fn a_scroll_goes_on_in_the_body_and_in_headers() {
    let api = MockServer::start(|asked, _| {
        let body: serde_json::Value = serde_json::from_str(&asked.text()).unwrap();
        match (asked.path.as_str(), asked.header("x-page")) {
            ("/events", None) if body["size"] == 2 => {
                let held = serde_json::json!({ "page": 1 }).to_string();
                let told = serde_json::json!({ "scroll": "a\"b\\", "held": held });
                Reply::json(&format!("{{\"data\":[{}],\"told\":{told}}}", records(0, 2)))
            }
            ("/events", Some("2")) if body == serde_json::json!({ "scroll": "a\"b\\", "page": 2 }) => {
                Reply::json(&format!("{{\"data\":[{}],\"told\":{{}}}}", records(2, 3)))
            }
            _ => Reply::status(400, "unknown"),
        }
    });
    let listener = MockListener::start();
    let request = ", method: POST, body: {size: 2}";
    let next = "headers: {X-Page: '{res.told.held.page+1}'}, \
                body: '{\"scroll\": \"{res.told.scroll}\", \"page\": {res.told.held.page+1}}'";
    Fetcher::new(&entry(api.url(), listener.url(), request, next, "")).once().assert_code(0);
    assert_eq!(listener.ids(), ids(3));
}

#[test]
fn an_iteration_that_was_cut_goes_on_by_the_values_of_the_last_page() {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let api = MockServer::start(move |asked, _| {
        let page: u64 = asked.raw_field("page").map_or(1, |page| page.parse().unwrap());
        if page == 3 && down.load(Ordering::SeqCst) {
            return Reply::status(401, "not now");
        }
        let next = if page < 3 { (page + 1).to_string() } else { "null".to_owned() };
        Reply::json(&format!("{{\"data\":[{}],\"next\":{next}}}", records(2 * page - 2, 2 * page)))
    });
    let listener = MockListener::start();
    let config = entry(api.url(), listener.url(), "", "filters: {page: '{res.next}'}", "");
    let first = Fetcher::new(&config).once().assert_code(1);
    assert_eq!(listener.ids(), ids(4));
    is_down.store(false, Ordering::SeqCst);
    Fetcher::again(first).once().assert_code(0);
    assert_eq!(listener.ids(), ids(6), "nothing lost, nothing twice");
    let begun = asked(&api).iter().filter(|asked| *asked == "/events?").count();
    assert_eq!(begun, 1, "the window isn't begun again: {:?}", asked(&api));
}

#[test]
fn a_body_is_sent_with_get() {
    let api = MockServer::start(|asked, _| match asked.text().as_str() {
        "{\"a\":1}" => Reply::json(&format!("{{\"data\":[{}]}}", records(0, 2))),
        _ => Reply::status(400, "the body is missing"),
    });
    let listener = MockListener::start();
    let config = entry(api.url(), listener.url(), ", body: {a: 1}", "", "");
    Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), ids(2));
}
