//! From the bytes of a body to the JSON text that a page is read from. Pure.
//!
//! Enters: a body, what its header `Content-Type` says, and the format of the config. Leaves: JSON text. What always holds:
//! JSON is left as it was sent; the values of NDJSON keep their bytes; a line, row or file that can't be read is an error
//! that names its number, so nothing is lost silently; and what is made out of a body never takes more bytes than allowed.
//!
//! Gzip and zip files are known by their first bytes. What is in them, and any other body, is what the config says; else
//! what its name or content type says; else NDJSON if it begins with a whole JSON value on a line of its own and goes on
//! with another one; else JSON. CSV is never guessed.

mod archive;
mod content;
mod csv;
mod elements;
mod error;
mod ndjson;

use std::borrow::Cow;

pub use content::Content;
pub use error::DecodeError;

use archive::Archive;
use elements::{ArrayWriter, Budget};

/// How many archives may lie in each other: a gzip file in a zip file.
pub const LAYERS_MAX: usize = 2;
/// The most files and directories that a zip file may hold.
pub const ENTRIES_MAX: usize = 1_000;
/// The smallest limit of what is made out of a body.
const LIMIT_BYTES_MIN: usize = 64 * 1024;
/// How many times as large as an archive what is in it usually is.
const ARCHIVE_FACTOR: usize = 4;
/// How many times as large as CSV its records usually are, as each repeats the names.
const CSV_FACTOR: usize = 2;

/// The byte order mark that some put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the body of an answer is (`response.format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// What its content type or its first bytes say.
    #[default]
    Auto,
    /// JSON (RFC 8259).
    Json,
    /// One JSON value per line.
    Ndjson,
    /// Comma-separated values (RFC 4180) below a row of names.
    Csv,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextKind {
    Json,
    Ndjson,
    Csv,
}

/// Decodes the body of one answer.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    format: Format,
    /// What the content type says.
    hint: Option<TextKind>,
    takes_any_line: bool,
}

/// A body that was decoded.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// JSON, if the body holds what it should. A byte order mark is left out, bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Whether some bytes were replaced.
    pub was_lossy: bool,
    /// Whether the text is an array that was made out of lines, rows or files; else it is what was sent.
    pub is_made: bool,
}

impl Format {
    /// What a content type says of a body, where it says more than that it may be anything.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        of_content_type(content_type).map(|kind| match kind {
            TextKind::Json => Self::Json,
            TextKind::Ndjson => Self::Ndjson,
            TextKind::Csv => Self::Csv,
        })
    }
}

impl Decoder {
    /// For an answer with such a content type.
    #[must_use]
    pub fn new(format: Format, content_type: Option<&str>) -> Self {
        Self { format, hint: content_type.and_then(of_content_type), takes_any_line: false }
    }

    /// The same where a line of NDJSON that is no JSON is a text, and no fault.
    #[must_use]
    pub fn taking_any_line(self, takes_any_line: bool) -> Self {
        Self { takes_any_line, ..self }
    }

    /// How many bytes it may take at first to make something out of the body. Returns `None` where the body is JSON, and
    /// [`Decoded::as_sent`] is all that is needed. Looks at the beginning of the body only.
    #[must_use]
    pub fn first_limit(self, body: &[u8]) -> Option<usize> {
        let factor = match (Archive::of(body), self.kind(body, self.hint)) {
            (Some(_), _) => ARCHIVE_FACTOR,
            (None, TextKind::Csv) => CSV_FACTOR,
            (None, TextKind::Ndjson) => 1,
            (None, TextKind::Json) => return None,
        };
        Some(body.len().saturating_mul(factor).max(LIMIT_BYTES_MIN))
    }

    /// The records of a body, where archives and CSV may make so many bytes out of it.
    ///
    /// # Errors
    /// [`DecodeError`], where the body isn't what it should be, or more bytes are needed.
    pub fn decode(self, body: &[u8], limit: usize) -> Result<Decoded, DecodeError> {
        let budget = Budget::new(limit);
        let mut work = Decoding { decoder: self, budget, elements: ArrayWriter::default(), was_lossy: false };
        let sent = work.body(Cow::Borrowed(body), self.hint, LAYERS_MAX)?;
        let was_lossy = work.was_lossy;
        Ok(match sent {
            Some(text) => Decoded { text, was_lossy, is_made: false },
            None => Decoded { text: work.elements.into_array(), was_lossy, is_made: true },
        })
    }

    /// What a body is that is no archive. No format begins with `<` but web pages, whatever the content type says: they
    /// are left as they are, for whoever tells of them.
    fn kind(self, body: &[u8], hint: Option<TextKind>) -> TextKind {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body).trim_ascii_start();
        if body.first() == Some(&b'<') {
            return TextKind::Json;
        }
        match self.format {
            Format::Json => TextKind::Json,
            Format::Ndjson => TextKind::Ndjson,
            Format::Csv => TextKind::Csv,
            Format::Auto if hint.is_none() && ndjson::is_ndjson(body) => TextKind::Ndjson,
            Format::Auto => hint.unwrap_or(TextKind::Json),
        }
    }
}

impl Decoded {
    /// A body that is JSON already.
    #[must_use]
    pub fn as_sent(body: Vec<u8>) -> Self {
        let (text, was_lossy) = text_of(body);
        Self { text, was_lossy, is_made: false }
    }
}

/// A body that is being decoded.
struct Decoding {
    decoder: Decoder,
    budget: Budget,
    elements: ArrayWriter,
    was_lossy: bool,
}

impl Decoding {
    /// Adds the records of a body, or returns its text where that is JSON.
    fn body(
        &mut self,
        body: Cow<'_, [u8]>,
        hint: Option<TextKind>,
        layers: usize,
    ) -> Result<Option<String>, DecodeError> {
        let Some(archive) = Archive::of(&body) else { return self.text(body, hint) };
        let layers = layers.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        match archive {
            Archive::Gzip => {
                let opened = archive::gunzip(&body, &mut self.budget)?;
                drop(body);
                self.body(Cow::Owned(opened), hint, layers)
            }
            Archive::Zip => self.zip(&body, hint, layers),
        }
    }

    /// A zip file of one file is that file; of several the records are joined.
    fn zip(&mut self, body: &[u8], hint: Option<TextKind>, layers: usize) -> Result<Option<String>, DecodeError> {
        let archive = archive::zip(body)?;
        let files = archive::files(&archive)?;
        let is_one = files.len() == 1;
        for file in files {
            let in_file = |cause: DecodeError| cause.in_file(file.number);
            let opened = file.open(&mut self.budget).map_err(in_file)?;
            let hint = of_name(file.name).or(hint);
            let text = self.body(Cow::Owned(opened), hint, layers).map_err(in_file)?;
            match text {
                Some(text) if is_one => return Ok(Some(text)),
                Some(text) => self.elements.push_document(&text).map_err(in_file)?,
                None => {}
            }
        }
        Ok(None)
    }

    fn text(&mut self, body: Cow<'_, [u8]>, hint: Option<TextKind>) -> Result<Option<String>, DecodeError> {
        let kind = self.decoder.kind(&body, hint);
        if kind == TextKind::Json {
            let (text, was_lossy) = text_of(body.into_owned());
            self.was_lossy |= was_lossy;
            return Ok(Some(text));
        }
        let text = String::from_utf8_lossy(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&body));
        self.was_lossy |= matches!(text, Cow::Owned(_));
        if kind == TextKind::Csv {
            csv::read(&text, &mut self.elements, &mut self.budget)?;
        } else {
            ndjson::read(&text, self.decoder.takes_any_line, &mut self.elements, &mut self.budget)?;
        }
        Ok(None)
    }
}

/// A body as text, and whether some bytes had to be replaced.
fn text_of(body: Vec<u8>) -> (String, bool) {
    let (text, was_lossy) = match String::from_utf8(body) {
        Ok(text) => (text, false),
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
    };
    match text.strip_prefix('\u{feff}') {
        Some(rest) => (rest.to_owned(), was_lossy),
        None => (text, was_lossy),
    }
}

/// What a content type says of a body, where it says more than that it may be anything.
fn of_content_type(content_type: &str) -> Option<TextKind> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/x-jsonl"
        | "application/jsonlines"
        | "application/x-jsonlines"
        | "application/json-lines"
        | "application/stream+json"
        | "application/x-json-stream"
        | "text/x-ndjson"
        | "text/jsonl" => Some(TextKind::Ndjson),
        "text/csv" | "application/csv" => Some(TextKind::Csv),
        _ => None,
    }
}

/// What the name of a file says of it, with or without `.gz` behind it.
fn of_name(name: &[u8]) -> Option<TextKind> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(b".gz").unwrap_or(&name);
    let has = |suffixes: &[&[u8]]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    match () {
        () if has(&[b".csv"]) => Some(TextKind::Csv),
        () if has(&[b".ndjson", b".jsonl"]) => Some(TextKind::Ndjson),
        () => None,
    }
}

#[cfg(test)]
mod tests;
