//! An entry of the config as it is written, for whoever writes it elsewhere.

use serde_yaml::{Mapping, Value};

use super::document::Document;
use super::expand::Environment;
use super::place::List;
use super::reader::Reader;
use super::value::written;

/// The entry of a name: the list that it stands in, and its keys, with every `${…}` filled in. Nothing where there is none,
/// or the text is no YAML; the rest of it may be invalid.
#[must_use]
pub fn written_entry(text: &str, name: &str, around: &Environment<'_>) -> Option<(&'static str, Mapping)> {
    let mut document = Document::parse(text.trim_start_matches('\u{feff}')).ok()?;
    let mut root = std::mem::take(&mut document.root);
    Reader::new(&document).fill_in(&mut root, around);
    List::ALL.into_iter().find_map(|list| {
        let entries = root.get(list.key())?.as_sequence()?;
        let named = entries
            .iter()
            .find(|entry| entry.get("name").and_then(written).is_some_and(|written| written.trim() == name));
        let Value::Mapping(map) = plain(named?, 0) else { return None };
        Some((list.key(), map))
    })
}

/// How deep an entry is looked into; what lies deeper no key has.
const DEPTH_MAX: usize = 64;

/// A value without the marks that tell how its numbers are written.
pub(super) fn plain(value: &Value, depth: usize) -> Value {
    match value {
        _ if depth > DEPTH_MAX => Value::Null,
        Value::Tagged(tagged) => match written(value) {
            // One that is another text as a number is meant as a text.
            Some(text) => match serde_yaml::from_str::<Value>(&text) {
                Ok(Value::Number(number)) if number.to_string() == text => Value::Number(number),
                Ok(Value::Bool(flag)) if flag.to_string() == text => Value::Bool(flag),
                _ => Value::String(text),
            },
            None => plain(&tagged.value, depth + 1),
        },
        Value::Mapping(map) => {
            Value::Mapping(map.iter().map(|(key, value)| (plain(key, depth + 1), plain(value, depth + 1))).collect())
        }
        Value::Sequence(items) => items.iter().map(|item| plain(item, depth + 1)).collect(),
        other => other.clone(),
    }
}
