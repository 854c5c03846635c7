//! The config's JSON Schema (draft 2020-12), for editors.
//!
//! Enters: the table of keys, each with its kind and its meaning ([`KEYS`]), and the types (`catalog`).
//! Leaves: one schema. What always holds: what `check` takes without a word is valid, and so is `${…}` for any value; a key
//! that `check` warns of as unknown is refused. What lies in the meaning of a text, or in two places at once, is left to
//! `check`: JSON paths, dates, names that are taken.

mod rules;

use serde_json::{Map, Value, json};

use super::catalog::types_of;
use super::kinds::pattern::nullable;
use super::reference::{self, KEYS, KeyInfo, Need, Place};

/// The schema of config.yaml. Everything stands in line: the same section means something else in another list, and editors
/// differ in how well they follow `$ref`.
#[must_use]
pub fn schema() -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), "config.yaml of logzio-api-fetcher".into());
    schema.extend(mapping(Place::Top, ""));
    schema.extend(rules::of_place(Place::Top));
    schema.into()
}

/// The schema as text.
#[must_use]
pub fn text() -> String {
    format!("{:#}", schema())
}

/// A mapping of keys that are known, and no other.
fn mapping(place: Place, within: &str) -> Map<String, Value> {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for name in reference::known(place, within) {
        let path = if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
        let schema = match reference::key_at(place, &path) {
            Some(key) => of_key(key, place),
            None => mapping(place, &path).into(),
        };
        let is_required = is_required(place, &path);
        if is_required {
            required.push(name);
        }
        properties.insert(name.to_owned(), if is_required { schema } else { nullable(schema) });
    }
    for (name, schema) in parameters(place).filter(|_| within.is_empty()) {
        properties.entry(name).or_insert(schema);
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    schema.insert("required".to_owned(), required.into());
    schema.insert("additionalProperties".to_owned(), false.into());
    schema
}

/// The parameters that the types of a place have beside the keys.
fn parameters(place: Place) -> impl Iterator<Item = (String, Value)> {
    let types = place.list().into_iter().flat_map(types_of);
    types.flat_map(|named| {
        named.own_parameters().map(|parameter| {
            let description = format!("`{}`: {}", named.name, parameter.meaning);
            (parameter.name.clone(), json!({ "description": description }))
        })
    })
}

/// Whether a key, or one below it, must be there, whatever the entry's type.
fn is_required(place: Place, path: &str) -> bool {
    let path = reference::canonical(path);
    KEYS.iter()
        .filter(|key| key.need == Need::Required && key.place.each().contains(&place))
        .any(|key| key.path.strip_prefix(path.as_ref()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// A key with its meaning and what holds without it.
fn of_key(key: &KeyInfo, place: Place) -> Value {
    let mut schema = Map::new();
    schema.insert("description".to_owned(), in_words(key, place).into());
    if let Value::Object(own) = (key.schema)(place) {
        schema.extend(own);
    }
    if key.place == Place::Top && key.path == "logzio" {
        schema.insert("anyOf".to_owned(), outputs());
    } else if let Some(list) = list_of(key) {
        let mut entry = mapping(list, "");
        entry.extend(rules::of_place(list));
        schema.insert("items".to_owned(), entry.into());
    }
    if let Some(default) = default(key) {
        schema.insert("default".to_owned(), default);
    }
    schema.into()
}

/// One output, or a list of several. What a file with `apis` may leave out is asked for by a rule of the top.
fn outputs() -> Value {
    let mut output = mapping(Place::Output, "");
    let left_out = |name: &Value| rules::NEEDED_WITHOUT_APIS.iter().any(|needed| name == needed);
    if let Some(Value::Array(required)) = output.get_mut("required") {
        required.retain(|name| !left_out(name));
    }
    if let Some(Value::Object(properties)) = output.get_mut("properties") {
        for name in rules::NEEDED_WITHOUT_APIS {
            properties.entry(name).and_modify(|schema| *schema = nullable(schema.take()));
        }
    }
    json!([output, { "type": "array", "minItems": 1, "items": output }])
}

/// The place of the entries below a key, where it is a list of them.
fn list_of(key: &KeyInfo) -> Option<Place> {
    if key.path == "steps" {
        return Some(Place::Step);
    }
    let lists = super::catalog::List::ALL.into_iter().find(|list| list.key() == key.path);
    lists.filter(|_| key.place == Place::Top).map(Place::of)
}

fn in_words(key: &KeyInfo, place: Place) -> String {
    let (meaning, without) = (key.meaning(place), key.without(place));
    match without.strip_prefix("required") {
        Some(rest) => format!("{meaning}\n\nRequired{rest}."),
        None => format!("{meaning}\n\nWithout it: {without}."),
    }
}

/// What holds without the key in a general entry, where that is one value.
fn default(key: &KeyInfo) -> Option<Value> {
    let Need::Else(without) = key.need else { return None };
    match without.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
        Some(yaml) => serde_yaml::from_str(yaml).ok(),
        None => without.parse::<u64>().ok().map(|number| json!(number)),
    }
}
