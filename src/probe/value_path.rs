//! The path to a value of a page, written as the config writes paths.
//!
//! Enters: keys and indices, and the pages that the path is for. Leaves: the shortest text of which
//! [`JsonPath::parse`](crate::record::path::JsonPath::parse) finds that value and no other. No text holds `${` or `<<`,
//! which mean something else in a config.

use crate::record::json::RawJson;
use crate::record::path::JsonPath;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The member with this key.
    Key(String),
    /// The element at this place.
    Index(usize),
}

/// Steps from a root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ValuePath(Vec<Step>);

impl ValuePath {
    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }

    /// The keys on the value_path.
    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }

    /// The path as text that means the same in each of these roots; nothing where no path does, as two members share
    /// a key.
    pub(super) fn text(&self, roots: &[RawJson<'_>]) -> Option<String> {
        let literal = match self.0.as_slice() {
            [Step::Key(key)] => Some(key.clone()),
            _ => None,
        };
        let texts = literal.into_iter().chain([self.short(), self.rooted()]);
        texts.filter(|text| text.trim() == text && !means_more(text)).find(|text| self.is_meant(text, roots))
    }

    /// Dotted, with quotes where a name needs them.
    fn short(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Index(index) => text.push_str(&format!("[{index}]")),
                Step::Key(key) if !is_plain(key) && text.is_empty() => text.push_str(&quoted(key)),
                Step::Key(key) if !is_plain(key) => text.push_str(&format!("[{}]", quoted(key))),
                Step::Key(key) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(key);
                }
            }
        }
        text
    }

    /// From `$` on, every name in brackets: what is never taken for a key with a dot in it.
    pub(super) fn rooted(&self) -> String {
        let steps = self.0.iter().map(|step| match step {
            Step::Index(index) => format!("[{index}]"),
            Step::Key(key) => format!("[{}]", quoted(key)),
        });
        format!("${}", steps.collect::<String>())
    }

    /// Whether a text, as a path, leads to the same value in every root.
    fn is_meant(&self, text: &str, roots: &[RawJson<'_>]) -> bool {
        let Ok(path) = JsonPath::parse(text) else { return false };
        roots.iter().all(|root| match self.follow(*root) {
            Some(there) => {
                let found = path.all(*root).unwrap_or_default();
                matches!(found.as_slice(), [one] if one.offset_in(*root) == there.offset_in(*root))
            }
            None => path.first(*root).is_none(),
        })
    }

    /// What stands at the end of the value_path.
    pub(super) fn follow<'a>(&self, root: RawJson<'a>) -> Option<RawJson<'a>> {
        self.0.iter().try_fold(root, |raw, step| match step {
            Step::Key(key) => raw.member(key),
            Step::Index(index) => raw.elements().nth(*index),
        })
    }
}

/// Whether a config would read more into a text than a path.
fn means_more(text: &str) -> bool {
    text.contains("${") || text.contains("<<")
}

/// Whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-@:/".contains(c))
}

/// A name in quotes. What a config would read more into is broken by an escape.
fn quoted(name: &str) -> String {
    let mut text = "'".to_owned();
    for char in name.chars() {
        let is_mark = matches!(char, '{' if text.ends_with('$')) || (char == '<' && text.ends_with('<'));
        if is_mark || matches!(char, '\'' | '\\') {
            text.push('\\');
        }
        text.push(char);
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::yaml;
    use proptest::prelude::*;
    use serde_json::Value;

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec![
                "a",
                "b",
                "a.b",
                "@odata.nextLink",
                "a b",
                "$",
                "*",
                "",
                "0",
                "[0]",
                "it's",
                "\"",
                "${A}",
                "<<A>>",
                "$a",
                "a['b']",
                "..",
                "\\",
                "line\nbreak",
                "tab\t",
                "é",
                "\u{85}",
                "\u{feff}",
                "null",
                "b-c",
                "#x",
                "a: b",
                " a ",
            ])
            .prop_map(str::to_owned),
            r#"[ab.\[\]'"$@*\\ :<{}-]{0,4}"#,
        ]
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<u8>().prop_map(Value::from)];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key(), inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    fn paths(value: &Value, value_path: &ValuePath, all: &mut Vec<ValuePath>) {
        all.push(value_path.clone());
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| paths(item, &value_path.index(at), all))
            }
            Value::Object(fields) => fields.iter().for_each(|(key, value)| paths(value, &value_path.key(key), all)),
            _ => {}
        }
    }

    /// Whatever the page: every value has a path, which finds it and nothing else, also after a config was read.
    #[test]
    fn the_path_of_every_value_finds_exactly_that_value() {
        proptest!(|(document in json())| {
            let text = document.to_string();
            let root = RawJson::parse(&text).expect("JSON");
            let mut all = Vec::new();
            paths(&document, &ValuePath::default(), &mut all);
            for value_path in all {
                let written = value_path.text(&[root]).unwrap_or_else(|| panic!("{value_path:?} has no path in {text}"));
                let line = format!("path: {}", yaml::scalar(&written));
                let config: Value = serde_yaml::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
                let read = config["path"].as_str().unwrap_or_else(|| panic!("{line} is no text")).trim();
                prop_assert_eq!(read, &written, "{}", line);
                prop_assert!(!means_more(read), "{}", read);
                let path = JsonPath::parse(read).expect("a path");
                let found = path.all(root).unwrap_or_else(|error| panic!("{error}"));
                let there = value_path.follow(root).expect("a value");
                prop_assert_eq!(found.len(), 1);
                prop_assert_eq!(found[0].offset_in(root), there.offset_in(root), "{} in {}", read, text);
            }
        });
    }

    #[test]
    fn the_path_is_as_short_as_it_can_be() {
        let text = r#"{"a":{"b":1,"x y":2},"@odata.nextLink":3,"a.b":4,"q":[{"r":5}],"c":{"d":6}}"#;
        let root = RawJson::parse(text).expect("JSON");
        let path = |value_path: ValuePath| value_path.text(&[root]).unwrap_or_default();
        let from = |keys: &[&str]| keys.iter().fold(ValuePath::default(), |value_path, key| value_path.key(key));
        assert_eq!(path(from(&["c", "d"])), "c.d");
        assert_eq!(path(from(&["@odata.nextLink"])), "@odata.nextLink");
        assert_eq!(path(from(&["a.b"])), "a.b");
        assert_eq!(path(from(&["a", "b"])), "$['a']['b']", "`a.b` is a key of its own");
        assert_eq!(path(from(&["a", "x y"])), "a['x y']");
        assert_eq!(path(from(&["q"]).index(0).key("r")), "q[0].r");
        assert_eq!(path(ValuePath::default()), "$");
    }

    #[test]
    fn a_key_that_stands_twice_has_a_path_to_the_first_only() {
        let root = RawJson::parse(r#"{"a":1,"a":2}"#).expect("JSON");
        let found = JsonPath::parse(&ValuePath::default().key("a").text(&[root]).expect("a path")).expect("a path");
        assert_eq!(found.first(root).map(RawJson::text), Some("1"));
    }
}
