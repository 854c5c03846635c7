//! `/status.json`, read: as much of it as `top` shows. Pure.

use std::fmt::{self, Display, Formatter};

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// The version of the format that is understood.
const FORMAT_VERSION: u32 = 1;
/// How much of a text is kept.
const TEXT_CHARS_MAX: usize = 4_000;

/// A text from outside, without control characters and without marks that turn the direction of what follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct PrintableText(String);

/// Why an answer can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is something else.
    #[error("the answer is not a status.json: {0}; check --url")]
    NotStatus(#[from] serde_json::Error),
    /// It is of a later version.
    #[error("the fetcher answers in version {0} of the format; use the `top` of the same version")]
    Version(u32),
}

/// What the fetcher says of itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReceivedStatus {
    version: u32,
    /// When the answer was made.
    pub now: DateTime<Utc>,
    /// Its version.
    pub fetcher: PrintableText,
    /// Its config.
    pub config: ReceivedConfig,
    /// Why APIs fail, the most frequent first.
    pub causes: Vec<Cause>,
    /// Its APIs, the worst first, then by name.
    pub apis: Vec<ReceivedApi>,
}

/// What is known of the config.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReceivedConfig {
    /// What is wrong with the config in the file.
    pub errors: Vec<PrintableText>,
}

/// Failures of one cause.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Cause {
    /// Such as `401 from login.example.com`.
    pub cause: PrintableText,
    /// How many APIs.
    pub apis: u64,
    /// What to do.
    pub hint: PrintableText,
}

/// One API.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReceivedApi {
    /// Its name.
    pub name: PrintableText,
    /// Its state, one of [`crate::status::STATES`].
    pub state: PrintableText,
    /// When the first of the failed iterations in a row began.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when it asked to wait.
    pub waiting_until: Option<DateTime<Utc>>,
    /// Why the last iteration failed.
    pub error: Option<ReceivedFailure>,
    /// What works and is not right.
    pub warnings: Vec<ReceivedWarning>,
    /// What is asked.
    pub url: PrintableText,
    /// When an iteration succeeded last.
    pub last_success: Option<DateTime<Utc>>,
    /// When the next one begins.
    pub next_iteration: Option<DateTime<Utc>>,
    /// The date of the newest delivered event.
    pub newest_event: Option<DateTime<Utc>>,
    /// How old that event is.
    pub newest_event_delay_seconds: Option<f64>,
    /// Until when everything has been fetched.
    pub complete_until: Option<DateTime<Utc>>,
    /// Records delivered in the last hour.
    pub records_last_hour: u64,
    /// Since the process began.
    pub totals: ReceivedTotals,
}

/// Why an iteration failed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReceivedFailure {
    /// As in the log.
    pub text: PrintableText,
    /// The group that it belongs to.
    pub cause: PrintableText,
    /// What to do.
    pub hint: PrintableText,
}

/// What works and is not right.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReceivedWarning {
    /// What it is, and what to do.
    pub text: PrintableText,
}

/// Counts since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct ReceivedTotals {
    /// Iterations that have ended.
    pub iterations: u64,
    /// How many of them failed.
    pub failed_iterations: u64,
    /// Records delivered.
    pub records: u64,
    /// Records left out because they had been delivered.
    pub duplicates: u64,
    /// Records that can't be delivered.
    pub undelivered: u64,
}

impl From<String> for PrintableText {
    fn from(text: String) -> Self {
        let is_shown = |char: &char| !char.is_control() && !is_directional(*char);
        let spaced = text.chars().map(|char| if matches!(char, '\n' | '\t' | '\r') { ' ' } else { char });
        Self(spaced.filter(is_shown).take(TEXT_CHARS_MAX).collect())
    }
}

impl From<&str> for PrintableText {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// Whether a character only turns the direction of what follows.
fn is_directional(char: char) -> bool {
    matches!(char, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl PrintableText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for PrintableText {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl ReceivedStatus {
    /// Reads an answer.
    ///
    /// # Errors
    /// Returns the cause if it is not a status.json, or one of another version.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut status: Self = serde_json::from_str(text)?;
        if status.version != FORMAT_VERSION {
            return Err(ParseError::Version(status.version));
        }
        status.apis.sort_by(|a, b| (a.rank(), a.name.as_str()).cmp(&(b.rank(), b.name.as_str())));
        Ok(status)
    }
}

impl ReceivedApi {
    /// How bad its state is: 0 is the worst, also for a state that isn't known.
    #[must_use]
    pub fn rank(&self) -> usize {
        crate::status::STATES.iter().position(|state| *state == self.state.as_str()).unwrap_or_default()
    }

    /// Whether the name, the URL or the error holds a text in lower case.
    #[must_use]
    pub fn holds(&self, sought: &str) -> bool {
        let error = self.error.as_ref().map(|error| error.text.as_str()).unwrap_or_default();
        [self.name.as_str(), self.url.as_str(), error].into_iter().any(|text| text.to_lowercase().contains(sought))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::status::test::{NOW, api, failing, snapshot};

    /// What a fetcher with these APIs answers: each is OK or has failed so many times.
    pub(in crate::top) fn status(apis: &[(&str, u32)]) -> ReceivedStatus {
        let made = |(name, failures): &(&str, u32)| {
            ((*name).to_owned(), if *failures == 0 { api() } else { failing(*failures) })
        };
        let snapshot = snapshot(apis.iter().map(made).collect::<Vec<_>>());
        ReceivedStatus::parse(&crate::status::status_json(&snapshot, None, *NOW).unwrap()).unwrap()
    }

    #[test]
    fn reads_what_the_fetcher_answers_the_worst_first() {
        let status = status(&[("a", 0), ("b", 1), ("c", 3), ("d", 3)]);
        let names: Vec<&str> = status.apis.iter().map(|api| api.name.as_str()).collect();
        assert_eq!(names, ["c", "d", "b", "a"]);
        assert_eq!(status.causes[0].cause.as_str(), "401 from login.example.com");
        assert!(status.apis[0].holds("expired") && !status.apis[0].holds("nothing"));
    }

    #[test]
    fn nothing_from_outside_controls_the_terminal() {
        let text = PrintableText::from("a\u{1b}[2J\u{9b}31m\u{7}\nb\u{202e}c\r\td\u{0}");
        assert_eq!(text.as_str(), "a[2J31m bc  d");
        let long = PrintableText::from("é".repeat(TEXT_CHARS_MAX + 1));
        assert_eq!(long.as_str().chars().count(), TEXT_CHARS_MAX);
    }

    #[test]
    fn says_why_an_answer_is_not_shown() {
        let snapshot = snapshot([("a".to_owned(), api())]);
        let good = crate::status::status_json(&snapshot, None, *NOW).unwrap();
        let later = good.replacen("\"version\":1", "\"version\":2", 1);
        assert!(ReceivedStatus::parse(&later).unwrap_err().to_string().contains("version 2"));
        for text in ["", "<html>", "[]", "{}", "{\"version\":1}"] {
            assert!(ReceivedStatus::parse(text).unwrap_err().to_string().contains("is not a status.json"), "{text}");
        }
    }
}
