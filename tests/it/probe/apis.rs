//! `probe`: one page of each API, and what the config makes of it.

use chrono::{DateTime, TimeDelta, Utc};

use super::{body, probe};
use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, decoded, general, record};

/// Events in whole seconds, newest first.
fn recent(count: u64) -> Vec<DateTime<Utc>> {
    (0..count).map(super::recent).collect()
}

fn text(date: &DateTime<Utc>) -> String {
    date.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// The start date that was asked for.
fn since(asked: &Asked) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(&decoded(asked.raw_field("since").expect("a start date"))).unwrap().to_utc()
}

/// An API that keeps those of its events that the start date lets through.
fn api(dates: Vec<DateTime<Utc>>, keeps: fn(DateTime<Utc>, DateTime<Utc>) -> bool) -> MockServer {
    MockServer::start(move |asked, _| {
        let since = since(asked);
        let kept = dates.iter().enumerate().filter(|(_, date)| keeps(**date, since));
        let records: Vec<String> = kept.map(|(id, date)| record(id as u64, &text(date))).collect();
        body(&records, None)
    })
}

#[test]
fn a_good_api_is_described_with_a_sample_that_shows_no_values() {
    let dates = recent(3);
    let (newest, oldest) = (text(&dates[0]), text(&dates[2]));
    let api = MockServer::start(move |asked, _| {
        let kept = dates.iter().enumerate().filter(|(_, date)| **date >= since(asked));
        let records: Vec<String> = kept
            .map(|(id, date)| {
                format!(r#"{{"id":{id},"date":"{}","user":"jo@example.com","n":[4711,2],"ok":true}}"#, text(date))
            })
            .collect();
        body(&records, Some("/events?page=2&token=next-page-token"))
    });
    let config = general(api.url(), "http://127.0.0.1:1", "").replace("data_date: date", "data_date: date, id: id");
    let outcome = probe(&config).assert_code(0);
    for part in [
        "answer   200 OK in ".to_owned(),
        "data     `data`: 3 records".to_owned(),
        "date     `date`: 3 of 3 records have a readable date, newest first".to_owned(),
        format!("oldest {oldest}, newest {newest}"),
        "id       `id`: 3 of 3 records have one, all different".to_owned(),
        format!("next     `next`: found, on the same origin: {}/events\n", api.url()),
        "start    `since` is honoured, and inclusive".to_owned(),
        "\"user\": ‹text, 14 characters›".to_owned(),
        "\"n\": [‹number›, and 1 more]".to_owned(),
        format!("\"date\": \"{newest}\""),
        "1 API asked, all well; nothing was shipped, nothing was saved".to_owned(),
    ] {
        assert!(outcome.stdout.contains(&part), "`{part}` is missing in\n{}", outcome.stdout);
    }
    for hidden in ["jo@example.com", "4711", "next-page-token", "page=2"] {
        assert!(!outcome.stdout.contains(hidden), "{}", outcome.stdout);
    }
    assert_eq!(api.asked().len(), 3, "one page, one from the middle of it on, and the first again");
}

#[test]
fn a_wrong_data_path_is_answered_by_the_right_one() {
    let api = MockServer::start(|_, _| {
        let records: Vec<String> = recent(3).iter().map(|date| format!(r#"{{"at":"{}"}}"#, text(date))).collect();
        let records = records.join(",");
        Reply::json(&format!(
            r#"{{"facets":[{{"n":1}},{{"n":2}},{{"n":3}},{{"n":4}}],"the result":{{"rows":[{records}]}}}}"#
        ))
    });
    let outcome = probe(&general(api.url(), "http://127.0.0.1:1", "")).assert_code(1);
    let outcome =
        outcome.assert_says("! data     json path `data` finds nothing; the keys there are: facets, the result");
    let right = "data: '''the result''.rows'";
    let outcome = outcome.assert_says(right).assert_says("# 3 records with dates");
    // The line can be pasted as it is.
    let mended = general(api.url(), "http://127.0.0.1:1", "")
        .replace("data: data, data_date: date", &format!("{right}, data_date: at"));
    assert!(!outcome.stdout.contains("data: facets"), "longer, but without dates\n{}", outcome.stdout);
    probe(&mended).assert_says("3 records").assert_says("3 of 3 records have a readable date");
}

#[test]
fn a_wrong_date_path_is_answered_by_the_likeliest_ones() {
    let api = MockServer::start(|_, _| {
        let records: Vec<String> = recent(3)
            .iter()
            .map(|date| format!(r#"{{"size":12,"updated_at":"{0}","event":{{"created":"{0}"}}}}"#, text(date)))
            .collect();
        body(&records, None)
    });
    let outcome = probe(&general(api.url(), "http://127.0.0.1:1", "")).assert_code(1);
    let outcome = outcome
        .assert_says(
            "! date     `date`: no record has a readable date there; the keys there are: size, updated_at, event",
        )
        .assert_says("3 of 3 records have a date here");
    let at =
        |path: &str| outcome.stdout.find(&format!("data_date: {path}")).unwrap_or_else(|| panic!("{}", outcome.stdout));
    assert!(
        at("event.created") < at("updated_at") && !outcome.stdout.contains("data_date: size"),
        "{}",
        outcome.stdout
    );
}

/// Any number passes for UNIX time; the fetcher would take it for one.
#[test]
fn a_number_that_is_no_date_is_told_from_one_where_there_is_a_better() {
    let api = MockServer::start(|_, _| {
        let records: Vec<String> =
            recent(3).iter().map(|date| format!(r#"{{"date":86402,"created_at":"{}"}}"#, text(date))).collect();
        body(&records, None)
    });
    let outcome = probe(&general(api.url(), "http://127.0.0.1:1", "")).assert_code(1);
    outcome
        .assert_says("! date     `date`: a number that makes dates from 1970-01-02T00:00:02Z")
        .assert_says("data_date: created_at");
}

#[test]
fn a_wrong_next_path_is_answered_by_the_right_one() {
    let api = MockServer::start(|_, _| {
        let records = recent(2).iter().map(|date| record(1, &text(date))).collect::<Vec<_>>().join(",");
        let links = r#"{"self":"/events","prev":"/events?p=0","next":"/events?p=2"}"#;
        Reply::json(&format!(r#"{{"data":[{records}],"meta":{{"links":{links}}}}}"#))
    });
    let config = general(api.url(), "http://127.0.0.1:1", "");
    let outcome = probe(&config).assert_code(1);
    let outcome = outcome.assert_says("! next     `next` finds nothing, but something else looks like a next link");
    let outcome = outcome.assert_says("next_url: meta.links.next");
    assert!(!outcome.stdout.contains("links.self") && !outcome.stdout.contains("links.prev"), "{}", outcome.stdout);
    probe(&config.replace("next_url: next, ", "")).assert_code(1).assert_says("next_url: meta.links.next");
    let mended = config.replace("next_url: next, ", "next_url: meta.links.next, ");
    probe(&mended).assert_says("found, on the same origin");
}

#[test]
fn what_leads_to_the_next_page_is_named_with_the_lines_that_follow_it() {
    let one = record(1, &text(&recent(1)[0]));
    let page = |more: &str| Reply::json(&format!(r#"{{"data":[{one}]{more}}}"#));
    for (reply, said, proposed) in [
        (
            page("").with("Link", "</events?page=2>; rel=\"next\""),
            "the header `Link` names the next page",
            "json_paths: {next_url: header.Link}",
        ),
        (
            page(r#","next_cursor":"abc""#),
            "`next_cursor` looks like a token (cursor) for the next page",
            "filters: {cursor: '{next_token}'}",
        ),
        (
            page(r#","meta":{"page":1,"total_pages":3}"#),
            "`meta.page` is a page number, with `meta.total_pages`",
            "filters: {page: '{page}'}",
        ),
        (page(r#","next_page":2"#), "`next_page` is a page number", "filters: {page: '{page}'}"),
        (page(r#","offset":0,"total":12"#), "`offset` is an offset, with `total`", "filters: {offset: '{offset}'}"),
    ] {
        let api = MockServer::start(move |_, _| reply.clone());
        let config = general(api.url(), "http://127.0.0.1:1", "");
        for config in [config.replace("next_url: next, ", ""), config] {
            probe(&config)
                .assert_code(1)
                .assert_says(&format!("! next     {said}"))
                .assert_says("this would follow it:")
                .assert_says(proposed);
        }
    }
}

#[test]
fn a_next_link_to_another_origin_is_refused_as_the_fetcher_refuses_it() {
    let api = MockServer::start(|_, _| {
        body(&[record(1, &text(&recent(1)[0]))], Some("https://elsewhere.example/events?key=secret-of-the-api"))
    });
    let outcome = probe(&general(api.url(), "http://127.0.0.1:1", "")).assert_code(1);
    let outcome = outcome.assert_says("! next     `next`: the next link leads to https://elsewhere.example");
    assert!(!outcome.stdout.contains("secret-of-the-api"), "{}", outcome.stdout);
}

#[test]
fn a_start_date_that_is_ignored_is_told() {
    let outcome = probe(&general(api(recent(4), |_, _| true).url(), "http://127.0.0.1:1", "")).assert_code(0);
    outcome
        .assert_says("start    `since` is ignored")
        .assert_says("of 4 records are older")
        .assert_says("check start_date_name");
}

#[test]
fn an_exclusive_start_is_told() {
    let api = api(recent(4), |date, since| date > since);
    let outcome = probe(&general(api.url(), "http://127.0.0.1:1", "")).assert_code(0);
    outcome.assert_says("`since` is honoured, but exclusive").assert_says("set settings.overlap, like 1m");
}

#[test]
fn an_api_that_moves_on_in_between_leaves_it_open_whether_a_start_is_honoured() {
    // It ignores the start date; each answer has later events alone.
    let api = MockServer::start(|_, before| {
        let shift = TimeDelta::minutes(20 * before as i64);
        let records: Vec<String> = recent(3).iter().map(|date| record(1, &text(&(*date + shift)))).collect();
        body(&records, None)
    });
    let outcome = probe(&general(api.url(), "http://127.0.0.1:1", "")).assert_code(0);
    assert!(!outcome.stdout.contains("honoured"), "{}", outcome.stdout);
    outcome.assert_says("it can't be told from chance");
}

#[test]
fn a_start_date_that_is_taken_for_something_else_is_wrong() {
    let api = MockServer::start(|_, before| {
        let records: Vec<String> = recent(3).iter().map(|date| record(1, &text(date))).collect();
        body(if before == 0 { &records } else { &[] }, None)
    });
    let outcome = probe(&general(api.url(), "http://127.0.0.1:1", "")).assert_code(1);
    outcome.assert_says("! start    `since`: asked from ").assert_says("nothing came, though there are later records");
}

#[test]
fn dates_with_fractions_leave_it_open_whether_a_start_is_inclusive() {
    let dates = recent(3).into_iter().map(|date| date + TimeDelta::milliseconds(250)).collect();
    let api = api(dates, |date, since| date >= since);
    let outcome = probe(&general(api.url(), "http://127.0.0.1:1", "")).assert_code(0);
    outcome.assert_says("`since` is honoured: asked from").assert_says("whether it is inclusive can't be told");
}

#[test]
fn one_record_tells_nothing_of_a_start_and_no_record_is_no_fault() {
    let one = api(recent(1), |date, since| date >= since);
    let outcome = probe(&general(one.url(), "http://127.0.0.1:1", "")).assert_code(0);
    outcome
        .assert_says("whose order can't be told")
        .assert_says("can't be told, as fewer than two records have a date");
    let none = api(Vec::new(), |_, _| true);
    let outcome = probe(&general(none.url(), "http://127.0.0.1:1", "")).assert_code(0);
    outcome.assert_says("`data`: no records since");
    let no_content = MockServer::start(|_, _| Reply::status(204, ""));
    probe(&general(no_content.url(), "http://127.0.0.1:1", ""))
        .assert_code(0)
        .assert_says("no content, so no records since");
}

fn oauth(api: &str) -> String {
    format!(
        "logzio: {{url: 'http://127.0.0.1:1', token: shipping-token-1}}\noauth_apis:\n- type: general\n  name: o\n  \
         credentials: {{id: the-client, key: the-client-secret}}\n  token_http_request: {{url: '{api}/token'}}\n  \
         http_request: {{url: '{api}/data'}}\n  start_date_name: since\n  \
         json_paths: {{data: data, data_date: date, next_url: next}}\n  settings: {{time_interval: 1}}\n"
    )
}

#[test]
fn a_token_is_asked_for_once_and_its_time_is_told() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/token" => Reply::json(r#"{"access_token":"the-access-token","expires_in":"30"}"#),
        _ => {
            assert_eq!(asked.header("authorization"), Some("Bearer the-access-token"));
            let kept: Vec<_> = recent(3).into_iter().filter(|date| *date >= since(asked)).collect();
            body(&kept.iter().map(|date| record(1, &text(date))).collect::<Vec<_>>(), None)
        }
    });
    let outcome = probe(&oauth(api.url())).assert_code(0);
    outcome.assert_says("token    200 OK in ").assert_says("it lasts 30 s").assert_says("`since` is honoured");
    assert_eq!(api.asked().len(), 4, "one token, three pages, though the token is about to end");
}

#[test]
fn a_failure_says_what_to_do_and_is_tried_once() {
    let cases: [(Reply, &[&str]); 7] = [
        (
            Reply::status(401, r#"{"errors":[{"description":"Unknown user"}]}"#),
            &["answered 401 Unauthorized: Unknown user", "check credentials.id and credentials.key"],
        ),
        (Reply::status(403, ""), &["answered 403", "check the permissions of the account"]),
        (Reply::status(404, ""), &["answered 404", "nothing is there: check http_request.url"]),
        (Reply::status(400, "Minimum allowed time is 2024-01-01"), &["answered 400", "lower settings.days_back_fetch"]),
        (Reply::status(429, "").with("Retry-After", "17"), &["answered 429", "try again in 17 s"]),
        (Reply::json("<html>login</html>"), &["the answer is a web page, not JSON: check http_request.url"]),
        (Reply::CutOff(b"{}".to_vec()), &["gave no complete answer"]),
    ];
    for (reply, parts) in cases {
        let api = MockServer::start(move |_, _| reply.clone());
        let mut outcome =
            probe(&general(api.url(), "http://127.0.0.1:1", "")).assert_code(1).assert_says("marked with !");
        for part in parts {
            outcome = outcome.assert_says(part);
        }
        assert_eq!(api.asked().len(), 1, "{}", outcome.stdout);
    }
    let outcome = probe(&general("http://127.0.0.1:1", "http://127.0.0.1:1", "")).assert_code(1);
    outcome.assert_says("connection refused").assert_says("nobody listens there: check host and port");
    let api = MockServer::start(|_, _| Reply::status(401, r#"{"error":"invalid_client"}"#));
    let outcome = probe(&oauth(api.url())).assert_code(1).assert_says("! token    no access token:");
    outcome.assert_says("invalid_client").assert_says("check credentials.id and credentials.key");
}

#[test]
fn every_api_is_asked_whatever_became_of_the_others_and_reported_in_the_order_of_the_config() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/a" => Reply::Late(std::time::Duration::from_millis(300), Box::new(Reply::status(500, ""))),
        _ => body(&[record(1, &text(&recent(1)[0]))], None),
    });
    let entry = |name: &str| {
        format!(
            "- type: general\n  name: {name}\n  credentials: {{id: the-id, key: the-key}}\n  settings: {{time_interval: 1}}\n  \
             start_date_name: since\n  http_request: {{url: '{}/{name}'}}\n  \
             json_paths: {{next_url: next, data: data, data_date: date}}\n",
            api.url()
        )
    };
    let entries: String = ["a", "b", "c", "d", "e", "f"].map(entry).concat();
    let config = format!("logzio: {{url: 'http://127.0.0.1:1', token: shipping-token-1}}\nauth_apis:\n{entries}");
    let outcome = probe(&config).assert_code(1).assert_says("6 APIs asked, 1 with something wrong");
    let places: Vec<_> =
        ["a: ", "b: ", "c: ", "d: ", "e: ", "f: "].map(|name| outcome.stdout.find(&format!("{name}http"))).to_vec();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{}", outcome.stdout);
    let one = Fetcher::new(&config).arguments(&["--api", "b"]).run("probe").assert_code(0).assert_says("1 API asked");
    assert!(!one.stdout.contains("c: http"), "{}", one.stdout);
    Fetcher::new(&config)
        .arguments(&["--api", "z"])
        .run("probe")
        .assert_code(2)
        .assert_says("unknown API `z`; configured: a, b");
}

#[test]
fn a_faulty_config_is_told_as_once_tells_it() {
    let outcome = probe("logzio: {url: 'https://<<HOST>>', token: t}\nauth_apis:\n- type: genral\n").assert_code(2);
    outcome
        .assert_says("invalid config")
        .assert_says("the placeholder <<HOST>> is still there")
        .assert_says("unknown type `genral`");
}

#[test]
fn nothing_is_written_and_the_listener_is_never_asked_while_a_fetcher_runs_or_not() {
    let api = MockServer::start(|_, _| body(&[record(1, &text(&recent(1)[0]))], None));
    let listener = MockListener::start().may_be_idle();
    let config = general(api.url(), listener.url(), "").replace("time_interval: 1s", "time_interval: 1h");
    let files = |outcome: &crate::harness::Outcome| {
        let mut names: Vec<_> =
            std::fs::read_dir(outcome.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let outcome = probe(&config).assert_code(0);
    assert_eq!(files(&outcome), ["config.yaml", "stderr", "stdout"]);
    assert_eq!(listener.asked().len(), 0);

    let running = Fetcher::new(&config).start();
    running.wait_for_log("iteration done", 1);
    let names = |directory: &std::path::Path| {
        let about = |entry: std::fs::DirEntry| {
            let about = entry.metadata().unwrap();
            (entry.file_name(), about.len(), about.modified().unwrap())
        };
        let mut all: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| about(entry.unwrap())).collect();
        all.sort();
        all
    };
    let (before, shipped) = (names(&running.directory()), listener.asked().len());
    Fetcher::new("")
        .arguments(&["--config", &running.config_path()])
        .run_bare("probe")
        .assert_code(0)
        .assert_says("all well");
    assert_eq!(names(&running.directory()), before);
    assert_eq!(listener.asked().len(), shipped);
    running.stop().assert_code(0);
}

#[test]
fn a_signal_ends_it_at_once() {
    let api = MockServer::start(|_, _| Reply::Hang);
    // The API hangs for longer than any test waits.
    let config = general(api.url(), "http://127.0.0.1:1", "").replace("/events'}", "/events', timeout: 5m}");
    let running = Fetcher::new(&config).start_command(Some("probe"));
    api.wait_for_requests(1);
    running.signal("INT");
    running.wait().assert_code(1);
}

#[test]
fn no_secret_is_seen_whatever_the_api_echoes() {
    const SECRETS: [&str; 6] = [
        "the-client",
        "the-client-secret",
        "the-access-token",
        "shipping-token-1",
        "the-header-secret",
        "the-query-key",
    ];
    let echo = |asked: &Asked| {
        let all = format!("{asked:?} {}", asked.text());
        serde_json::Value::from(format!("{all} shipping-token-1"))
    };
    // In values, in keys, in dates, in links, in errors; where the paths find something, and where they don't.
    let page = move |asked: &Asked, name: &str| {
        let (text, date) = (echo(asked), text(&recent(1)[0]));
        format!(
            r#"{{"{name}":[{{{text}:1,"date":"{date}","the-access-token":"{date}","v":{text}}},{{"the-client-secret":{{"date":"{date}"}},"date":"{date}"}}],
            "next":"/the-access-token?k=the-query-key","the-header-secret":{{"next":"/x?the-query-key"}},"list the-access-token":[{{"date":"{date}"}}]}}"#
        )
    };
    for case in 0..5 {
        let api = MockServer::start(move |asked, before| match (asked.path.as_str(), case) {
            ("/token", 4) => Reply::status(400, &format!(r#"{{"error":{}}}"#, echo(asked))),
            ("/token", _) => Reply::json(r#"{"access_token":"the-access-token","expires_in":3599}"#),
            (_, 0) => Reply::json(&page(asked, "data")),
            (_, 1) => Reply::json(&page(asked, "elsewhere")),
            (_, 2) if before == 1 => Reply::json(&page(asked, "data").replace("\"date\"", "\"day\"")),
            (_, 3) => Reply::status(403, &echo(asked).to_string()),
            _ => Reply::status(302, "").with("Location", "http://the-query-key.example/the-access-token"),
        });
        let config = oauth(api.url()).replace("/data'}", "/data', headers: {X-Key: the-header-secret}}")
            + "  filters: {api_key: the-query-key}\n";
        let outcome = Fetcher::new(&config).arguments(&["--level", "DEBUG"]).run("probe");
        let everything = outcome.everything();
        for secret in SECRETS {
            assert!(!everything.contains(secret), "case {case}: `{secret}` is in\n{everything}");
        }
        assert!(everything.contains("asked"), "case {case}: {everything}");
    }
}

/// A key that is named is cut at some length, and so would be the secret in it.
#[test]
fn no_piece_of_a_secret_is_left_where_a_key_is_cut() {
    let secret = "a-very-long-basic-key-that-is-cut-somewhere-in-its-middle";
    for page in [format!(r#"{{"{secret}":1}}"#), format!(r#"{{"data":[{{"got {secret}":1}}]}}"#)] {
        let api = MockServer::start(move |_, _| Reply::json(&page));
        let config = general(api.url(), "http://127.0.0.1:1", "").replace("the-basic-key", secret);
        let outcome = probe(&config).assert_code(1);
        assert!(!outcome.everything().contains("a-very-long"), "{}", outcome.stdout);
    }
}

/// What is hostile in a page ends in no panic, no endless work and no control character on the terminal.
#[test]
fn a_hostile_page_is_survived() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let keys: String = (0..50_000).map(|at| format!("\"k{at}\":\"2024-05-28T10:00:00Z\",")).collect();
    let wide = format!("{{\"data\":[{{{keys}\"z\":1}},{{{keys}\"z\":2}}]}}");
    let escapes = r#"{"\u001b[31m":[{"\u001b]0;x\u0007":"2024-05-28"}],"data":[{"\u001b[2J":"2024-05-28T10:00:00Z"}]}"#
        .to_owned();
    for page in [
        deep.clone(),
        format!("{{\"data\":[{{\"date\":{deep}}}]}}"),
        wide,
        escapes,
        "[]".to_owned(),
        "null".to_owned(),
        "\"x\"".to_owned(),
    ] {
        let api = MockServer::start(move |_, _| Reply::json(&page));
        let running = Fetcher::new(&general(api.url(), "http://127.0.0.1:1", "")).start_command(Some("probe"));
        let outcome = running.wait();
        assert!(matches!(outcome.code, Some(0 | 1)), "{:?}: {}", outcome.code, outcome.stderr);
        assert!(!outcome.stderr.contains("a bug"), "{}", outcome.stderr);
        assert!(!outcome.stdout.contains('\u{1b}') && outcome.stdout.contains("1 API asked"), "{:?}", outcome.stdout);
        assert!(outcome.stdout.len() < 20_000, "{} bytes", outcome.stdout.len());
    }
}
