//! A JSON value as it was written, without a look inside it.

use std::borrow::Cow;

/// One valid JSON value, as the API sent it, without white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawJson<'a>(&'a str);

/// What a JSON value is, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonType {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    Text,
    /// A number of any size and precision.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

impl<'a> RawJson<'a> {
    /// Takes text that a scan has passed as one value.
    pub(super) fn of_valid(text: &'a str) -> Self {
        Self(text)
    }

    /// The text of the value.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.0
    }

    /// What the value is.
    #[must_use]
    pub fn kind(self) -> JsonType {
        match self.0.as_bytes().first() {
            Some(b'{') => JsonType::Object,
            Some(b'[') => JsonType::Array,
            Some(b'"') => JsonType::Text,
            Some(b't' | b'f') => JsonType::Bool,
            Some(b'n') | None => JsonType::Null,
            Some(_) => JsonType::Number,
        }
    }

    /// Whether the value is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.kind() == JsonType::Null
    }

    /// A string's content, a number's digits; nothing for the other kinds.
    ///
    /// An escape that stands for no character (a lone surrogate) leaves the text as it was written.
    #[must_use]
    pub fn scalar(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            JsonType::Number => Some(Cow::Borrowed(self.0)),
            JsonType::Text => Some(self.unquoted()),
            _ => None,
        }
    }

    /// Whether the value is the string `text`.
    #[must_use]
    pub fn is_text(self, text: &str) -> bool {
        let quoted = self.0.as_bytes();
        let Some(inner) = quoted.len().checked_sub(1).and_then(|end| quoted.get(1..end)) else { return false };
        if inner.contains(&b'\\') { self.unquoted() == text } else { inner == text.as_bytes() }
    }

    /// Where the value stands in `outer`, which it was taken from.
    pub(crate) fn offset_in(self, outer: RawJson<'_>) -> usize {
        (self.0.as_ptr() as usize).saturating_sub(outer.0.as_ptr() as usize)
    }

    fn unquoted(self) -> Cow<'a, str> {
        let inner = self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or_default();
        if !inner.contains('\\') {
            return Cow::Borrowed(inner);
        }
        serde_json::from_str::<String>(self.0).map_or(Cow::Borrowed(inner), Cow::Owned)
    }
}
