//! Whole configs, also invalid ones: what runs of them, and what is said.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::accounts::Accounts;
use super::compare::target_of;
use crate::harness::{Fetcher, MockServer, Reply};

const CONFIGS: &str = "tests/cases/dialect2/configs.yaml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    name: String,
    config: String,
    #[serde(default)]
    code: i32,
    #[serde(default)]
    check: i32,
    #[serde(default)]
    only_check: bool,
    #[serde(default)]
    asks: Vec<String>,
    lines: Option<BTreeMap<String, Vec<Value>>>,
    #[serde(default)]
    says: Vec<String>,
    #[serde(default)]
    never: Vec<String>,
}

fn sorted(lines: Vec<Value>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().map(|line| line.to_string()).collect();
    lines.sort();
    lines
}

fn problems(whole: &Whole) -> Vec<String> {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/token" => Reply::json(r#"{"access_token":"t","expires_in":3600}"#),
        _ => Reply::json(&serde_json::json!({"from": target_of(asked)}).to_string()),
    });
    let api = api.may_be_idle();
    let accounts = Accounts::start();
    let config = whole.config.replace("@API@", api.url()).replace("@LISTENER@", accounts.url());
    let mut problems = Vec::new();

    let checked = Fetcher::new(&config).run("check");
    let printed = format!("{}{}", checked.stdout, checked.stderr);
    if checked.code != Some(whole.check) {
        problems.push(format!("check ends with {:?}, wanted {}:\n{printed}", checked.code, whole.check));
    }
    let unsaid = whole.says.iter().filter(|text| !printed.contains(text.as_str()));
    problems.extend(unsaid.map(|text| format!("check doesn't say `{text}`:\n{printed}")));
    if whole.only_check {
        return problems;
    }

    let outcome = Fetcher::new(&config).once();
    if outcome.code != Some(whole.code) {
        problems.push(format!("once ends with {:?}, wanted {}:\n{}", outcome.code, whole.code, outcome.stderr));
    }
    let mut asked: Vec<String> =
        api.asked().iter().map(|asked| format!("{} {}", asked.method, target_of(asked))).collect();
    let mut asks = whole.asks.clone();
    asked.sort();
    asks.sort();
    if asked != asks {
        problems.push(format!("asked {asked:?}, wanted {asks:?}:\n{}", outcome.stderr));
    }
    let of_accounts = |lines: BTreeMap<String, Vec<Value>>| -> BTreeMap<String, Vec<String>> {
        lines.into_iter().map(|(token, lines)| (token, sorted(lines))).collect()
    };
    let shipped = of_accounts(accounts.lines());
    if let Some(wanted) = whole.lines.clone().map(of_accounts).filter(|wanted| *wanted != shipped) {
        problems.push(format!("shipped {shipped:#?}, wanted {wanted:#?}"));
    }
    let all = format!("{printed}{}", outcome.everything());
    problems.extend(whole.never.iter().filter(|text| all.contains(*text)).map(|text| format!("`{text}` is printed")));
    problems
}

#[test]
fn whole_configs_run_as_far_as_they_can() {
    let all: Vec<Whole> = serde_yaml::from_str(&std::fs::read_to_string(CONFIGS).unwrap()).unwrap();
    let told =
        all.iter().flat_map(|whole| problems(whole).into_iter().map(|what| format!("=== {}: {what}", whole.name)));
    let told: Vec<String> = told.collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}
