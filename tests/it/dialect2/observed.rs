//! Every case in one fetcher, for two iterations with a restart between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use serde_json::{Value, json};

use super::case::{Case, differences};
use super::play::{Play, with_addresses};
use crate::harness::{Fetcher, MockListener, MockServer};

/// Marks the lines of a case.
const MARK: &str = "observed_case";
const KEY: &str = include_str!("../../cases/keys/rsa.pem");
/// What `${HOME}` stands for.
const HOME: &str = "/home-of-the-test";

/// The entry of a case, as it is in its config, but for its name, the mark, and the address of a login that its type knows.
fn entry(play: &Play, server: &MockServer) -> serde_yaml::Value {
    let config: serde_yaml::Value = serde_yaml::from_str(&with_addresses(&play.case.config, server.url())).unwrap();
    let mut entry = config["apis"][0].clone();
    let url = server.url();
    let text = |text: String| serde_yaml::Value::String(text);
    entry["name"] = text(play.case.name.clone());
    let login = match entry["type"].as_str().unwrap() {
        "azure_graph" | "azure_mail_reports" | "azure_general" => Some("/TENANT/oauth2/v2.0/token"),
        "cisco_xdr" => Some("/iroh/oauth2/token"),
        "dockerhub" => Some("/v2/users/login"),
        "google_activity" => {
            let path = "/admin/reports/v1/activity/users/all/applications/login";
            entry["data_request"] = serde_yaml::Value::Mapping(serde_yaml::Mapping::new());
            entry["data_request"]["url"] = text(format!("{url}{path}"));
            None
        }
        _ => None,
    };
    if let Some(path) = login {
        entry["token_url"] = text(format!("{url}{path}"));
    }
    for key in ["google_ws_sa_file_name", "google_ws_sa_file_path"] {
        if let Some(file) = entry.get(key).and_then(|file| file.as_str()) {
            entry[key] = text(file.replace("sa.json", &format!("{}.json", play.case.name)));
        }
    }
    if entry.get("additional_fields").is_none() {
        entry["additional_fields"] = serde_yaml::Value::Mapping(serde_yaml::Mapping::new());
    }
    entry["additional_fields"][MARK] = text(play.case.name.clone());
    entry
}

/// The key file of a service account that logs in at the mock.
fn service_account(server: &MockServer) -> String {
    json!({"type": "service_account", "client_email": "sa@p.iam.gserviceaccount.com", "private_key_id": "kid",
           "private_key": KEY, "token_uri": format!("{}/token", server.url())})
    .to_string()
}

/// The lines of each case from one on, without the mark.
fn lines_by_case(listener: &MockListener, from: usize) -> BTreeMap<String, Vec<Value>> {
    let mut lines: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in listener.lines().iter().skip(from) {
        let mut record: Value = serde_json::from_str(line).unwrap();
        let mark = record.as_object_mut().unwrap().remove(MARK).expect("a mark");
        lines.entry(mark.as_str().unwrap().to_owned()).or_default().push(record);
    }
    lines
}

fn problems_of(plays: &[Arc<Play>], iteration: usize, listener: &MockListener, from: usize, log: &str) -> Vec<String> {
    let lines = lines_by_case(listener, from);
    let mut problems = Vec::new();
    for play in plays {
        let name = &play.case.name;
        let of_case = lines.get(name).map_or(&[] as &[Value], Vec::as_slice);
        let found = play.problems(iteration, of_case, log);
        if !found.is_empty() {
            let why = play.difference.as_ref().map_or("as it was seen", |difference| &difference.why);
            let log = log
                .lines()
                .filter(|line| line.contains(&format!("api=\"{name}\"")) || line.contains(&format!("api={name} ")));
            let log: Vec<&str> = log.collect();
            problems.push(format!(
                "=== {name}, iteration {} ({}; wanted: {why})\n{}\n{}",
                iteration + 1,
                play.case.what,
                found.join("\n"),
                log.join("\n")
            ));
        }
    }
    problems
}

#[test]
fn what_the_original_was_seen_to_do_comes_of_the_same_config() {
    let now = Utc::now();
    let mut differences = differences(now);
    let plays: Vec<Arc<Play>> = Case::all(now)
        .into_iter()
        .map(|case| {
            let difference = differences.remove(&case.name);
            Play::new(case, difference)
        })
        .collect();
    assert!(!plays.is_empty(), "no case is played");
    if std::env::var_os("OBSERVED_ONLY").is_none() {
        assert!(differences.is_empty(), "differences of no case: {:?}", differences.keys());
    }
    let servers: Vec<MockServer> = plays.iter().map(Play::serve).collect();
    let listener = MockListener::start().may_be_idle();
    let entries: Vec<serde_yaml::Value> =
        plays.iter().zip(&servers).map(|(play, server)| entry(play, server)).collect();
    let logzio = json!({"url": listener.url(), "token": "shipping-token-1"});
    let config = serde_yaml::to_string(&json!({"logzio": logzio, "apis": entries})).unwrap();
    let mut fetcher = Fetcher::new(&config);
    for (play, server) in plays.iter().zip(&servers).filter(|(play, _)| play.case.config.contains("google_ws_sa")) {
        if play.case.name != "google_no_file" {
            fetcher = fetcher.file(&format!("{}.json", play.case.name), &service_account(server));
        }
    }

    let mut problems = Vec::new();
    for iteration in 0..2 {
        plays.iter().for_each(|play| play.begin(iteration));
        let from = listener.lines().len();
        let outcome = fetcher.variable("HOME", HOME).once();
        assert_ne!(outcome.code, Some(2), "the config is refused:\n{}", outcome.stderr);
        problems.extend(problems_of(&plays, iteration, &listener, from, &outcome.stderr));
        fetcher = Fetcher::again(outcome);
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
