//! `${…}` in the values of a document: filled in, and remembered as secret.

use serde_yaml::Value;

use super::document::Spot;
use super::expand::{self, Environment};
use super::reader::Reader;
use super::reference::{self, Place};
use super::value::key_text;

impl Reader<'_> {
    /// Fills every `${…}` in, in place; what can't be, and placeholders, are errors. What is unknown stays as it is: it is
    /// warned of, and its content is nobody's business.
    pub(super) fn fill_in(&self, root: &mut Value, around: &Environment<'_>) {
        self.expand(root, &Spot::default(), Place::Top, "", around);
    }

    fn expand(&self, value: &mut Value, spot: &Spot, place: Place, within: &str, around: &Environment<'_>) {
        match value {
            Value::String(text) => self.expand_text(text, spot, around),
            Value::Sequence(items) => {
                let (place, within) = match within {
                    "auth_apis" => (Place::Auth, ""),
                    "oauth_apis" => (Place::OAuth, ""),
                    "logzio" => (Place::Output, ""),
                    "apis" => (Place::Apis, ""),
                    other => (place, other),
                };
                for (at, item) in items.iter_mut().enumerate() {
                    self.expand(item, &spot.index(at), place, within, around);
                }
            }
            Value::Mapping(pairs) => {
                let (place, within) = match (place, within) {
                    (Place::Top, "logzio") => (Place::Output, ""),
                    other => other,
                };
                let mut known = reference::known(place, within);
                if within.is_empty() {
                    known.extend(reference::parameters(place));
                }
                for (key, value) in pairs.iter_mut() {
                    let name = key_text(key).unwrap_or_default();
                    if !reference::is_open(place, within) && !known.contains(&name.as_str()) {
                        continue;
                    }
                    // What stands below a key of the user's own is the user's own, too.
                    let below = match within {
                        "" => name.clone(),
                        within if reference::is_open(place, within) => within.to_owned(),
                        within => format!("{within}.{name}"),
                    };
                    self.expand(value, &spot.key(&name), place, &below, around);
                }
            }
            _ => {}
        }
    }

    fn expand_text(&self, text: &mut String, spot: &Spot, around: &Environment<'_>) {
        if let Some(placeholder) = expand::placeholder(text) {
            let hint = "put your own value in its place".to_owned();
            self.error(spot, format!("{placeholder} is still there"), Some(hint));
            self.poison(spot);
        }
        expand::files(text).for_each(|file| self.names_file(file));
        match expand::expand(text, around) {
            Ok(expanded) => {
                *text = expanded.text;
                if !expanded.filled.is_empty() {
                    self.mask(spot, expanded.masked);
                    if !is_shown_by_nature(spot) {
                        self.note_filled(spot, expanded.filled);
                    }
                }
            }
            Err(error) => {
                let hint = error.hint().to_owned();
                self.error(spot, error.to_string(), Some(hint));
                self.poison(spot);
                text.clear();
            }
        }
    }
}

/// Whether what stands there is shown wherever its API is, as the name, or is a number, as the settings: to hide it would
/// take words out of every text.
fn is_shown_by_nature(spot: &Spot) -> bool {
    matches!(spot.key_of_entry(), Some("name" | "settings" | "type" | "scrape_interval" | "days_back_fetch"))
        || [["status", "listen"], ["logzio", "name"]]
            .iter()
            .any(|way| spot.entry() == way.iter().fold(Spot::default(), |spot, key| spot.key(key)))
}
