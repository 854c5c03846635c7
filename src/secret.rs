//! What must never be printed, and the scrubber that takes it out of text that others wrote.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// The shortest text that is taken out: below it, more sense than secrets would go.
const SCRUBBED_CHARS_MIN: usize = 4;
/// How much of a foreign text is shown.
const SHOWN_CHARS_MAX: usize = 400;

/// A secret: it can be compared and exposed, never printed. Its memory is wiped when it goes.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

/// Takes an API's secrets out of what servers answer, before anybody sees it: some echo what they were sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrubber {
    /// Longest first, so that no secret hides a part of another.
    needles: Vec<Secret>,
}

impl Scrubber {
    /// For these secrets, as they are and as they look percent-encoded or in base64.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut needles: Vec<Secret> = secrets.into_iter().flat_map(|secret| spellings(secret.expose())).collect();
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.expose().len()));
        needles.dedup();
        Self { needles }
    }

    /// The same with more secrets.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = Secret>) -> Self {
        Self::new(self.needles.iter().cloned().chain(more))
    }

    /// Foreign text as it may be shown: without secrets, on one line, not too long.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for needle in &self.needles {
            if clean.contains(needle.expose()) {
                clean = clean.replace(needle.expose(), "***");
            }
        }
        let clean = clean.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty());
        let line = clean.collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
            None => line,
        }
    }
}

fn spellings(text: &str) -> Vec<Secret> {
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let escaped = serde_json::to_string(text).unwrap_or_default().trim_matches('"').to_owned();
    let base64 = STANDARD.encode(text);
    let all = [text.to_owned(), encoded, decoded, escaped, base64];
    all.into_iter().filter(|text| text.chars().count() >= SCRUBBED_CHARS_MIN).map(Secret::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_every_spelling_of_a_secret_out() {
        let scrubber = Scrubber::new([Secret::new("pa ss/word+1"), Secret::new("abc")]);
        let seen = "got pa ss/word+1, pa%20ss%2Fword%2B1 and cGEgc3Mvd29yZCsx\nfrom abc";
        assert_eq!(scrubber.scrub(seen), "got ***, *** and *** from abc");
        assert!(!format!("{scrubber:?}").contains("pa ss"));
    }
}
