//! The config's JSON Schema (draft 2020-12), for editors.
//!
//! Enters: the sections and their keys (`shape`), what a value may look like (`values`), the types (`catalog`) and
//! what each key means ([`KEYS`](reference::KEYS)). Leaves: one schema. What always holds: what `check` takes without a
//! word is valid, and so is `${…}` for any value; a key that `check` warns of as unknown is refused. What lies in the
//! meaning of a text, or in two places at once, is left to `check`: JSON paths, dates, names that are taken.

mod shape;
mod values;

use schemars::generate::SchemaSettings;
use schemars::transform::Transform;
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use super::catalog::types_of;
use super::reference::{self, Key, Place};
use shape::ConfigFile;

/// The schema of config.yaml.
#[must_use]
pub fn schema() -> Schema {
    // In line: the same section means something else in another list, and editors differ in how well they follow `$ref`.
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = SchemaGenerator::new(settings.with_transform(Describe)).into_root_schema_for::<ConfigFile>();
    if let Some(map) = schema.as_object_mut() {
        for first in ["title", "$schema"] {
            map.shift_remove(first).map(|value| map.shift_insert(0, first.to_owned(), value));
        }
    }
    schema
}

/// The schema as text.
#[must_use]
pub fn text() -> String {
    format!("{:#}", schema().as_value())
}

/// Puts the reference's words and defaults to the keys.
#[derive(Clone, Debug)]
struct Describe;

impl Transform for Describe {
    fn transform(&mut self, schema: &mut Schema) {
        describe(schema.as_object_mut().and_then(|schema| schema.get_mut("properties")), Place::Top, "");
    }
}

/// What is below a section's `properties`. Rules have properties, too, but not here.
fn describe(properties: Option<&mut Value>, place: Place, within: &str) {
    let sections = properties.and_then(Value::as_object_mut).into_iter().flatten();
    for (name, schema) in sections.filter_map(|(name, schema)| Some((name, schema.as_object_mut()?))) {
        let path = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
        if let Some(key) = reference::key_at(place, &path) {
            schema.shift_insert(0, "description".to_owned(), in_words(key).into());
            if let Some(default) = default(key, place) {
                schema.insert("default".to_owned(), default);
            }
        }
        describe(schema.get_mut("properties"), place, &path);
        let entry = match path.as_str() {
            "auth_apis" => Place::Auth,
            "oauth_apis" => Place::OAuth,
            _ => continue,
        };
        describe(schema.get_mut("items").and_then(|items| items.get_mut("properties")), entry, "");
    }
}

fn in_words(key: &Key) -> String {
    match key.without.strip_prefix("required") {
        Some(rest) => format!("{}\n\nRequired{rest}.", key.meaning),
        None => format!("{}\n\nWithout it: {}.", key.meaning, key.without),
    }
}

/// What holds without the key, where that is one value whatever the entry's type.
fn default(key: &Key, place: Place) -> Option<Value> {
    let mut clauses = key.without.split("; ");
    let general = clauses.next()?;
    let is_by_type = |clause: &str| {
        let mut types = place.list().into_iter().flat_map(types_of);
        types.any(|named| clause.starts_with(&format!("`{}`:", named.name)))
    };
    if clauses.any(is_by_type) {
        return None;
    }
    let literal = general.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
    match literal {
        Some(yaml) => serde_yaml::from_str(yaml).ok(),
        None => general.parse::<u64>().ok().map(Value::from),
    }
}
