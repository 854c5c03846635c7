//! What must never be printed, and the scrubber that takes it out of text that others wrote.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use crate::query::form_decoded;

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

/// Takes an API's secrets out of what servers answer, before anybody sees it: some echo what they were sent. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrubber {
    /// Longest first, so that no secret hides a part of another.
    needles: Arc<[Secret]>,
}

impl Scrubber {
    /// For these secrets, as they are and as they look percent-encoded or in base64.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self::default().and(secrets)
    }

    /// The same with more secrets.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = Secret>) -> Self {
        let new = more.into_iter().flat_map(|secret| spellings(secret.expose()));
        let mut needles: Vec<Secret> = self.needles.iter().cloned().chain(new).collect();
        needles.sort_by(|a, b| b.expose().len().cmp(&a.expose().len()).then_with(|| a.expose().cmp(b.expose())));
        needles.dedup();
        Self { needles: needles.into() }
    }

    /// Foreign text as it may be shown: without secrets, on one line, not too long.
    ///
    /// A secret that shows only once the text is decoded can't be cut out of it; then nothing of the text is shown.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for needle in self.needles.iter() {
            if clean.contains(needle.expose()) {
                clean = clean.replace(needle.expose(), "***");
            }
        }
        if decodings(&clean).iter().any(|decoded| self.is_in(decoded)) {
            return "*** (not shown, as a secret of the config is in it)".to_owned();
        }
        let words = clean.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty());
        let line = words.collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
            None => line,
        }
    }

    /// Whether a secret shows in a text, as it stands or once it is decoded.
    #[must_use]
    pub fn finds_in(&self, text: &str) -> bool {
        self.is_in(text) || decodings(text).iter().any(|decoded| self.is_in(decoded))
    }

    fn is_in(&self, text: &str) -> bool {
        self.needles.iter().any(|needle| text.contains(needle.expose()))
    }
}

/// A secret as it is, decoded as a form, encoded, and in base64.
fn spellings(text: &str) -> Vec<Secret> {
    let decoded = form_decoded(text);
    let base64 = [text, &decoded].map(|text| STANDARD.encode(text));
    let url_safe = [text, &decoded].map(|text| URL_SAFE_NO_PAD.encode(text));
    let encoded = [text, &decoded].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
    let all = [text.to_owned(), decoded.clone()].into_iter().chain(base64).chain(url_safe).chain(encoded);
    let unpadded = all.map(|text| text.trim_end_matches('=').to_owned());
    unpadded.filter(|text| text.chars().count() >= SCRUBBED_CHARS_MIN).map(Secret::new).collect()
}

/// What a text says once its escapes are undone: those of JSON, of URLs, of forms, and one in the other.
fn decodings(text: &str) -> Vec<String> {
    let unescaped = json_unescaped(text);
    [form_decoded(text), percent_decoded(text), percent_decoded(&unescaped), form_decoded(&unescaped), unescaped].into()
}

fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Undoes JSON's escapes wherever they stand, also outside of strings.
fn json_unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let hex = after.strip_prefix('u').and_then(|hex| hex.get(..4));
        let named = hex.and_then(|hex| char::from_u32(u32::from_str_radix(hex, 16).ok()?));
        let mut chars = after.chars();
        rest = match (named, chars.next()) {
            (Some(named), _) => {
                out.push(named);
                after.get(5..).unwrap_or_default()
            }
            (None, escaped) => {
                out.extend(escaped);
                chars.as_str()
            }
        };
    }
    out.push_str(rest);
    out
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

    #[test]
    fn shows_nothing_of_a_text_that_hides_a_secret() {
        let scrubber = Scrubber::new([Secret::new("pw\"/+x y"), Secret::new("bodySECRET+1%2F")]);
        for text in [
            r#"{"e":"pw\"\/+x y"}"#,
            r#"{"e":"pw\u0022\u002f+x y"}"#,
            "pw%22%2f%2bx+y",
            "pw%22/%2Bx%20y",
            r"pw%22\/%2Bx%20y",
        ] {
            assert!(scrubber.scrub(text).starts_with("*** (not shown"), "{}", scrubber.scrub(text));
        }
        assert_eq!(scrubber.scrub("bodySECRET 1/ is wrong"), "*** is wrong");
        assert_eq!(scrubber.scrub(r"C:\dir 100% \u00 \"), r"C:\dir 100% \u00 \", "what isn't secret stays");
    }
}
