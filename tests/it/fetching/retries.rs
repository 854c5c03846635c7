//! What follows a failure: another attempt, a wait, or the end; and how often a host is asked.

use std::time::Duration;

use logzio_api_fetcher::http::{self, Timeouts};
use logzio_api_fetcher::text::Redactor;

use super::ids;
use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record, wait_until};

#[test]
fn passing_failures_are_tried_again() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, before| match before {
        0 => Reply::status(503, ""),
        1 => Reply::Close,
        2 => Reply::CutOff(br#"{"data":["#.to_vec()),
        3 => Reply::status(429, "").with("Retry-After", "0"),
        _ => page(&[&record(1, &date)], None),
    });
    let listener = MockListener::start();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!((api.asked().len(), listener.ids()), (5, vec![1]));
}

#[test]
fn five_tries_are_enough() {
    let api = MockServer::start(|_, _| Reply::status(500, r#"{"error":{"code":"busy","message":"come back"}}"#));
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    outcome.assert_says("answered 500 Internal Server Error: busy: come back");
    assert_eq!(api.asked().len(), 5);
}

#[test]
fn the_wait_that_a_server_asks_for_is_kept() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, before| match before {
        0 => Reply::status(429, "").with("X-RateLimit-Reset", "2"),
        _ => page(&[&record(1, &date)], None),
    });
    let listener = MockListener::start();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    outcome.assert_says("retrying in 2").assert_took_at_least(Duration::from_secs(2));
}

#[test]
fn lasting_failures_are_not_tried_again_and_hurt_no_other_api() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |asked, _| match asked.path.as_str() {
        "/good" => page(&[&record(1, &date)], None),
        path => Reply::status(
            path.trim_start_matches('/').parse().unwrap(),
            r#"{"errors":[{"description":"no such luck"}]}"#,
        ),
    });
    let listener = MockListener::start();
    let entry = |path: &str| {
        format!(
            "  - type: general\n    name: api {path}\n    credentials: {{id: a, key: b}}\n    settings: {{time_interval: 1h}}\n    \
             start_date_name: since\n    http_request: {{url: '{}/{path}'}}\n    \
             json_paths: {{next_url: next, data: data, data_date: date}}\n",
            api.url()
        )
    };
    let entries: String = ["400", "401", "403", "404", "good"].into_iter().map(entry).collect();
    let config = format!("logzio: {{url: '{}', token: shipping-token-1}}\nauth_apis:\n{entries}", listener.url());
    let outcome = Fetcher::new(&config).once().assert_code(1).assert_says("no such luck");
    assert_eq!(outcome.stderr.matches("iteration failed").count(), 4, "{}", outcome.stderr);
    assert_eq!((api.asked().len(), listener.ids()), (5, vec![1]));
}

#[test]
fn a_stale_next_link_begins_the_window_again_and_ships_only_what_is_missing() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |asked, before| match (asked.raw_field("p"), before) {
        (None, _) => page(&[&record(1, &date)], Some("/events?p=1")),
        (_, 1) => Reply::status(400, r#"{"error":{"code":"BadRequest","message":"Invalid Skip Token"}}"#),
        _ => page(&[&record(2, &date)], None),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    listener.wait_for_lines(2);
    running.wait_for_log("iteration done", 1);
    let outcome = running.stop().assert_code(0).assert_says("Invalid Skip Token").assert_says("gone stale");
    assert_eq!(listener.ids(), ids(2));
    let starts: Vec<String> =
        api.asked().iter().filter_map(|asked| asked.raw_field("since").map(str::to_owned)).collect();
    assert!(starts.len() >= 2 && outcome.read("last_start_dates.txt").starts_with("events: "), "{starts:?}");
}

#[test]
fn whatever_may_pass_in_the_middle_of_a_chain_is_asked_again() {
    let html = || Reply::status(200, "<html><head><title>Maintenance</title></head></html>");
    let failures: [(&str, Reply); 8] = [
        ("a web page", html()),
        ("half a body", Reply::status(200, r#"{"data":[{"id":1}"#)),
        ("no body", Reply::status(200, "")),
        ("404", Reply::status(404, "")),
        ("409", Reply::status(409, "")),
        ("425", Reply::status(425, "")),
        ("a limit in words", Reply::status(403, r#"{"message":"You have exceeded a secondary rate limit."}"#)),
        ("a limit by its code", Reply::status(400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#)),
    ];
    for (name, failure) in failures {
        let date = minutes_ago(5);
        let api = MockServer::start(move |_, before| match before {
            0 => page(&[&record(1, &date)], Some("?p=2")),
            1 => failure.clone(),
            _ => page(&[&record(2, &date)], None),
        });
        let listener = MockListener::start();
        Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
        assert_eq!((listener.ids(), api.asked().len()), (ids(2), 3), "{name}");
    }
}

#[test]
fn a_web_page_is_named_with_its_title_and_asked_for_less_often_where_no_data_came() {
    let api = MockServer::start(|_, _| Reply::status(200, "<!DOCTYPE html><html><title>Sign in</title></html>"));
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    outcome.assert_says("answered with a web page \\\"Sign in\\\", not with data");
    assert_eq!(api.asked().len(), 3);
}

/// Two entries of one host, each with its path; the second with a login of its own or without.
fn two_entries(api: &MockServer, listener: &MockListener, settings: &str, second_key: &str) -> String {
    let config = general(api.url(), listener.url(), "").replace("days_back_fetch: 5", settings);
    let (_, entry) = config.split_once("auth_apis:\n").expect("a list");
    let second = entry.replace("name: events", "name: others").replace("/events'", "/others'");
    format!("{config}{}", second.replace("the-basic-key", second_key))
}

#[test]
fn a_wait_that_one_entry_is_told_is_one_for_all_with_its_host_and_login() {
    for (second_key, others) in [("the-basic-key", 0), ("another-key", 1)] {
        let api = MockServer::start(|asked, _| match asked.path.as_str() {
            "/events" => Reply::status(429, "").with("Retry-After", "250"),
            _ => page(&[], None),
        });
        let listener = MockListener::start().may_be_idle();
        // The second begins when the first has its answer.
        let config = two_entries(&api, &listener, "days_back_fetch: 5", second_key);
        let (first, second) = config.split_once("  - type: general\n    name: others").expect("two entries");
        // A third, with yet another key and as often, tells when the second has had its time.
        let third = second.replace(second_key, "a-third-key").replace("/others'", "/thirds'");
        let running = Fetcher::new(first).start();
        running.wait_for_log("retrying in 250", 1);
        std::fs::write(
            running.config_path(),
            format!("{first}  - type: general\n    name: others{second}  - type: general\n    name: thirds{third}"),
        )
        .unwrap();
        running.signal("HUP");
        running.wait_for_log("config reloaded", 1);
        let asked_for = |path: &str| api.asked().iter().filter(|asked| asked.path == path).count();
        wait_until("the third entry's iterations", || asked_for("/thirds") >= 3);
        running.stop().assert_code(0);
        let asked = asked_for("/others");
        assert!((asked > 0) == (others > 0), "{second_key}: {asked}");
    }
}

#[test]
fn the_rate_of_one_entry_is_one_for_all_with_its_host_and_login() {
    let api = MockServer::start(|_, before| page(&[], (before < 4).then(|| format!("?p={before}")).as_deref()));
    let listener = MockListener::start().may_be_idle();
    let config = two_entries(&api, &listener, "days_back_fetch: 5", "the-basic-key");
    let outcome = Fetcher::new(&config.replacen("days_back_fetch: 5", "rate_limit: 3/s", 1)).once().assert_code(0);
    let asked = api.asked().len();
    assert!(asked >= 6, "{asked}");
    // Three at once, and three more in each second that follows.
    let seconds = u64::try_from((asked - 1) / 3).unwrap();
    outcome.assert_took_at_least(Duration::from_secs(seconds));
}

#[test]
fn the_limit_of_an_apis_silence_is_the_entrys_own_and_named() {
    let api = MockServer::start(|_, before| match before {
        0 => Reply::Hang,
        1 => Reply::Stall(br#"{"data":["#.to_vec()),
        _ => Reply::Late(Duration::from_millis(50), Box::new(page(&[], None))),
    });
    let listener = MockListener::start().may_be_idle();
    let config = general(api.url(), listener.url(), "").replace("/events'}", "/events', timeout: 0.3s}");
    let outcome = Fetcher::new(&config).once().assert_code(0);
    assert_eq!(outcome.stderr.matches("nothing came for 0.3 s, the limit that http_request.timeout sets").count(), 2);
}

#[test]
fn everything_in_hand_is_shipped_before_a_long_wait() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[&record(1, &date)], Some("?p=2")),
        _ => Reply::status(429, "").with("Retry-After", "250"),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    listener.wait_for_lines(1);
    running.stop().assert_code(0).assert_says("retrying in 250");
    assert_eq!(api.asked().len(), 2);
}

#[test]
fn a_single_run_waits_a_minute_at_most_and_a_daemon_five_and_both_say_until_when() {
    for (command, wait) in [(Some("once"), "61"), (None, "301")] {
        let api = MockServer::start(move |asked, _| match asked.path.as_str() {
            "/events" => Reply::status(429, "").with("Retry-After", wait),
            _ => page(&[], None),
        });
        let listener = MockListener::start().may_be_idle();
        // The second has a login of its own, and so doesn't wait.
        let config = two_entries(&api, &listener, "days_back_fetch: 5", "another-key").replace("1s", "0.05s");
        let running = Fetcher::new(&config).start_command(command);
        running.wait_for_log("asked to wait until 20", 1);
        let asked_for = |path: &str| api.asked().iter().filter(|asked| asked.path == path).count();
        if command.is_none() {
            // Twenty intervals: it isn't asked before that time.
            wait_until("twenty intervals", || asked_for("/others") >= 20);
            assert_eq!(running.log().matches("waiting, as the API asks").count(), 1);
        }
        let outcome = if command.is_some() { running.wait().assert_code(1) } else { running.stop().assert_code(0) };
        assert_eq!(asked_for("/events"), 1, "{}", outcome.stderr);
    }
}

#[tokio::test]
async fn silence_has_an_end() {
    let api = MockServer::start(|_, _| Reply::Hang);
    let short = Duration::from_millis(100);
    for timeouts in [Timeouts { idle: short, ..Timeouts::default() }, Timeouts { whole: short, ..Timeouts::default() }]
    {
        let client = http::client(&[], timeouts).unwrap();
        let error = client.get(api.url()).send().await.expect_err("nobody answers");
        assert_eq!(http::cause(&error, &Redactor::default()), "it took too long");
    }
    let usual = Timeouts::default();
    assert_eq!([usual.connect, usual.idle].map(|limit| limit.as_secs()), [10, 60]);
}
