//! Marks like `{start_date}` where they aren't understood yet: they would be sent as they stand.

use serde_yaml::Value;

use super::api::Entries;
use super::document::Place as Spot;
use super::section::{Section, key_text};
use crate::template::query::START_DATE_MARK;

/// What an entry can't say yet.
const END_DATE_MARK: &str = "{end_date}";
/// Where a start date would be written, beside the filters.
const ELSEWHERE: [&str; 3] = ["http_request", "data_http_request", "token_http_request"];

impl Entries<'_> {
    /// Warns of each mark that is sent as text.
    pub(super) fn warn_of_marks(&self, entry: &Section<'_>) {
        for key in ELSEWHERE {
            if let Some(value) = entry.top_level(key) {
                self.warn_below(value, &entry.spot.key(key), &[START_DATE_MARK, END_DATE_MARK]);
            }
        }
        if let Some(value) = entry.top_level("filters") {
            self.warn_below(value, &entry.spot.key("filters"), &[END_DATE_MARK]);
        }
    }

    fn warn_below(&self, value: &Value, spot: &Spot, marks: &[&str]) {
        match value {
            Value::String(text) => {
                for mark in marks.iter().filter(|mark| text.contains(**mark)) {
                    let hint = match *mark {
                        END_DATE_MARK => "a window has no end yet: leave the parameter out",
                        _ => "the start date can only stand in `filters`, or in the parameter `start_date_name`",
                    };
                    let what = format!("`{mark}` is not understood here, and is sent as it stands");
                    self.reader.warn(spot, what, Some(hint.to_owned()));
                }
            }
            Value::Sequence(items) => {
                items.iter().enumerate().for_each(|(at, item)| self.warn_below(item, &spot.index(at), marks));
            }
            Value::Mapping(pairs) => {
                for (key, value) in pairs {
                    self.warn_below(value, &spot.key(&key_text(key).unwrap_or_default()), marks);
                }
            }
            _ => {}
        }
    }
}
