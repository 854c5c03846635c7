//! Typed access to the values of a document by the keys of the table. Every error is noted, and reading goes on.

use serde_yaml::{Mapping, Value};

use super::catalog::NamedType;
use super::document::Place as Spot;
use super::expand;
use super::keys::{ConfigKey, KeyInfo, Need, Place};
use super::kinds::Kind;
use super::plain::is_plain;
use super::reader::Reader;
use super::reference;
use super::slips;

/// How alike an unknown key must be to a known one to be taken for a slip.
pub(super) const LIKENESS_MIN: f64 = 0.8;

/// The top of the file, or an entry of a list: a mapping whose keys are in the table.
pub(super) struct Section<'v> {
    pub(super) reader: &'v Reader<'v>,
    pub(super) spot: Spot,
    map: &'v Mapping,
    place: Place,
}

/// A value with the place where it stands.
#[derive(Clone)]
pub(super) struct Found<'v> {
    pub(super) reader: &'v Reader<'v>,
    pub(super) spot: Spot,
    pub(super) value: &'v Value,
}

/// A scalar of the config with the place where it stands.
pub(super) struct Text {
    pub(super) value: String,
    pub(super) spot: Spot,
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

impl<'v> Found<'v> {
    /// Notes an error in it.
    pub(super) fn refuse<T>(&self, what: &str, hint: Option<&str>) -> Option<T> {
        self.reader.error(&self.spot, what, hint.map(str::to_owned));
        None
    }

    /// What was made of it, or an error.
    pub(super) fn or_refuse<T>(&self, made: Result<T, &str>, hint: &str) -> Option<T> {
        made.map_or_else(|what| self.refuse(what, Some(hint)), Some)
    }

    /// Notes a warning of it, and what to do.
    pub(super) fn warn(&self, what: &str, hint: &str) {
        self.reader.warn(&self.spot, what, Some(hint.to_owned()));
    }

    /// Notes that it should be a mapping.
    pub(super) fn refuse_as_no_mapping(&self) {
        self.reader.error(&self.spot, "it should be a mapping (keys and values)", None);
        self.reader.poison(&self.spot);
    }

    /// A scalar as text: as it is written, also where YAML takes it for a number.
    pub(super) fn as_is(&self) -> Option<String> {
        if matches!(self.value, Value::Sequence(_) | Value::Mapping(_)) {
            return self.refuse("it should be a single value", None);
        }
        written(self.value)
    }

    /// The same, without blanks around it.
    pub(super) fn text(&self) -> Option<String> {
        self.as_is().map(|text| text.trim().to_owned())
    }

    /// The same, and an error where it is empty.
    pub(super) fn filled(&self) -> Option<String> {
        let text = self.text()?;
        if text.is_empty() { self.refuse("it is empty", None) } else { Some(text) }
    }

    /// A credential: what `echo`, an editor or a YAML block puts at its end goes, as no credential ends in a line break.
    /// Other marks that nobody sees are an error: servers refuse them (RFC 7617, section 2), or cut the credential there.
    pub(super) fn credential(&self, text: String) -> Option<String> {
        let value = expand::without_line_end(&text);
        let is_unseen = |c: char| c.is_control() || matches!(c, '\u{feff}' | '\u{200b}' | '\u{2028}' | '\u{2029}');
        if value.contains(is_unseen) {
            let hint = "write it as one line, without a tab, a byte order mark or other marks that can't be seen";
            return self.refuse("it holds a line break or another control character", Some(hint));
        }
        slips::in_credential(value).into_iter().for_each(|(what, hint)| self.warn(what, hint));
        Some(value.to_owned())
    }

    /// What stands below it.
    fn below(&self, value: &'v Value, spot: Spot) -> Self {
        Self { reader: self.reader, spot, value }
    }

    /// The items of a list, or the one value.
    pub(super) fn items(&self) -> Vec<Self> {
        match self.value {
            Value::Sequence(items) => {
                items.iter().enumerate().map(|(at, item)| self.below(item, self.spot.index(at))).collect()
            }
            _ => vec![self.clone()],
        }
    }

    fn members(&self) -> impl Iterator<Item = (String, Self)> {
        let map = match self.value {
            Value::Mapping(map) => Some(map),
            _ => {
                self.refuse_as_no_mapping();
                None
            }
        };
        let named = map.into_iter().flatten().filter_map(|(name, value)| Some((key_text(name)?, value)));
        named.map(|(name, value)| {
            let spot = self.spot.key(&name);
            (name, self.below(value, spot))
        })
    }

    /// Names and scalar values of the user's own; null values are left out, a list is the same name several times.
    pub(super) fn pairs(&self) -> Vec<(String, Text)> {
        let mut pairs = Vec::new();
        for (name, member) in self.members() {
            for item in member.items().into_iter().filter(|item| !item.value.is_null()) {
                if let Some(value) = item.as_is() {
                    pairs.push((name.clone(), Text { value, spot: item.spot }));
                }
            }
        }
        pairs
    }

    /// Names and values of any kind, as JSON.
    pub(super) fn fields(&self) -> Vec<(String, serde_json::Value)> {
        self.members().filter_map(|(name, member)| Some((name, member.json()?))).collect()
    }

    /// As JSON; an error where JSON has no word for it.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        json(self.value).or_else(|| self.refuse("it can't be written as JSON", None))
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

/// Whether a value is a text with nothing but blanks in it.
pub(super) fn is_blank(value: &Value) -> bool {
    written(value).is_some_and(|text| text.trim().is_empty())
}

/// A scalar as it is written.
pub(super) fn written(value: &Value) -> Option<String> {
    match value {
        // A number or boolean with its text; see `document`.
        Value::Tagged(tagged) => Some(tagged.tag.to_string().trim_start_matches('!').to_owned()),
        other => key_text(other),
    }
}

/// A key as text; keys that are lists or mappings have none.
pub(super) fn key_text(key: &Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    }
}

/// YAML as JSON; nothing where JSON has no word for it (infinity, a key that is no scalar).
pub(super) fn json(value: &Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(bool) => (*bool).into(),
        Value::String(text) => text.clone().into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(whole)) => whole.into(),
            (None, None) => serde_json::Number::from_f64(number.as_f64()?)?.into(),
        },
        Value::Sequence(items) => items.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        Value::Mapping(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| Some((key_text(key)?, json(value)?)));
            serde_json::Value::Object(pairs.collect::<Option<_>>()?)
        }
        Value::Tagged(tagged) => json(&tagged.value)?,
    })
}
