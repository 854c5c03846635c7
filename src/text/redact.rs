//! Takes secrets out of text that others wrote.

use std::ops::Range;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;

use super::{Secret, form_decoded};

/// The shortest text that is taken out: below it, more sense than secrets would go.
const SCRUBBED_CHARS_MIN: usize = 4;
/// How much of a foreign text is shown.
const SHOWN_CHARS_MAX: usize = 400;

/// Takes an API's secrets out of what servers answer, before anybody sees it: some echo what they were sent. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Redactor(Arc<Hidden>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Hidden {
    /// Longest first, so that no secret hides a part of another.
    needles: Vec<Secret>,
    /// Secrets that are too short to be looked for in a text. They are hidden where they are a whole part of a URL.
    short: Vec<Secret>,
    /// URLs of the config, without their queries: as they are, and as they are shown.
    urls: Vec<(Secret, String)>,
}

impl Redactor {
    /// Hides these secrets: as they are, percent-encoded, and as a part of anything in base64.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self::default().and(secrets)
    }

    /// The same with more secrets.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = Secret>) -> Self {
        let mut hidden = Hidden::clone(&self.0);
        for secret in more {
            match secret.expose().chars().count() {
                0 => {}
                1..SCRUBBED_CHARS_MIN => hidden.short.push(secret),
                _ => hidden.needles.extend(encodings(secret.expose())),
            }
        }
        for list in [&mut hidden.needles, &mut hidden.short] {
            list.sort_by(|a, b| b.expose().len().cmp(&a.expose().len()).then_with(|| a.expose().cmp(b.expose())));
            list.dedup();
        }
        Self(Arc::new(hidden))
    }

    /// The same, and a URL of the config that is to be shown as `shown`: with `***` where something was filled in.
    #[must_use]
    pub fn and_url(&self, url: &Url, shown: String) -> Self {
        let mut hidden = Hidden::clone(&self.0);
        hidden.urls.push((Secret::new(shown_url(url)), shown));
        Self(Arc::new(hidden))
    }

    /// A URL as it may be shown: without its query, user and password, and without secrets in its host and path.
    #[must_use]
    pub fn url(&self, url: &Url) -> String {
        let text = shown_url(url);
        if let Some((_, shown)) = self.0.urls.iter().find(|(known, _)| known.expose() == text) {
            return shown.clone();
        }
        let is_short = |part: &str| self.0.short.iter().any(|short| short.expose() == percent_decoded(part));
        let parts = text.split('/').map(|part| if is_short(part) { "***" } else { part });
        self.redact(&parts.collect::<Vec<_>>().join("/"))
    }

    /// Foreign text as it may be shown: without secrets, on one line, not too long.
    ///
    /// A secret that shows only once the text is decoded can't be cut out of it; then nothing of the text is shown.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let clean = self.hide(text);
        let words = clean.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty());
        let line = words.collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
            None => line,
        }
    }

    /// A text without secrets, and otherwise as it is.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for needle in &self.0.needles {
            if clean.contains(needle.expose()) {
                clean = clean.replace(needle.expose(), "***");
            }
        }
        clean = self.without_base64(clean);
        let is_hidden_deeper = !self.0.needles.is_empty() && self.finds_decoded(&clean, DECODED_DEPTH_MAX);
        if is_hidden_deeper { "*** (not shown, as a secret of the config is in it)".to_owned() } else { clean }
    }

    /// Whether a secret shows in a text, as it stands or once it is decoded.
    #[must_use]
    pub fn finds_in(&self, text: &str) -> bool {
        !self.0.needles.is_empty() && (self.is_in(text) || self.finds_decoded(text, DECODED_DEPTH_MAX))
    }

    fn is_in(&self, text: &str) -> bool {
        let stands = self.0.needles.iter().any(|needle| text.contains(needle.expose()));
        stands || base64_words(text).any(|(_, word)| self.is_in_base64(word))
    }

    /// Looks into what a text says once it is decoded, in every order of the encodings.
    fn finds_decoded(&self, text: &str, depth: usize) -> bool {
        [json_unescaped, html_unescaped, percent_decoded, form_decoded].iter().any(|decode| {
            let decoded = decode(text);
            decoded != text && (self.is_in(&decoded) || (depth > 1 && self.finds_decoded(&decoded, depth - 1)))
        })
    }

    fn without_base64(&self, text: String) -> String {
        let found: Vec<Range<usize>> = base64_words(&text)
            .filter(|(_, word)| self.is_in_base64(word))
            .map(|(at, word)| at..at + word.len())
            .collect();
        let mut text = text;
        for range in found.into_iter().rev() {
            let rest = text.get(range.end..).unwrap_or_default();
            let padding = rest.len() - rest.trim_start_matches('=').len();
            text.replace_range(range.start..range.end + padding, "***");
        }
        text
    }

    /// Whether a secret is in a word of base64, wherever in what it encodes.
    fn is_in_base64(&self, word: &str) -> bool {
        if self.0.needles.is_empty() {
            return false;
        }
        // A word may begin before the encoding does, as where a path's last part is one.
        (0..4).filter_map(|skipped| word.get(skipped..)).map(base64_decoded).any(|decoded| {
            self.0.needles.iter().any(|needle| {
                let needle = needle.expose().as_bytes();
                decoded.windows(needle.len()).any(|window| window == needle)
            })
        })
    }
}

/// An URL without its query, user and password. Its host and path may hold secrets, too, so only a redactor shows it.
fn shown_url(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// How many encodings may lie in one another: a link in JSON in a web page.
const DECODED_DEPTH_MAX: usize = 3;
/// The shortest text in base64 that may hold a secret.
const BASE64_CHARS_MIN: usize = SCRUBBED_CHARS_MIN * 4 / 3;

/// A secret as it is, decoded as a form, encoded, and as hosts are written.
fn encodings(text: &str) -> Vec<Secret> {
    let decoded = form_decoded(text);
    let encoded = [text, &decoded].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
    let mut all: Vec<String> = [text.to_owned(), text.to_lowercase(), decoded].into_iter().chain(encoded).collect();
    // What is in base64 itself may be shown without its padding.
    all.extend(all.iter().map(|text| text.trim_end_matches('=').to_owned()).collect::<Vec<_>>());
    all.sort();
    all.dedup();
    all.into_iter().filter(|text| text.chars().count() >= SCRUBBED_CHARS_MIN).map(Secret::new).collect()
}

/// The words that may be base64, of either alphabet, and where they stand.
fn base64_words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let mut at = 0;
    let words = text.split_inclusive(move |c: char| !is_base64(c)).map(move |word| {
        let start = at;
        at += word.len();
        (start, word.trim_end_matches(move |c: char| !is_base64(c)))
    });
    words.filter(|(_, word)| word.len() >= BASE64_CHARS_MIN)
}

/// What a word of base64 says; what its end says of a further byte is left out.
fn base64_decoded(word: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for c in word.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFFFF;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xFF) as u8);
        }
    }
    bytes
}

fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Undoes HTML's escapes: those by number, and the named ones that stand for marks of its own.
fn html_unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let named = after.split_once(';').filter(|(name, _)| name.len() <= HTML_NAME_CHARS_MAX);
        let decoded = named.and_then(|(name, after)| Some((html_char(name)?, after)));
        match decoded {
            Some((char, after)) => {
                out.push(char);
                rest = after;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The longest of these names: `#x10FFFF`, and some zeros.
const HTML_NAME_CHARS_MAX: usize = 12;

fn html_char(name: &str) -> Option<char> {
    let by_number = |number: &str| match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => number.parse().ok(),
    };
    match name {
        "amp" | "AMP" => Some('&'),
        "lt" | "LT" => Some('<'),
        "gt" | "GT" => Some('>'),
        "quot" | "QUOT" => Some('"'),
        "apos" => Some('\''),
        "sol" => Some('/'),
        "bsol" => Some('\\'),
        "plus" => Some('+'),
        "equals" => Some('='),
        "colon" => Some(':'),
        "nbsp" => Some(' '),
        _ => char::from_u32(by_number(name.strip_prefix('#')?)?),
    }
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
        let redactor = Redactor::new([Secret::new("pa ss/word+1"), Secret::new("abc")]);
        let seen = "got pa ss/word+1, pa%20ss%2Fword%2B1 and cGEgc3Mvd29yZCsx\nfrom abc";
        assert_eq!(redactor.redact(seen), "got ***, *** and *** from abc");
        assert!(!format!("{redactor:?}").contains("pa ss"));
    }

    #[test]
    fn shows_nothing_of_a_text_that_hides_a_secret() {
        let redactor = Redactor::new([Secret::new("pw\"/+x y"), Secret::new("bodySECRET+1%2F")]);
        for text in [
            r#"{"e":"pw\"\/+x y"}"#,
            r#"{"e":"pw\u0022\u002f+x y"}"#,
            "pw%22%2f%2bx+y",
            "pw%22/%2Bx%20y",
            r"pw%22\/%2Bx%20y",
            "pw&quot;/+x y",
            "pw&#34;/&#x2B;x y",
            r#"{"page":"<b>pw&quot;\/+x y</b>"}"#,
            "pw%26quot%3B/%2bx%20y",
        ] {
            assert!(redactor.redact(text).starts_with("*** (not shown"), "{}", redactor.redact(text));
        }
        assert_eq!(redactor.redact("bodySECRET 1/ is wrong"), "*** is wrong");
        assert_eq!(redactor.redact("a &lt;b&gt; &amp; &unknown; &#0; x"), "a &lt;b&gt; &amp; &unknown; &#0; x");
        assert_eq!(redactor.redact(r"C:\dir 100% \u00 \"), r"C:\dir 100% \u00 \", "what isn't secret stays");
    }

    #[test]
    fn takes_a_secret_out_of_anything_in_base64() {
        use base64::Engine;
        use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
        let secret = "Sup3r~Secret?>é";
        let redactor = Redactor::new([Secret::new(secret)]);
        for before in ["", "i", "id", "id:", "user/9:"] {
            for after in ["", "x", "xy", "xyz"] {
                let plain = format!("{before}{secret}{after}");
                for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                    let said = format!("got Basic {} of you", engine.encode(&plain));
                    assert_eq!(redactor.redact(&said), "got Basic *** of you", "{plain}");
                    let escaped = said.replace('+', "%2b").replace('/', r"\/");
                    let scrubbed = redactor.redact(&escaped);
                    let is_hidden = scrubbed == "got Basic *** of you" || scrubbed.starts_with("*** (not shown");
                    assert!(is_hidden, "{escaped}: {scrubbed}");
                    assert!(redactor.finds_in(&said) && redactor.finds_in(&escaped), "{escaped}");
                }
            }
        }
        let harmless = "authentication/failed-for_the+account of c2VjcmV0IGJ1dCBub3QgdGhpcyBvbmU=";
        assert_eq!(redactor.redact(harmless), harmless);
        assert!(!redactor.finds_in(harmless) && !Redactor::default().finds_in(harmless));
    }

    #[test]
    fn shows_urls_as_the_config_has_them_and_no_short_secret_that_is_a_part_of_one() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let configured = url("https://eu.example/bot7x/list?key=s3cret-key");
        let redactor = Redactor::new(["eu", "7x", "Token-12345"].map(Secret::new))
            .and_url(&configured, "https://***.example/bot***/list".to_owned());
        for (asked, expected) in [
            ("https://eu.example/bot7x/list?page=2", "https://***.example/bot***/list"),
            ("https://other.example/7x/7xy/Token-12345?x", "https://other.example/***/7xy/***"),
            ("https://token-12345.example/", "https://***.example/"),
            ("https://user:pass@other.example/Token%2D12345", "https://other.example/***"),
        ] {
            assert_eq!(redactor.url(&url(asked)), expected);
        }
        assert_eq!(redactor.redact("in the eu 7x a day"), "in the eu 7x a day", "too short to be told from words");
    }
}
