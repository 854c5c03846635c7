//! OAuth 2.0: how tokens are asked for, kept and renewed; also by a server that nobody here wrote.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, decoded, minutes_ago, page, record, wait_until};

const TOKEN: &str = r#"{"token_type":"bearer","access_token":"the-access-token","expires_in":3599}"#;

/// A general OAuth API, its token request being as given.
fn config(api: &str, listener: &str, token_request: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\noauth_apis:\n- type: general\n  name: o\n  \
         credentials: {{id: the client, key: 's+e&c=ret%'}}\n  token_http_request:\n    url: {api}/token\n{token_request}  \
         data_http_request: {{url: '{api}/data'}}\n  start_date_name: since\n  \
         json_paths: {{data: data, data_date: date, next_url: next}}\n  settings: {{time_interval: 1s}}\n"
    )
}

/// The token request that a config leads to.
fn token_request(lines: &str) -> Asked {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/token" => Reply::json(TOKEN),
        _ => {
            assert_eq!(asked.header("authorization"), Some("Bearer the-access-token"));
            page(&[], None)
        }
    });
    Fetcher::new(&config(api.url(), "http://127.0.0.1:1", lines)).once().assert_code(0);
    api.asked().remove(0)
}

#[test]
fn a_body_that_yaml_folds_is_sent_as_a_clean_form() {
    let asked = token_request(
        "    body: client_id=aaaa-bbbb-cccc\n            &scope=https://graph.microsoft.com/.default\n            \
         &client_secret=a%2Bb+c\n            &grant_type=client_credentials\n    headers:\n    method: POST\n",
    );
    assert_eq!(
        asked.text(),
        "client_id=aaaa-bbbb-cccc&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default&client_secret=a%2Bb+c&grant_type=client_credentials"
    );
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!((asked.method.as_str(), asked.query.as_str()), ("POST", ""));
}

#[test]
fn a_body_is_made_from_the_credentials_where_there_is_none() {
    let asked = token_request("    scope: a b\n");
    assert_eq!(
        asked.text(),
        "grant_type=client_credentials&client_id=the%20client&client_secret=s%2Be%26c%3Dret%25&scope=a%20b"
    );
    assert!(asked.header("authorization").is_none(), "one way of authentication at a time");
}

#[test]
fn a_mapping_is_sent_as_json_where_its_content_type_says_so() {
    let asked = token_request(
        "    body: {client_id: a+b, more: {level: 1}}\n    headers: {Content-Type: application/json; charset=utf-8}\n",
    );
    assert_eq!(asked.text(), r#"{"client_id":"a+b","more":{"level":1}}"#);
    assert_eq!(asked.header("content-type"), Some("application/json; charset=utf-8"));
}

#[test]
fn a_mapping_is_encoded_and_a_get_carries_it_in_the_query() {
    let asked = token_request("    body: {client_id: a+b, scope: x/y}\n    headers: {X-Own: '1'}\n");
    assert_eq!((asked.text().as_str(), asked.header("x-own")), ("client_id=a%2Bb&scope=x%2Fy", Some("1")));
    let asked = token_request("    method: GET\n    body: {client_id: a+b, scope: x/y}\n");
    assert_eq!(
        (asked.method.as_str(), asked.query.as_str(), asked.text().as_str()),
        ("GET", "client_id=a%2Bb&scope=x%2Fy", "")
    );
}

#[test]
fn a_token_is_kept_over_iterations_and_renewed_once_when_it_is_refused() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |asked, before| match (asked.path.as_str(), before) {
        ("/token", _) => Reply::json(&TOKEN.replace("the-access-token", &format!("token-{before}"))),
        (_, 3) => Reply::status(401, r#"{"error":{"code":"InvalidAuthenticationToken","message":"expired"}}"#),
        _ => page(&[&record(before as u64, &date)], None),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&config(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration done", 4);
    running.stop().assert_code(0);
    let way: Vec<String> = api
        .asked()
        .iter()
        .map(|asked| asked.header("authorization").map_or("token".to_owned(), |header| header.replace("Bearer ", "")))
        .collect();
    assert_eq!(way[..7], ["token", "token-0", "token-0", "token-0", "token", "token-4", "token-4"]);
}

#[test]
fn a_fresh_token_that_is_refused_too_fails_the_iteration() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/token" => Reply::json(TOKEN),
        _ => Reply::status(401, ""),
    });
    Fetcher::new(&config(api.url(), "http://127.0.0.1:1", "")).once().assert_code(1).assert_says("answered 401");
    assert_eq!(api.asked().len(), 4, "two tokens, two tries");
}

#[test]
fn a_token_about_to_end_is_renewed_and_one_without_an_end_is_kept() {
    // A life of two seconds has a margin of half a one.
    for (answer, tokens) in [
        (r#"{"access_token":"t","expires_in":"2"}"#, 2),
        (r#"{"access_token":"t","expires_in":"60"}"#, 1),
        (r#"{"access_token":"t"}"#, 1),
    ] {
        let api = MockServer::start(move |asked, before| match asked.path.as_str() {
            "/token" => Reply::json(answer),
            _ if before == 2 && tokens == 2 => {
                Reply::Late(Duration::from_millis(1700), Box::new(page(&[], Some("?p=x"))))
            }
            _ => page(&[], (before < 5).then_some(format!("?p={before}")).as_deref()),
        });
        let outcome = Fetcher::new(&config(api.url(), "http://127.0.0.1:1", "")).once().assert_code(0);
        let asked = api.asked().iter().filter(|asked| asked.path == "/token").count();
        assert!(asked == tokens, "{answer}: {asked} token requests\n{}", outcome.stderr);
    }
}

/// However an API refuses a dead token: one fresh one, and all is well.
#[test]
fn a_dead_token_is_replaced_whatever_the_answer_looks_like() {
    let html = || Reply::status(200, "<html><title>Sign in</title></html>");
    let refusals: [(&str, Reply); 5] = [
        ("419", Reply::status(419, "")),
        ("a login page", Reply::status(302, "").with("Location", "/login?back=1")),
        ("a login page elsewhere", Reply::status(302, "").with("Location", "https://login.example.invalid/")),
        ("an error in a 200", Reply::json(r#"{"ok":false,"error":"token_expired"}"#)),
        ("GraphQL", Reply::json(r#"{"data":null,"errors":[{"message":"x","extensions":{"code":"UNAUTHENTICATED"}}]}"#)),
    ];
    for (name, refusal) in refusals {
        let date = minutes_ago(5);
        let api = MockServer::start(move |asked, before| match asked.path.as_str() {
            "/token" => Reply::json(&TOKEN.replace("the-access-token", &format!("token-{before}"))),
            "/login" => html(),
            _ if asked.header("authorization") == Some("Bearer token-0") => refusal.clone(),
            _ => page(&[&record(1, &date)], None),
        });
        let listener = MockListener::start();
        Fetcher::new(&config(api.url(), listener.url(), "")).once().assert_code(0);
        assert_eq!((listener.ids(), api.asked().len()), (vec![1], 4), "{name}");
    }
}

#[test]
fn a_403_blames_a_young_token_never_and_a_token_that_is_always_refused_is_no_storm() {
    for (status, body, tokens) in [(403, r#"{"error":"invalid_token"}"#, 1), (401, "", 2)] {
        let api = MockServer::start(move |asked, _| match asked.path.as_str() {
            "/token" => Reply::json(TOKEN),
            _ => Reply::status(status, body),
        });
        let running = Fetcher::new(&config(api.url(), "http://127.0.0.1:1", "").replace("1s", "0.05s")).start();
        running.wait_for_log("iteration failed", 10);
        running.stop().assert_code(0);
        let asked = api.asked().iter().filter(|asked| asked.path == "/token").count();
        assert_eq!(asked, tokens, "{status}");
    }
}

#[test]
fn entries_that_ask_for_a_token_in_the_same_words_share_it_also_after_an_edit() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/token" => Reply::Late(Duration::from_millis(200), Box::new(Reply::json(TOKEN))),
        _ => page(&[], None),
    });
    let one = config(api.url(), "http://127.0.0.1:1", "").replace("1s", "0.05s");
    let (_, entry) = one.split_once("oauth_apis:\n").expect("a list");
    let two = format!("{one}{}", entry.replace("name: o", "name: other"));
    assert!(two.contains("name: other"), "{two}");
    let running = Fetcher::new(&two).start();
    running.wait_for_log("iteration done", 4);
    std::fs::write(running.config_path(), two.replace("next_url: next", "next_url: more")).unwrap();
    running.wait_for_log("config reloaded", 1);
    let done = running.log().matches("iteration done").count();
    running.wait_for_log("iteration done", done + 4);
    running.stop().assert_code(0);
    assert_eq!(api.asked().iter().filter(|asked| asked.path == "/token").count(), 1);
}

#[test]
fn what_slips_in_around_a_token_is_not_sent() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/token" => Reply::json("\u{feff}{\"access_token\":\" the-token\\r\\n\"}\n"),
        _ => {
            assert_eq!(asked.header("authorization"), Some("Bearer the-token"));
            page(&[], None)
        }
    });
    Fetcher::new(&config(api.url(), "http://127.0.0.1:1", "")).once().assert_code(0);
}

#[test]
fn a_general_api_that_ignores_the_start_date_gets_nothing_shipped_again() {
    let dates = [minutes_ago(30), minutes_ago(20)];
    let api = MockServer::start(move |asked, _| match asked.path.as_str() {
        "/token" => Reply::json(TOKEN),
        _ => page(&[&record(1, &dates[0]), &record(2, &dates[1])], None),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&config(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration done", 4);
    running.stop().assert_code(0);
    assert_eq!(listener.ids(), [1, 2]);
}

#[test]
fn a_token_request_is_redirected_within_its_origin_and_never_beyond() {
    let other = MockServer::start(|_, _| Reply::json(TOKEN)).may_be_idle();
    let target = format!("{}/token", other.url());
    let api = MockServer::start(move |asked, _| match asked.path.as_str() {
        "/token" => Reply::status(307, "").with("Location", "/moved"),
        _ => {
            assert!(asked.text().contains("client_secret="), "the body goes along within the origin");
            Reply::status(307, "").with("Location", &target)
        }
    });
    let outcome = Fetcher::new(&config(api.url(), "http://127.0.0.1:1", "")).once().assert_code(1);
    outcome.assert_says("redirects a token request to another origin");
    assert_eq!((api.asked().len(), other.asked().len()), (2, 0));
}

#[test]
fn there_is_one_way_of_client_authentication_at_a_time() {
    let asked = token_request("    headers: {Authorization: Basic eDp5}\n    scope: s\n");
    assert_eq!(
        (asked.text().as_str(), asked.header("authorization")),
        ("grant_type=client_credentials&scope=s", Some("Basic eDp5"))
    );
}

#[test]
fn an_own_authorization_header_needs_no_token() {
    let api = MockServer::start(|asked, _| {
        assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/data", Some("Key x")));
        page(&[], None)
    });
    let config =
        config(api.url(), "http://127.0.0.1:1", "").replace("/data'}", "/data', headers: {authorization: Key x}}");
    Fetcher::new(&config).once().assert_code(0);
}

#[test]
fn graph_pages_are_followed_by_the_example_of_the_page() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |asked, _| {
        let record =
            |id: &str| format!(r#"{{"id":"{id}","createdDateTime":"{}.1234567Z"}}"#, date.trim_end_matches('Z'));
        match (asked.path.as_str(), asked.query.as_str()) {
            ("/token", _) => Reply::json(TOKEN),
            (_, "$skiptoken=a%2Bb") => Reply::json(&format!(r#"{{"value":[{}]}}"#, record("2"))),
            (path, _) => Reply::json(&format!(
                r#"{{"@odata.context":"x","value":[{}],"@odata.nextLink":"http://{}{path}?$skiptoken=a%2Bb"}}"#,
                record("1"),
                asked.header("host").unwrap()
            )),
        }
    });
    let listener = MockListener::start();
    let example = include_str!("../cases/config/page-oauth.yaml")
        .replace("https://listener.logz.io:8071", listener.url())
        .replace("token: aaaa", "token: shipping-token-1")
        .replace("https://login.microsoftonline.com/azure-ad-tenant-id/oauth2/v2.0", api.url())
        .replace("https://graph.microsoft.com/v1.0", api.url());
    Fetcher::new(&example).arguments(&["--api", "azure_test"]).once().assert_code(0).assert_says("pages=2");
    assert_eq!(listener.lines().len(), 2);
    let first = decoded(&api.asked()[1].query);
    assert!(first.starts_with("$filter=createdDateTime ge 20") && first.ends_with('Z'), "{first}");
}

/// npm's oidc-provider refuses what lax servers let pass. Where it is missing it is installed.
#[test]
fn a_strict_authorisation_server_gives_its_token() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc");
    if !directory.join("node_modules/oidc-provider").is_dir() {
        let installed = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&directory).status();
        let installed = installed.expect("this needs node and npm, to install an authorisation server");
        assert!(installed.success(), "`npm ci --prefix tests/oidc` can't install an authorisation server");
    }
    let printed = tempfile::NamedTempFile::new().unwrap();
    let server = Command::new("node")
        .arg("server.mjs")
        .current_dir(&directory)
        .stdout(printed.reopen().unwrap())
        .stdin(Stdio::null())
        .spawn();
    let mut server = server.expect("node runs");
    let port = || std::fs::read_to_string(printed.path()).unwrap().trim().parse::<u16>().ok();
    wait_until("the authorisation server's port", || port().is_some());
    let (token_url, date) = (format!("http://127.0.0.1:{}/token", port().unwrap()), minutes_ago(5));
    let api = MockServer::start(move |asked, _| {
        assert!(asked.header("authorization").unwrap().len() > "Bearer ".len() + 20);
        page(&[&record(1, &date)], None)
    });
    let listener = MockListener::start();
    let bodies = [
        "    scope: api:read\n",
        "    body: client_id=fetcher\n        &scope=api:read\n        &client_secret=s3cr3t/with+signs %26 more\n        &grant_type=client_credentials\n",
    ];
    for (body, key) in bodies.into_iter().zip(["s3cr3t/with+signs & more", "unused"]) {
        // In the text form a blank is written as `+` or %20, and `+` as %2B.
        let body = body.replace("with+signs %26 more", "with%2Bsigns%20%26%20more");
        let config = format!(
            "logzio: {{url: '{}', token: shipping-token-1}}\noauth_apis:\n- type: general\n  name: o\n  \
             credentials: {{id: fetcher, key: '{key}'}}\n  token_http_request:\n    url: {token_url}\n{body}  \
             http_request: {{url: '{}/data'}}\n  start_date_name: since\n  \
             json_paths: {{data: data, data_date: date, next_url: next}}\n  settings: {{time_interval: 1}}\n",
            listener.url(),
            api.url()
        );
        Fetcher::new(&config).once().assert_code(0);
    }
    let wrong = format!(
        "logzio: {{url: '{}', token: shipping-token-1}}\noauth_apis:\n- type: general\n  name: o\n  credentials: {{id: fetcher, key: wrong}}\n  \
         token_http_request: {{url: '{token_url}'}}\n  http_request: {{url: '{}/data'}}\n  start_date_name: since\n  \
         json_paths: {{data: data, data_date: date, next_url: next}}\n  settings: {{time_interval: 1}}\n",
        listener.url(),
        api.url()
    );
    Fetcher::new(&wrong).once().assert_code(1).assert_says("invalid_client");
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(listener.ids(), [1, 1]);
}
