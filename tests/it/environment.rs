//! What the environment may do to a fetcher: its proxies, its credentials, its neighbours on the machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record};

fn quiet_api() -> MockServer {
    MockServer::start(|_, _| page(&[], None))
}

#[test]
fn a_proxy_variable_that_is_not_understood_keeps_credentials_from_going_directly() {
    let api = quiet_api().may_be_idle();
    let config = general(api.url(), "http://127.0.0.1:1", "");
    for value in [
        " http://127.0.0.1:9",
        "\"http://127.0.0.1:9\"",
        "http://CORP\\user:pw@127.0.0.1:9",
        "http://u:p^w@127.0.0.1:9",
    ] {
        for (command, variable) in
            [("once", "HTTP_PROXY"), ("probe", "http_proxy"), ("run", "ALL_PROXY"), ("probe", "https_proxy")]
        {
            let outcome = Fetcher::new(&config).variable(variable, value).run(command).assert_code(2);
            let outcome = outcome.assert_says(&format!("the environment variable {variable} can't be used"));
            assert!(!outcome.stderr.contains("127.0.0.1:9") && !outcome.stderr.contains("CORP"), "{}", outcome.stderr);
        }
    }
    assert!(api.asked().is_empty());
}

#[test]
fn a_proxy_that_cannot_be_reached_is_named_and_not_the_api() {
    let api = quiet_api().may_be_idle();
    let asked = |api: &str, proxy: &str| {
        let config = general(api, "http://127.0.0.1:1", "");
        Fetcher::new(&config).variable("ALL_PROXY", proxy).run("probe").assert_code(1)
    };
    for url in [api.url(), "https://127.0.0.1:2"] {
        let outcome = asked(url, "http://user:hunter2@127.0.0.1:1\n");
        assert!(!outcome.stdout.contains("hunter2"), "{}", outcome.stdout);
        outcome
            .assert_says("the proxy 127.0.0.1:1 can't be used: Connection refused")
            .assert_says("check the environment: HTTP_PROXY");
    }
    let refusing = MockServer::start(|asked, _| match asked.method.as_str() {
        "CONNECT" => Reply::status(403, "no"),
        _ => Reply::status(407, "who are you"),
    });
    asked("https://127.0.0.1:2", refusing.url())
        .assert_says(&format!("the proxy {} can't be used", refusing.url().trim_start_matches("http://")));
    assert!(api.asked().is_empty());
}

#[test]
fn whoever_is_to_be_asked_directly_is_whatever_names_it() {
    for no_proxy in ["*", "127.0.0.1", "127.0.0.0/8", "example.com,*"] {
        let api = quiet_api();
        let named = api.url().replace("127.0.0.1", "localhost");
        for url in if no_proxy.contains('*') { vec![api.url(), &named] } else { vec![api.url()] } {
            let fetcher = Fetcher::new(&general(url, "http://127.0.0.1:1", ""));
            let fetcher = fetcher.variable("HTTP_PROXY", "http://127.0.0.1:1").variable("NO_PROXY", no_proxy);
            fetcher.run("once").assert_code(0);
        }
    }
}

/// As `echo`, editors, PowerShell and YAML's blocks leave them.
#[test]
fn the_line_break_at_the_end_of_a_credential_goes_and_any_other_is_refused() {
    for (key, variable) in
        [("'${K}'", "s3cret\n"), ("'${K}'", "s3cret\r\n"), ("\"s3cret\\n\"", ""), ("'${file:key}'", "")]
    {
        let api = quiet_api();
        let config = general(api.url(), "http://127.0.0.1:1", "").replace("the-basic-key", key);
        let fetcher = Fetcher::new(&config).file("key", "\u{feff}s3cret\r\n").variable("K", variable);
        fetcher.once().assert_code(0);
        let sent = format!("Basic {}", STANDARD.encode("the-id:s3cret"));
        assert_eq!(api.asked()[0].header("authorization"), Some(sent.as_str()), "{key}");
    }
    let oauth = "logzio: {url: 'http://127.0.0.1:1', token: tok}
oauth_apis:
- type: general
  name: a
  credentials: {id: the-id, key: the-key}
  token_http_request: {url: 'http://127.0.0.1:1/token', body: {client_secret: the-secret}}
  http_request: {url: 'http://127.0.0.1:1/a'}
  start_date_name: since
  settings: {time_interval: 1}
  json_paths: {data: data, data_date: date, next_url: next}
";
    for (value, path) in [
        ("the-key", "oauth_apis[0].credentials.key"),
        ("the-id", "oauth_apis[0].credentials.id"),
        ("tok}", "logzio.token"),
        ("the-secret", "oauth_apis[0].token_http_request.body.client_secret"),
    ] {
        let end = if value.ends_with('}') { "}" } else { "" };
        let outcome = Fetcher::new(&oauth.replace(value, &format!("\"s3c\\nret\"{end}"))).run("check").assert_code(2);
        let outcome = outcome.assert_says(&format!("{path}: it holds a line break or another control character"));
        assert!(!outcome.stdout.contains("s3c"), "{}", outcome.stdout);
    }
}

#[test]
fn a_file_of_certificates_that_never_ends_or_never_begins_is_refused() {
    for file in ["/dev/zero", "pipe", "."] {
        let fetcher = Fetcher::new(&format!(
            "{}tls: {{ca_file: {file}}}\n",
            general("http://127.0.0.1:1", "http://127.0.0.1:1", "")
        ));
        let made = std::process::Command::new("mkfifo").arg(fetcher.path().join("pipe")).status();
        assert!(made.unwrap().success());
        let outcome = fetcher.run("check").assert_code(2).assert_says("is not a regular file");
        std::fs::remove_file(outcome.path().join("pipe")).unwrap();
    }
    let config = format!("{}tls: {{ca_file: ca.pem}}\n", general("http://127.0.0.1:1", "http://127.0.0.1:1", ""));
    let outcome = Fetcher::new(&config)
        .file("ca.pem", "-----BEGIN s3cret-----\n-----BEGIN CERTIFICATE-----\ns3cret")
        .run("check");
    assert!(!outcome.assert_code(2).stdout.contains("s3cret"));
}

fn rights(directory: &Path, name: &str) -> u32 {
    std::fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_holds_records_or_state_is_for_its_owner_alone() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    let files = [".logzio-api-fetcher.lock", ".logzio-api-fetcher.store", "last_start_dates.txt"];
    for name in files {
        assert_eq!(rights(outcome.path(), name), 0o600, "{name}");
        // As earlier versions left them, or as the user wants it.
        std::fs::set_permissions(outcome.path().join(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    outcome.write("undelivered.ndjson", "");
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(files.map(|name| rights(outcome.path(), name)), [0o600, 0o600, 0o644]);
    assert_eq!(rights(outcome.path(), "undelivered.ndjson"), 0o600);
}

#[test]
fn a_second_fetcher_is_refused_though_the_lock_file_was_removed() {
    let api = quiet_api();
    let running = Fetcher::new(&general(api.url(), "http://127.0.0.1:1", "")).start();
    running.wait_for_log("iteration done", 1);
    std::fs::remove_file(running.directory().join(".logzio-api-fetcher.lock")).unwrap();
    let config = running.config_path();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_logzio-api-fetcher"))
        .args(["once", "--config", &config])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && said.contains("another fetcher"), "{said}");
    running.stop().assert_code(0);
}
