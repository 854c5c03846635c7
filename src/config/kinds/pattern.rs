//! Pieces of schemas that several kinds share.

use serde_json::{Map, Value, json};

/// The name of an HTTP header (RFC 9110, section 5.6.2: a token).
pub(super) const HEADER_NAME: &str = r"^\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*$";
/// What YAML has besides lists and mappings; numbers and booleans are taken as they are written.
pub(in crate::config) const SCALAR: [&str; 3] = ["string", "number", "boolean"];
pub(in crate::config) const NOT_BLANK: &str = r"\S";
/// How an absolute URL begins, up to its host.
pub(super) const ORIGIN: &str = r"^\s*[Hh][Tt][Tt][Pp][Ss]?:[/\\]*[^/\\\s?#]";
/// A number without an exponent.
pub(super) const NUMBER: &str = r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)";
pub(super) const EXPONENT: &str = "([eE][+-]?[0-9]+)";

/// A scalar that isn't empty.
pub(in crate::config) fn filled() -> Value {
    json!({ "type": SCALAR, "pattern": NOT_BLANK })
}

/// What is left out where names and values are read: null, and a list of nothing else.
pub(in crate::config) fn nothing() -> Value {
    json!({ "type": ["null", "array"], "items": { "type": "null" } })
}

/// A word in capitals, in small letters, or in both.
pub(in crate::config) fn pattern_of(word: &str) -> String {
    word.chars().map(|c| format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())).collect()
}

/// A pattern, or any text with a `${…}` in it.
pub(super) fn or_filled_in(pattern: &str) -> String {
    format!(r"{pattern}|\$\{{")
}

/// The text of a span of time.
pub(super) fn span() -> String {
    format!(r"{NUMBER}({EXPONENT}|\s*(s|sec|m|min|h|d))?")
}

/// A scalar, or a list of them; null and what is null in a list are left out.
pub(super) fn one_or_more(pattern: Option<&str>) -> Value {
    let kind = |types: &[&str]| {
        let pattern = pattern.map(|pattern| ("pattern".to_owned(), json!(pattern)));
        [("type".to_owned(), json!(types))].into_iter().chain(pattern).collect::<Map<_, _>>()
    };
    let mut one_or_more = kind(&["string", "number", "boolean", "null", "array"]);
    one_or_more.insert("items".to_owned(), kind(&["string", "number", "boolean", "null"]).into());
    one_or_more.into()
}

/// Words, whatever their case, or values of another kind.
pub(in crate::config) fn spelled_in_any_case(words: &[&str], other: Option<Value>) -> Value {
    let spelled: Vec<String> = words.iter().map(|word| pattern_of(word)).collect();
    let any_case = or_filled_in(&format!(r"^\s*({})\s*$", spelled.join("|")));
    let kinds = [json!({ "enum": words }), json!({ "type": "string", "pattern": any_case })].into_iter().chain(other);
    json!({ "anyOf": kinds.collect::<Vec<_>>() })
}

/// A value, or null.
pub(in crate::config) fn nullable(mut schema: Value) -> Value {
    let null = || Value::from("null");
    if let Some(map) = schema.as_object_mut() {
        if let Some(kinds) = map.get_mut("type") {
            match kinds {
                Value::Array(kinds) if kinds.contains(&null()) => {}
                Value::Array(kinds) => kinds.push(null()),
                one => *one = Value::Array(vec![one.take(), null()]),
            }
        } else if let Some(Value::Array(kinds)) = map.get_mut("anyOf") {
            kinds.push(json!({ "type": "null" }));
        }
    }
    schema
}
