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

/// Converts a text, where no variable but those that begin with `SET_` is set.
fn convert(text: &str, directory: &Path) -> (String, config::Diagnostics) {
    let variable = |name: &str| name.strip_prefix("SET_").map(|name| format!("set-{name}"));
    config::converted(text, &Environment { variable: &variable, directory }).expect("it is converted")
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
        let (converted, diagnostics) = convert(&text, directory.path());
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

/// What a text means, its `apis` or what they were converted to, where these variables are set.
fn meant(text: &str, variables: &[(&str, &str)]) -> Config {
    let variable = |name: &str| {
        let given = variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        given.or_else(|| name.strip_prefix("SET_").map(|name| format!("set-{name}")))
    };
    let reading = config::compile(text, &Environment { variable: &variable, directory: Path::new(".") });
    assert_eq!(reading.diagnostics.errors, [], "{text}");
    let mut config = unhidden(reading.config.expect("a config"));
    config.apis.sort_by(|a, b| a.name.cmp(&b.name));
    config
}

/// Asserts that a converted file asks the same requests where its variables are the secrets that stood there, has a comment
/// for each, and holds none.
#[track_caller]
fn check_hidden(text: &str, secrets: &[(&str, &str)]) {
    let (converted, diagnostics) = convert(text, Path::new("."));
    assert_eq!(diagnostics.errors, [], "{text}");
    assert_eq!(meant(&converted, secrets), meant(text, &[]), "{text}\n{converted}");
    for (name, secret) in secrets {
        assert!(text.contains(secret), "{secret} is a secret of\n{text}");
        assert!(converted.contains(&format!("set the environment variable {name} to ")), "{name}: {converted}");
        assert!(converted.contains(&format!("${{{name}}}")), "{name}: {converted}");
        assert!(!converted.contains(secret), "{secret}: {converted}");
    }
}

/// A config of one entry of the name `e`.
fn one(more: &str) -> String {
    format!("logzio: {{url: 'http://127.0.0.1:1', token: '${{SET_T}}'}}\napis:\n- {{type: general, name: e, {more}}}\n")
}

#[test]
fn a_converted_file_holds_no_secret_of_urls() {
    check_hidden(
        &one("url: 'https://me:pw%21word@x.example/a?page=1&api_key=url~key&b=2'"),
        &[("E_PASSWORD", "pw%21word"), ("E_API_KEY", "url~key")],
    );
    let paging = "url: 'https://x.example/a', pagination: {type: url, url_format: 'https://x.example/a?token=page-token&p={res.p}', \
                  stop_indication: {field: r, condition: empty}}";
    check_hidden(&one(paging), &[("E_TOKEN", "page-token")]);
    check_hidden(
        &one(&paging
            .replace("'https://x.example/a?token", "'?token")
            .replace("pagination: {", "pagination: {update_first_url: true, ")),
        &[("E_TOKEN", "page-token")],
    );
    check_hidden(
        &one("url: 'https://x.example/a?key=one-key', next_url: 'https://x.example/a?key=two-key&after={res.at}'"),
        &[("E_KEY", "one-key"), ("E_KEY_2", "two-key")],
    );
    let login = "apis:\n- {type: oauth, name: e, token_request: {url: 'https://x.example/t?sig=login-sig', headers: {X-Api-Key: 12345}}, \
                 data_request: {url: 'https://x.example/bot-header-secret/a', headers: {Authorization: 'Basic header-secret'}}}\n";
    check_hidden(
        &format!("{LOGZIO}{login}").replace("token: t}", "token: shipping-secret}"),
        &[
            ("E_SIG", "login-sig"),
            ("E_X_API_KEY", "12345"),
            ("E_AUTHORIZATION", "header-secret"),
            ("LOGZIO_TOKEN", "shipping-secret"),
        ],
    );
}

#[test]
fn a_converted_file_holds_no_secret_of_bodies() {
    let body = |body: &str| one(&format!("url: 'https://x.example/a', method: POST, body: {body}"));
    for text in [
        r#"'{"api_key": "c2VjcmV0==", "q":1}'"#,
        "{api_key: c2VjcmV0==, q: 1}",
        "{api_key: [{of: {x: c2VjcmV0==}}], q: 1}",
    ] {
        check_hidden(&body(text), &[("E_API_KEY", "c2VjcmV0==")]);
    }
    for text in ["{a: [{pass: 90210, limit: 100}], b: x}", r#"'{"a": [{"pass": 90210, "limit": 100}]}'"#] {
        check_hidden(&body(text), &[("E_PASS", "90210")]);
    }
    check_hidden(
        &body(r#"'{"a": {"secret": ["x\"y-1", {"of": "z-2z"}]}, "token": "{start_date}", "n": null}'"#),
        &[("E_SECRET", r#"x\"y-1"#), ("E_SECRET_2", "z-2z")],
    );
    check_hidden(&body("'client_id=i &client_secret=a{b}c &grant=g'"), &[("E_CLIENT_SECRET", "a{b}c")]);
    check_hidden(&body("{token: 'mine-{page}-x'}").replace("{page}", "{brace}"), &[("E_TOKEN", "mine-{brace}-x")]);
    check_hidden(&body("{token: 'one-${SET_X}-two', pass: '${SET_Y}'}"), &[("E_TOKEN", "one-"), ("E_TOKEN_2", "-two")]);
    let next = "url: 'https://x.example/a', method: POST, body: {key: first-key}, next_body: {key: next-key, after: '{res.at}', token: '{res.t}'}";
    check_hidden(&one(next), &[("E_KEY", "first-key"), ("E_KEY_2", "next-key")]);
    check_hidden(
        &one("url: 'https://x.example/a', additional_fields: {api_key: field-key, key_number: 7}"),
        &[("E_API_KEY", "field-key")],
    );
}

#[test]
fn a_converted_file_holds_no_secret_of_other_lists_and_keys() {
    let text = "my_token: top-secret\n".to_owned()
        + &one("url: 'https://x.example/a', unknown_key: nobody-reads-it")
        + "auth_apis:\n- {type: general, name: own, credentials: {id: i, key: own-key}, start_date_name: s, filters: {token: own-filter}, \
           http_request: {url: 'https://x.example/b?sig=own-sig'}, settings: {time_interval: 1}, \
           json_paths: {data: a, data_date: d, next_token: paging.key}, next_request: {filters: {token: '{next_token}'}}, \
           sign: {hmac: sha256, key: own-sign, text: '{body}'}, \
           steps: [{http_request: {url: 'https://x.example/c', headers: {X-Key: step-key}}, json_paths: {data: x}}]}\n\
           oauth_apis:\n- {type: general, name: own 2, credentials: {id: i, key: own2-key}, start_date_name: s, token_http_request: {url: \
           'https://x.example/t', token: session.token, refresh_token: own2-refresh}, http_request: {url: 'https://x.example/d'}, \
           settings: {time_interval: 1}, json_paths: {data: a, data_date: d, next_url: n}}\n";
    check_hidden(
        &text,
        &[
            ("CONFIG_MY_TOKEN", "top-secret"),
            ("OWN_KEY", "own-key"),
            ("OWN_TOKEN", "own-filter"),
            ("OWN_SIG", "own-sig"),
            ("OWN_KEY_2", "own-sign"),
            ("OWN_X_KEY", "step-key"),
            ("OWN_2_KEY", "own2-key"),
            ("OWN_2_REFRESH_TOKEN", "own2-refresh"),
        ],
    );
    let (converted, _) = convert(&text, Path::new("."));
    for kept in ["next_token: paging.key", "token: session.token", "token: '{next_token}'"] {
        assert!(converted.contains(kept), "{kept}: {converted}");
    }
    assert!(!converted.contains("nobody-reads-it"), "{converted}");
}

#[test]
fn a_converted_file_keeps_the_names_of_states() {
    let names = |text: &str| {
        let config = meant(text, &[]);
        let apis: Vec<String> = config.apis.iter().map(|plan| plan.name.clone()).collect();
        let outputs = config.outputs.iter().map(|output| (output.name.clone(), output.inputs.clone()));
        (apis, outputs.collect::<Vec<_>>())
    };
    let hub = |more: &str| {
        format!("- {{type: dockerhub, dockerhub_user: u, dockerhub_token: '${{SET_T}}', days_back_fetch: 1, {more}}}\n")
    };
    let entries = [
        hub("url: 'https://hub.docker.com/v2/auditlogs/${SET_A}'"),
        hub("url: 'https://hub.docker.com/v2/auditlogs/b', name: 'n ${SET_N}'"),
        hub("url: 'https://hub.docker.com/v2/auditlogs/c', name: n set-N"),
        hub("url: 'https://hub.docker.com/v2/auditlogs/d', name: n, state_key: '${SET_K}'"),
        hub("url: 'https://hub.docker.com/v2/auditlogs/e', name: 'a $${b}'"),
        hub("url: 'https://hub.docker.com/v2/auditlogs/f?page=${SET_lower}', name: lower"),
    ];
    let text = format!(
        "logzio:\n- {{url: 'https://${{SET_HOST}}/', token: '${{SET_TOKEN}}', inputs: ['n ${{SET_N}}', lower, 'a $${{b}}', 'https://hub.docker.com/v2/auditlogs/${{SET_A}}']}}\n\
         - {{token: other, inputs: [n]}}\napis:\n{}",
        entries.concat()
    );
    let (converted, diagnostics) = convert(&text, Path::new("."));
    assert_eq!(diagnostics.errors, []);
    let again = converted.replace("${LOGZIO_TOKEN}", "other");
    assert_eq!(names(&again), names(&text), "{converted}");
    assert_eq!(
        names(&again).0,
        [
            "a ${b}",
            "https://hub.docker.com/v2/auditlogs/***",
            "lower",
            "n set-N",
            "n set-N https://hub.docker.com/v2/auditlogs/c",
            "set-K",
        ]
    );
}

#[test]
fn a_name_that_is_not_known_is_not_written() {
    let hub = |more: &str| {
        format!("- {{type: dockerhub, dockerhub_user: u, dockerhub_token: '${{T}}', days_back_fetch: 1, {more}}}\n")
    };
    let url = "url: 'https://hub.docker.com/v2/auditlogs/a'";
    let entries =
        [hub(&format!("{url}, name: 'n ${{UNSET}}'")), hub(url), hub("url: 'https://hub.docker.com/${UNSET}'")];
    let text = format!("logzio:\n- {{token: '${{UNSET}}', inputs: []}}\napis:\n{}", entries.concat());
    let (converted, diagnostics) = convert(&text, Path::new("."));
    assert_eq!(diagnostics.errors, []);
    assert_eq!(converted.matches("name: https://hub.docker.com/v2/auditlogs/a\n").count(), 1, "{converted}");
    assert_eq!(converted.matches("\n    name:").count(), 1, "{converted}");
    assert_eq!(converted.matches("  # name: a `${…}`").count(), 2, "{converted}");
    assert_eq!(converted.matches("# logzio[0].name: a `${…}`").count(), 1, "{converted}");
}

/// What an entry becomes can't hang on a variable: it is left out and named, and the others are there.
#[test]
fn an_entry_that_hangs_on_a_variable_is_left_out_and_named() {
    let hub = |name: &str, days: &str| {
        format!(
            "- {{type: dockerhub, name: {name}, dockerhub_user: u, dockerhub_token: t, days_back_fetch: '{days}', url: 'https://hub.docker.com/v2/auditlogs/a'}}\n"
        )
    };
    let config = format!("{LOGZIO}apis:\n{}{}", hub("one", "${DAYS}"), hub("two", "1"));
    let outcome = Fetcher::new(&config).variable("DAYS", "1").run("convert").assert_code(2);
    outcome.assert_says("name: two").assert_says("apis[0].days_back_fetch");
}

/// The command fills names in by its own environment.
#[test]
fn the_command_writes_names_as_they_are_filled_in() {
    let config = format!(
        "{LOGZIO}apis:\n- {{type: dockerhub, name: 'of ${{TENANT}}', dockerhub_user: u, dockerhub_token: a-hub-token, \
         days_back_fetch: 1, url: 'https://hub.docker.com/v2/auditlogs/a'}}\n"
    );
    let outcome = Fetcher::new(&config).variable("TENANT", "acme").run("convert").assert_code(0);
    assert!(outcome.stdout.contains("name: of acme\n"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("a-hub-token") && !outcome.stderr.contains("a-hub-token"), "{}", outcome.stdout);
}

/// A faulty entry has no state, so it takes no name from another one.
#[test]
fn an_entry_that_can_not_be_named_takes_no_name_away() {
    let hub = "- {type: dockerhub, dockerhub_user: u, dockerhub_token: t, days_back_fetch: 1, url: 'https://hub.docker.com/v2/auditlogs/a'";
    let reading = config::compile(
        &format!("{LOGZIO}apis:\n{hub}, name: '${{UNSET}}'}}\n{hub}}}\n"),
        &Environment { variable: &|_| None, directory: Path::new(".") },
    );
    let apis = reading.config.expect("the second one runs").apis;
    assert_eq!(
        apis.iter().map(|plan| plan.name.as_str()).collect::<Vec<_>>(),
        ["https://hub.docker.com/v2/auditlogs/a"]
    );
}

#[test]
fn a_converted_file_holds_no_secret_of_logins_and_later_pages() {
    let logzio = LOGZIO.replace("token: t}", "token: '${SET_T}'}");
    let login = |more: &str| {
        format!(
            "{logzio}apis:\n- {{type: oauth, name: e, data_request: {{url: 'https://x.example/a'}}, token_request: {{url: 'https://x.example/t', {more}}}}}\n"
        )
    };
    check_hidden(
        &login("headers: {Content-Type: application/json}, body: {client_id: 5, client_secret: 90210, n: 1e3}"),
        &[("E_CLIENT_SECRET", "90210")],
    );
    check_hidden(&login("body: {client_id: i, client_secret: 0123}"), &[("E_CLIENT_SECRET", "0123")]);
    check_hidden(
        &login("headers: {Content-Type: application/json}, body: '{\"client_secret\": \"it-is=this\"}'"),
        &[("E_CLIENT_SECRET", "it-is=this")],
    );
    let paged = |paging: &str| {
        one(&format!(
            "url: 'https://x.example/a', method: POST, headers: {{Cookie: 'sid=abc-1; b=2', X: [a, Bearer of-list]}}, pagination: \
                      {{{paging}, stop_indication: {{field: r, condition: empty}}}}"
        ))
    };
    let own = [("E_COOKIE", "sid=abc-1; b=2"), ("E_X", "of-list")];
    let with = |more: (&'static str, &'static str)| own.into_iter().chain([more]).collect::<Vec<_>>();
    check_hidden(
        &paged(r#"type: body, body_format: '{"n": {res.n}, "token": "tok-{res.t}-secret"}'"#),
        &with(("E_TOKEN", "tok-{res.t}-secret")),
    );
    check_hidden(
        &paged("type: headers, headers_format: {Authorization: 'ApiKey page-key', X-Token: '{res.t}'}"),
        &with(("E_AUTHORIZATION", "page-key")),
    );
    let graph = "- {type: azure_graph, name: e, azure_ad_tenant_id: t, azure_ad_client_id: c, azure_ad_secret_value: 'se{c}ret', \
                 data_request: {url: 'https://graph.microsoft.com/v1.0/x'}}\n";
    check_hidden(&format!("{logzio}apis:\n{graph}"), &[("E_KEY", "se{c}ret")]);
    check_hidden(
        &one(
            "url: 'https://x.example/a', method: POST, body: \"{\\\"token\\\": \\\"of-block\\\",\\n \\\"b\\\": 1}\\n\"",
        ),
        &[("E_TOKEN", "of-block")],
    );
}

#[test]
fn a_secret_that_is_written_with_marks_is_told_how_to_be_set() {
    let text = one("url: 'https://x.example/a', headers: {X-Key: 'a$${b}{page}c'}");
    let (converted, _) = convert(&text, Path::new("."));
    assert!(converted.contains("that stood here, with ${ for each $${, with {'{'} for each {.\n"), "{converted}");
    assert_eq!(meant(&converted, &[("E_X_KEY", "a${b}{'{'}page}c")]), meant(&text, &[]), "{converted}");
}

#[test]
fn a_converted_file_keeps_numbers_as_they_are_sent() {
    let fields = "additional_fields: {a: 1e5, b: 0x1F, c: True, d: 1.0}";
    check_hidden(
        &one(&format!("url: 'https://x.example/a', method: POST, body: {{a: 1e5, b: [0x1F, True, 1.0]}}, {fields}")),
        &[],
    );
}
