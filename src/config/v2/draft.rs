//! An entry of `apis` as it is read, and the same in our own words as it is put together: each value with the place where the
//! user wrote what it came of.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::super::catalog::NamedType;
use super::super::document::Spot;
use super::super::kinds::Kind;
use super::super::kinds::apis::YesNo;
use super::super::reader::Reader;
use super::super::section::Section;
use super::super::value::{Found, key_text};
use super::text::{OldTextPlace, translated};

/// The parameter that leaves further pages out.
const PAGINATION_OFF: &str = "pagination_off";

/// An entry as the user wrote it.
pub(super) struct OldEntry<'v> {
    pub(super) reader: &'v Reader<'v>,
    pub(super) spot: &'v Spot,
    pub(super) map: &'v Mapping,
    pub(super) named: &'static NamedType,
}

impl<'v> OldEntry<'v> {
    pub(super) fn of(section: &'v Section<'v>, map: &'v Mapping, named: &'static NamedType) -> Self {
        Self { reader: section.reader, spot: &section.spot, map, named }
    }

    /// What stands at a way like `data_request.url`; null is absent, and so is an empty text.
    pub(super) fn find(&self, way: &str) -> Option<Found<'v>> {
        let mut names = way.split('.');
        let first = self.map.get(names.next()?)?;
        let value = names.try_fold(first, |value, name| value.get(name)).filter(|value| !value.is_null())?;
        let is_empty = matches!(value, Value::String(text) if text.trim().is_empty());
        (!is_empty).then(|| Found { reader: self.reader, spot: self.spot_of(way), value })
    }

    pub(super) fn has(&self, way: &str) -> bool {
        self.find(way).is_some()
    }

    pub(super) fn read<K: Kind>(&self, way: &str) -> Option<K::Value<'v>> {
        K::read(&self.find(way)?)
    }

    pub(super) fn text(&self, way: &str) -> Option<String> {
        self.find(way)?.text()
    }

    pub(super) fn spot_of(&self, way: &str) -> Spot {
        way.split('.').fold(self.spot.clone(), |spot, name| spot.key(name))
    }

    /// The way to a key of the request of the records.
    pub(super) fn data_key(&self, name: &str) -> String {
        match self.named.dialect.request.as_str() {
            "" => name.to_owned(),
            within => format!("{within}.{name}"),
        }
    }

    /// Whether the type says how one page leads to the next.
    pub(super) fn is_paged_by_type(&self) -> bool {
        !self.has(&self.data_key("pagination"))
    }

    /// Whether the user wants the first page alone, where the type lets them say so.
    pub(super) fn is_first_page_all(&self) -> bool {
        let may_say = self.named.parameters.iter().any(|parameter| parameter.name == PAGINATION_OFF);
        may_say && self.read::<YesNo>(PAGINATION_OFF).unwrap_or_default()
    }

    /// The words in braces that the type's URLs may hold, with what the user wrote for them: as it is, or as it may be shown.
    pub(super) fn words(&self, is_shown: bool) -> BTreeMap<String, String> {
        let words = self.named.dialect.words.iter().filter_map(|(word, parameter)| {
            let value = self.text(parameter)?;
            let masked = is_shown.then(|| self.reader.masked(&self.spot_of(parameter))).flatten();
            Some((word.clone(), masked.unwrap_or(value)))
        });
        words.collect()
    }
}

/// An entry in our own words.
pub(super) struct EntryDraft<'v> {
    pub(super) old: &'v OldEntry<'v>,
    pub(super) map: Mapping,
}

impl<'v> EntryDraft<'v> {
    pub(super) fn new(old: &'v OldEntry<'v>) -> Self {
        Self { old, map: Mapping::new() }
    }

    /// Puts a value at a way, and notes where it came from.
    pub(super) fn put(&mut self, way: &[&str], value: impl Into<Value>, from: &Spot) {
        self.came_from(way, from, None);
        put(&mut self.map, way, value.into());
    }

    /// The value of a key as it stands, where it is there.
    pub(super) fn take(&mut self, from: &str, way: &[&str]) {
        if let Some(found) = self.old.find(from) {
            self.put(way, found.value.clone(), &found.spot);
        }
    }

    /// A text in our own words, where it is there.
    pub(super) fn take_text(&mut self, from: &str, way: &[&str], kind: OldTextPlace) {
        let Some(found) = self.old.find(from) else { return };
        let Some(text) = found.text() else { return };
        self.put(way, translated(&text, kind, &self.old.words(false)), &found.spot);
        if let Some(masked) = self.old.reader.masked(&found.spot) {
            self.came_from(way, &found.spot, Some(translated(&masked, kind, &self.old.words(true))));
        }
    }

    /// A value whose texts are put into our own words, where it is there.
    pub(super) fn take_all(&mut self, from: &str, way: &[&str], kind: OldTextPlace) {
        if let Some(found) = self.old.find(from) {
            self.put(way, in_own_words(found.value, kind, &self.old.words(false)), &found.spot);
        }
    }

    pub(super) fn came_from(&self, way: &[&str], from: &Spot, masked: Option<String>) {
        let spot = way.iter().fold(self.old.spot.clone(), |spot, name| spot.key(name));
        self.old.reader.came_from(&spot, from, masked);
    }
}

/// Puts a value at a way of an entry.
pub(super) fn put(map: &mut Mapping, way: &[&str], value: Value) {
    match way.split_first() {
        None => {}
        Some((name, [])) => drop(map.insert((*name).into(), value)),
        Some((name, rest)) => {
            let below = map.entry((*name).into()).or_insert_with(|| Mapping::new().into());
            if !below.is_mapping() {
                *below = Mapping::new().into();
            }
            if let Value::Mapping(below) = below {
                put(below, rest, value);
            }
        }
    }
}

/// A value with its texts in our own words; names stay as they are.
pub(super) fn in_own_words(value: &Value, kind: OldTextPlace, words: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => translated(text, kind, words).into(),
        Value::Sequence(items) => items.iter().map(|item| in_own_words(item, kind, words)).collect(),
        Value::Mapping(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (key.clone(), in_own_words(value, kind, words)));
            Value::Mapping(pairs.collect())
        }
        other => other.clone(),
    }
}

/// Headers with others over them, whatever their case.
pub(super) fn over(headers: Mapping, others: &Mapping) -> Mapping {
    let name = |key: &Value| key_text(key).unwrap_or_default().trim().to_ascii_lowercase();
    let names: Vec<String> = others.keys().map(name).collect();
    let kept = headers.into_iter().filter(|(key, _)| !names.contains(&name(key)));
    kept.chain(others.clone()).collect()
}
