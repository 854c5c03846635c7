//! The config's JSON Schema: it says what the reference says, takes what `check` takes, and refuses what it refuses, as
//! far as a schema can see it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonschema::Validator;
use logzio_api_fetcher::config::catalog::{self, List};
use logzio_api_fetcher::config::{self, Environment, LoadedConfig, reference, schema};
use proptest::prelude::*;
use reference::Place;
use serde_json::{Value, json};

use crate::harness::Fetcher;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn compile(text: &str) -> LoadedConfig {
    let variable = |name: &str| {
        let value = match name {
            "INTERVAL" => "7",
            "AUTO" => "auto",
            "ZONE" => "Asia/Tokyo",
            "ANY" => "2xx",
            "GENERAL" => "general",
            "POST" => "post",
            "URL" => "https://api.example/v3",
            "WORD" => "word",
            "MARKED" => "ge {start_date}",
            _ => return None,
        };
        Some(value.to_owned())
    };
    config::compile(text, &Environment { variable: &variable, directory: &root().join("tests/cases/config") })
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema::schema()).unwrap()
}

/// A document as an editor sees it, merges resolved; nothing where it is no YAML, or nothing that JSON has a word for.
fn seen(text: &str) -> Option<Value> {
    let mut document: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    document.apply_merge().ok()?;
    serde_json::to_value(document).ok()
}

#[track_caller]
fn assert_valid(validator: &Validator, text: &str) {
    let document = seen(text).unwrap_or_else(|| panic!("no YAML:\n{text}"));
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
}

#[test]
fn the_command_prints_what_stands_in_docs() {
    let printed = Fetcher::new("").run_bare("schema").assert_code(0).stdout;
    let kept = std::fs::read_to_string(root().join("docs/config.schema.json")).unwrap();
    assert!(printed == kept, "cargo run -- schema > docs/config.schema.json");
    let schema: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::meta::validate(&schema).unwrap();
}

/// Each key below `properties` that is no section, with its place, its way and its schema.
fn keys(properties: &Value, place: Place, within: &str, found: &mut BTreeMap<(String, String), Vec<Value>>) {
    for (name, schema) in properties.as_object().unwrap() {
        let name = if name == "data_http_request" { "http_request" } else { name };
        let path = if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
        match schema.get("properties") {
            Some(below) => keys(below, place, &path, found),
            None => found.entry((format!("{place:?}"), path.clone())).or_default().push(schema.clone()),
        }
        let entry = match path.as_str() {
            "auth_apis" => Place::Auth,
            "oauth_apis" => Place::OAuth,
            _ => continue,
        };
        keys(&schema["items"]["properties"], entry, "", found);
    }
}

#[test]
fn it_has_the_keys_of_the_reference_with_their_meaning_and_no_other() {
    let mut found = BTreeMap::new();
    keys(&schema::schema()["properties"], Place::Top, "", &mut found);
    for key in reference::KEYS {
        let places = if key.place == Place::Both { vec![Place::Auth, Place::OAuth] } else { vec![key.place] };
        for place in places {
            let schemas = found.remove(&(format!("{place:?}"), key.path.to_owned()));
            let schemas = schemas.unwrap_or_else(|| panic!("`{}` ({place:?}) is not in the schema", key.path));
            for schema in schemas {
                let said = schema["description"].as_str().unwrap_or_default();
                assert!(said.starts_with(&key.meaning(place)), "`{}` ({place:?}): {said}", key.path);
            }
        }
    }
    let is_parameter =
        |name: &str| catalog::types().iter().any(|named| named.own_parameters().any(|own| own.name == name));
    found.retain(|(_, path), _| !is_parameter(path));
    assert!(found.is_empty(), "not in the reference: {:?}", found.keys());
}

#[test]
fn it_offers_names_and_defaults() {
    let schema = schema::schema();
    let at = |way: &str| schema.pointer(way).unwrap_or_else(|| panic!("no {way}"));
    let types_of = |list| json!(catalog::types_of(list).map(|named| named.name.as_str()).collect::<Vec<_>>());
    let (auth, oauth) = ("/properties/auth_apis/items/properties", "/properties/oauth_apis/items/properties");
    for (list, way, expected) in [
        (auth, "type/anyOf/0/enum", types_of(List::AuthApis)),
        (oauth, "type/anyOf/0/enum", types_of(List::OauthApis)),
        (auth, "http_request/properties/method/default", json!("GET")),
        (oauth, "token_http_request/properties/method/default", json!("POST")),
        (oauth, "settings/properties/days_back_fetch/default", json!(14)),
        (auth, "custom_fields/default", json!({ "type": "api_fetcher" })),
    ] {
        assert_eq!(at(&format!("{list}/{way}")), &expected, "{way}");
    }
    let overlap = at(&format!("{oauth}/settings/properties/overlap"));
    assert!(overlap.get("default").is_none(), "it differs by type: {overlap}");
}

/// The faults of `tests/cases/config` that a schema can't see.
const UNSEEN_CASES: &[(&str, &str)] = &[
    ("placeholders", "a placeholder is a text like any other, and what `${…}` leads to is not in the file"),
    ("same-key-twice", "it is no YAML, so there is no document to look at"),
];

#[test]
fn it_judges_every_case_and_the_example_like_check() {
    let validator = validator();
    let (mut clean, mut faulty, mut unseen) = (0, 0, Vec::new());
    for entry in std::fs::read_dir(root().join("tests/cases/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let reading = compile(&text);
        if reading.config.is_some() && reading.diagnostics.warnings.is_empty() {
            clean += 1;
            assert_valid(&validator, &text);
        } else if reading.config.is_none() {
            faulty += 1;
            if seen(&text).is_none_or(|document| validator.is_valid(&document)) {
                unseen.push(name);
            }
        }
    }
    unseen.sort();
    let listed: Vec<&str> = UNSEEN_CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(unseen, listed);
    assert!(clean >= 3 && faulty >= 7, "{clean} without findings, {faulty} faulty");

    let example = std::fs::read_to_string(root().join("config.example.yaml")).unwrap();
    assert!(example.starts_with("# yaml-language-server: $schema=docs/config.schema.json\n"), "{example}");
    assert_valid(&validator, &example);
    assert_valid(&validator, &example.replace("<<", "filled-").replace(">>", "-in"));
}

/// A config with one entry in each list, whose values can be put and taken away. Values are YAML, as it is written.
#[derive(Clone)]
struct Draft(Vec<(String, String)>);

impl Draft {
    /// A complete one.
    fn new() -> Self {
        let pairs = [
            ("logzio.url", "https://listener.logz.io:8071"),
            ("logzio.token", "t"),
            ("auth_apis.type", "general"),
            ("auth_apis.name", "one"),
            ("auth_apis.credentials.id", "a"),
            ("auth_apis.credentials.key", "b"),
            ("auth_apis.http_request.url", "https://api.example/v1"),
            ("auth_apis.start_date_name", "since"),
            ("auth_apis.json_paths.data", "data"),
            ("auth_apis.json_paths.data_date", "date"),
            ("auth_apis.json_paths.next_url", "next"),
            ("auth_apis.settings.time_interval", "5"),
            ("oauth_apis.type", "azure_graph"),
            ("oauth_apis.name", "two"),
            ("oauth_apis.credentials.id", "a"),
            ("oauth_apis.credentials.key", "b"),
            ("oauth_apis.token_http_request.url", "https://login.example/token"),
            ("oauth_apis.http_request.url", "https://api.example/v1"),
            ("oauth_apis.json_paths.data_date", "created"),
            ("oauth_apis.settings.time_interval", "5"),
        ];
        Self(pairs.map(|(way, value)| (way.to_owned(), value.to_owned())).to_vec())
    }

    /// Puts a value in the place of what is there, and below it; an empty one only takes that away.
    fn put(mut self, way: &str, value: &str) -> Self {
        self.0.retain(|(known, _)| known != way && !known.starts_with(&format!("{way}.")));
        if !value.is_empty() {
            self.0.push((way.to_owned(), value.to_owned()));
        }
        self
    }

    fn text(&self) -> String {
        flow(&self.0.iter().map(|(way, value)| (way.as_str(), value.as_str())).collect::<Vec<_>>())
    }
}

/// A mapping in one line.
fn flow(pairs: &[(&str, &str)]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (way, _) in pairs {
        let name = way.split('.').next().unwrap();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let member = |name: &&str| {
        let below: Vec<(&str, &str)> = pairs
            .iter()
            .filter_map(|(way, value)| Some((way.strip_prefix(*name)?.strip_prefix('.')?, *value)))
            .collect();
        match pairs.iter().find(|(way, _)| way == name) {
            Some((_, value)) => format!("{name}: {value}"),
            None if name.ends_with("_apis") => format!("{name}: [{}]", flow(&below)),
            None => format!("{name}: {}", flow(&below)),
        }
    };
    format!("{{{}}}", names.iter().map(member).collect::<Vec<_>>().join(", "))
}

/// Single faults that a schema sees: the key, and what is wrong with it.
const FAULTS: &[(&str, &str)] = &[
    ("logzio", ""),
    ("logzio", "[1]"),
    ("logzio.url", ""),
    ("logzio.url", "listener.logz.io:8071"),
    ("logzio.url", "'https://listener.logz.io:8071/?token=t'"),
    ("logzio.url", "'https://listener.logz.io:8071/#x'"),
    ("logzio.token", "null"),
    ("logzio.token", "' '"),
    ("logzio.acknowledge", "all"),
    ("logzio.acknowledge", "200"),
    ("logzio.acknowledge", "[2xx]"),
    ("tls", "text"),
    ("tls.ca_file", "''"),
    ("status.listen", "''"),
    ("status.listen", "8080"),
    ("status.listen", "[]"),
    ("status.listen", "loopback"),
    ("auth_apis", "{type: general}"),
    ("auth_apis", "[text]"),
    ("auth_apis", "[null]"),
    ("auth_apis.type", ""),
    ("auth_apis.type", "azure_graph"),
    ("auth_apis.type", "General"),
    ("oauth_apis.type", "cisco_secure_x"),
    ("auth_apis.name", ""),
    ("auth_apis.name", "''"),
    ("auth_apis.name", r#""a\tb""#),
    ("auth_apis.name", "[a]"),
    ("auth_apis.credentials", ""),
    ("auth_apis.credentials", "text"),
    ("auth_apis.credentials.id", "null"),
    ("auth_apis.credentials.key", "[a]"),
    ("oauth_apis.credentials.id", ""),
    ("auth_apis.http_request", ""),
    ("auth_apis.http_request.url", "null"),
    ("auth_apis.http_request.url", "''"),
    ("auth_apis.http_request.url", "api.example"),
    ("auth_apis.http_request.url", "'ftp://api.example'"),
    ("auth_apis.http_request.url", "'https://'"),
    ("auth_apis.http_request.url", "5"),
    ("auth_apis.data_http_request", "{url: 'https://api.example/v1'}"),
    ("auth_apis.http_request.method", "PUT"),
    ("auth_apis.http_request.method", "''"),
    ("auth_apis.http_request.headers", "[a]"),
    ("auth_apis.http_request.headers", "{'a b': c}"),
    ("auth_apis.http_request.headers", r#"{a: "b\u0007c"}"#),
    ("auth_apis.http_request.headers", r#"{a: "b\nc"}"#),
    ("auth_apis.http_request.headers", "{a: {b: c}}"),
    ("auth_apis.http_request.timeout", "0"),
    ("auth_apis.http_request.timeout", "-1"),
    ("auth_apis.http_request.timeout", "soon"),
    ("auth_apis.http_request.timeout", "3601"),
    ("auth_apis.hosts", "''"),
    ("auth_apis.hosts", "['host/path']"),
    ("auth_apis.hosts", "['*']"),
    ("auth_apis.hosts", "[[a]]"),
    ("auth_apis.hosts", "[{credentials: true}]"),
    ("auth_apis.hosts", "[{host: a, credentials: perhaps}]"),
    ("auth_apis.hosts", "[{host: a, port: 1}]"),
    ("oauth_apis.token_http_request", ""),
    ("oauth_apis.token_http_request.url", ""),
    ("oauth_apis.token_http_request.body", "[a]"),
    ("oauth_apis.token_http_request.body", "{a: {b: c}}"),
    ("oauth_apis.token_http_request.scope", "[a]"),
    ("oauth_apis.http_request.url", "null"),
    ("auth_apis.start_date_name", ""),
    ("auth_apis.start_date_name", "''"),
    ("auth_apis.start_date_name", "[a]"),
    ("auth_apis.json_paths", "null"),
    ("auth_apis.json_paths.data", ""),
    ("auth_apis.json_paths.data", "' '"),
    ("auth_apis.json_paths.data_date", "null"),
    ("auth_apis.json_paths.data_date", "[a]"),
    ("auth_apis.json_paths.next_url", "{a: b}"),
    ("oauth_apis.json_paths.data_date", ""),
    ("oauth_apis.json_paths.data_date", "''"),
    ("auth_apis.settings", "null"),
    ("auth_apis.settings.time_interval", ""),
    ("auth_apis.settings.time_interval", "0"),
    ("auth_apis.settings.time_interval", "0.0h"),
    ("auth_apis.settings.time_interval", "-5"),
    ("auth_apis.settings.time_interval", "-5m"),
    ("auth_apis.settings.time_interval", "5 weeks"),
    ("auth_apis.settings.time_interval", "1e9"),
    ("auth_apis.settings.time_interval", "true"),
    ("auth_apis.settings.days_back_fetch", "-1"),
    ("auth_apis.settings.days_back_fetch", "36501"),
    ("auth_apis.settings.days_back_fetch", "1h"),
    ("auth_apis.settings.overlap", "soon"),
    ("auth_apis.settings.overlap", "-1"),
    ("auth_apis.settings.overlap", "''"),
    ("auth_apis.settings.timezone", "''"),
    ("auth_apis.settings.timezone", "'+2:0:0'"),
    ("auth_apis.settings.timezone", "true"),
    ("auth_apis.settings.timezone", "[UTC]"),
    ("auth_apis.enabled", "maybe"),
    ("limits.memory", "much"),
    ("limits.memory", "1.5GiB"),
    ("auth_apis.settings.rate_limit", "30"),
    ("auth_apis.settings.rate_limit", "0/s"),
    ("auth_apis.settings.rate_limit", "5/week"),
    ("auth_apis.filters", "text"),
    ("auth_apis.filters", "{a: {b: c}}"),
    ("auth_apis.filters", "{a: [[1]]}"),
    ("auth_apis.custom_fields", "text"),
    ("auth_apis.custom_fields", "[a]"),
];

/// Single faults that it can't see, and why.
const UNSEEN: &[(&str, &str, &str)] = &[
    ("auth_apis.json_paths.data", "'a['", "the syntax of a JSON path"),
    ("oauth_apis.json_paths.data_date", "'a[*]'", "what a JSON path leads to"),
    ("auth_apis.name", "two", "a name that is taken in another list"),
    ("auth_apis.name", "<<NAME>>", "a placeholder is a text like any other"),
    ("auth_apis.name", "'${NOT_SET}'", "the environment is not in the file"),
    ("auth_apis.name", "'${NOT CLOSED'", "a text that holds `${` is taken as it is"),
    ("tls.ca_file", "/nowhere.pem", "another file"),
    ("auth_apis.http_request.url", "'https://api.example:port/'", "the parts of a URL behind its host's first letter"),
    ("auth_apis.http_request.timeout", "2h", "how long a text makes a span"),
    ("limits.memory", "1MiB", "how large a number in a text is"),
    ("auth_apis.settings.rate_limit", "10001/h", "how large a number in a text is"),
    ("auth_apis.hosts", "['*.com']", "how many names stand behind a star"),
    ("auth_apis.hosts", "[{host: 'http://a', credentials: true}]", "what the scheme of another key means for it"),
    ("auth_apis.settings.time_interval", "0x10", "to a schema this number is 16, however it is written"),
    ("auth_apis.settings.time_interval", "999999h", "how long a text makes a span"),
    ("auth_apis.settings.days_back_fetch", "'36501'", "how large a number in quotes is"),
    ("auth_apis.settings.timezone", "Mars/Base", "which names of time zones there are"),
    ("auth_apis.filters", "{since: yesterday}", "which filter holds the start date is said elsewhere"),
    ("auth_apis.custom_fields", "{a: .inf}", "JSON, and so a schema, has no word for it"),
    ("auth_apis.http_request", "{method: POST, url: 'https://api.example', body: {[a]: b}}", "as above"),
];

#[test]
fn it_refuses_every_fault_but_those_that_no_schema_can_see() {
    let validator = validator();
    let complete = Draft::new();
    assert_eq!(compile(&complete.text()).diagnostics.errors, []);
    assert_valid(&validator, &complete.text());
    let judged = |way: &str, value: &str| {
        let text = complete.clone().put(way, value).text();
        assert!(compile(&text).config.is_none(), "`{way}: {value}` is no fault:\n{text}");
        seen(&text).is_some_and(|document| !validator.is_valid(&document))
    };
    for (way, value) in FAULTS {
        assert!(judged(way, value), "the schema takes `{way}: {value}`");
    }
    for (way, value, reason) in UNSEEN {
        assert!(!judged(way, value), "the schema sees `{way}: {value}`, in spite of: {reason}");
    }
    let none = complete.put("auth_apis", "[]").put("oauth_apis", "");
    assert!(compile(&none.text()).config.is_none() && !validator.is_valid(&seen(&none.text()).unwrap()));
}

#[test]
fn it_refuses_a_key_that_check_calls_unknown_wherever_it_stands() {
    let validator = validator();
    for key in reference::KEYS {
        let lists: &[&str] = match key.place {
            Place::Top => &[""],
            Place::Auth => &["auth_apis."],
            Place::OAuth => &["oauth_apis."],
            Place::Both => &["auth_apis.", "oauth_apis."],
        };
        for list in lists {
            let text = Draft::new().put(&format!("{list}{}x", key.path), "1").text();
            let warnings = compile(&text).diagnostics.warnings;
            assert!(warnings.iter().any(|warning| warning.what.contains("unknown key")), "{warnings:#?}\n{text}");
            assert!(!validator.is_valid(&seen(&text).unwrap()), "{text}");
        }
    }
}

/// Spellings of each key; an empty one is its absence.
const SPELLINGS: &[(&str, &[&str])] = &[
    ("logzio.url", &["https://h", "'HTTP://h:8070/a?'", "' https://${WORD}:8071 '", "'${URL}'", "'http:/h'"]),
    ("logzio.acknowledge", &["", "null", "2xx", "' 2XX '", "'${ANY}'"]),
    ("logzio.token", &["t", "0x1F", "1e5", "true", "'${WORD}'", "'a b'"]),
    ("tls", &["", "null", "{}", "{ca_file: null}"]),
    (
        "status",
        &[
            "",
            "null",
            "{}",
            "{listen: null}",
            "{listen: '127.0.0.1:8080'}",
            "{listen: '[::1]:0'}",
            "{listen: 'localhost:80'}",
        ],
    ),
    ("auth_apis.type", &["general", "' general '", "'${GENERAL}'", "cisco_secure_x", "cisco_secure_x"]),
    ("auth_apis.name", &["one", "7", "1.50", "false", "' a: b '", "'ä ${WORD}'"]),
    ("auth_apis.credentials", &["{id: 0x1F, key: 1e5}", "{id: '', key: '${WORD}'}", "{}", "", "null", "{id: null}"]),
    (
        "auth_apis.http_request",
        &[
            "{url: 'https://api.example/v1/events?'}",
            "{url: '${URL}', method: '${POST}', body: {a: [1, {b: null}]}}",
            "{url: 'https://${WORD}.example', method: post, body: 'a=b', headers: {Authorization: Bearer 1}}",
            "{url: 'http:api.example', method: ' Post ', body: [1], headers: {' authorization ': [null, 5], 'no token': }}",
            "{url: 'https://a', timeout: 90}",
            "{url: 'https://a', timeout: ' 5 m ', headers: {A: b}}",
            "{url: 'https://a', timeout: '${INTERVAL}s', method: null}",
            "{url: 'https://a', headers: {X-A: 12, B: [ä, true, null], C: null, authorization: null}, body: null}",
            "{url: null, method: null, headers: null}",
            "null",
            "",
        ],
    ),
    (
        "auth_apis.data_http_request",
        &["", "", "null", "{url: 'https://api.example', method: GET}", "{headers: {a: b}}"],
    ),
    (
        "auth_apis.hosts",
        &[
            "",
            "null",
            "[]",
            "a.example",
            "['*.a.example', 'http://[::1]:80', {host: b, credentials: true}]",
            "'${WORD}.example'",
        ],
    ),
    ("auth_apis.start_date_name", &["since", "5", "'${WORD}'", "", "null", "''"]),
    (
        "auth_apis.json_paths",
        &[
            "{data: data, data_date: date, next_url: next}",
            "{data: '$.a[*]', data_date: 5, next_url: '@odata.nextLink', id: null}",
            "{data: '${WORD}', data_date: \"'a.b'.c\", next_url: '${WORD}', id: ''}",
            "{data: null, next_url: ''}",
            "null",
            "",
        ],
    ),
    (
        "auth_apis.settings.time_interval",
        &[
            "5",
            "0.5",
            "1e1",
            "'5'",
            "30s",
            "1h",
            "1.5 h",
            "' 2d '",
            "5 min",
            "+5",
            ".5",
            "5.",
            "'${INTERVAL}'",
            "'${INTERVAL}s'",
        ],
    ),
    ("auth_apis.settings.days_back_fetch", &["", "null", "0", "14", "0.5", "'7'", "1e1", "'${INTERVAL}'", "36500"]),
    ("auth_apis.settings.overlap", &["", "null", "0", "0s", "auto", "' AUTO '", "'${AUTO}'", "90s", "2.5", "1 h"]),
    ("auth_apis.enabled", &["", "null", "true", "false", "' false '"]),
    ("limits.memory", &["", "null", "64MB", "16777216", "' 1 gi '", "'${INTERVAL}GiB'"]),
    ("auth_apis.settings.rate_limit", &["", "null", "30/min", "' 5 / s '", "'${INTERVAL}/h'"]),
    (
        "auth_apis.settings.timezone",
        &[
            "",
            "null",
            "UTC",
            "Europe/Berlin",
            "' america/new_york '",
            "+02:00",
            "-0330",
            "'+2'",
            "'${ZONE}'",
            "Etc/GMT+5",
        ],
    ),
    (
        "auth_apis.filters",
        &[
            "",
            "null",
            "{}",
            "{'event_type[]': [1, null, a], b: null, c: true, 5: 0123}",
            "{a: 'ge {start_date}'}",
            "{a: [1, 'ge {start_date}']}",
            "{a: '${MARKED}', b: '${WORD}'}",
            "{since: 2021-10-05T10%3A10%3A10%2B00%3A00}",
        ],
    ),
    ("auth_apis.custom_fields", &["", "null", "{type: cisco, level: 5, nested: {a: [1, null]}}"]),
    ("oauth_apis.type", &["azure_graph", "general", "\"general\\n\"", "'${GENERAL}'"]),
    ("oauth_apis.credentials", &["{id: 0123, key: 1.10}", "{id: '${WORD}', key: ''}"]),
    (
        "oauth_apis.token_http_request",
        &[
            "{url: 'https://login.example', body: null, headers: null, scope: a}",
            "{url: '${URL}', method: GET, body: 'a=b &c=${WORD}', scope: null}",
            "{url: 'https://login.example', method: POST, body: {a: 1, b: [x, y], c: null}, headers: {A: b}}",
            "{url: 'https://login.example', body: 5, scope: 5}",
        ],
    ),
    ("oauth_apis.http_request", &["{url: 'https://api.example'}", "{url: '${URL}'}", "", "null"]),
    ("oauth_apis.data_http_request", &["", "null", "{url: 'https://api.example', body: 1, method: POST}"]),
    ("oauth_apis.start_date_name", &["", "null", "createdDateTime", "'${WORD}'"]),
    (
        "oauth_apis.json_paths",
        &[
            "{data_date: createdDateTime}",
            "{data_date: '${WORD}', next_url: null, data: null}",
            "{data_date: a, data: value, next_url: '@odata.nextLink', id: id}",
            "",
        ],
    ),
    ("oauth_apis.filters", &["", "null", "{$filter: 'a ge {start_date}'}", "{top: 100}"]),
    ("auth_apis", &["", "", "", "null", "[]"]),
    ("oauth_apis", &["", "", "", "null"]),
];

/// How many drafts are made; some of each kind must be among them.
const DRAFTS: u32 = 4_000;
const OF_EACH_KIND_MIN: usize = 100;

/// What a type needs that isn't in the file, a schema can't know.
const TYPE_IN_VARIABLE: &str = "${GENERAL}";

/// The spellings are all good, so what is wrong with a draft is a key that is missing or doubled: a schema can see that.
#[test]
fn it_takes_a_draft_where_check_does_and_refuses_it_where_check_does() {
    let validator = validator();
    let (silent, taken, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let choices = prop::collection::vec(any::<prop::sample::Index>(), SPELLINGS.len());
    proptest!(ProptestConfig::with_cases(DRAFTS), |(choices in choices)| {
        let mut draft = Draft::new();
        for ((way, encodings), choice) in SPELLINGS.iter().zip(&choices) {
            let spelling = choice.get(encodings);
            // A list as a whole takes all its keys away, so its absence is none of the spellings.
            if !way.ends_with("_apis") || !spelling.is_empty() {
                draft = draft.put(way, spelling);
            }
        }
        let text = draft.text();
        let LoadedConfig { config, diagnostics, .. } = compile(&text);
        if config.is_some() {
            taken.set(taken.get() + 1);
            silent.set(silent.get() + usize::from(diagnostics.warnings.is_empty()));
            assert_valid(&validator, &text);
        } else if !text.contains(TYPE_IN_VARIABLE) {
            refused.set(refused.get() + 1);
            assert!(!validator.is_valid(&seen(&text).unwrap()), "{:#?}\n{text}", diagnostics.errors);
        }
    });
    for (what, count) in [("without findings", silent), ("taken", taken), ("refused", refused)] {
        assert!(count.get() >= OF_EACH_KIND_MIN, "only {} of {DRAFTS} drafts are {what}", count.get());
    }
}
