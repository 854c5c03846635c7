//! `top` through a pipe: the table once, from the fetcher that runs on the directory or from the status page.

use crate::harness::{
    Fetcher, MockListener, MockServer, Outcome, Reply, general, minutes_ago, page, record, wait_until,
};

fn top(arguments: &[&str]) -> Outcome {
    Fetcher::new("").arguments(arguments).run_bare("top")
}

#[test]
fn the_table_is_printed_once_the_worst_first() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |asked, _| match asked.path.as_str() {
        "/events" => page(&[&record(1, &date)], None),
        _ => Reply::status(403, "\u{1b}[2Jno right\u{7}"),
    });
    let listener = MockListener::start();
    let second = format!(
        "  - type: general\n    name: audit\n    credentials: {{id: i, key: the-key}}\n    settings: \
         {{time_interval: 1s}}\n    start_date_name: since\n    http_request: {{url: '{}/audit'}}\n    \
         json_paths: {{next_url: next, data: data, data_date: date}}\n",
        api.url()
    );
    let config = general(api.url(), listener.url(), &second);
    // Without `status.listen` first, as `top` finds the fetcher as `health` does.
    let running = Fetcher::new(&config).start();
    let config = running.config_path();
    running.wait_for_log("iteration failed", 1);
    running.wait_for_log("iteration done", 1);
    wait_until("a table", || top(&["--config", &config]).code == Some(0));
    let outcome =
        top(&["--config", &config]).assert_code(0).assert_says("2 APIs: 1 ").assert_says("403 from 127.0.0.1");
    assert!(outcome.stdout.chars().all(|char| char == '\n' || !char.is_control()), "{:?}", outcome.stdout);
    let rows: Vec<&str> = outcome.stdout.lines().rev().take(2).collect();
    assert!(rows[0].starts_with("OK ") && rows[0].contains("events"), "{}", outcome.stdout);
    running.signal("STOP");
    top(&["--config", &config]).assert_code(1).assert_says("does not answer");
    running.signal("CONT");
    running.stop().assert_code(0);
}

#[test]
fn a_url_is_asked_instead_and_what_is_wrong_with_it_is_said_without_it() {
    let api = MockServer::start(|_, _| page(&[], None));
    let config = format!("status: {{listen: '127.0.0.1:0'}}\n{}", general(api.url(), "http://127.0.0.1:1", ""));
    let running = Fetcher::new(&config).start();
    let url = crate::status::page_of(&running, 1);
    running.wait_for_log("iteration done", 1);
    top(&["--url", &url]).assert_code(0).assert_says("1 API: 1 OK");
    running.stop().assert_code(0);
    let secret = url.replace("http://", "http://me:the-password@");
    let outcome = top(&["--url", &secret]).assert_code(1).assert_says("--url doesn't answer");
    assert!(!outcome.stderr.contains("the-password"), "{}", outcome.stderr);
    top(&["--url", api.url()]).assert_code(1).assert_says("is not a status.json");
    top(&["--url", "file:///etc/passwd"]).assert_code(2).assert_says("like http://localhost:8080");
    top(&["--config", "/nowhere/config.yaml"]).assert_code(1).assert_says("no fetcher runs on");
}
