//! How APIs are asked: authentication, pages, retries, redirects, limits.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use logzio_api_fetcher::http::{self, ClientChoice, Timeouts};
use logzio_api_fetcher::text::Redactor;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record, wait_until};

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

#[test]
fn redirects_without_an_end_are_given_up() {
    let api = MockServer::start(|_, _| Reply::status(301, "").with("Location", "/again"));
    let listener = MockListener::start().may_be_idle();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1).assert_says("redirects without an end");
    assert_eq!(api.asked().len(), 11);
}

#[test]
fn compressed_answers_are_understood() {
    let plain = r#"{"data":[{"id":1,"date":"2024-05-28T12:00:00Z"}]}"#.as_bytes();
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    // The same text, by node's `zlib.brotliCompressSync`.
    let brotli = STANDARD.decode("CxiAeyJkYXRhIjpbeyJpZCI6MSwiZGF0ZSI6IjIwMjQtMDUtMjhUMTI6MDA6MDBaIn1dfQM=").unwrap();
    for (name, body) in [("gzip", gzip), ("deflate", deflate), ("br", brotli)] {
        let api = MockServer::start(move |asked, _| {
            let accepted = asked.header("accept-encoding").unwrap();
            assert!(accepted.contains(name), "{accepted}");
            Reply::Full { status: 200, headers: vec![("Content-Encoding".into(), name.into())], body: body.clone() }
        });
        let listener = MockListener::start();
        Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
        assert_eq!(listener.ids(), [1], "{name}");
    }
}

#[test]
fn a_page_that_unpacks_to_more_than_64_mib_is_an_error() {
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let blanks = vec![b' '; 1024 * 1024];
        for _ in 0..65 {
            encoder.write_all(&blanks).unwrap();
        }
        encoder.finish().unwrap()
    };
    let api = MockServer::start(move |_, _| Reply::Full {
        status: 200,
        headers: vec![("Content-Encoding".into(), "gzip".into())],
        body: bomb.clone(),
    });
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    outcome.assert_says("more than 67108864 bytes");
    assert_eq!(api.asked().len(), 1, "a large page is not asked for again at once");
}

#[test]
fn a_page_without_content_has_no_records() {
    let api = MockServer::start(|_, _| Reply::status(204, ""));
    let listener = MockListener::start().may_be_idle();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0).assert_says("records=0");
}

#[test]
fn bytes_that_are_no_utf8_are_replaced_and_warned_of() {
    let mut body = format!(r#"{{"data":[{{"id":1,"date":"{}","text":"caf"#, minutes_ago(5)).into_bytes();
    body.extend_from_slice(b"\xe9\"}]}");
    let api = MockServer::start(move |_, _| Reply::Full { status: 200, headers: Vec::new(), body: body.clone() });
    let listener = MockListener::start();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0).assert_says("not UTF-8");
    assert!(listener.lines()[0].contains("caf\u{fffd}"));
}

/// Pages that fill no batch are read while two batches are on their way, and no further.
#[test]
fn small_pages_are_not_read_far_ahead_of_a_slow_listener() {
    const PAGES: usize = 30;
    let (date, padding) = (minutes_ago(5), "x".repeat(200_000));
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let api = MockServer::start(move |_, before| {
        counting.fetch_add(1, Ordering::SeqCst);
        let record = |n| format!(r#"{{"id":{},"date":"{date}","p":"{padding}"}}"#, before * 2 + n);
        page(&[&record(0), &record(1)], (before + 1 < PAGES).then(|| format!("?p={before}")).as_deref())
    });
    let at_second = Arc::new(AtomicUsize::new(0));
    let (noted, asked) = (Arc::clone(&at_second), Arc::clone(&asked));
    let listener = MockListener::answering(move |_, before| {
        if before == 1 {
            noted.store(asked.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        let answer = Reply::status(200, "");
        if before == 0 { Reply::Late(Duration::from_millis(1_500), Box::new(answer)) } else { answer }
    });
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!(listener.lines().len(), 2 * PAGES);
    // A batch holds five such records: three are full after eight pages. One page is in hand, and one on its way.
    let asked = at_second.load(Ordering::SeqCst);
    assert!((5..=10).contains(&asked), "{asked} of {PAGES} pages were asked for when the second batch came");
}

#[test]
fn the_next_page_is_fetched_while_this_one_ships() {
    let date = minutes_ago(5);
    let padding = "x".repeat(300_000);
    let api = MockServer::start(move |_, before| {
        let records: Vec<String> =
            (0..5).map(|n| format!(r#"{{"id":{},"date":"{date}","p":"{padding}"}}"#, before * 10 + n)).collect();
        page(
            &records.iter().map(String::as_str).collect::<Vec<_>>(),
            (before < 2).then(|| format!("?p={before}")).as_deref(),
        )
    });
    let listener = MockListener::answering(|_, before| match before {
        0 => Reply::Late(Duration::from_millis(800), Box::new(Reply::status(200, ""))),
        _ => Reply::status(200, ""),
    });
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start_command(Some("once"));
    wait_until("the first batch on its way", || listener.asked().len() == 1);
    api.wait_for_requests(2);
    assert_eq!(listener.asked().len(), 1, "the second page is asked for before the first batch is answered");
    assert_eq!(api.asked().len(), 2, "one page ahead, no more");
    running.wait().assert_code(0);
    assert_eq!(listener.lines().len(), 15);
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
