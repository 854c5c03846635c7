//! NDJSON: one JSON value per line.

use serde_json::Value;

use super::{ArrayWriter, Budget, DecodeError};
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

/// Adds the values of all lines, with their bytes. Blank lines are none. Where any line is a record, one that is no JSON is a
/// text, unless the body ends in the middle of it, or no line is JSON: then it is something else.
pub(super) fn read(
    text: &str,
    takes_any_line: bool,
    elements: &mut ArrayWriter,
    budget: &mut Budget,
) -> Result<(), DecodeError> {
    let text = text.trim_end();
    elements.reserve(text.len());
    let (mut has_json, mut first_error) = (false, None);
    let mut lines = text.split('\n').zip(1_usize..).peekable();
    while let Some((line, number)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        match RawJson::parse(line).map_err(|error| DecodeError::line(number, &error, lines.peek().is_none())) {
            Ok(value) => {
                has_json = true;
                elements.push(value.text().as_bytes());
            }
            Err(error) if takes_any_line && !error.is_cut() => {
                let line = Value::from(line.trim_end_matches('\r')).to_string();
                budget.take(line.len() + 1)?;
                elements.push(line.as_bytes());
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    first_error.filter(|_| !has_json).map_or(Ok(()), Err)
}
