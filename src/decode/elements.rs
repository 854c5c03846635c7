//! The array that is made out of lines, rows and files, and how much may be made.

use super::{DecodeError, text_of};
use crate::record::json::{JsonType, RawJson};

/// How many bytes may still be made out of a body.
#[derive(Debug)]
pub(super) struct Budget {
    max: usize,
    left: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Self { max, left: max }
    }

    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Takes so many bytes of it.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.left = self.left.checked_sub(bytes).ok_or(DecodeError::TooLarge { max: self.max })?;
        Ok(())
    }
}

/// An array of JSON values, written one after the other.
#[derive(Debug, Default)]
pub(super) struct ArrayWriter {
    /// The array without its last bracket.
    bytes: Vec<u8>,
}

impl ArrayWriter {
    /// Makes room for elements of so many bytes, their commas and the brackets.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes.saturating_add(2));
    }

    /// Adds a valid value, or several with commas between them.
    pub(super) fn push(&mut self, value: &[u8]) {
        self.bytes.push(if self.bytes.is_empty() { b'[' } else { b',' });
        self.bytes.extend_from_slice(value);
    }

    /// Adds the elements of a text that is an array, or a text that is another value. An empty text adds nothing.
    pub(super) fn push_document(&mut self, text: &str) -> Result<(), DecodeError> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let raw = RawJson::parse(text).map_err(|error| DecodeError::not_json(&error))?;
        let text = raw.text();
        let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).map(str::trim);
        match inside {
            Some("") => {}
            Some(inside) if raw.kind() == JsonType::Array => self.push(inside.as_bytes()),
            _ => self.push(text.as_bytes()),
        }
        Ok(())
    }

    /// The whole array.
    pub(super) fn into_array(mut self) -> String {
        if self.bytes.is_empty() {
            self.bytes.push(b'[');
        }
        self.bytes.push(b']');
        text_of(self.bytes).0
    }
}
