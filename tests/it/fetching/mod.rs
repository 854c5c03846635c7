//! How APIs are asked: authentication, headers and pages.

mod ahead;
mod bodies;
mod origins;
mod retries;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record};

fn ids(count: u64) -> Vec<u64> {
    (1..=count).collect()
}

#[test]
fn basic_credentials_and_headers_go_along_with_every_page() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |asked, _| match asked.path.as_str() {
        "/events" => page(&[&record(1, &date)], Some("/page2?x=%2B")),
        _ => page(&[&record(2, &date)], None),
    });
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "").replace("/events'}", "/events', headers: {X-Own: mine}}");
    Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), ids(2));
    let asked = api.asked();
    assert_eq!((asked[1].path.as_str(), asked[1].query.as_str()), ("/page2", "x=%2B"), "the next link is used whole");
    for request in &asked {
        assert_eq!(request.header("authorization"), Some("Basic dGhlLWlkOnRoZS1iYXNpYy1rZXk="));
        assert_eq!((request.method.as_str(), request.header("x-own")), ("GET", Some("mine")));
    }
}

#[test]
fn a_content_type_of_the_users_own_is_sent_with_a_get() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let config = general(api.url(), listener.url(), "")
        .replace("/events'}", "/events', headers: {Content-Type: application/json}}");
    Fetcher::new(&config).once().assert_code(0);
    assert_eq!(api.asked()[0].header("content-type"), Some("application/json"));
}

#[test]
fn an_authorization_header_of_the_users_own_wins() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let config =
        general(api.url(), listener.url(), "").replace("/events'}", "/events', headers: {Authorization: Token x}}");
    Fetcher::new(&config).once().assert_code(0);
    assert_eq!(api.asked()[0].header("authorization"), Some("Token x"));
}

#[test]
fn a_mapping_as_body_is_posted_as_json_on_every_page() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, before| {
        page(&[&record(before as u64 + 1, &date)], (before == 0).then_some("?page=2"))
    });
    let listener = MockListener::start();
    let config =
        general(api.url(), listener.url(), "").replace("/events'}", "/events', method: POST, body: {a: {b: [1, x]}}}");
    Fetcher::new(&config).once().assert_code(0);
    for asked in api.asked() {
        assert_eq!((asked.method.as_str(), asked.text().as_str()), ("POST", r#"{"a":{"b":[1,"x"]}}"#));
        assert_eq!(asked.header("content-type"), Some("application/json"));
    }
}

#[test]
fn an_empty_page_with_a_next_link_is_no_end() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[], Some("/events?p=1")),
        1 => page(&[&record(1, &date)], Some("/events?p=2")),
        2 => page(&[], Some("/events?p=3")),
        _ => page(&[&record(2, &date)], None),
    });
    let listener = MockListener::start();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0).assert_says("pages=4");
    assert_eq!(listener.ids(), ids(2));
}

#[test]
fn pages_that_go_in_a_circle_end_the_iteration_and_what_is_delivered_stays_known() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |asked, _| match asked.raw_field("p") {
        None => page(&[&record(1, &date)], Some("/events?p=1")),
        Some("1") => page(&[&record(2, &date)], Some("/events?p=2")),
        _ => page(&[&record(3, &date)], Some("/events?p=1")),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("the same request was answered by the same records before", 1);
    running.wait_for_log("still failing, 2nd time, since ", 1);
    assert_eq!(listener.ids(), ids(3), "every page that was read, and nothing twice");
    let outcome = running.stop().assert_code(0);
    assert_eq!(outcome.read("last_start_dates.txt"), "");
}

#[test]
fn a_page_that_comes_again_under_new_links_ends_nothing() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, before| match before {
        4 => page(&[&record(2, &date)], None),
        _ => page(&[&record(1, &date)], Some(&format!("/events?p={before}"))),
    });
    let listener = MockListener::start();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0).assert_says("pages=5");
    assert_eq!(listener.ids(), [1, 2]);
}

#[test]
fn the_words_of_www_authenticate_are_shown() {
    let api = MockServer::start(|_, _| {
        Reply::status(401, "").with(
            "WWW-Authenticate",
            r#"Bearer error="insufficient", error_description="the-basic-key is not for this""#,
        )
    });
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    outcome.assert_says("answered 401 Unauthorized: insufficient: *** is not for this");
}
