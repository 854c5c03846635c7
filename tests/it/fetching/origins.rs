//! Where requests may go, and what goes along: next links, redirects, other hosts.

use std::time::Duration;

use logzio_api_fetcher::http::{self, ClientChoice, Timeouts};
use logzio_api_fetcher::text::Redactor;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record};

#[test]
fn a_next_link_to_another_origin_is_refused_and_gets_no_credentials() {
    let other = MockServer::start(|_, _| page(&[], None)).may_be_idle();
    let date = minutes_ago(5);
    let link = format!("{}/events?p=2", other.url());
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], Some(&link)));
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    let line = format!("add `hosts: ['{}']` to the entry", other.url());
    outcome.assert_says("the next link leads to http://127.0.0.1:").assert_says(&line);
    assert_eq!(other.asked().len(), 0);
}

#[test]
fn redirects_keep_everything_within_the_origin_and_nothing_beyond_it_and_go_there_only_if_it_is_named() {
    let date = minutes_ago(5);
    let other = MockServer::start(move |asked, _| {
        assert!(asked.header("authorization").is_none() && asked.header("x-own").is_none() && asked.body.is_empty());
        page(&[&record(1, &date)], None)
    });
    let target = format!("{}/elsewhere?signed=1", other.url());
    let api = MockServer::start(move |asked, _| match asked.path.as_str() {
        "/events" => Reply::status(302, "").with("Location", "/moved?x=1"),
        _ => {
            assert!(asked.header("authorization").is_some() && asked.header("x-own").is_some());
            Reply::status(307, "").with("Location", &target)
        }
    });
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "").replace("/events'}", "/events', headers: {X-Own: mine}}");
    let line = format!("hosts: ['{}']", other.url());
    Fetcher::new(&config).once().assert_code(1).assert_says(&line);
    assert_eq!(other.asked().len(), 0, "nobody named it");
    Fetcher::new(&format!("{config}    {line}\n")).once().assert_code(0);
    assert_eq!((listener.ids(), other.asked().len()), (vec![1], 1));
}

#[test]
fn a_redirect_never_takes_a_body_to_another_origin() {
    let other = MockServer::start(|_, _| page(&[], None)).may_be_idle();
    let target = format!("{}/elsewhere", other.url());
    let api = MockServer::start(move |_, _| Reply::status(308, "").with("Location", &target));
    let listener = MockListener::start().may_be_idle();
    let config =
        general(api.url(), listener.url(), "").replace("/events'}", "/events', method: POST, body: {secret: x}}");
    let config = format!("{config}    hosts: '{}'\n", other.url());
    Fetcher::new(&config).once().assert_code(1).assert_says("redirects a POST request to another origin");
    assert_eq!(other.asked().len(), 0);
}

#[test]
fn a_next_link_goes_to_a_host_that_is_named_bare_or_with_everything_that_it_is_trusted_with() {
    for trusted in [false, true] {
        let date = minutes_ago(5);
        let second = date.clone();
        let other = MockServer::start(move |asked, _| {
            let went_along = [asked.header("authorization").is_some(), asked.header("x-own").is_some()];
            assert_eq!(went_along, [trusted, trusted]);
            page(&[&record(2, &second)], None)
        });
        let link = format!("{}/more?signed=1", other.url());
        let api = MockServer::start(move |_, _| page(&[&record(1, &date)], Some(&link)));
        let listener = MockListener::start();
        let config = general(api.url(), listener.url(), "").replace("/events'}", "/events', headers: {X-Own: mine}}");
        let config = format!("{config}    hosts: [{{host: '{}', credentials: {trusted}}}]\n", other.url());
        Fetcher::new(&config).once().assert_code(0);
        assert_eq!((listener.ids(), other.asked().len()), (vec![1, 2], 1));
    }
}

/// What an API's answer leads to must not be a cloud's metadata or an inner service, whatever the star covers.
#[tokio::test]
async fn a_host_that_is_not_spelled_out_is_not_connected_to_at_a_private_address() {
    let inner = MockServer::start(|_, _| page(&[], None)).may_be_idle();
    let port = inner.url().rsplit(':').next().unwrap().to_owned();
    let clients = http::clients(&[], Timeouts::default()).unwrap();
    let way = |is_named| ClientChoice { is_named, is_http1: false, idle: Duration::from_secs(5) };
    let url = format!("http://localhost:{port}/");
    let refused = clients.on(way(false)).0.get(&url).send().await.expect_err("a private address");
    let cause = http::cause(&refused, &Redactor::default());
    assert!(cause.contains("localhost lies at") && cause.contains("private address"), "{cause}");
    assert_eq!(inner.asked().len(), 0);
    clients.on(way(true)).0.get(&url).send().await.expect("the config spells it out");
    assert_eq!(inner.asked().len(), 1);
}

#[test]
fn a_401_of_another_origin_is_not_blamed_on_the_credentials() {
    let other = MockServer::start(|_, _| Reply::status(401, ""));
    let target = format!("{}/elsewhere", other.url());
    let api = MockServer::start(move |_, _| Reply::status(302, "").with("Location", &target));
    let listener = MockListener::start().may_be_idle();
    let config = format!("{}    hosts: '{}'\n", general(api.url(), listener.url(), ""), other.url());
    let outcome = Fetcher::new(&config).once().assert_code(1);
    outcome.assert_says("/elsewhere, which answered 401 Unauthorized; no credentials were sent there");
}

#[test]
fn redirects_without_an_end_are_given_up() {
    let api = MockServer::start(|_, _| Reply::status(301, "").with("Location", "/again"));
    let listener = MockListener::start().may_be_idle();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1).assert_says("redirects without an end");
    assert_eq!(api.asked().len(), 11);
}
