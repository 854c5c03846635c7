//! Typed access to the values of a document by the keys of the table. Every error is noted, and reading goes on.

use serde_yaml::{Mapping, Value};

use super::catalog::NamedType;
use super::document::Spot;
use super::keys::{ConfigKey, KeyInfo, Need};
use super::kinds::Kind;
use super::place::Place;
use super::plain::is_plain;
use super::reader::Reader;
use super::reference;
use super::value::{Found, is_blank, key_text};

/// How alike an unknown key must be to a known one to be taken for a slip.
pub(super) const LIKENESS_MIN: f64 = 0.8;

/// The top of the file, or an entry of a list: a mapping whose keys are in the table.
pub(super) struct Section<'v> {
    pub(super) reader: &'v Reader<'v>,
    pub(super) spot: Spot,
    map: &'v Mapping,
    place: Place,
}

impl<'v> Section<'v> {
    /// A mapping; its keys are not looked at yet.
    pub(super) fn new(reader: &'v Reader<'v>, map: &'v Mapping, spot: Spot, place: Place) -> Self {
        Self { reader, spot, map, place }
    }

    /// Warns of keys that are not known, here and below, besides those of an entry's type; what should be a mapping and isn't,
    /// is an error.
    pub(super) fn check_keys(&self, of_type: Option<&NamedType>) {
        let parameters: Vec<&str> =
            of_type.into_iter().flat_map(NamedType::own_parameters).map(|own| own.name.as_str()).collect();
        self.check_below(self.map, &self.spot, "", &parameters);
    }

    fn check_below(&self, map: &Mapping, spot: &Spot, within: &str, parameters: &[&str]) {
        let known: Vec<&str> =
            reference::known(self.place, within).into_iter().chain(parameters.iter().copied()).collect();
        for (key, value) in map {
            let key = key_text(key).unwrap_or_default();
            if !known.contains(&key.as_str()) {
                self.warn_of_unknown(&key, value, spot, &known);
                continue;
            }
            let path = if within.is_empty() { key.clone() } else { format!("{within}.{key}") };
            if parameters.contains(&key.as_str()) || reference::key_at(self.place, &path).is_some() {
                continue;
            }
            match value {
                Value::Mapping(below) => self.check_below(below, &spot.key(&key), &path, &[]),
                Value::Null => {}
                _ => Found { reader: self.reader, spot: spot.key(&key), value }.refuse_as_no_mapping(),
            }
        }
    }

    fn warn_of_unknown(&self, key: &str, value: &Value, spot: &Spot, known: &[&str]) {
        let hint = self.hint_for(key, known);
        if may_name(key, value, hint.is_some()) {
            self.reader.warn(&spot.key(key), "unknown key, ignored", hint);
            return;
        }
        let hint = match key.split_once(':').filter(|(name, _)| known.contains(name)) {
            Some((name, _)) => format!("`{name}:` needs a blank behind its colon"),
            None => "it is not shown, as it may be a value; keys end in a colon and a blank".to_owned(),
        };
        self.reader.warn(&spot.slip(key), "unknown key, ignored", Some(hint));
    }

    fn hint_for(&self, key: &str, known: &[&str]) -> Option<String> {
        let lower = key.to_lowercase();
        let likeness = |name: &&&str| strsim::jaro_winkler(&lower, name);
        let near = known
            .iter()
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .filter(|near| likeness(near) >= LIKENESS_MIN && is_as_long(key, near));
        if let Some(near) = near {
            return Some(format!("did you mean `{near}`?"));
        }
        reference::elsewhere(self.place, key).map(|path| format!("did you mean `{path}`?"))
    }

    /// The value of a key; `None` where it is absent, reported where it must be there.
    pub(super) fn read<K: Kind>(&self, key: &ConfigKey<K>) -> Option<K::Value<'v>> {
        match key.info.need {
            Need::Required | Need::OfType => self.require(key),
            Need::Unless(_) | Need::Else(_) => K::read(&self.find(key)?),
        }
    }

    /// The value of a key that must be there.
    pub(super) fn require<K: Kind>(&self, key: &ConfigKey<K>) -> Option<K::Value<'v>> {
        match self.find(key) {
            Some(found) => K::read(&found),
            None => {
                self.reader.error(&self.spot_of(key), "a required key is missing", self.near_miss(&key.info));
                None
            }
        }
    }

    /// The value of a key, or another one where it is absent; `None` where it has an error.
    pub(super) fn read_or<K: Kind>(&self, key: &ConfigKey<K>, absent: K::Value<'v>) -> Option<K::Value<'v>> {
        match self.find(key) {
            Some(found) => K::read(&found),
            None => Some(absent),
        }
    }

    /// The value of a key, or `Some(None)` where it is absent; `None` where it has an error.
    pub(super) fn read_or_none<K: Kind>(&self, key: &ConfigKey<K>) -> Option<Option<K::Value<'v>>> {
        self.find(key).map_or(Some(None), |found| K::read(&found).map(Some))
    }

    /// What stands there, as it is; null is absent.
    pub(super) fn find<K: Kind>(&self, key: &ConfigKey<K>) -> Option<Found<'v>> {
        let mut value: Option<&'v Value> = None;
        for name in self.way(key.info.path) {
            let map = match value {
                None => self.map,
                Some(Value::Mapping(map)) => map,
                Some(_) => return None,
            };
            value = Some(map.get(name)?);
        }
        let found =
            Found { reader: self.reader, spot: self.spot_of(key), value: value.filter(|value| !value.is_null())? };
        (!key.info.traits.blank_is_absent || !is_blank(found.value)).then_some(found)
    }

    /// Whether a key has a value that says something.
    pub(super) fn has<K: Kind>(&self, key: &ConfigKey<K>) -> bool {
        self.find(key).is_some()
    }

    /// Whether a key is there, and null.
    pub(super) fn is_null<K: Kind>(&self, key: &ConfigKey<K>) -> bool {
        let mut way = self.way(key.info.path);
        let last = way.pop();
        self.below(&way).zip(last).is_some_and(|(map, last)| map.get(last).is_some_and(Value::is_null))
    }

    /// Whether there is the mapping that a key stands in.
    pub(super) fn has_section_of<K: Kind>(&self, key: &ConfigKey<K>) -> bool {
        let mut way = self.way(key.info.path);
        way.pop();
        self.below(&way).is_some()
    }

    /// Where a key stands, or would.
    pub(super) fn spot_of<K: Kind>(&self, key: &ConfigKey<K>) -> Spot {
        self.way(key.info.path).into_iter().fold(self.spot.clone(), |spot, name| spot.key(name))
    }

    /// The value of a name at the top of the section, whatever the table says; null is absent.
    pub(super) fn top_level(&self, name: &str) -> Option<&'v Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// The names that lead to a key, by the alias where it is that which has a value.
    fn way(&self, path: &'static str) -> Vec<&'static str> {
        let mut way: Vec<&'static str> = path.split('.').collect();
        if let Some(first) = way.first_mut() {
            let used = reference::aliases_of(first).find(|alias| self.top_level(alias).is_some());
            *first = used.unwrap_or(first);
        }
        way
    }

    fn below(&self, way: &[&str]) -> Option<&'v Mapping> {
        way.iter().try_fold(self.map, |map, name| map.get(*name).and_then(Value::as_mapping))
    }

    /// A key beside a missing one that may be meant for it.
    fn near_miss(&self, key: &KeyInfo) -> Option<String> {
        let mut way = self.way(key.path);
        let last = way.pop()?;
        let known = reference::known(self.place, &way.join("."));
        let near = self.below(&way)?.keys().filter_map(key_text).find(|name| {
            !known.contains(&name.as_str())
                && strsim::jaro_winkler(&name.to_lowercase(), last) >= LIKENESS_MIN
                && is_as_long(name, last)
        });
        near.map(|name| format!("is `{name}` a slip for it?"))
    }
}

/// Whether a key may be another one by a slip: one that is longer by a third may hold a value behind the key's own name.
fn is_as_long(key: &str, near: &str) -> bool {
    key.chars().count() <= near.chars().count() + near.chars().count() / 3 + 1
}

/// Whether an unknown key may be named. One that nothing follows, or that isn't like a key, may be a value by a slip.
fn may_name(key: &str, value: &Value, is_like_a_known_one: bool) -> bool {
    let has_marks = key.chars().any(|c| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
    let is_written_as_key = !value.is_null() && is_plain(key) && !key.bytes().any(|b| b.is_ascii_digit());
    (is_like_a_known_one && !has_marks) || is_written_as_key || reference::is_anywhere(key)
}
