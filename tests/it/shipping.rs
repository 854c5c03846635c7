//! What the listener gets, and what follows each of its answers.

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record};

/// An API with some records of a given size, on one page.
fn api_with(count: u64, padding: usize) -> MockServer {
    let date = minutes_ago(5);
    let padding = "x".repeat(padding);
    let records: Vec<String> =
        (1..=count).map(|id| format!(r#"{{"id":{id},"date":"{date}","p":"{padding}"}}"#)).collect();
    MockServer::start(move |_, _| page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None))
}

/// The same on several pages, of which each fills more than a batch.
fn pages_with(pages: usize) -> MockServer {
    let (date, padding) = (minutes_ago(5), "x".repeat(400_000));
    MockServer::start(move |_, before| {
        let record = |n: usize| format!(r#"{{"id":{},"date":"{date}","p":"{padding}"}}"#, before * 6 + n + 1);
        let records: Vec<String> = (0..6).map(record).collect();
        let next = (before + 1 < pages).then(|| format!("?p={before}"));
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), next.as_deref())
    })
}

fn all(count: u64) -> Vec<u64> {
    (1..=count).collect()
}

#[test]
fn batches_are_gzip_ndjson_of_a_mebibyte_at_most() {
    let (api, listener) = (api_with(30, 100_000), MockListener::start());
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!(listener.ids(), all(30));
    let asked = listener.asked();
    assert_eq!(asked.len(), 3, "ten records of 100 kB fit into a batch");
    for request in asked {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("content-encoding"), Some("gzip"));
        assert!(request.header("logzio-shipper").unwrap().starts_with("logzio-api-fetcher/"));
    }
}

#[test]
fn a_checkpoint_moves_only_when_the_listener_has_everything() {
    for status in [401, 403, 404] {
        let (api, listener) = (api_with(3, 10), MockListener::answering(move |_, _| Reply::status(status, "bad")));
        let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
        assert_eq!(outcome.read("last_start_dates.txt"), "", "{status}");
        assert_eq!(listener.asked().len(), 1, "{status}: no retry storm");
        let expected = if status == 404 { "answered 404" } else { "refuses the token" };
        outcome.assert_says(expected);
    }
}

#[test]
fn a_listener_that_refuses_a_batch_gets_no_other_of_this_iteration() {
    for pages in [1, 3] {
        let (api, listener) = (pages_with(pages), MockListener::answering(|_, _| Reply::status(401, "bad")));
        Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1).assert_says("refuses the token");
        assert_eq!(listener.asked().len(), 1, "{pages} pages");
    }
}

#[test]
fn what_was_refused_and_cannot_be_kept_holds_the_next_batch_up() {
    let refusing = r#"{"malformedLines": 1, "successfulLines": 1, "oversizedLines": 0, "emptyLogLines": 0}"#;
    let (api, listener) = (pages_with(3), MockListener::answering(move |_, _| Reply::status(400, refusing)));
    let fetcher = Fetcher::new(&general(api.url(), listener.url(), ""));
    std::fs::create_dir(fetcher.path().join("undelivered.ndjson")).unwrap();
    fetcher.once().assert_code(1).assert_says("can't be kept in undelivered.ndjson");
    assert_eq!(listener.asked().len(), 1, "the first is remembered as neither delivered nor kept");
}

#[test]
fn passing_failures_of_the_listener_are_tried_again() {
    let api = api_with(3, 10);
    let listener = MockListener::answering(|_, before| match before {
        0 => Reply::status(500, ""),
        1 => Reply::status(429, "").with("Retry-After", "1"),
        2 => Reply::Close,
        3 => Reply::status(408, ""),
        _ => Reply::status(200, ""),
    });
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!((listener.ids(), listener.asked().len()), (all(3), 5));
}

#[test]
fn a_batch_that_is_too_large_is_split_until_it_fits() {
    let api = api_with(9, 10);
    let listener =
        MockListener::answering(|text, _| Reply::status(if text.lines().count() > 2 { 413 } else { 200 }, ""));
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!(listener.ids(), all(9));
    assert_eq!(outcome.read("undelivered.ndjson"), "");
}

#[test]
fn a_single_record_that_is_too_large_is_set_aside() {
    let api = api_with(4, 10);
    let listener =
        MockListener::answering(|text, _| Reply::status(if text.contains("\"id\":3,") { 413 } else { 200 }, ""));
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 2, 4]);
    let kept: serde_json::Value = serde_json::from_str(outcome.read("undelivered.ndjson").trim()).unwrap();
    assert_eq!((kept["api"].as_str(), kept["record"]["id"].as_u64()), (Some("events"), Some(3)));
    assert!(kept["reason"].as_str().unwrap().contains("too large") && kept["time"].is_string());
    assert!(outcome.read("last_start_dates.txt").starts_with("events: "), "nothing stands in the checkpoint's way");
}

#[test]
fn a_record_of_more_than_500_000_bytes_is_set_aside_once() {
    let date = minutes_ago(5);
    let large = format!(r#"{{"id":1,"date":"{date}","p":"{}"}}"#, "x".repeat(500_000));
    let api = MockServer::start(move |_, _| page(&[&large, &record(2, &date)], None));
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration done", 3);
    let outcome = running.stop().assert_says("a record is too long");
    assert_eq!((listener.ids(), outcome.read("undelivered.ndjson").lines().count()), (vec![2], 1));
}

#[test]
fn a_400_means_that_the_valid_lines_were_taken() {
    let api = api_with(3, 10);
    let listener = MockListener::answering(|_, _| {
        Reply::status(400, r#"{"malformedLines":1,"successfulLines":2,"oversizedLines":0,"emptyLogLines":0}"#)
    });
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration done", 3);
    let outcome = running.stop().assert_says("1 malformed, 0 too long, 2 taken");
    assert_eq!(listener.asked().len(), 1, "never sent again");
    assert_eq!(outcome.read("undelivered.ndjson").lines().count(), 3, "the whole batch, as nobody knows which line");
    assert!(outcome.read("last_start_dates.txt").starts_with("events: "));
}

#[test]
fn a_400_that_counts_less_than_the_batch_keeps_it() {
    for body in ["", "bad lines", r#"{"error":"upstream"}"#, r#"{"malformedLines":0,"successfulLines":2}"#] {
        let (api, listener) = (api_with(3, 10), MockListener::answering(move |_, _| Reply::status(400, body)));
        let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
        assert_eq!((listener.asked().len(), outcome.read("undelivered.ndjson").lines().count()), (1, 3), "{body}");
    }
}

#[test]
fn a_400_with_a_web_page_is_no_listeners_and_leaves_the_checkpoint() {
    let api = api_with(3, 10);
    let listener =
        MockListener::answering(|_, _| Reply::status(400, "<html>plain HTTP was sent to an HTTPS port</html>"));
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    assert_eq!(outcome.read("last_start_dates.txt") + &outcome.read("undelivered.ndjson"), "");
    outcome.assert_says("plain HTTP was sent to an HTTPS port");
}

#[test]
fn a_batch_whose_bad_lines_cant_be_kept_is_not_sent_again_and_kept_as_soon_as_it_can_be() {
    let api = api_with(3, 10);
    let listener = MockListener::answering(|_, _| Reply::status(400, r#"{"malformedLines":1,"successfulLines":2}"#));
    let fetcher = Fetcher::new(&general(api.url(), listener.url(), ""));
    std::fs::create_dir(fetcher.path().join("undelivered.ndjson")).unwrap();
    let running = fetcher.start();
    running.wait_for_log("can't be kept in undelivered.ndjson", 2);
    assert_eq!(running.read("last_start_dates.txt"), "");
    std::fs::remove_dir(running.folder().join("undelivered.ndjson")).unwrap();
    running.wait_for_log("iteration done", 1);
    let outcome = running.stop().assert_code(0);
    assert_eq!((listener.asked().len(), outcome.read("undelivered.ndjson").lines().count()), (1, 3));
}

#[test]
fn a_400_that_refused_nothing_leaves_nothing_behind() {
    let api = api_with(3, 10);
    let listener = MockListener::answering(|_, _| {
        Reply::status(400, r#"{"malformedLines":0,"successfulLines":3,"oversizedLines":0,"emptyLogLines":1}"#)
    });
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!(outcome.read("undelivered.ndjson"), "");
}

#[test]
fn a_listener_url_may_end_in_a_slash_and_a_token_is_encoded() {
    let api = api_with(1, 10);
    let listener = MockServer::start(|asked, _| {
        let mut text = String::new();
        GzDecoder::new(asked.body.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!((asked.path.as_str(), asked.query.as_str()), ("/", "token=a%26b%20c"));
        Reply::status(200, "")
    });
    let config = general(api.url(), &format!("{}/", listener.url()), "").replace("shipping-token-1", "a&b c");
    Fetcher::new(&config).once().assert_code(0);
}

#[test]
fn a_listener_that_is_down_keeps_the_checkpoint_and_comes_back() {
    let api = api_with(2, 10);
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let running = Fetcher::new(&general(api.url(), &url, "")).start();
    running.wait_for_log("sending again", 2);
    let outcome = running.stop().assert_code(0);
    assert!(outcome.took < Duration::from_secs(10), "{:?}", outcome.took);
    assert_eq!(outcome.read("last_start_dates.txt"), "");
    outcome.assert_says("Connection refused");
}
