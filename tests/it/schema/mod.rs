//! The config's JSON Schema: it says what the reference says, takes what `check` takes, and refuses what it refuses, as
//! far as a schema can see it.

mod draft;
mod faults;
mod spellings;

use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonschema::Validator;
use logzio_api_fetcher::config::catalog::{self, List};
use logzio_api_fetcher::config::{self, Environment, LoadedConfig, reference, schema};
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
            "NODE" => "https://etcd-9:2379",
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
            "apis" => Place::Apis,
            "steps" => Place::Step,
            "logzio" => Place::Output,
            _ => continue,
        };
        let outputs = if entry == Place::Output { schema["anyOf"].as_array() } else { None };
        for entries in [Some(schema), outputs.and_then(|ways| ways.last())].into_iter().flatten() {
            if let Some(properties) = entries["items"].get("properties") {
                keys(properties, entry, "", found);
            }
        }
        if let Some(properties) = outputs.and_then(|ways| ways[0].get("properties")) {
            keys(properties, entry, "", found);
        }
    }
}

#[test]
fn it_has_the_keys_of_the_reference_with_their_meaning_and_no_other() {
    let mut found = BTreeMap::new();
    keys(&schema::schema()["properties"], Place::Top, "", &mut found);
    for key in reference::KEYS.iter().chain(reference::KEYS_OF_APIS) {
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
    let all_types = || catalog::types().iter().chain(catalog::types_of_apis());
    let is_parameter = |name: &str| all_types().any(|named| named.own_parameters().any(|own| own.name == name));
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
