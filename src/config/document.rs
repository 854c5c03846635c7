//! The YAML text: its values, and the line on which each of them stands.
//!
//! serde_yaml hands out values without their places, but its *errors* carry a line. So a place is asked for by reading
//! the text once more with a reader that walks down a path and fails on purpose where the path ends. That happens only
//! for an error, and the lines come from the same parser as the values.
//!
//! Numbers and booleans keep the text that they are written as, since a key like `0x1F` or `1e5` is meant as a text.

mod lenient;

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde_yaml::value::{Tag, TaggedValue};
use serde_yaml::{Mapping, Value};

use crate::text::Secret;

/// How much text is read again to find lines; a config with more errors than that shows the last ones without a line.
const LOCATED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A step to a value of the document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    Key(String),
    /// A key that may be a value, by a slip: it isn't shown.
    Slip(String),
    Index(usize),
}

impl Segment {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Key(name) | Self::Slip(name) => Some(name),
            Self::Index(_) => None,
        }
    }
}

/// A way from the root of the document to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Spot(Vec<Segment>);

impl Spot {
    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Segment::Key(key.to_owned()))
    }

    /// Of a key that isn't shown.
    pub(super) fn slip(&self, key: &str) -> Self {
        self.then(Segment::Slip(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Segment::Index(index))
    }

    /// The entry that it is in: the two first steps.
    pub(super) fn entry(&self) -> Self {
        Self(self.0.iter().take(2).cloned().collect())
    }

    /// Whether it is in an entry of a list.
    pub(super) fn is_in_entry_of(&self, list: &str) -> bool {
        matches!(self.0.as_slice(), [Segment::Key(key), Segment::Index(_), ..] if key == list)
    }

    /// The name of the key that it is in, right below its entry.
    pub(super) fn key_of_entry(&self) -> Option<&str> {
        self.0.get(2).and_then(Segment::name)
    }

    /// The place itself, what it stands in, and so on up to the root.
    pub(super) fn with_ancestors(&self) -> impl Iterator<Item = Spot> {
        (0..=self.0.len()).rev().map(|depth| Self(self.0.iter().take(depth).cloned().collect()))
    }

    /// The segments from the root on.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    fn then(&self, step: Segment) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

/// A YAML document.
pub(super) struct Document<'t> {
    text: &'t str,
    pub(super) root: Value,
    /// The keys that stand twice, where the last one counts: in a text with `apis`.
    pub(super) twice: Vec<Spot>,
}

/// Why a text is no YAML document, and in which line.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: Option<usize>,
    pub(super) kind: SyntaxErrorKind,
}

/// Why a text is no YAML document, without what the YAML library quotes of it, which may be a secret.
#[derive(Debug)]
pub(super) enum SyntaxErrorKind {
    /// A key is there twice: this one, if it is known. It may be a secret, by a slip.
    Twice(Option<Secret>),
    /// A number is too large, or a value doesn't fit its tag.
    Unfit,
    /// In the words of the library.
    Other(String),
}

impl<'t> Document<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Self, SyntaxError> {
        let syntax = |error: serde_yaml::Error| SyntaxError {
            line: error.location().map(|at| at.line()),
            kind: kind_of(error.to_string()),
        };
        let values = || serde_yaml::from_str::<Value>(text).map_err(syntax);
        let (mut root, twice) = match values() {
            Ok(like) => {
                let as_written = (AsWritten { like }).deserialize(serde_yaml::Deserializer::from_str(text));
                (as_written.or_else(|_| values())?, Vec::new())
            }
            Err(error @ SyntaxError { kind: SyntaxErrorKind::Twice(_), .. }) => match lenient::values(text) {
                Ok((root, twice)) if root.get(LENIENT_LIST).is_some() => (root, twice),
                _ => return Err(error),
            },
            Err(error) => return Err(error),
        };
        for _ in 0..MERGE_DEPTH_MAX {
            root.apply_merge().map_err(syntax)?;
            if !has_merge(&root) {
                break;
            }
        }
        Ok(Self { text, root, twice })
    }

    /// How many places can be looked up within reason.
    pub(super) fn located_max(&self) -> usize {
        LOCATED_BYTES_MAX / self.text.len().max(1)
    }

    /// The line of a value, or of the nearest thing around it that is in the text.
    pub(super) fn line_of(&self, place: &Spot) -> Option<usize> {
        (0..=place.0.len()).rev().find_map(|depth| {
            let way = place.0.get(..depth)?;
            match self.follow(way) {
                Err(error) if error.to_string().contains(FOUND) => error.location().map(|at| at.line()),
                _ => None,
            }
        })
    }

    fn follow(&self, way: &[Segment]) -> Result<(), serde_yaml::Error> {
        Walk { way }.deserialize(serde_yaml::Deserializer::from_str(self.text))
    }
}

/// An error of the YAML library without what it quotes, and without the way there: either may be a secret.
fn kind_of(error: String) -> SyntaxErrorKind {
    if let Some((_, key)) = error.split_once("duplicate entry") {
        let key = key.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map(|(key, _)| Secret::new(key));
        return SyntaxErrorKind::Twice(key);
    }
    let quotes = ["invalid value", "invalid type", "nested enum"].iter().any(|words| error.contains(words));
    if quotes { SyntaxErrorKind::Unfit } else { SyntaxErrorKind::Other(error) }
}

/// The list of a text in which keys may stand twice, as the original reads it.
const LENIENT_LIST: &str = "apis";

/// A key as text; keys that are lists or mappings have none.
pub(super) fn key_text(key: &Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    }
}

/// The error that is meant, told from one that isn't.
const FOUND: &str = "the place that was looked for";

/// Walks down the way, and fails where it ends.
struct Walk<'w> {
    way: &'w [Segment],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let split = self.way.split_first().and_then(|(step, rest)| Some((step.name()?, rest)));
        let Some((wanted, rest)) = split else { return self.arrive() };
        let fail_at = rest.is_empty().then_some(wanted);
        while let Some(key) = map.next_key_seed(Key { fail_at })? {
            if key.as_deref() == Some(wanted) {
                map.next_value_seed(Walk { way: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Segment::Index(wanted), rest)) = self.way.split_first() else { return self.arrive() };
        for index in 0_usize.. {
            let is_there = if index == *wanted {
                seq.next_element_seed(Walk { way: rest })?.is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !is_there {
                break;
            }
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_, content) = tagged.variant::<IgnoredAny>()?;
        content.newtype_variant_seed(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.arrive()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.arrive()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.arrive()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.arrive()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.arrive()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.arrive()
    }
}

impl Walk<'_> {
    fn arrive<E: Error>(self) -> Result<(), E> {
        if self.way.is_empty() { Err(E::custom(FOUND)) } else { Ok(()) }
    }
}

/// How deep merges (`<<`) may lead to further ones.
const MERGE_DEPTH_MAX: usize = 16;

fn has_merge(value: &Value) -> bool {
    match value {
        Value::Mapping(pairs) => pairs.contains_key("<<") || pairs.values().any(has_merge),
        Value::Sequence(items) => items.iter().any(has_merge),
        Value::Tagged(tagged) => has_merge(&tagged.value),
        _ => false,
    }
}

/// Reads the text once more, beside its values, and wraps numbers and booleans into a tag that is their text as it is
/// written: `1e5` where the value is 100000.0. The user's own tags go. The values are used up on the way: a config of
/// ten thousand APIs is in memory once.
struct AsWritten {
    like: Value,
}

impl<'de> DeserializeSeed<'de> for AsWritten {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        match self.like {
            Value::Number(_) | Value::Bool(_) => {
                let text = String::deserialize(from)?;
                // A tag can't be empty, and neither can a number.
                let tag = Tag::new(text);
                Ok(Value::Tagged(Box::new(TaggedValue { tag, value: self.like })))
            }
            Value::Mapping(_) => from.deserialize_map(self),
            Value::Sequence(_) => from.deserialize_seq(self),
            Value::Tagged(tagged) => AsWritten { like: tagged.value }.deserialize(from),
            Value::Null | Value::String(_) => IgnoredAny::deserialize(from).map(|_| self.like),
        }
    }
}

impl<'de> Visitor<'de> for AsWritten {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same YAML again")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs = Mapping::new();
        if let Value::Mapping(like) = self.like {
            for (key, like) in like {
                map.next_key::<IgnoredAny>()?;
                pairs.insert(key, map.next_value_seed(AsWritten { like })?);
            }
        }
        map.next_key::<IgnoredAny>()?;
        Ok(Value::Mapping(pairs))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        if let Value::Sequence(like) = self.like {
            for like in like {
                items.extend(seq.next_element_seed(AsWritten { like })?);
            }
        }
        seq.next_element::<IgnoredAny>()?;
        Ok(Value::Sequence(items))
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
    fn finds_lines() {
        let document = Document::parse(TEXT).expect("it is YAML");
        let root = Spot::default();
        let c = root.key("a").key("c");
        for (place, line) in [
            (root.key("a").key("b"), 2),
            (c.clone(), 4),
            (c.index(0), 5),
            (c.index(1), 6),
            (c.index(1).key("d"), 6),
            (c.index(1).key("e").key("f"), 7),
            (c.index(1).key("e").key("missing"), 7),
            (root.key("g"), 8),
        ] {
            assert_eq!(document.line_of(&place), Some(line), "{place:?}");
        }
    }

    #[test]
    fn keeps_numbers_as_they_are_written_through_any_merge() {
        let text = "a: &a {x: 1e5, y: 0x1F, z: True}\nb: &b {<<: *a, y: 7}\nc: {<<: *b, w: !t 1.10}\n";
        let document = Document::parse(text).expect("it is YAML");
        let c = document.root.get("c").expect("c is there");
        let written = |key: &str| match c.get(key) {
            Some(Value::Tagged(tagged)) => Some(tagged.tag.to_string().trim_start_matches('!').to_owned()),
            _ => None,
        };
        let all: Vec<_> = ["x", "y", "z", "w"].into_iter().map(written).collect();
        assert_eq!(all, ["1e5", "7", "True", "1.10"].map(|text| Some(text.to_owned())));
        assert!(c.get("<<").is_none());
    }
}
