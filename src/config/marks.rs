//! Braces that look like variables and are none: they would be sent as they stand.

use serde_yaml::Value;

use super::api::Entries;
use super::document::Spot;
use super::section::{LIKENESS_MIN, Section};
use super::value::key_text;
use crate::template::{VariableSet, is_of_request};

/// Where variables may stand, and which.
const PLACES: [(&str, VariableSet); 8] = [
    ("http_request", VariableSet::Data),
    ("data_http_request", VariableSet::Data),
    ("filters", VariableSet::Data),
    ("next_request", VariableSet::Data),
    ("steps", VariableSet::Data),
    ("token_http_request", VariableSet::Token),
    ("credentials", VariableSet::Credentials),
    ("sign", VariableSet::Sign),
];
/// The longest word in braces that is looked at.
const WORD_CHARS_MAX: usize = 40;

impl Entries<'_> {
    /// Warns of each brace around a word that is sent as text, and is likely not meant to be.
    pub(super) fn warn_of_marks(&self, entry: &Section<'_>) {
        for (key, set) in PLACES {
            if let Some(value) = entry.top_level(key) {
                self.warn_below(value, &entry.spot.key(key), set);
            }
        }
    }

    fn warn_below(&self, value: &Value, spot: &Spot, set: VariableSet) {
        match value {
            Value::String(text) => {
                for (what, hint) in slips_of(text, set) {
                    self.reader.warn(spot, what, Some(hint));
                }
            }
            Value::Sequence(items) => {
                items.iter().enumerate().for_each(|(at, item)| self.warn_below(item, &spot.index(at), set));
            }
            Value::Mapping(pairs) => {
                for (key, value) in pairs {
                    self.warn_below(value, &spot.key(&key_text(key).unwrap_or_default()), set);
                }
            }
            _ => {}
        }
    }
}

/// What is said of the words in braces of a text.
fn slips_of(text: &str, set: VariableSet) -> Vec<(String, String)> {
    let mut slips = Vec::new();
    for (at, _) in text.match_indices('{') {
        let before = text.get(..at).unwrap_or_default();
        let inside = text.get(at + 1..).unwrap_or_default();
        if before.ends_with("{'") || before.ends_with('$') {
            continue;
        }
        let Some((inside, after)) = inside.split_once('}') else { continue };
        let word = inside.split_once(':').map_or(inside, |(word, _)| word);
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !is_word || word.len() > WORD_CHARS_MAX {
            continue;
        }
        let is_here = set.name(word).is_some();
        let is_known = is_here || is_of_request(word);
        if is_known && before.ends_with('{') && after.starts_with('}') {
            let what = format!("`{{{{{word}}}}}` is sent with braces around its value");
            slips.push((what, format!("write `{{{word}}}` for the value alone")));
        } else if is_known && !is_here {
            let what = format!("`{{{word}}}` is not understood here, and is sent as it stands");
            let here: Vec<String> = set.names().map(|name| format!("{{{name}}}")).collect();
            slips.push((what, format!("what can stand here: {}", here.join(", "))));
        } else if let Some(near) = near(word, set).filter(|_| !is_known) {
            let what = format!("`{{{word}}}` is not a variable, and is sent as it stands");
            slips.push((what, format!("did you mean `{{{near}}}`?")));
        }
    }
    slips
}

/// The variable that a word is likely meant to be.
fn near(word: &str, set: VariableSet) -> Option<&'static str> {
    let likeness = |name: &&str| strsim::jaro_winkler(word, name);
    let near = set.names().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&near) >= LIKENESS_MIN).then_some(near)
}
