//! The values of a document, each with the place where it stands. Every error is noted, and reading goes on.

use serde_yaml::Value;

use super::document::Spot;
pub(super) use super::document::key_text;
use super::expand;
use super::reader::Reader;
use super::slips;

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
