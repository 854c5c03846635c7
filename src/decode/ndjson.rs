//! NDJSON: one JSON value per line.

use super::{ArrayWriter, DecodeError};
use crate::record::json::RawJson;

/// The longest first line by which NDJSON is known.
const FIRST_LINE_BYTES_MAX: usize = 64 * 1024;

/// Whether a text, without white space before it, begins with a whole object or array on a line of its own, and goes on with
/// another one. Looks at the first line only.
pub(super) fn is_ndjson(text: &[u8]) -> bool {
    let begins = |text: &[u8]| matches!(text.first(), Some(b'{' | b'['));
    if !begins(text) {
        return false;
    }
    let head = text.get(..FIRST_LINE_BYTES_MAX).unwrap_or(text);
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else { return false };
    let (line, rest) = text.split_at(end);
    begins(rest.trim_ascii_start()) && RawJson::parse(&String::from_utf8_lossy(line)).is_ok()
}

/// Adds the values of all lines, with their bytes. Blank lines are none.
pub(super) fn read(text: &str, elements: &mut ArrayWriter) -> Result<(), DecodeError> {
    let text = text.trim_end();
    elements.reserve(text.len());
    let mut lines = text.split('\n').zip(1_usize..).peekable();
    while let Some((line, number)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let value = RawJson::parse(line);
        let value = value.map_err(|error| DecodeError::line(number, &error, lines.peek().is_none()))?;
        elements.push(value.text().as_bytes());
    }
    Ok(())
}
