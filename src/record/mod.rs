//! The record path: from a page's text to the lines that the listener gets.
//!
//! Enters: the body of one page. Leaves: for each record its event date, its fingerprint and its line. What always holds:
//! a record is a slice of the page, and its bytes are shipped as they came; nothing on this path builds values, except
//! where an RFC 9535 path asks for more than steps.

pub mod date;
pub mod json;
mod line;
mod page;
pub mod path;

pub use line::{CustomFields, FieldError};
pub use page::{KEYS_HIDDEN, Page, PageError, Paths};

use chrono::{DateTime, Utc};

use json::Raw;
use path::JsonPath;

/// What tells two records apart: 16 bytes of BLAKE3 over the event date and the id, or over the whole record.
///
/// A cryptographic hash, because a record's content may be chosen by somebody who would like another one to vanish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of several byte strings, each of which counts for itself.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Self(bytes)
    }

    /// The sixteen bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Which record it is: by this it is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// What tells the record from others.
    pub fingerprint: Fingerprint,
    /// Its event date.
    pub date: Option<DateTime<Utc>>,
}

/// One record of a page.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The record as the API sent it.
    pub raw: Raw<'a>,
    /// When the event took place, if the record says so readably.
    pub date: Option<DateTime<Utc>>,
    /// What tells it from others.
    pub fingerprint: Fingerprint,
}

impl<'a> Record<'a> {
    /// Reads what the paths name in a record.
    #[must_use]
    pub fn read(raw: Raw<'a>, date_path: &JsonPath, id_path: Option<&JsonPath>) -> Self {
        let date = date_path.first(raw).and_then(Raw::scalar).and_then(|text| date::parse(&text));
        let id = id_path.and_then(|path| path.first(raw));
        let fingerprint = match (id, date) {
            (Some(id), Some(date)) => {
                let second = date.timestamp().to_le_bytes();
                let nanosecond = date.timestamp_subsec_nanos().to_le_bytes();
                Fingerprint::of(&[b"id", id.text().as_bytes(), &second, &nanosecond])
            }
            (Some(id), None) => Fingerprint::of(&[b"id", id.text().as_bytes()]),
            (None, _) => Fingerprint::of(&[b"record", raw.text().as_bytes()]),
        };
        Self { raw, date, fingerprint }
    }

    /// Which record it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { fingerprint: self.fingerprint, date: self.date }
    }
}
