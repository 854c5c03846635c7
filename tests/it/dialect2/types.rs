//! What the named types make of an entry that says more or less than the original's README does.

use std::path::Path;

use chrono::TimeDelta;
use logzio_api_fetcher::config::{self, Environment, LoadedConfig};
use logzio_api_fetcher::paging::Pagination;
use logzio_api_fetcher::plan::{CheckpointKind, Plan};
use serde_json::json;

use super::accounts::Accounts;
use crate::harness::{Asked, Fetcher, MockServer, Reply, minutes_ago};

const CLOUDFLARE_LOGS: &str = "type: cloudflare_logs, cloudflare_bearer_token: t, url: 'https://api.cloudflare.com/client/v4/zones/z/logs/received";
const DOCKERHUB: &str =
    "type: dockerhub, dockerhub_user: u, dockerhub_token: t, url: 'https://hub.docker.com/v2/auditlogs/a";
const GOOGLE: &str =
    "type: google_workspace, google_ws_sa_file_name: key.json, google_ws_delegated_account: a@example.com";
const ONEPASSWORD: &str =
    "type: 1password, onepassword_bearer_token: t, url: 'https://events.1password.com/api/v1/auditevents'";

fn read(entry: &str) -> LoadedConfig {
    let directory = tempfile::tempdir().expect("a directory");
    let key = json!({ "type": "service_account", "client_email": "me@x.example", "private_key_id": "k1",
        "private_key": include_str!("../../cases/keys/rsa.pem"), "token_uri": "https://oauth2.example/token" });
    std::fs::write(directory.path().join("key.json"), key.to_string()).expect("a key file");
    compile(entry, directory.path())
}

fn compile(entry: &str, directory: &Path) -> LoadedConfig {
    let text = format!("logzio: {{url: 'http://127.0.0.1:1', token: t}}\napis: [{{name: a, {entry}}}]\n");
    config::compile(&text, &Environment { variable: &|_| None, directory })
}

fn plan(entry: &str) -> Plan {
    let reading = read(entry);
    assert_eq!(reading.diagnostics.errors, [], "{entry}");
    Plan::clone(&reading.config.expect("a config").apis[0])
}

/// What is said of a key of the entry.
fn warning(entry: &str, key: &str) -> Option<String> {
    let warnings = read(entry).diagnostics.warnings;
    warnings.into_iter().find(|warning| warning.path == format!("apis[0].{key}")).map(|warning| warning.to_string())
}

#[test]
fn pages_are_read_wherever_the_request_says_its_beginning() {
    for (entry, is_token) in [
        (format!("{DOCKERHUB}'"), false),
        (format!("{DOCKERHUB}', days_back_fetch: 7"), false),
        (format!("{DOCKERHUB}?from={{start_date}}'"), false),
        (
            format!("{DOCKERHUB}', next_url: 'https://hub.docker.com/v2/auditlogs/a?from={{res.logs.[0].timestamp}}'"),
            false,
        ),
        (format!("{GOOGLE}, data_request: {{url: 'https://admin.googleapis.com/x'}}"), true),
        (format!("{GOOGLE}, data_request: {{url: 'https://admin.googleapis.com/x?startTime={{start_date}}'}}"), true),
    ] {
        let kind = plan(&entry).paging.kind;
        let is_expected = match is_token {
            true => matches!(kind, Pagination::Token(_)),
            false => kind == Pagination::Counted { page_size: Some(100) },
        };
        assert!(is_expected, "{kind:?}: {entry}");
    }
}

#[test]
fn a_list_that_answers_may_lack_may_have_the_name_that_the_user_writes() {
    for (path, expected) in
        [("", "items"), (", response_data_path: items", "items"), (", response_data_path: a.b", "a.b")]
    {
        let entry = format!("{GOOGLE}{path}, data_request: {{url: 'https://admin.googleapis.com/x'}}");
        let paths = plan(&entry).paths;
        assert_eq!((paths.data.text(), paths.is_data_optional), (expected, true), "{entry}");
    }
    let paths = plan("type: general, url: 'https://x.example', response_data_path: items").paths;
    assert!(!paths.is_data_optional);
}

#[test]
fn lines_are_records_whatever_path_stands_there() {
    let entry = format!("{CLOUDFLARE_LOGS}', response_data_path: result");
    assert_eq!(plan(&entry).paths.data.text(), "$");
    let said = warning(&entry, "response_data_path").expect("a warning");
    assert!(said.contains("it isn't used: answers are ndjson"), "{said}");
    let as_json = format!("{entry}, format: json");
    assert_eq!(plan(&as_json).paths.data.text(), "result");
    assert_eq!(warning(&as_json, "response_data_path"), None);
}

#[test]
fn no_days_back_are_none() {
    let azure = "azure_ad_tenant_id: t, azure_ad_client_id: c, azure_ad_secret_value: s, data_request: {url: 'https://x.example'}";
    for entry in [
        format!("type: azure_graph, {azure}"),
        format!("type: azure_mail_reports, {azure}"),
        format!("{GOOGLE}, data_request: {{url: 'https://admin.googleapis.com/x'}}"),
        format!("{CLOUDFLARE_LOGS}'"),
        "type: general, url: 'https://x.example/?since={start_date}'".to_owned(),
    ] {
        for (days, expected) in [(0, 0), (-3, 0), (2, 2)] {
            let back = plan(&format!("{entry}, days_back_fetch: {days}")).start.back;
            assert_eq!(back, TimeDelta::days(expected), "{days}: {entry}");
        }
    }
    let back = plan(&format!("{CLOUDFLARE_LOGS}'")).start.back;
    assert_eq!(back, TimeDelta::days(1), "the type's own");
}

#[test]
fn how_far_behind_logs_are_is_known_where_their_date_is_asked_for() {
    let date = |url: &str| {
        let plan = plan(&format!("{CLOUDFLARE_LOGS}{url}'"));
        assert_eq!(plan.start.checkpoint, CheckpointKind::WindowEnd, "{url}");
        plan.paths.date.map(|path| path.text().to_owned())
    };
    assert_eq!(date("?fields=RayID,EdgeStartTimestamp&timestamps=rfc3339").as_deref(), Some("EdgeStartTimestamp"));
    assert_eq!(date("?fields=RayID"), None);
    assert_eq!(date(""), None);
}

#[test]
fn what_does_nothing_is_said() {
    let said = warning(&format!("{DOCKERHUB}', refresh_token_interval: 30"), "refresh_token_interval");
    assert!(said.as_ref().is_some_and(|said| said.contains("it does nothing")), "{said:?}");
    assert_eq!(warning(&format!("{DOCKERHUB}'"), "refresh_token_interval"), None);
}

#[test]
fn an_audit_log_that_is_longer_than_a_page_is_read_whole() {
    let (api, accounts) = (
        MockServer::start(|asked, _| match asked.path.as_str() {
            "/login" => Reply::json(r#"{"token":"t"}"#),
            _ => {
                let from = if asked.raw_field("page") == Some("2") { 100 } else { 0 };
                let logs: Vec<_> = (from..101_i64.min(from + 100))
                    .map(|id| json!({ "id": id, "timestamp": minutes_ago(id) }))
                    .collect();
                Reply::json(&json!({ "logs": logs }).to_string())
            }
        }),
        Accounts::start(),
    );
    let config = format!(
        "apis: [{{name: a, type: dockerhub, dockerhub_user: u, dockerhub_token: t, url: '{0}/logs', token_url: '{0}/login'}}]\n\
         logzio: {{url: '{1}', token: one}}\n",
        api.url(),
        accounts.url()
    );
    let outcome = Fetcher::new(&config).once().assert_code(0);
    let asked: Vec<String> = api.asked().iter().map(|asked| format!("{}?{}", asked.path, asked.query)).collect();
    assert_eq!(asked, ["/login?", "/logs?page_size=100", "/logs?page_size=100&page=2"]);
    assert_eq!(accounts.lines()["one"].len(), 101, "{}", outcome.stderr);
}

/// An API that gives a page of one event for each cursor, and the first one without a cursor.
fn events() -> MockServer {
    MockServer::start(|asked, _| {
        let body: serde_json::Value = serde_json::from_str(&asked.text()).expect("JSON");
        let number = body["cursor"].as_str().map_or(Ok(1), str::parse).expect("a cursor of its own");
        let is_there = number <= 3;
        let items = if is_there {
            json!([{ "uuid": number.to_string(), "id": number, "timestamp": minutes_ago(9 - number) }])
        } else {
            json!([])
        };
        let next = if is_there { number + 1 } else { number };
        Reply::json(&json!({ "cursor": next.to_string(), "has_more": number < 3, "items": items }).to_string())
    })
}

#[test]
fn without_pages_each_iteration_reads_the_next_one() {
    assert_eq!(plan(&format!("{ONEPASSWORD}, pagination_off: true")).start.checkpoint, CheckpointKind::Newest);
    let (api, accounts) = (events(), Accounts::start());
    let config = format!(
        "apis: [{{name: a, type: 1password, onepassword_bearer_token: t, method: POST, url: '{}/events', pagination_off: true}}]\n\
         logzio: {{url: '{}', token: one}}\n",
        api.url(),
        accounts.url()
    );
    let mut outcome = Fetcher::new(&config).once().assert_code(0);
    for asked in 2..=4 {
        assert_eq!(api.asked().len(), asked - 1, "one page each time");
        outcome = Fetcher::again(outcome).once().assert_code(0);
    }
    let shipped: Vec<u64> = accounts.lines()["one"].iter().map(|line| line["id"].as_u64().expect("an id")).collect();
    assert_eq!(shipped, [1, 2, 3], "{}", outcome.stderr);
}

/// The targets that an API of one page, whatever it is asked for, is asked for with these pages.
fn asked_with(pagination: &str) -> Vec<String> {
    let page = |asked: &Asked| if asked.query.contains("p=2") { 2 } else { 1 };
    let (api, accounts) = (
        MockServer::start(move |asked, _| Reply::json(&json!({ "r": [{ "id": page(asked) }] }).to_string())),
        Accounts::start(),
    );
    let config = format!(
        "apis: [{{name: a, type: general, url: '{}/events?x=1', response_data_path: r, pagination: {{type: url, {pagination}}}}}]\n\
         logzio: {{url: '{}', token: one}}\n",
        api.url(),
        accounts.url()
    );
    let outcome = Fetcher::new(&config).once().assert_code(0);
    let mut shipped: Vec<u64> =
        accounts.lines()["one"].iter().map(|line| line["id"].as_u64().expect("an id")).collect();
    shipped.sort_unstable();
    assert_eq!(shipped, [1, 2], "{}", outcome.stderr);
    api.asked().iter().map(|asked| asked.query.clone()).collect()
}

#[test]
fn a_page_that_is_always_the_same_is_asked_for_as_often_as_the_entry_says() {
    let appended = "url_format: '&p=2', update_first_url: true";
    assert_eq!(asked_with(&format!("{appended}, max_calls: 1")), ["x=1", "x=1&p=2"]);
    // It ends where it brings nothing else.
    for more in [", max_calls: 50", "", ", stop_indication: {field: r, condition: empty}"] {
        assert_eq!(asked_with(&format!("{appended}{more}")), ["x=1", "x=1&p=2", "x=1&p=2"], "{more}");
    }
}
