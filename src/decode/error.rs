//! Why a body can't be decoded.

use super::{ENTRIES_MAX, LAYERS_MAX};

/// Why a body can't be decoded. No message holds a part of the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A line of NDJSON.
    #[error("line {line} is not valid JSON: {cause}")]
    Line {
        /// Its number; the first is 1.
        line: usize,
        /// What is wrong with it, and where.
        cause: String,
        /// Whether it is the last one, and ends before its end.
        is_cut: bool,
    },
    /// A row of CSV.
    #[error("row {row} has {fields} fields, but the header has {names}")]
    Row {
        /// Its number; the header is row 1.
        row: usize,
        /// How many fields it has.
        fields: usize,
        /// How many names the header has.
        names: usize,
    },
    /// A value of CSV that never ends.
    #[error("row {row} has a quote that is not closed")]
    OpenQuote {
        /// Its number; the header is row 1.
        row: usize,
    },
    /// Two columns of one name.
    #[error("columns {first} and {second} of the header have the same name")]
    SameName {
        /// The first of them; the first column is 1.
        first: usize,
        /// The second of them.
        second: usize,
    },
    /// A file of several that is none of the formats.
    #[error("it is not valid JSON: {cause}")]
    NotJson {
        /// What is wrong with it, and where.
        cause: String,
        /// Whether it ends before its end.
        is_cut: bool,
    },
    /// An archive that is cut off, or wrong otherwise.
    #[error("the {archive} file is damaged: {cause}")]
    Damaged {
        /// `gzip` or `zip`.
        archive: &'static str,
        /// What is wrong with it.
        cause: String,
        /// Whether it ends before its end.
        is_cut: bool,
    },
    /// A file that is encrypted.
    #[error("the zip file is encrypted")]
    Encrypted,
    /// A file that is compressed in another way.
    #[error("the zip file is compressed by method {method}; 0 (stored) and 8 (deflate) can be read")]
    Method {
        /// The number of the method.
        method: u16,
    },
    /// Archives in archives in archives.
    #[error("there are more than {LAYERS_MAX} archives in each other")]
    TooDeep,
    /// Too many files.
    #[error("the zip file has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
    /// More than may be made out of a body.
    #[error("it is more than {max} bytes when it is decoded")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// What is wrong with one file of a zip file.
    #[error("file {file} of the zip file: {cause}")]
    InFile {
        /// Its number; the first is 1.
        file: usize,
        /// What is wrong with it.
        cause: Box<DecodeError>,
    },
}

impl DecodeError {
    /// Whether the body ends before its end: it may come whole the next time.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        match self {
            Self::Line { is_cut, .. } | Self::NotJson { is_cut, .. } | Self::Damaged { is_cut, .. } => *is_cut,
            Self::OpenQuote { .. } => true,
            Self::InFile { .. }
            | Self::Row { .. }
            | Self::SameName { .. }
            | Self::Encrypted
            | Self::Method { .. }
            | Self::TooDeep
            | Self::TooManyEntries
            | Self::TooLarge { .. } => false,
        }
    }

    /// The same of a file with this number. How large all of them are is no matter of one file.
    pub(super) fn in_file(self, file: usize) -> Self {
        match self {
            Self::TooLarge { .. } => self,
            cause => Self::InFile { file, cause: Box::new(cause) },
        }
    }

    pub(super) fn line(line: usize, error: &serde_json::Error, is_last: bool) -> Self {
        let column = error.column();
        let cause = error.to_string();
        // It stands in a text of one line.
        let what = cause.rsplit_once(" at line ").map_or(cause.as_str(), |(what, _)| what);
        Self::Line { line, cause: format!("{what} at column {column}"), is_cut: is_last && error.is_eof() }
    }

    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson { cause: error.to_string(), is_cut: error.is_eof() }
    }
}
