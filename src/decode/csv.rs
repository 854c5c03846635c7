//! CSV (RFC 4180): the first row gives the names, each other row is an object of texts.

use std::io::Read;

use csv::{ReaderBuilder, StringRecord};

use super::{ArrayWriter, Budget, DecodeError};

/// What is put behind the text. Where it comes out as a row of its own, the last value of the text was whole; where a quote
/// is open, it is swallowed by that value.
const END: &str = "end";

/// Adds the rows. Blank lines are none.
pub(super) fn read(text: &str, elements: &mut ArrayWriter, budget: &mut Budget) -> Result<(), DecodeError> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let ended = text.as_bytes().chain("\n".as_bytes()).chain(END.as_bytes());
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(ended);
    let (mut fields, mut object) = (StringRecord::new(), Vec::new());
    let mut header: Option<Vec<String>> = None;
    // The line break behind the text may belong to its last row.
    let text_end = text.len() as u64 + 1;
    for row in 1_usize.. {
        // Text that is UTF-8 and lies in memory can't fail.
        let is_row = reader.read_record(&mut fields).unwrap_or(false);
        if !is_row || reader.position().byte() > text_end {
            let is_end = is_row && fields.len() == 1 && fields.get(0) == Some(END);
            return if is_end { Ok(()) } else { Err(DecodeError::OpenQuote { row }) };
        }
        let Some(names) = &header else {
            header = Some(names(&fields)?);
            continue;
        };
        if fields.len() != names.len() {
            return Err(DecodeError::Row { row, fields: fields.len(), names: names.len() });
        }
        write(&mut object, names, &fields);
        // With the comma before it.
        budget.take(object.len() + 1)?;
        elements.push(&object);
    }
    Ok(())
}

/// The names of the columns, as JSON.
fn names(header: &StringRecord) -> Result<Vec<String>, DecodeError> {
    let mut seen = std::collections::HashMap::new();
    let mut names = Vec::with_capacity(header.len());
    for (name, column) in header.iter().zip(1..) {
        if let Some(first) = seen.insert(name, column) {
            return Err(DecodeError::SameName { first, second: column });
        }
        names.push(serde_json::Value::from(name).to_string());
    }
    Ok(names)
}

/// Writes a row as an object over what stands there.
fn write(object: &mut Vec<u8>, names: &[String], fields: &StringRecord) {
    object.clear();
    for (name, field) in names.iter().zip(fields) {
        object.push(if object.is_empty() { b'{' } else { b',' });
        object.extend_from_slice(name.as_bytes());
        object.push(b':');
        // Writing text into memory can't fail.
        let _ = serde_json::to_writer(&mut *object, field);
    }
    object.push(b'}');
}
