//! The dialect of versions 0.2 to 2.1 of the original: its files compile, mean the same in our own language, and one faulty
//! entry doesn't stop the others.

use std::path::{Path, PathBuf};

use logzio_api_fetcher::config::{self, Environment, LoadedConfig};
use logzio_api_fetcher::plan::{Config, Plan};
use logzio_api_fetcher::text::Redactor;

use crate::harness::Fetcher;

const LOGZIO: &str = "logzio: {url: 'http://127.0.0.1:1', token: t}\n";

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/dialect2/examples")
}

/// Compiles a text; each variable of a converted file has the value that stood there.
fn compile(text: &str, directory: &Path) -> LoadedConfig {
    let variable = |name: &str| Some(format!("filled-{}-in", name.rsplit("__").next().unwrap_or(name)));
    config::compile(text, &Environment { variable: &variable, directory })
}

/// The text of each example, with its placeholders filled in.
fn examples() -> Vec<(String, String)> {
    let files = std::fs::read_dir(cases()).expect("the examples").map(|entry| entry.expect("a file").path());
    let mut examples: Vec<(String, String)> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a text");
            (
                path.file_stem().expect("a name").to_string_lossy().into_owned(),
                text.replace("<<", "in-").replace(">>", "-ex"),
            )
        })
        .collect();
    examples.sort();
    examples
}

/// A directory with the key file that some examples name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let key = include_str!("../cases/keys/rsa.pem");
    let file = serde_json::json!({ "type": "service_account", "client_email": "me@x.example", "private_key_id": "k1",
        "private_key": key, "token_uri": "https://oauth2.example/token" });
    std::fs::write(directory.path().join("credentials_file.json"), file.to_string()).expect("a key file");
    directory
}

/// A config without what hides its secrets, which differs by where they are written.
fn unhidden(config: Config) -> Config {
    let bare = |plan: &Plan| {
        let mut plan = Plan { redactor: Redactor::new([]), ..plan.clone() };
        plan.steps.clear();
        plan.into()
    };
    let apis = config.apis.iter().map(|plan| bare(plan)).collect();
    let mut config = Config { apis, of_original: Vec::new(), ..config };
    config.outputs.iter_mut().for_each(|output| output.redactor = Redactor::new([]));
    config
}

#[test]
fn each_example_is_understood() {
    let directory = directory();
    for (name, text) in examples() {
        let reading = compile(&text, directory.path());
        assert_eq!(reading.diagnostics.errors, [], "{name}");
        assert!(reading.config.is_some(), "{name}");
    }
}

#[test]
fn a_converted_file_means_the_same_and_holds_no_secret() {
    let directory = directory();
    for (name, text) in examples() {
        let (converted, diagnostics) = config::converted(&text, directory.path()).expect("it is converted");
        assert_eq!(diagnostics.errors, [], "{name}");
        let reading = compile(&with_secrets_of(&converted, &text), directory.path());
        assert_eq!(reading.diagnostics.errors, [], "{name}\n{converted}");
        let [expected, found] =
            [compile(&text, directory.path()), reading].map(|reading| unhidden(reading.config.expect("a config")));
        assert_eq!(found, expected, "{name}\n{converted}");
        for secret in ["in-SHIPPING_TOKEN-ex", "in-AZURE_AD_SECRET_VALUE-ex", "in-API_KEY-ex", "in-CLIENT_SECRET-ex"] {
            assert!(!converted.contains(secret), "{name}\n{converted}");
        }
    }
}

/// A converted file with the secrets that its variables stand for, found where the first one has them.
fn with_secrets_of(converted: &str, text: &str) -> String {
    let secrets = [
        ("_AUTHORIZATION}", &["in-API_TOKEN-ex", "in-CLOUDFLARE_BEARER_TOKEN-ex", "in-1PASSWORD_BEARER_TOKEN-ex"][..]),
        ("_X_API_KEY}", &["in-API_KEY-ex"]),
        ("_X_API_TOKEN}", &["in-LOGZIO_API_TOKEN-ex"]),
        ("_CLIENT_SECRET}", &["in-CLIENT_SECRET-ex"]),
        ("_PASSWORD}", &["in-dockerhub_token-ex"]),
        ("_KEY}", &["in-AZURE_AD_SECRET_VALUE-ex", "in-CISCO_CLIENT_PASSWORD-ex"]),
        ("_TOKEN_2}", &["in-SHIPPING_TOKEN_ACCOUNT2-ex"]),
        ("_TOKEN}", &["in-SHIPPING_TOKEN-ex", "in-SHIPPING_TOKEN_ACCOUNT1-ex"]),
    ];
    let mut filled = String::new();
    let mut rest = converted;
    while let Some((before, from)) = rest.split_once("${") {
        let (name, after) = from.split_once('}').expect("it is closed");
        let secret =
            secrets.iter().filter(|(end, _)| format!("{name}}}").ends_with(end)).flat_map(|(_, secrets)| *secrets);
        let secret =
            secret.copied().find(|secret| text.contains(secret)).unwrap_or_else(|| panic!("no secret for {name}"));
        filled.push_str(before);
        filled.push_str(secret);
        rest = after;
    }
    filled + rest
}

#[test]
fn a_faulty_entry_does_not_stop_the_others() {
    let text = format!(
        "{LOGZIO}apis:\n- {{type: azure_graph, name: bad}}\n- {{type: dockerhub, name: good, dockerhub_user: u, dockerhub_token: t, \
         url: 'https://hub.docker.com/v2/auditlogs/x', days_back_fetch: 1}}\n- {{type: nothing, name: other}}\n"
    );
    let reading = compile(&text, Path::new("."));
    let config = reading.config.expect("the good one runs");
    assert_eq!(config.apis.iter().map(|plan| plan.name.as_str()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(config.faulty.len(), reading.diagnostics.errors.len());
    assert!(
        reading
            .diagnostics
            .errors
            .iter()
            .all(|error| error.path.starts_with("apis[0]") || error.path.starts_with("apis[2]"))
    );
    let alone = compile(&text.replace("dockerhub, name", "docker, name"), Path::new("."));
    assert!(alone.config.is_none(), "nothing runs without any API");
}

#[test]
fn of_equal_names_the_first_keeps_its_state() {
    let hub = |more: &str| {
        format!(
            "- {{type: dockerhub, dockerhub_user: u, dockerhub_token: t, days_back_fetch: 1, url: 'https://hub.docker.com/v2/auditlogs/{more}}}\n"
        )
    };
    let names = |entries: &[String]| {
        let reading = compile(&format!("{LOGZIO}apis:\n{}", entries.concat()), Path::new("."));
        assert_eq!(reading.diagnostics.errors, []);
        let apis = reading.config.expect("a config").apis;
        apis.iter().map(|plan| plan.name.clone()).collect::<Vec<_>>()
    };
    let first = "https://hub.docker.com/v2/auditlogs/a";
    assert_eq!(names(&[hub("a?x=1'")]), [first]);
    assert_eq!(
        names(&[hub("a?x=1'"), hub("a?x=2'"), hub("b'")]),
        [first, &format!("{first} 2"), "https://hub.docker.com/v2/auditlogs/b"]
    );
    assert_eq!(
        names(&[hub("a', name: n"), hub("b', name: n"), hub("c', name: n, state_key: k")]),
        ["n", "n https://hub.docker.com/v2/auditlogs/b", "k"]
    );
}

#[test]
fn what_pyyaml_takes_is_taken() {
    let text = format!(
        "x-common: &common {{dockerhub_user: u, dockerhub_token: 123, days_back_fetch: '1', scrape_interval: 5.0}}\n{LOGZIO}\
         apis:\n- {{<<: *common, type: dockerhub, name: 5, name: 6, url: 'https://hub.docker.com/v2/auditlogs/x', headers: {{X-A: 7}}, \
         pagination: null, next_url: ~}}\n"
    );
    let reading = compile(&text, Path::new("."));
    assert_eq!(reading.diagnostics.errors, []);
    let config = reading.config.expect("a config");
    assert_eq!((config.apis[0].name.as_str(), config.apis[0].interval.as_secs()), ("6", 300));
    assert!(
        reading.diagnostics.warnings.iter().any(|warning| warning.what.contains("twice")),
        "{:#?}",
        reading.diagnostics
    );
}

#[test]
fn check_ends_with_2_and_names_what_is_left_out() {
    let good = "{type: dockerhub, name: good, dockerhub_user: u, dockerhub_token: t, url: 'https://hub.docker.com/v2/auditlogs/x', days_back_fetch: 1}";
    let config = format!("{LOGZIO}apis:\n- {good}\n- {{type: dockerhub, name: bad}}\n");
    let outcome = Fetcher::new(&config).run("check");
    assert_eq!(outcome.code, Some(2), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("without these entries 1 API would run"), "{}", outcome.stdout);
}
