//! The command line: what each command does, prints and exits with.

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record};

#[test]
fn once_takes_one_api_by_name() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "");
    Fetcher::new(&config).arguments(&["--api", "events"]).once().assert_code(0);
    let outcome = Fetcher::new(&config).arguments(&["--api", "event"]).once();
    outcome.assert_code(2).assert_says("unknown API `event`; configured: ").assert_says("events");
    assert_eq!(listener.ids(), [1]);
}

#[test]
fn the_config_is_found_by_option_by_variable_and_by_default() {
    let directory = tempfile::tempdir().unwrap();
    let good = include_str!("../cases/config/page-oauth.yaml");
    std::fs::create_dir_all(directory.path().join("src/shared")).unwrap();
    std::fs::write(directory.path().join("src/shared/config.yaml"), good).unwrap();
    let check = |variable: Option<&str>, option: Option<&str>| {
        let mut line = std::process::Command::new(env!("CARGO_BIN_EXE_logzio-api-fetcher"));
        line.current_dir(directory.path()).arg("check").env_remove("LOGZIO_FETCHER_CONFIG");
        line.args(option.map(|path| format!("--config={path}")));
        line.envs(variable.map(|path| ("LOGZIO_FETCHER_CONFIG", path)));
        line.output().unwrap().status.code()
    };
    assert_eq!(check(None, None), Some(0));
    assert_eq!(check(Some(""), None), Some(0));
    assert_eq!(check(Some("nowhere.yaml"), None), Some(2));
    assert_eq!(check(Some("nowhere.yaml"), Some("src/shared/config.yaml")), Some(0));
}

#[test]
fn logs_are_one_event_a_line_as_text_or_json() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "");
    let outcome = Fetcher::new(&config).arguments(&["--log-format", "json", "--level", "debug"]).once().assert_code(0);
    let events: Vec<serde_json::Value> =
        outcome.stderr.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let done = events.iter().find(|event| event["message"] == "iteration done").expect("the iteration's line");
    for (key, value) in [("api", "\"events\""), ("records", "1"), ("pages", "1"), ("level", "\"INFO\"")] {
        assert_eq!(done[key].to_string(), value, "{done}");
    }
    assert!(
        done["bytes"].as_u64() > Some(10) && done["seconds"].is_number() && done["checkpoint"].is_string(),
        "{done}"
    );
    let quiet = Fetcher::new(&config).arguments(&["--level", "ERROR"]).once().assert_code(0);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn a_failure_is_one_line_with_its_cause_and_what_happens_next() {
    let api = MockServer::start(|_, _| Reply::status(404, "nothing\nhere"));
    let listener = MockListener::start().may_be_idle();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration failed", 1);
    let outcome = running.stop().assert_code(0);
    let line = outcome.stderr.lines().find(|line| line.contains("iteration failed")).unwrap();
    for part in [
        "ERROR",
        "api=\"events\"",
        "answered 404",
        "nothing here",
        "advice=",
        "see=\"docs/troubleshooting.md#not-found\"",
        "next=\"in 1 s",
        "checkpoint=\"none\"",
    ] {
        assert!(line.contains(part), "`{part}` is missing in {line}");
    }
}

#[test]
fn a_wrong_option_is_refused() {
    Fetcher::new("").arguments(&["--level", "LOUD"]).run("run").assert_code(2).assert_says("LOUD");
    Fetcher::new("").arguments(&["--grace", "soon"]).run("run").assert_code(2).assert_says("soon");
}
