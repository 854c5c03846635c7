//! Typed access to the values of a document. Every error is noted, and reading goes on.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_yaml::{Mapping, Value};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::document::{Document, Place as Spot};
use super::expand;
use super::fill::Filling;
use super::plain::is_plain;
use super::reference::{self, Place};
use super::slips;

/// The longest span a config may give, in minutes (ten years): far beyond any use, and far from any overflow.
pub(super) const MINUTES_MAX: f64 = 10.0 * 365.0 * 24.0 * 60.0;
/// How alike an unknown key must be to a known one to be taken for a slip.
pub(super) const LIKENESS_MIN: f64 = 0.8;

/// Notes what is wrong while a document is read.
pub(super) struct Reader<'d> {
    document: &'d Document<'d>,
    noted: RefCell<Noted>,
    pub(super) filling: RefCell<Filling>,
}

#[derive(Default)]
struct Noted {
    errors: Vec<(Spot, String, Option<String>)>,
    warnings: Vec<(Spot, String, Option<String>)>,
    /// The files that are named, as they are written.
    files: HashSet<String>,
    /// Where a value is known to be no value, so that what follows from it isn't told, too.
    poisoned: HashSet<Spot>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(document: &'d Document<'d>) -> Self {
        Self { document, noted: RefCell::default(), filling: RefCell::default() }
    }

    pub(super) fn error(&self, spot: &Spot, what: impl Into<String>, hint: Option<String>) {
        if !self.is_poisoned(spot) {
            self.noted.borrow_mut().errors.push((spot.clone(), what.into(), hint));
        }
    }

    pub(super) fn warn(&self, spot: &Spot, what: impl Into<String>, hint: Option<String>) {
        self.noted.borrow_mut().warnings.push((spot.clone(), what.into(), hint));
    }

    /// Notes a file whose content belongs to the config.
    pub(super) fn names_file(&self, file: &str) {
        self.noted.borrow_mut().files.insert(file.to_owned());
    }

    /// The files whose content belongs to the config.
    pub(super) fn files(&self, directory: &Path) -> BTreeSet<PathBuf> {
        self.noted.borrow().files.iter().map(|file| directory.join(file)).collect()
    }

    /// Says that a value, and all below it, is known to be none.
    pub(super) fn poison(&self, spot: &Spot) {
        self.noted.borrow_mut().poisoned.insert(spot.clone());
    }

    pub(super) fn is_poisoned(&self, spot: &Spot) -> bool {
        let noted = self.noted.borrow();
        !noted.poisoned.is_empty() && spot.with_ancestors().any(|spot| noted.poisoned.contains(&spot))
    }

    /// Whether any error was noted.
    pub(super) fn has_errors(&self) -> bool {
        !self.noted.borrow().errors.is_empty()
    }

    /// What was noted, with lines, in the order of the file.
    pub(super) fn diagnostics(self) -> Diagnostics {
        let noted = self.noted.into_inner();
        let located_max = self.document.located_max();
        let locate = |found: Vec<(Spot, String, Option<String>)>| {
            let with_line = found.into_iter().enumerate().map(|(at, (spot, what, hint))| Diagnostic {
                line: (at < located_max).then(|| self.document.line_of(&spot)).flatten(),
                path: spot.to_string(),
                what,
                hint,
            });
            let mut errors: Vec<Diagnostic> = with_line.collect();
            errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
            // A section that is read in several places is told of once.
            let mut told = HashSet::new();
            errors.retain(|error| told.insert((error.path.clone(), error.what.clone())));
            errors
        };
        let mut errors = locate(noted.errors);
        for error in &mut errors {
            // Where nothing better is known, what the key is for.
            error.hint = error.hint.take().or_else(|| reference::meaning(&error.path).map(str::to_owned));
        }
        Diagnostics { errors, warnings: locate(noted.warnings) }
    }
}

/// A mapping of the config, or the place where it would stand.
pub(super) struct Section<'r, 'd> {
    reader: &'r Reader<'d>,
    pub(super) spot: Spot,
    map: Option<&'r Mapping>,
    place: Place,
    /// The way from the entry (or the top) to here, as the reference has it.
    within: String,
}

/// A scalar of the config with the place where it stands.
pub(super) struct Text {
    pub(super) value: String,
    pub(super) spot: Spot,
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

impl<'r, 'd> Section<'r, 'd> {
    /// A value that should be a mapping; keys that are not known are warned of.
    pub(super) fn new(reader: &'r Reader<'d>, value: &'r Value, spot: Spot, place: Place) -> Self {
        Self::open(reader, Some(value), spot, place, String::new())
    }

    fn open(reader: &'r Reader<'d>, value: Option<&'r Value>, spot: Spot, place: Place, within: String) -> Self {
        let map = match value {
            Some(Value::Mapping(map)) => Some(map),
            None | Some(Value::Null) => None,
            Some(_) => {
                reader.error(&spot, "it should be a mapping (keys and values)", None);
                reader.poison(&spot);
                None
            }
        };
        let section = Self { reader, spot, map, place, within };
        section.warn_of_unknown_keys();
        section
    }

    fn warn_of_unknown_keys(&self) {
        if reference::is_open(&self.within) {
            return;
        }
        let known = reference::known(self.place, &self.within);
        for (key, value) in self.map.into_iter().flatten() {
            let key = key_text(key).unwrap_or_default();
            if known.contains(&key.as_str()) {
                continue;
            }
            let hint = self.hint_for(&key, &known);
            match may_name(&key, value, hint.is_some()) {
                true => self.reader.warn(&self.spot.key(&key), "unknown key, ignored", hint),
                false => {
                    let hint = match key.split_once(':').filter(|(name, _)| known.contains(name)) {
                        Some((name, _)) => format!("`{name}:` needs a blank behind its colon"),
                        None => "it is not shown, as it may be a value; keys end in a colon and a blank".to_owned(),
                    };
                    self.reader.warn(&self.spot.slip(&key), "unknown key, ignored", Some(hint));
                }
            }
        }
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

    /// The section below a key; empty where the key is absent or null.
    pub(super) fn section(&self, key: &str) -> Section<'r, 'd> {
        let within = if self.within.is_empty() { key.to_owned() } else { format!("{}.{key}", self.within) };
        Self::open(self.reader, self.value(key), self.spot.key(key), self.place, within)
    }

    /// Whether there is nothing at all here.
    pub(super) fn is_absent(&self) -> bool {
        self.map.is_none()
    }

    /// Whether a key has a value that isn't null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Whether a key is there, and null.
    pub(super) fn is_null(&self, key: &str) -> bool {
        self.map.and_then(|map| map.get(key)).is_some_and(Value::is_null)
    }

    /// The value of a key; null is absent.
    pub(super) fn value(&self, key: &str) -> Option<&'r Value> {
        self.map?.get(key).filter(|value| !value.is_null())
    }

    /// A scalar as text: as it is written, also where YAML takes it for a number.
    pub(super) fn as_is(&self, key: &str) -> Option<Text> {
        let spot = self.spot.key(key);
        let value = self.reader.scalar_text(self.value(key)?, &spot)?;
        Some(Text { value, spot })
    }

    /// The same, and an error where it is absent; blanks around it count.
    pub(super) fn required_as_is(&self, key: &str) -> Option<Text> {
        self.missing_unless(self.has(key), key);
        self.as_is(key)
    }

    /// A scalar as text, without blanks around it.
    pub(super) fn text(&self, key: &str) -> Option<Text> {
        self.as_is(key).map(|Text { value, spot }| Text { value: value.trim().to_owned(), spot })
    }

    /// The same, and an error where it is absent.
    pub(super) fn required(&self, key: &str) -> Option<Text> {
        self.missing_unless(self.has(key), key);
        self.text(key)
    }

    /// The same, and an error where it is empty.
    pub(super) fn required_filled(&self, key: &str) -> Option<Text> {
        let text = self.required(key)?;
        if text.value.is_empty() {
            self.reader.error(&text.spot, "it is empty", None);
            return None;
        }
        Some(text)
    }

    fn missing_unless(&self, present: bool, key: &str) {
        if present {
            return;
        }
        let near = self.map.into_iter().flatten().filter_map(|(name, _)| key_text(name)).find(|name| {
            !reference::known(self.place, &self.within).contains(&name.as_str())
                && strsim::jaro_winkler(&name.to_lowercase(), key) >= LIKENESS_MIN
                && is_as_long(name, key)
        });
        let hint = near.map(|name| format!("is `{name}` a slip for it?"));
        self.reader.error(&self.spot.key(key), "a required key is missing", hint);
    }

    /// Names and scalar values of the user's own; null values are left out, a list is the same name several times.
    pub(super) fn pairs(&self, key: &str) -> Vec<(String, Text)> {
        let section = self.section(key);
        let mut pairs = Vec::new();
        for (name, value) in section.map.into_iter().flatten() {
            let Some(name) = key_text(name) else { continue };
            let spot = section.spot.key(&name);
            let values: Vec<(Spot, &Value)> = match value {
                Value::Null => Vec::new(),
                Value::Sequence(items) => items.iter().enumerate().map(|(at, item)| (spot.index(at), item)).collect(),
                one => vec![(spot, one)],
            };
            for (spot, value) in values {
                if let Some(value) = self.reader.scalar_text(value, &spot) {
                    pairs.push((name.clone(), Text { value, spot }));
                }
            }
        }
        pairs
    }

    /// Names and values of any kind, as JSON.
    pub(super) fn fields(&self, key: &str) -> Vec<(String, serde_json::Value)> {
        let section = self.section(key);
        let mut fields = Vec::new();
        for (name, value) in section.map.into_iter().flatten() {
            let Some(name) = key_text(name) else { continue };
            match json(value) {
                Some(value) => fields.push((name, value)),
                None => self.reader.error(&section.spot.key(&name), "it can't be written as JSON", None),
            }
        }
        fields
    }

    /// A span of time: minutes as a number, or text like `30s`, `5m`, `1h`, `2d`.
    pub(super) fn minutes(&self, key: &str) -> Option<(Duration, Spot)> {
        let text = self.text(key)?;
        match duration(&text.value) {
            Ok(span) => Some((span, text.spot)),
            Err(what) => {
                let hint = "minutes like 5 or 0.5, or text like 30s, 5m, 1h".to_owned();
                self.reader.error(&text.spot, what, Some(hint));
                None
            }
        }
    }

    /// A span of time up to a limit: seconds as a number, or text like `90s`, `5m`.
    pub(super) fn seconds(&self, key: &str, max: Duration) -> Option<Duration> {
        let text = self.text(key)?;
        let plain = text.value.parse::<f64>().ok().map(|_| format!("{}s", text.value));
        match duration(plain.as_deref().unwrap_or(&text.value)) {
            Ok(span) if span.is_zero() => self.reader.error(&text.spot, "it should be more than 0", None),
            Ok(span) if span > max => {
                self.reader.error(&text.spot, format!("it should be {} s at most", max.as_secs()), None);
            }
            Ok(span) => return Some(span),
            Err(what) => {
                let hint = "seconds like 90, or text like 90s, 5m".to_owned();
                self.reader.error(&text.spot, what, Some(hint));
            }
        }
        None
    }

    /// A number that is not negative.
    pub(super) fn number(&self, key: &str, max: f64) -> Option<f64> {
        let text = self.text(key)?;
        match text.value.parse::<f64>() {
            Ok(number) if number < 0.0 => self.reader.error(&text.spot, "it can't be negative", None),
            Ok(number) if number <= max => return Some(number),
            Ok(_) => self.reader.error(&text.spot, format!("it should be {max} at most"), None),
            Err(_) => self.reader.error(&text.spot, "it is not a number", None),
        }
        None
    }
}

impl Reader<'_> {
    /// A credential: what `echo`, an editor or a YAML block puts at its end goes, as no credential ends in a line break.
    /// Other marks that nobody sees are an error: servers refuse them (RFC 7617, section 2), or cut the credential there.
    pub(super) fn credential(&self, text: Text) -> Option<Text> {
        let value = expand::without_line_end(&text.value);
        let is_unseen = |c: char| c.is_control() || matches!(c, '\u{feff}' | '\u{200b}' | '\u{2028}' | '\u{2029}');
        if value.contains(is_unseen) {
            let hint =
                "write it as one line, without a tab, a byte order mark or other marks that can't be seen".to_owned();
            self.error(&text.spot, "it holds a line break or another control character", Some(hint));
            return None;
        }
        if let Some((what, hint)) = slips::in_credential(value) {
            self.warn(&text.spot, what, Some(hint.to_owned()));
        }
        Some(Text { value: value.to_owned(), spot: text.spot })
    }

    fn scalar_text(&self, value: &Value, spot: &Spot) -> Option<String> {
        if matches!(value, Value::Sequence(_) | Value::Mapping(_)) {
            self.error(spot, "it should be a single value", None);
        }
        written(value)
    }
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

/// Minutes, or a number with a unit.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let text = text.trim();
    let is_plain = text.parse::<f64>().is_ok();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).filter(|at| *at > 0 && !is_plain).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let minutes_each = match unit.trim() {
        "" | "m" | "min" => 1.0,
        "s" | "sec" => 1.0 / 60.0,
        "h" => 60.0,
        "d" => 24.0 * 60.0,
        _ => return Err("it is not a duration"),
    };
    let minutes = number.trim().parse::<f64>().map_err(|_| "it is not a duration")? * minutes_each;
    if minutes < 0.0 {
        return Err("it can't be negative");
    }
    if minutes > MINUTES_MAX {
        return Err("it is longer than ten years");
    }
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|_| "it is not a duration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_spans_of_time() {
        for (text, seconds) in [
            ("5", 300.0),
            ("0.5", 30.0),
            ("30s", 30.0),
            ("5m", 300.0),
            ("1h", 3600.0),
            ("1.5 h", 5400.0),
            ("1e1", 600.0),
            ("1d", 86400.0),
        ] {
            assert_eq!(duration(text).map(|span| span.as_secs_f64()), Ok(seconds), "{text}");
        }
        for text in ["", "-1", "soon", "5x", "NaN", "inf", "1e99", "5 m 3"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
