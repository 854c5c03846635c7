//! Reads JSON text once, from the front: what is past is known to be valid (RFC 8259).
//!
//! Nothing here recurses, so no nesting can exhaust the stack, and nothing is allocated per value. Strings, most of any
//! record, are passed eight bytes at a time.

use super::value::{JsonType, RawJson};

/// Eight times the same byte.
const fn eight(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// A place in JSON text.
#[derive(Clone, Debug)]
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
    /// The containers that are open within the value that is being passed.
    open: Vec<JsonType>,
    /// Whether line breaks stood between tokens since this was last reset.
    pub(super) has_breaks: bool,
}

/// How one string was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StringEnd {
    has_escapes: bool,
}

impl<'a> Scan<'a> {
    /// At the beginning of a text.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, open: Vec::new(), has_breaks: false }
    }

    /// The next byte that is no white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.blank();
        self.byte()
    }

    /// The place of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The text from a place up to here.
    pub(super) fn since(&self, start: usize) -> RawJson<'a> {
        RawJson::of_valid(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Takes the byte if it comes next.
    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.byte() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Takes the opening bracket of a container, if it comes next.
    pub(super) fn open(&mut self, kind: JsonType) -> bool {
        self.blank();
        self.take(if kind == JsonType::Object { b'{' } else { b'[' })
    }

    /// The key of the next member, and past its colon; nothing past the closing bracket. `is_first` is for the first.
    #[inline]
    pub(super) fn key(&mut self, is_first: bool) -> Result<Option<MemberKey<'a>>, Invalid> {
        if !self.goes_on(is_first, b'}')? {
            return Ok(None);
        }
        let start = self.at;
        let StringEnd { has_escapes } = self.string()?;
        let raw = self.since(start);
        self.colon()?;
        Ok(Some(MemberKey { raw, has_escapes }))
    }

    /// Whether another element comes; if not, this is past the closing bracket. `is_first` is for the first.
    pub(super) fn element(&mut self, is_first: bool) -> Result<bool, Invalid> {
        self.goes_on(is_first, b']')
    }

    #[inline(always)]
    fn goes_on(&mut self, is_first: bool, close: u8) -> Result<bool, Invalid> {
        self.blank();
        if self.take(close) {
            return Ok(false);
        }
        if !is_first {
            if !self.take(b',') {
                return Err(Invalid);
            }
            self.blank();
        }
        Ok(true)
    }

    /// Passes the next value, whatever it is.
    pub(super) fn value(&mut self) -> Result<RawJson<'a>, Invalid> {
        self.blank();
        let start = self.at;
        self.open.clear();
        loop {
            self.blank();
            match self.byte() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{') => {
                    self.at += 1;
                    self.blank();
                    if !self.take(b'}') {
                        self.open.push(JsonType::Object);
                        self.member()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    self.blank();
                    if !self.take(b']') {
                        self.open.push(JsonType::Array);
                        continue;
                    }
                }
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                _ => self.number()?,
            }
            if !self.close_or_go_on()? {
                return Ok(self.since(start));
            }
        }
    }

    /// Only white space may be left.
    pub(super) fn end(&mut self) -> Result<(), Invalid> {
        if self.peek().is_none() { Ok(()) } else { Err(Invalid) }
    }

    /// After a value: past the brackets that close, up to where the next value begins. Whether there is one.
    #[inline(always)]
    fn close_or_go_on(&mut self) -> Result<bool, Invalid> {
        while let Some(kind) = self.open.last() {
            let is_object = *kind == JsonType::Object;
            self.blank();
            match self.byte() {
                Some(b',') => {
                    self.at += 1;
                    if is_object {
                        self.blank();
                        self.member()?;
                    }
                    return Ok(true);
                }
                Some(b'}') if is_object => self.at += 1,
                Some(b']') if !is_object => self.at += 1,
                _ => return Err(Invalid),
            }
            self.open.pop();
        }
        Ok(false)
    }

    /// Past a key and its colon.
    #[inline(always)]
    fn member(&mut self) -> Result<(), Invalid> {
        self.string()?;
        self.colon()
    }

    #[inline(always)]
    fn colon(&mut self) -> Result<(), Invalid> {
        self.blank();
        if self.take(b':') { Ok(()) } else { Err(Invalid) }
    }

    #[inline(always)]
    fn blank(&mut self) {
        while let Some(byte @ (b' ' | b'\n' | b'\t' | b'\r')) = self.byte() {
            self.has_breaks |= matches!(byte, b'\n' | b'\r');
            self.at += 1;
        }
    }

    #[inline(always)]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn word(&mut self, word: &str) -> Result<(), Invalid> {
        if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(Invalid);
        }
        self.at += word.len();
        Ok(())
    }

    /// RFC 8259, section 6.
    fn number(&mut self) -> Result<(), Invalid> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Invalid> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Invalid) }
    }

    /// RFC 8259, section 7. An escape may stand for half a character: that is the reader's business.
    #[inline(always)]
    fn string(&mut self) -> Result<StringEnd, Invalid> {
        if !self.take(b'"') {
            return Err(Invalid);
        }
        let mut has_escapes = false;
        loop {
            self.plain();
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(StringEnd { has_escapes });
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 1;
                    self.escape()?;
                }
                _ => return Err(Invalid),
            }
        }
    }

    /// Up to the next quote, backslash or control character.
    #[inline(always)]
    fn plain(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (chunks, tail) = rest.as_chunks::<8>();
        for (passed, chunk) in chunks.iter().enumerate() {
            let special = special(u64::from_le_bytes(*chunk));
            if special != 0 {
                self.at += passed * 8 + (special.trailing_zeros() / 8) as usize;
                return;
            }
        }
        let plain = tail.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
        self.at += chunks.len() * 8 + plain;
    }

    fn escape(&mut self) -> Result<(), Invalid> {
        let is_known = match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
            Some(b'u') => {
                let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
                self.at += 4;
                digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            }
            _ => false,
        };
        self.at += 1;
        if is_known { Ok(()) } else { Err(Invalid) }
    }
}

/// Marks the first byte of eight that is a quote, a backslash or a control character, by its highest bit; zero where none
/// is. Bytes behind the first may be marked, too, by the borrow of the subtraction.
fn special(eight_bytes: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(eight(1)) & !word;
    let quote = zero(eight_bytes ^ eight(b'"'));
    let backslash = zero(eight_bytes ^ eight(b'\\'));
    let control = eight_bytes.wrapping_sub(eight(0x20)) & !eight_bytes;
    (quote | backslash | control) & eight(0x80)
}

/// The key of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemberKey<'a> {
    /// With its quotes.
    pub(super) raw: RawJson<'a>,
    has_escapes: bool,
}

/// The lengths of the keys that somebody looks for, one bit each. Most keys of a record have another one, and need no
/// closer look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lengths(u64);

impl Lengths {
    pub(super) fn of<'k>(keys: impl Iterator<Item = &'k str>) -> Self {
        Self(keys.fold(0, |bits, key| bits | Self::bit(key.len())))
    }

    /// Whether this may be one of the keys.
    #[inline(always)]
    pub(super) fn may_have(self, key: &MemberKey<'_>) -> bool {
        key.has_escapes || self.0 & Self::bit(key.raw.text().len().saturating_sub(2)) != 0
    }

    /// The last bit is for all that are longer.
    fn bit(length: usize) -> u64 {
        1 << length.min(63)
    }
}

impl MemberKey<'_> {
    /// Whether this is how the text is written as a key.
    pub(super) fn is(&self, text: &str) -> bool {
        if self.has_escapes {
            return self.raw.is_text(text);
        }
        let quoted = self.raw.text().as_bytes();
        quoted.len() == text.len() + 2 && quoted.get(1..text.len() + 1) == Some(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn is_valid(text: &str) -> bool {
        let mut scan = Scan::new(text);
        scan.value().and_then(|_| scan.end()).is_ok()
    }

    /// As serde_json judges it without building anything.
    fn is_valid_elsewhere(text: &str) -> bool {
        serde_json::from_str::<&RawValue>(text).is_ok()
    }

    #[test]
    fn judges_like_the_json_library() {
        let texts = [
            "",
            " ",
            "{",
            "}",
            "[",
            "]",
            "{}",
            "[]",
            "[,]",
            "[1,]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1 2]",
            "{\"a\" : [ { } , [ ] ] }",
            "\"",
            "\"\\\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"\t\"",
            "\"\u{7f}\u{80}é\"",
            "0",
            "-0",
            "-",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1e-7",
            "1E400",
            "+1",
            "tru",
            "true",
            "nulll",
            "[1}",
            "{\"a\":1]",
            "[[[[]]]]",
            "{1:2}",
            "1 2",
            "NaN",
            "\u{feff}1",
            "\"12345678\"",
            "\"1234567\\\"",
            "[\"\\\\\",\"\\\"\"]",
            "{\"\\u0061\":1}",
        ];
        for text in texts {
            assert_eq!(is_valid(text), is_valid_elsewhere(text), "{text:?}");
        }
    }

    #[test]
    fn judges_any_text_like_the_json_library() {
        let pieces = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"long enough for eight\"",
            "\\",
            "\\n",
            "\\u00e9",
            "\n",
            " ",
            "1",
            "-0.5e+3",
            "0",
            "true",
            "null",
            "é",
            "\u{1}",
            "{\"a\":1}",
            "[1,2]",
        ]);
        proptest!(ProptestConfig::with_cases(20_000), |(pieces in prop::collection::vec(pieces, 0..12))| {
            let text = pieces.concat();
            prop_assert_eq!(is_valid(&text), is_valid_elsewhere(&text), "{:?}", text);
        });
    }

    #[test]
    fn finds_the_end_of_any_string() {
        proptest!(|(before in "[a-zé\u{0}-\u{7f}]{0,20}")| {
            let text = serde_json::to_string(&before).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let mut scan = Scan::new(&text);
            prop_assert_eq!(scan.value().map(RawJson::text), Ok(text.as_str()));
        });
    }

    #[test]
    fn deep_nesting_exhausts_nothing() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert!(is_valid(&deep));
    }

    #[test]
    fn notes_line_breaks_between_tokens_only() {
        let has_breaks = |text: &str| {
            let mut scan = Scan::new(text);
            assert!(scan.value().is_ok(), "{text}");
            scan.has_breaks
        };
        assert!(!has_breaks(r#"{"a": "\n\r", "b":	[1 , 2]}"#));
        assert!(has_breaks("{\"a\":\n1}"));
        assert!(has_breaks("[1,2\r]"));
    }
}
