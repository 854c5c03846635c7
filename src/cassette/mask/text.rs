//! One text for another, one to one.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use ring::hmac;

use super::hosts::MaskedHosts;
use super::words;
use crate::text::Redactor;

/// How often another text of the same form is drawn where one is taken; then the next free one is looked for.
const DRAWS_MAX: u32 = 32;
/// How many texts are tried in a row; a form has fewer only where it is so short that nearly all of it is taken.
const STEPS_MAX: usize = 10_000;

/// Replaces what isn't kept. One for the whole of a cassette.
pub struct Mask {
    /// Made by chance, and gone with the process: nobody finds the way back.
    key: hmac::Key,
    secrets: Redactor,
    pub(super) hosts: MaskedHosts,
    pub(super) now: DateTime<Utc>,
    known: HashMap<String, String>,
    taken: HashSet<String>,
    marks: HashMap<String, String>,
    /// Words of the entry that are kept wherever they stand.
    kept: HashSet<String>,
}

impl Mask {
    /// With nothing replaced yet; `secrets` finds what becomes a mark.
    pub(in super::super) fn new(secrets: Redactor, now: DateTime<Utc>) -> Self {
        let mut key = [0; 32];
        key.fill_with(|| fastrand::u8(..));
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            secrets,
            hosts: MaskedHosts::default(),
            now,
            known: HashMap::new(),
            taken: HashSet::new(),
            marks: HashMap::new(),
            kept: HashSet::new(),
        }
    }

    /// The mark of a secret. The same secret has the same; it tells nothing else.
    pub(super) fn secret(&mut self, secret: &str) -> String {
        let number = self.marks.len() + 1;
        self.marks.entry(secret.to_owned()).or_insert_with(|| format!("secret-{number}")).clone()
    }

    /// Says what a host becomes.
    pub(in super::super) fn fix_host(&mut self, host: &str, replaced: &str) {
        self.hosts.fix(host, replaced);
    }

    /// Says that a word is kept.
    pub(super) fn keep(&mut self, word: &str) {
        self.kept.insert(word.to_owned());
    }

    /// Whether a text is kept as it is.
    pub(super) fn is_kept(&self, text: &str) -> bool {
        words::is_kept(text) || self.kept.contains(text)
    }

    /// Whether a secret stands in a text.
    pub(super) fn is_secret(&self, text: &str) -> bool {
        self.secrets.finds_in(text)
    }

    /// A text as it is kept.
    pub(super) fn text(&mut self, text: &str) -> String {
        if self.is_secret(text) {
            return self.secret(text);
        }
        if self.is_kept(text) {
            return text.to_owned();
        }
        if self.is_link(text) { self.link(text) } else { self.replaced(text) }
    }

    /// The name of a key: kept, unless it looks like data.
    pub(super) fn key(&mut self, key: &str) -> String {
        if self.is_kept(key) {
            return key.to_owned();
        }
        let digits = key.bytes().filter(u8::is_ascii_digit).count();
        let is_plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.$@:# ".contains(&b));
        let is_address = key.strip_prefix('@').unwrap_or(key).contains('@');
        let is_data = !is_plain || is_address || digits > 4 || key.len() > 64 || self.secrets.finds_in(key);
        if is_data { self.text(key) } else { key.to_owned() }
    }

    /// A number as it is kept, below this name.
    pub(super) fn number(&mut self, name: &str, number: &str) -> String {
        if words::is_kept_number(name, number, self.now) {
            return number.to_owned();
        }
        if self.secrets.finds_in(number) {
            // A number must stay one.
            return "0".to_owned();
        }
        let digits_end = number.find(['e', 'E']).unwrap_or(number.len());
        let (mantissa, exponent) = number.split_at(digits_end);
        let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |digits| ("-", digits));
        let replaced = self.replaced(digits);
        // Near the end of what readers of JSON take for a number other digits may lie behind it.
        let is_read = |number: &String| number.parse::<f64>().is_ok_and(f64::is_finite);
        let forms = [format!("{sign}{replaced}{exponent}"), format!("{sign}{replaced}")];
        forms.into_iter().find(is_read).unwrap_or_else(|| "0".to_owned())
    }

    /// Another text of the same form, always the same for the same text.
    pub(super) fn replaced(&mut self, text: &str) -> String {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let mut drawn = String::new();
        let mut is_free = false;
        for draw in 0..DRAWS_MAX {
            drawn = self.draw(text, draw);
            is_free = self.is_free(text, &drawn);
            if is_free {
                break;
            }
        }
        for _ in 0..STEPS_MAX {
            if is_free {
                break;
            }
            drawn = stepped(&drawn);
            is_free = self.is_free(text, &drawn);
        }
        while !is_free {
            // So short a form that all of it is taken: a longer one.
            drawn.push('x');
            is_free = self.is_free(text, &drawn);
        }
        self.taken.insert(drawn.clone());
        self.known.insert(text.to_owned(), drawn.clone());
        drawn
    }

    fn is_free(&self, text: &str, drawn: &str) -> bool {
        // What is only marks has no other form.
        let is_other = drawn != text || !text.chars().any(char::is_alphanumeric);
        is_other && !self.taken.contains(drawn) && !self.is_kept(drawn) && !matches!(drawn, "0" | "1")
    }

    fn draw(&self, text: &str, draw: u32) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut block, mut bytes) = (0_u32, Vec::new().into_iter());
        let is_number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        for (at, c) in text.chars().enumerate() {
            let chance = match bytes.next() {
                Some(chance) => chance,
                None => {
                    let mut context = hmac::Context::with_key(&self.key);
                    context.update(&draw.to_le_bytes());
                    context.update(&block.to_le_bytes());
                    context.update(text.as_bytes());
                    block = block.wrapping_add(1);
                    bytes = context.sign().as_ref().to_vec().into_iter();
                    bytes.next().unwrap_or_default()
                }
            };
            out.push(match c {
                // A number has no zero before its other digits.
                '1'..='9' if at == 0 && is_number => char::from(b'1' + chance % 9),
                '0' if at == 0 && is_number => '0',
                '0'..='9' => char::from(b'0' + chance % 10),
                'A'..='Z' => char::from(b'A' + chance % 26),
                'a'..='z' => char::from(b'a' + chance % 26),
                c if c.is_ascii() => c,
                _ => char::from(b'a' + chance % 26),
            });
        }
        out
    }
}

/// The next text of the same form, as a counter goes on.
fn stepped(text: &str) -> String {
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let mut carries = true;
    let mut chars: Vec<char> = text.chars().collect();
    let last = chars.len().saturating_sub(1);
    for (back, c) in chars.iter_mut().rev().enumerate() {
        if !carries {
            break;
        }
        let first_digit = if is_number && back == last && *c != '0' { '1' } else { '0' };
        (*c, carries) = match *c {
            '9' => (first_digit, true),
            'Z' => ('A', true),
            'z' => ('a', true),
            c if c.is_ascii_alphanumeric() => (char::from_u32(c as u32 + 1).unwrap_or(c), false),
            c => (c, true),
        };
    }
    chars.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Secret;

    fn mask() -> Mask {
        let now = DateTime::from_timestamp(1_716_900_000, 0).expect("a date");
        Mask::new(Redactor::new([Secret::new("the-secret-key")]), now)
    }

    /// Letters, digits and marks of a text.
    fn form(text: &str) -> String {
        let kind = |c: char| match c {
            '0'..='9' => '9',
            'A'..='Z' => 'A',
            c if c.is_ascii_lowercase() || !c.is_ascii() => 'a',
            c => c,
        };
        text.chars().map(kind).collect()
    }

    #[test]
    fn a_text_becomes_another_of_the_same_form_and_always_the_same() {
        let mut mask = mask();
        for text in ["alice@corp.example", "10.20.30.40", "Größe 12", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "x", "07"]
        {
            let masked = mask.text(text);
            assert_ne!(masked, text);
            assert_eq!(form(&masked), form(text), "{text}: {masked}");
            assert_eq!(mask.text(text), masked);
        }
        for kept in ["", "error", "2024-05-28T13:08:54Z"] {
            assert_eq!(mask.text(kept), kept);
        }
    }

    #[test]
    fn no_two_texts_become_the_same_however_short_they_are() {
        let mut mask = mask();
        let texts: Vec<String> = (0..100).map(|n| n.to_string()).chain(('a'..='z').map(String::from)).collect();
        let masked: HashSet<String> = texts.iter().map(|text| mask.replaced(text)).collect();
        assert_eq!(masked.len(), texts.len());
    }

    #[test]
    fn numbers_stay_numbers() {
        let mut mask = mask();
        for number in ["4711", "-4711", "3.25", "0.5", "1.5e-7", "1090519054123456789"] {
            let masked = mask.number("account", number);
            assert_eq!(form(&masked), form(number), "{number}: {masked}");
            assert!(masked != number && masked.parse::<f64>().is_ok(), "{number}: {masked}");
        }
        for number in ["1.797e308", "-1.797e308", &"17".repeat(200)] {
            let masked = mask.number("account", number);
            assert!(masked.parse::<f64>().is_ok_and(f64::is_finite), "{number}: {masked}");
        }
        assert_eq!(mask.number("total", "250"), "250");
        assert_eq!(mask.number("id", "4711"), mask.text("4711"), "as a text the same");
    }

    #[test]
    fn a_secret_becomes_a_mark_that_tells_nothing() {
        let mut mask = mask();
        let one = mask.text("Bearer the-secret-key");
        assert!(one.starts_with("secret-") && mask.text("Bearer the-secret-key") == one, "{one}");
        assert_ne!(mask.text("the-secret-key"), one);
    }

    #[test]
    fn a_key_is_kept_unless_it_looks_like_data() {
        let mut mask = mask();
        for key in ["id", "@odata.nextLink", "created-at", "x.y", "sha256", "User Name"] {
            assert_eq!(mask.key(key), key);
        }
        for key in ["alice@corp.example", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "10.20.30.40", "123456", "Größe"] {
            assert_ne!(mask.key(key), key);
        }
    }
}
