//! What the listener gets, and what follows each of its answers.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use flate2::read::GzDecoder;

use crate::harness::{Fetcher, MockListener, MockServer, Outcome, Reply, general, minutes_ago, page, record};

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
        assert_eq!(outcome.read("last_start_dates.txt") + &outcome.read("undelivered.ndjson"), "", "{status}");
        assert_eq!(listener.asked().len(), 3, "{status}: the batch and its halves, no retry storm");
        let expected = if status == 404 { "answered 404" } else { "refuses the token" };
        outcome.assert_says(expected).assert_says("bad");
    }
}

#[test]
fn a_listener_that_refuses_everything_gets_no_other_batch_of_this_iteration() {
    for pages in [1, 3] {
        let (api, listener) = (pages_with(pages), MockListener::answering(|_, _| Reply::status(401, "bad")));
        Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1).assert_says("refuses the token");
        assert_eq!(listener.asked().len(), 3, "{pages} pages: the first batch and its halves");
    }
}

#[test]
fn what_somebody_else_answers_with_a_success_or_a_redirect_is_not_delivered() {
    let page = "<html><body>Please sign in</body></html>";
    for reply in [
        Reply::status(200, page),
        Reply::status(200, "\u{feff}<html></html>"),
        Reply::status(200, r#"{"error":"unauthorized"}"#),
        Reply::status(202, "welcome shipping-token-1"),
        Reply::status(302, "").with("Location", "https://login.example/?t=shipping-token-1"),
        Reply::status(304, ""),
    ] {
        let (api, listener) = (
            api_with(3, 10),
            MockListener::answering({
                let reply = reply.clone();
                move |_, _| reply.clone()
            }),
        );
        let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
        assert_eq!(outcome.read("last_start_dates.txt") + &outcome.read("undelivered.ndjson"), "", "{reply:?}");
        assert_eq!(listener.asked().len(), 1, "{reply:?}: it isn't tried again");
        assert!(!outcome.everything().contains("shipping-token-1"), "{}", outcome.stderr);
        outcome.assert_says("which is no listener's answer").assert_says("logzio.acknowledge");
    }
}

#[test]
fn an_output_where_somebody_else_answers_gets_nothing_more_of_any_api_and_all_say_why() {
    let (first, second) = (api_with(3, 10), api_with(2, 10));
    let listener = MockListener::answering(|_, _| Reply::status(200, "welcome"));
    let other = format!(
        "  - {{type: general, name: others, credentials: {{id: a, key: b}}, settings: {{time_interval: 1s}}, start_date_name: since, \
         http_request: {{url: '{}/events'}}, json_paths: {{next_url: next, data: data, data_date: date}}}}\n",
        second.url()
    );
    let config = general(first.url(), listener.url(), &other).replace("time_interval: 1s", "time_interval: 0.05s");
    let running = Fetcher::new(&config).start();
    running.wait_for_log("iteration failed", 12);
    let outcome = running.stop();
    assert!(outcome.stderr.matches("200 OK: welcome").count() >= 12, "{}", outcome.stderr);
    let asked = (listener.asked().len(), listener.empty_requests());
    assert!(asked.0 <= 2 && asked.1 == 0, "{asked:?} requests; both may have been on their way at once");
    assert!(first.asked().len() + second.asked().len() <= 4, "nothing is fetched for it");
    assert_eq!(outcome.read("last_start_dates.txt"), "");
}

#[test]
fn a_relay_may_answer_in_its_own_words_where_the_config_says_so() {
    let (api, listener) = (api_with(3, 10), MockListener::answering(|_, _| Reply::status(202, r#"{"queued":3}"#)));
    let token = "token: shipping-token-1";
    let config = general(api.url(), listener.url(), "").replace(token, &format!("{token}\n  acknowledge: 2xx"));
    let outcome = Fetcher::new(&config).once().assert_code(0);
    assert!(outcome.read("last_start_dates.txt").starts_with("events: "));
    assert_eq!(listener.asked().len(), 1);
}

#[test]
fn a_success_may_hold_a_listeners_counts_or_white_space() {
    for (body, undelivered) in [
        (r#"{"malformedLines":0,"successfulLines":3,"oversizedLines":0,"emptyLogLines":0}"#, 0),
        (r#"{"malformedLines":1,"successfulLines":2,"oversizedLines":0,"emptyLogLines":0}"#, 3),
        ("\u{feff}\r\n", 0),
    ] {
        let (api, listener) = (api_with(3, 10), MockListener::answering(move |_, _| Reply::status(200, body)));
        let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
        assert_eq!(
            (outcome.read("undelivered.ndjson").lines().count(), listener.asked().len()),
            (undelivered, 1),
            "{body}"
        );
    }
}

#[test]
fn an_answer_that_is_cut_off_acknowledges_nothing() {
    let api = api_with(3, 10);
    let listener = MockListener::answering(|_, before| match before {
        0 => Reply::CutOff(Vec::new()),
        _ => Reply::status(200, ""),
    });
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0).assert_says("was cut");
    assert_eq!((listener.ids(), listener.asked().len()), (all(3), 2));
}

#[test]
fn the_start_says_that_no_listener_is_there_before_anything_is_shipped() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::answering(|_, _| Reply::status(200, "<html>sign in</html>"));
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("was asked by an empty request, and can't be used", 1);
    running.stop().assert_code(0).assert_says("200 OK: <html>sign in</html>");
    assert_eq!((listener.asked().len(), listener.empty_requests()), (0, 1));
}

/// A firewall before the listener: what holds one of these records is answered by a status.
fn firewall(status: u16, disliked: &'static [u64]) -> MockListener {
    MockListener::answering(move |text, _| match disliked.iter().any(|id| text.contains(&format!("\"id\":{id},"))) {
        true => Reply::status(status, if status == 400 { "" } else { "blocked" }),
        false => Reply::status(200, ""),
    })
}

/// The ids of the records in `undelivered.ndjson`, sorted.
fn undelivered(outcome: &Outcome) -> Vec<u64> {
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["record"]["id"].as_u64();
    let mut ids: Vec<u64> = outcome.read("undelivered.ndjson").lines().filter_map(id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_record_that_a_firewall_dislikes_is_found_and_all_others_are_delivered() {
    for (status, disliked) in
        [(403, &[42][..]), (406, &[1]), (404, &[100]), (401, &[50]), (400, &[51]), (403, &[5, 77]), (451, &[1, 2, 3])]
    {
        let (api, listener) = (api_with(100, 10), firewall(status, disliked));
        let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
        assert_eq!(undelivered(&outcome), disliked, "{status}");
        let mut ids: Vec<u64> = listener.ids();
        ids.retain(|id| !disliked.contains(id));
        assert_eq!(ids.len(), 100 - disliked.len(), "{status}: each once");
        assert!(outcome.read("last_start_dates.txt").starts_with("events: "), "{status}");
        assert_eq!(outcome.stderr.matches("records are undelivered").count(), 1, "{}", outcome.stderr);
        outcome.assert_says(&format!("refused with {status}"));
    }
}

/// An API with one more record at each request: the second one is what a firewall dislikes.
fn one_by_one() -> MockServer {
    let dates: Vec<String> = (0..3).map(|number| minutes_ago(30 - number)).collect();
    MockServer::start(move |_, before| {
        let records: Vec<String> = dates
            .iter()
            .zip(1..)
            .take(before + 1)
            .map(|(date, id)| format!(r#"{{"id":{id},"date":"{date}"}}"#))
            .collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
    })
}

#[test]
fn a_record_that_comes_alone_and_is_disliked_is_set_aside_as_the_output_takes_others() {
    let (api, listener) = (one_by_one(), firewall(403, &[2]));
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration done", 3);
    let outcome = running.stop().assert_code(0);
    assert_eq!((undelivered(&outcome), listener.ids(), listener.empty_requests()), (vec![2], vec![1, 3], 1));
}

#[test]
fn nothing_is_set_aside_when_the_token_is_withdrawn() {
    let api = one_by_one();
    let listener = MockListener::answering(|_, before| Reply::status(if before == 0 { 200 } else { 401 }, ""));
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("refuses the token", 2);
    let outcome = running.stop();
    assert_eq!(outcome.read("undelivered.ndjson"), "");
    assert_eq!(listener.ids(), [1]);
    assert!(listener.empty_requests() <= 1, "one empty request, as the acknowledgement before is used up then");
}

#[test]
fn a_400_that_no_listener_wrote_leaves_everything_where_it_is() {
    for body in
        ["Client sent an HTTP request to an HTTPS server.\n", "", "\u{feff}<html>400</html>", r#"{"message":"Bad"}"#]
    {
        let (api, listener) = (api_with(3, 10), MockListener::answering(move |_, _| Reply::status(400, body)));
        let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
        assert_eq!(outcome.read("last_start_dates.txt") + &outcome.read("undelivered.ndjson"), "", "{body}");
        outcome.assert_says("answered 400 Bad Request");
    }
}

#[test]
fn an_api_at_its_limit_of_undelivered_records_keeps_id_date_and_hash_of_the_others() {
    let (date, padding) = (minutes_ago(5), "x".repeat(480_000));
    let api = MockServer::start(move |_, before| {
        let record = |n: usize| format!(r#"{{"id":{},"date":"{date}","p":"{padding}"}}"#, before * 10 + n + 1);
        let records: Vec<String> = (0..10).map(record).collect();
        page(
            &records.iter().map(String::as_str).collect::<Vec<_>>(),
            (before < 3).then_some(["?1", "?2", "?3"][before.min(2)]),
        )
    });
    let listener = MockListener::answering(|_, _| Reply::status(413, ""));
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    let text = outcome.read("undelivered.ndjson");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let without: Vec<_> = lines.iter().filter(|line| line.get("record").is_none()).collect();
    assert_eq!((lines.len(), without.len()), (40, 6), "34 records of 480 kB are 16 MiB");
    assert!(
        without.iter().all(|line| line["id"].is_string() && line["date"].is_string() && line["sha256"].is_string())
    );
    assert!(text.len() < 17 * 1024 * 1024);
    outcome.assert_says("records are kept there by id, date and hash alone");
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
    assert_eq!((kept["output"].as_str(), kept["taken"].as_str()), (Some("logzio"), Some("no")));
    let mode = std::fs::metadata(outcome.path().join("undelivered.ndjson")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "records are for their owner's eyes alone");
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
    let outcome = running.stop().assert_says("the record is too long: ");
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
    let outcome = running.stop().assert_says("1 malformed, 0 oversized, 2 accepted");
    assert_eq!(listener.asked().len(), 1, "never sent again");
    assert_eq!(outcome.read("undelivered.ndjson").lines().count(), 3, "the whole batch, as nobody knows which line");
    assert!(outcome.read("last_start_dates.txt").starts_with("events: "));
}

#[test]
fn a_400_that_counts_less_than_the_batch_keeps_it() {
    for body in [r#"{"malformedLines":0,"successfulLines":2}"#, r#"{"oversizedLines":1}"#] {
        let (api, listener) = (api_with(3, 10), MockListener::answering(move |_, _| Reply::status(400, body)));
        let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
        assert_eq!((listener.asked().len(), outcome.read("undelivered.ndjson").lines().count()), (1, 3), "{body}");
        assert!(outcome.read("undelivered.ndjson").contains(r#""taken":"in part""#));
    }
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
    std::fs::remove_dir(running.directory().join("undelivered.ndjson")).unwrap();
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
    // Longer than any test waits: the stop ends the wait for the listener.
    let running = Fetcher::new(&general(api.url(), &url, "")).arguments(&["--grace", "10m"]).start();
    running.wait_for_log("retrying the batch", 2);
    let outcome = running.stop().assert_code(0);
    assert_eq!(outcome.read("last_start_dates.txt"), "");
    outcome.assert_says("Connection refused");
}
