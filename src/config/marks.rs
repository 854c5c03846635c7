//! Braces that look like variables and are none: they would be sent as they stand.

use serde_yaml::Value;

use super::api::Entries;
use super::document::Spot;
use super::section::{LIKENESS_MIN, Section};
use super::value::key_text;
use crate::template::VARIABLE_NAMES;

/// Where variables may stand.
const PLACES: [&str; 4] = ["http_request", "data_http_request", "filters", "next_request"];
/// Where none may stand yet.
const WITHOUT_VARIABLES: [&str; 2] = ["token_http_request", "credentials"];
/// The longest word in braces that is looked at.
const WORD_CHARS_MAX: usize = 40;

impl Entries<'_> {
    /// Warns of each brace around a word that is sent as text, and is likely not meant to be.
    pub(super) fn warn_of_marks(&self, entry: &Section<'_>) {
        for key in PLACES {
            if let Some(value) = entry.top_level(key) {
                self.warn_below(value, &entry.spot.key(key), true);
            }
        }
        for key in WITHOUT_VARIABLES {
            if let Some(value) = entry.top_level(key) {
                self.warn_below(value, &entry.spot.key(key), false);
            }
        }
    }

    fn warn_below(&self, value: &Value, spot: &Spot, has_variables: bool) {
        match value {
            Value::String(text) => {
                for (what, hint) in slips_of(text, has_variables) {
                    self.reader.warn(spot, what, Some(hint));
                }
            }
            Value::Sequence(items) => {
                items.iter().enumerate().for_each(|(at, item)| self.warn_below(item, &spot.index(at), has_variables));
            }
            Value::Mapping(pairs) => {
                for (key, value) in pairs {
                    self.warn_below(value, &spot.key(&key_text(key).unwrap_or_default()), has_variables);
                }
            }
            _ => {}
        }
    }
}

/// What is said of the words in braces of a text.
fn slips_of(text: &str, has_variables: bool) -> Vec<(String, String)> {
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
        let is_known = VARIABLE_NAMES.contains(&word);
        if is_known && before.ends_with('{') && after.starts_with('}') {
            let what = format!("`{{{{{word}}}}}` is sent with braces around its value");
            slips.push((what, format!("write `{{{word}}}` for the value alone")));
        } else if is_known && !has_variables {
            let what = format!("`{{{word}}}` is not understood here, and is sent as it stands");
            slips.push((what, "variables can stand in http_request, filters and next_request".to_owned()));
        } else if let Some(near) = near(word).filter(|_| !is_known) {
            let what = format!("`{{{word}}}` is not a variable, and is sent as it stands");
            slips.push((what, format!("did you mean `{{{near}}}`?")));
        }
    }
    slips
}

/// The variable that a word is likely meant to be.
fn near(word: &str) -> Option<&'static str> {
    let likeness = |name: &&&str| strsim::jaro_winkler(word, name);
    let near = VARIABLE_NAMES.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&near) >= LIKENESS_MIN).then_some(*near)
}
