//! The YAML text: its values, and the line on which each of them stands.
//!
//! serde_yaml hands out values without their places, but its *errors* carry a line. So a place is asked for by reading
//! the text once more with a reader that walks down a path and fails on purpose where the path ends. That happens only
//! for a fault, and the lines come from the same parser as the values.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::Value;

/// How much text is read again to find lines; a config with more faults than that shows the last ones without a line.
const LOCATED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A step to a value of the document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// A way from the root of the document to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Place(Vec<Step>);

impl Place {
    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    /// The place itself, what it stands in, and so on up to the root.
    pub(super) fn with_ancestors(&self) -> impl Iterator<Item = Place> {
        (0..=self.0.len()).rev().map(|depth| Self(self.0.iter().take(depth).cloned().collect()))
    }

    fn then(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

/// As faults show it: `oauth_apis[1].json_paths.data`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A YAML document.
pub(super) struct Document<'t> {
    text: &'t str,
    pub(super) root: Value,
}

/// Why a text is no YAML document.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: Option<usize>,
    pub(super) what: String,
}

impl<'t> Document<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Self, SyntaxError> {
        let syntax = |error: serde_yaml::Error| SyntaxError {
            line: error.location().map(|at| at.line()),
            what: without_values(error.to_string()),
        };
        let mut root: Value = serde_yaml::from_str(text).map_err(syntax)?;
        root.apply_merge().map_err(syntax)?;
        Ok(Self { text, root })
    }

    /// How many places can be looked up within reason.
    pub(super) fn located_max(&self) -> usize {
        LOCATED_BYTES_MAX / self.text.len().max(1)
    }

    /// The line of a value, or of the nearest thing around it that is in the text.
    pub(super) fn line_of(&self, place: &Place) -> Option<usize> {
        (0..=place.0.len()).rev().find_map(|depth| {
            let way = place.0.get(..depth)?;
            match self.follow(way, Goal::Line) {
                Err(error) if error.to_string().contains(FOUND) => error.location().map(|at| at.line()),
                _ => None,
            }
        })
    }

    /// A scalar as it is written: `1e5` where the value is 100000.0.
    pub(super) fn text_of(&self, place: &Place) -> Option<String> {
        self.follow(&place.0, Goal::Text).ok().flatten()
    }

    fn follow(&self, way: &[Step], goal: Goal) -> Result<Option<String>, serde_yaml::Error> {
        Walk { way, goal }.deserialize(serde_yaml::Deserializer::from_str(self.text))
    }
}

/// An error of the YAML library that quotes a value, without it: the value may be a secret.
fn without_values(error: String) -> String {
    let quoting = ["invalid value", "invalid type"].iter().filter_map(|words| error.find(words)).min();
    match quoting {
        Some(at) => format!("{}a value does not fit its tag", error.get(..at).unwrap_or_default()),
        None => error,
    }
}

/// The error that is meant, told from one that isn't.
const FOUND: &str = "the place that was looked for";

#[derive(Clone, Copy, PartialEq)]
enum Goal {
    /// Fail at the place, so that the error tells its line.
    Line,
    /// Give the scalar's text back.
    Text,
}

/// Walks down the way; gives back the text where that is the goal.
struct Walk<'w> {
    way: &'w [Step],
    goal: Goal,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        if self.way.is_empty() && self.goal == Goal::Text {
            return String::deserialize(from).map(Some);
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((Step::Key(wanted), rest)) = self.way.split_first() else { return self.arrive() };
        let fail_at = (rest.is_empty() && self.goal == Goal::Line).then_some(wanted.as_str());
        let mut found = None;
        while let Some(key) = map.next_key_seed(Key { fail_at })? {
            if key.as_deref() == Some(wanted) {
                found = map.next_value_seed(Walk { way: rest, goal: self.goal })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Some((Step::Index(wanted), rest)) = self.way.split_first() else { return self.arrive() };
        let mut found = None;
        for index in 0_usize.. {
            let more = if index == *wanted {
                let text = seq.next_element_seed(Walk { way: rest, goal: self.goal })?;
                found = text.clone().flatten();
                text.is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(found)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        self.arrive()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        self.arrive()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        self.arrive()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        self.arrive()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        self.arrive()
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.arrive()
    }
}

impl Walk<'_> {
    fn arrive<E: Error>(self) -> Result<Option<String>, E> {
        if self.way.is_empty() && self.goal == Goal::Line { Err(E::custom(FOUND)) } else { Ok(None) }
    }
}

/// Reads a mapping's key as text, and fails at the one that is looked for.
struct Key<'w> {
    fail_at: Option<&'w str>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        if self.fail_at == Some(key) { Err(E::custom(FOUND)) } else { Ok(Some(key.to_owned())) }
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<Self::Value, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<Self::Value, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<Self::Value, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a:\n  b: 1e5\n\n  c:\n    - x\n    - d: True\n      e: {f: 0123}\ng: 'q'\n";

    #[test]
    fn finds_lines_and_the_written_text() {
        let document = Document::parse(TEXT).expect("it is YAML");
        let root = Place::default();
        let c = root.key("a").key("c");
        for (place, line, text) in [
            (root.key("a").key("b"), 2, Some("1e5")),
            (c.clone(), 4, None),
            (c.index(0), 5, Some("x")),
            (c.index(1), 6, None),
            (c.index(1).key("d"), 6, Some("True")),
            (c.index(1).key("e").key("f"), 7, Some("0123")),
            (c.index(1).key("e").key("missing"), 7, None),
            (root.key("g"), 8, Some("q")),
        ] {
            assert_eq!(document.line_of(&place), Some(line), "{place}");
            assert_eq!(document.text_of(&place).as_deref(), text, "{place}");
        }
    }
}
