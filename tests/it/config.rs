//! What configs mean, and what is said about faulty ones.

use std::path::Path;

use logzio_api_fetcher::config::{self, Environment, LoadedConfig, reference};
use logzio_api_fetcher::plan::Auth;

use crate::harness::Fetcher;

fn compile(text: &str) -> LoadedConfig {
    let variable = |name: &str| (name == "INTERVAL").then(|| "7".to_owned());
    config::compile(text, &Environment { variable: &variable, directory: Path::new(".") })
}

/// Each `tests/cases/config/NAME.yaml` has the findings that `NAME.expected` lists.
#[test]
fn every_case_has_the_findings_that_stand_beside_it() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/config");
    let mut cases = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        cases += 1;
        let reading = compile(&std::fs::read_to_string(&path).unwrap());
        let faults = reading.diagnostics.errors.iter().map(|fault| format!("fault: {fault}\n"));
        let warnings = reading.diagnostics.warnings.iter().map(|warning| format!("warning: {warning}\n"));
        let found: String = faults.chain(warnings).collect();
        let expected = std::fs::read_to_string(path.with_extension("expected")).unwrap_or_default();
        assert_eq!(found, expected, "{}", path.display());
        let is_whole = reading.config.is_some_and(|config| config.faulty.is_empty());
        assert_eq!(!is_whole, found.contains("fault: "), "{}", path.display());
    }
    assert!(cases >= 8, "only {cases} cases in {}", directory.display());
}

#[test]
fn docs_config_shows_the_reference_as_it_is() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md")).unwrap();
    let table = reference::markdown();
    assert!(page.contains(table.trim()), "put this into docs/config.md:\n\n{table}");
    let steps = reference::markdown_of_steps();
    assert!(page.contains(steps.trim()), "put this into docs/config.md:\n\n{steps}");
    let apis = reference::markdown_of_apis();
    assert!(page.contains(apis.trim()), "put this into docs/config.md:\n\n{apis}");
}

#[test]
fn no_key_of_the_reference_is_unknown() {
    let everything = include_str!("../cases/config/every-key.yaml");
    for key in reference::KEYS {
        let last = key.path.rsplit('.').next().unwrap();
        assert!(everything.contains(&format!("{last}:")), "`{}` is in no case", key.path);
    }
    assert_eq!(compile(everything).diagnostics.warnings, []);
}

#[test]
fn the_example_is_valid_apart_from_its_placeholders() {
    let example = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.yaml")).unwrap();
    let faults = compile(&example).diagnostics.errors;
    assert!(!faults.is_empty() && faults.iter().all(|fault| fault.what.contains("placeholder")), "{faults:#?}");
    let filled = example.replace("<<", "filled-").replace(">>", "-in");
    let reading = compile(&filled);
    assert!(reading.config.is_some() && reading.diagnostics.warnings.is_empty(), "{:#?}", reading.diagnostics);
}

#[test]
fn both_examples_of_the_page_are_understood() {
    for example in [include_str!("../cases/config/page-auth.yaml"), include_str!("../cases/config/page-oauth.yaml")] {
        let config = compile(example).config.unwrap();
        assert_eq!(config.apis.len(), 2);
    }
}

#[test]
fn credentials_are_meant_as_they_are_written_also_through_merges() {
    let config = compile(
        "logzio: {url: 'http://127.0.0.1:1', token: 0x1F}\nx: &x {id: 1e5, key: 0123}\ny: &y {<<: *x, key: 1.10}\n\
         auth_apis:\n- {type: cisco_secure_x, name: 7, credentials: {<<: *y}, settings: {time_interval: 5}}\n",
    );
    let config = config.config.unwrap();
    let Auth::Basic { id, key } = &config.apis[0].auth else { panic!("it is Basic") };
    assert_eq!((id.texts().as_str(), key.texts().as_str(), config.outputs[0].token.expose()), ("1e5", "1.10", "0x1F"));
}

#[test]
fn null_is_absent_wherever_something_may_be_absent() {
    let entry = "- type: cisco_secure_x\n  name: a\n  credentials: {id: a, key: b}\n  settings: {time_interval: 5, overlap: }\n";
    let nulls = "  filters:\n  custom_fields:\n  json_paths: {id: , next_url: ~}\n  http_request: {headers: , body: null, method: }\n";
    let text = |more: &str| {
        format!("logzio: {{url: 'http://127.0.0.1:1', token: t}}\ntls:\noauth_apis:\nauth_apis:\n{entry}{more}")
    };
    assert_eq!(compile(&text(nulls)).config, compile(&text("")).config);
    assert!(compile(&text("")).config.is_some());
}

#[test]
fn what_is_unknown_is_a_warning_whatever_is_in_it() {
    let good = include_str!("../cases/config/page-auth.yaml")
        .replace("    name: cisco\n", "    name: cisco\n    note: <<HELLO>>\n");
    let reading = compile(&format!("{good}\nx-note: '${{NOT_SET}}'\n"));
    assert!(reading.config.is_some() && reading.diagnostics.warnings.len() == 2, "{:#?}", reading.diagnostics);
}

/// LoadedConfig takes time in proportion to the text: here ten times as much would show as a test that never ends.
#[test]
fn ten_thousand_apis_are_read() {
    let entry = |number: usize| {
        format!(
            "- {{type: cisco_secure_x, name: {number}, credentials: {{id: 1, key: 2}}, settings: {{time_interval: 5}}}}\n"
        )
    };
    let entries: String = (0..10_000).map(entry).collect();
    let reading = compile(&format!("logzio: {{url: 'http://127.0.0.1:1', token: 1}}\nauth_apis:\n{entries}"));
    assert_eq!(reading.config.unwrap().apis.len(), 10_000);
}

#[test]
fn check_prints_every_fault_and_exits_with_2() {
    let faulty = "logzio: {url: x}\nauth_apis:\n- type: general\n  name: a\n";
    let outcome = Fetcher::new(faulty).run("check").assert_code(2);
    assert!(outcome.stdout.contains("error: logzio.url: it is not a valid URL"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("error: logzio.token: a required key is missing"), "{}", outcome.stdout);
    assert!(outcome.stdout.lines().count() > 8, "{}", outcome.stdout);
}

#[test]
fn check_warns_of_a_value_that_a_comment_cuts_and_shows_nothing_of_it() {
    let config = include_str!("../cases/config/page-oauth.yaml");
    let line = config.lines().position(|line| line.trim_start().starts_with("token: ")).unwrap();
    let cut: Vec<&str> = config
        .lines()
        .enumerate()
        .map(|(at, text)| if at == line { "  token: hunter2 #swordfish" } else { text })
        .collect();
    let outcome = Fetcher::new(&cut.join("\n")).run("check").assert_code(0).assert_says("1 warning");
    let outcome = outcome
        .assert_says("warning: token: the value ends before the `#`: behind a blank it begins a comment")
        .assert_says(&format!("{} |   token: …", line + 1))
        .assert_says("^^^^^^^^")
        .assert_says("put the whole value into quotes");
    for secret in ["hunter2", "swordfish"] {
        assert!(!outcome.everything().contains(secret), "{}", outcome.stdout);
    }
}

#[test]
fn check_exits_with_0_on_a_good_config_and_asks_nobody() {
    let config = include_str!("../cases/config/page-oauth.yaml");
    Fetcher::new(config).run("check").assert_code(0).assert_says("valid, 2 APIs (azure_test, general_test)");
}

#[test]
fn a_missing_file_and_a_file_without_apis_are_config_faults() {
    let fetcher = Fetcher::new("");
    std::fs::remove_file(fetcher.path().join("config.yaml")).unwrap();
    fetcher.run("run").assert_code(2).assert_says("can't be read").assert_says("/app/src/shared");
    let empty = "logzio: {url: 'http://127.0.0.1:1', token: t}\n";
    Fetcher::new(empty).run("run").assert_code(2).assert_says("no APIs configured");
    let old = format!("{empty}apis: []\n");
    Fetcher::new(&old).run("check").assert_code(2).assert_says("no APIs configured");
    Fetcher::new("a: [").run("check").assert_code(2).assert_says("invalid YAML");
}

#[test]
fn never_panics_on_any_text() {
    use proptest::prelude::*;
    let piece = prop_oneof![
        Just("logzio:\n"),
        Just("  url: "),
        Just("auth_apis:\n"),
        Just("- type: general\n"),
        Just("  name: &a x\n"),
        Just("  <<: *a\n"),
        Just("  filters: {a: [1, ~, {}]}\n"),
        Just("  settings: {time_interval: 1e999}\n"),
        Just("${"),
        Just("<<X>>"),
        Just("!t "),
        Just("? [a]\n: 1\n"),
        Just("  json_paths: {data: 'a[', next_url: '$..['}\n"),
        Just("\u{0}"),
        Just("\t"),
        Just("- - -\n"),
        Just("---\n"),
        Just("|\n x\n"),
    ];
    proptest!(|(pieces in prop::collection::vec(piece, 0..12))| {
        let _ = compile(&pieces.concat());
    });
}

/// What people do to YAML, and what `check` says to it; no value is shown that may be a secret.
#[test]
fn check_shows_the_line_and_what_to_do_with_it() {
    let entry = "auth_apis:\n  - type: cisco_secure_x\n    name: a\n    credentials: {id: i, key: k}\n    settings:\n      \
                 time_interval: soon\n";
    let head = "logzio:\n  url: https://listener.example:8071\n  token: the-token\n";
    let check = |text: &str| Fetcher::new(text).run("check").assert_code(2).stdout;
    let said = check(&format!("{head}{entry}"));
    for part in [
        "config.yaml:9:7\n",
        "9 |       time_interval: soon\n  |       ^^^^^^^^^^^^^^^^^^^\n",
        "= help: minutes like 5",
    ] {
        assert!(said.contains(part), "`{part}` is missing in\n{said}");
    }
    let said = check(&format!("{}{entry}", head.replace("https://listener.example:8071", "ftp://the-token@x")));
    assert!(said.contains("2 |   url: …") && !said.contains("the-token"), "{said}");
    for (slip, hint) in [
        ("logzio:\n\turl: x\n", "indent with spaces"),
        ("logzio:\n  token: @abc\n", "put the value into quotes"),
        ("logzio:\n  token: 'abc' d\n", "the quotes are not closed"),
        ("logzio:\n  token: a: b\n", "put the value into quotes"),
    ] {
        let said = check(slip);
        assert!(said.contains(hint) && !said.contains("abc"), "`{hint}` is missing in\n{said}");
    }
    let many: String = (0..20)
        .map(|n| entry.replace("name: a", &format!("name: api-{n}")).replace("soon", "5").replace("auth_apis:\n", ""))
        .collect();
    let outcome = Fetcher::new(&format!("{head}auth_apis:\n{many}")).run("check").assert_code(0);
    assert!(outcome.stdout.contains("valid, 20 APIs, 0 warnings"), "{}", outcome.stdout);
}
