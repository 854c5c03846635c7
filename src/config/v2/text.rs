//! Texts of the dialect with `{res.PATH}` in them: read, and written as ours. Pure.

use std::collections::BTreeMap;

use serde_yaml::Value;

use super::path::ParsedPath;
use crate::template::is_of_request;

/// What a variable of the dialect begins with.
const MARK: &str = "{res.";
/// Our variables that may be added to a text of the dialect.
const ADDED: [&str; 2] = ["start_date", "end_date"];

/// What stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldTextPlace {
    /// A request of the first page: `{res.PATH}` is text there.
    First,
    /// One that is made from an answer.
    FromAnswer,
    /// A field of a body that is made from an answer, where a variable is always text.
    Field,
}

/// The paths of the variables in a text.
pub(super) fn variables(text: &str) -> Vec<ParsedPath> {
    let pieces = text.split(MARK).skip(1);
    pieces.filter_map(|piece| piece.split_once('}')).map(|(path, _)| ParsedPath::parse(path)).collect()
}

/// The path of a text that is one variable, and nothing is added to it.
pub(super) fn whole_variable(text: &str) -> Option<ParsedPath> {
    let inside = text.trim().strip_prefix(MARK)?.strip_suffix('}')?;
    let path = ParsedPath::parse(inside);
    (!inside.contains(['{', '}']) && path.plus.is_empty()).then_some(path)
}

/// Whether the variable for the beginning of a window stands in a value.
pub(super) fn holds_window(value: &Value) -> bool {
    match value {
        Value::String(text) => ["{start_date}", "{start_date:"].iter().any(|mark| text.contains(mark)),
        Value::Sequence(items) => items.iter().any(holds_window),
        Value::Mapping(pairs) => pairs.values().any(holds_window),
        _ => false,
    }
}

/// Whether a variable of the dialect stands in a value.
pub(super) fn has_variables(value: &Value) -> bool {
    match value {
        Value::String(text) => !variables(text).is_empty(),
        Value::Sequence(items) => items.iter().any(has_variables),
        Value::Mapping(pairs) => pairs.values().any(has_variables),
        _ => false,
    }
}

/// A text in our own words: with our paths, with the words of a type in the place of their names, and with other names
/// of variables kept as text.
pub(super) fn translated(text: &str, kind: OldTextPlace, words: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let inside = from.get(1..).unwrap_or_default();
        let word: String = inside.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let behind = inside.get(word.len()..).unwrap_or_default();
        rest = match (words.get(&word), from.strip_prefix(MARK).and_then(|from| from.split_once('}'))) {
            (Some(value), _) if behind.starts_with('}') => {
                out.push_str(value);
                behind.get(1..).unwrap_or_default()
            }
            (_, Some((path, after))) if kind != OldTextPlace::First => {
                let is_whole = kind == OldTextPlace::Field && out.is_empty() && after.is_empty();
                let as_text = if is_whole { ":text" } else { "" };
                out.push_str(&format!("{MARK}{}{as_text}}}", ParsedPath::parse(path).written()));
                after
            }
            _ => {
                let is_ours = (is_of_request(&word) || word == "res") && behind.starts_with(['}', ':', '.']);
                out.push_str(if is_ours && !ADDED.contains(&word.as_str()) { "{'{'}" } else { "{" });
                inside
            }
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_as_ours() {
        let words = BTreeMap::from([("account_id".to_owned(), "acc".to_owned())]);
        let from_answer = |text: &str| translated(text, OldTextPlace::FromAnswer, &words);
        for (text, expected) in [
            ("&page={res.info.page+1}", "&page={res.info.page+1}"),
            ("https://x/{account_id}/a?since={res.result.[0].sent}", "https://x/acc/a?since={res.result[0].sent}"),
            (r"{res.@odata\.nextLink}", "{res.'@odata.nextLink'}"),
            ("{page} {cursor:x} {other} {", "{'{'}page} {'{'}cursor:x} {other} {"),
            ("{start_date} {end_date:unix}", "{start_date} {end_date:unix}"),
            ("{\"a\": {\"b\": \"{res.x}\"}}", "{\"a\": {\"b\": \"{res.x}\"}}"),
        ] {
            assert_eq!(from_answer(text), expected, "{text}");
        }
        assert_eq!(translated("{res.x}", OldTextPlace::First, &words), "{'{'}res.x}");
        for (text, expected) in [("{res.p+1}", "{res.p+1:text}"), ("a {res.p}", "a {res.p}"), ("{res.p}b", "{res.p}b")]
        {
            assert_eq!(translated(text, OldTextPlace::Field, &words), expected, "{text}");
        }
    }

    #[test]
    fn a_link_is_told_from_a_template() {
        assert_eq!(whole_variable("{res.paging.next}").map(|path| path.written()).as_deref(), Some("paging.next"));
        for text in ["{res.page+1}", "{res.a}{res.b}", "x{res.a}", "{a}"] {
            assert_eq!(whole_variable(text), None, "{text}");
        }
    }
}
