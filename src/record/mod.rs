//! The record path: from a page's text to the lines that the listener gets.
//!
//! Enters: the body of one page. Leaves: for each record its event date, its fingerprint and its line. What always holds:
//! a record is a slice of the page, and its bytes are shipped as they came; nothing on this path builds values, except
//! where an RFC 9535 path asks for more than steps.

pub mod answer;
pub mod any;
pub mod date;
mod fingerprint;
pub mod json;
mod line;
mod page;
pub mod path;
mod paths;
mod scan;
pub mod table;
mod value;
mod zone;

pub use fingerprint::{Fingerprint, FingerprintMap, FingerprintSet, FirstBytes};
pub use line::{CustomFields, FieldError};
pub use page::{Absent, KEYS_HIDDEN, Page, PageError};
pub use paths::{ErrorRule, IdPaths, Paths};
pub use zone::Zone;

use chrono::{DateTime, Utc};

use json::{JsonType, RawJson};
use path::{JsonPath, PathMatcher, Sighting};
use scan::{Invalid, Lengths, Scan};

/// Which record it is: by this it is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordKey {
    /// What tells the record from others.
    pub fingerprint: Fingerprint,
    /// Its event date.
    pub date: Option<DateTime<Utc>>,
}

/// One record of a page.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The record as the API sent it.
    pub raw: RawJson<'a>,
    /// When the event took place, if the record says so readably.
    pub date: Option<DateTime<Utc>>,
    /// What tells it from others.
    pub fingerprint: Fingerprint,
    /// Whether its line is its bytes with the custom fields behind them: an object, without line breaks, without a key
    /// that a custom field overrides.
    is_plain: bool,
}

impl<'a> Record<'a> {
    /// Reads what the paths name in a record.
    #[must_use]
    pub fn read(raw: RawJson<'a>, paths: &Paths) -> Self {
        let id = paths.id.as_ref().and_then(|id| id.first.first(raw));
        Self::of(raw, paths.date.as_ref().and_then(|path| path.first(raw)), id, paths)
    }

    /// With what stands at the places of its date and of its first id.
    fn of(raw: RawJson<'a>, date: Option<RawJson<'a>>, id: Option<RawJson<'a>>, paths: &Paths) -> Self {
        let date = date.and_then(RawJson::scalar).and_then(|text| date::of_event(&text, paths.zone));
        if let (Some(first), Some(IdPaths { others, .. })) = (id, &paths.id)
            && !others.is_empty()
        {
            return Self { raw, date, fingerprint: of_ids(raw, first, others, date), is_plain: false };
        }
        let fingerprint = match (id, date) {
            (Some(id), Some(date)) => Fingerprint::of(&[b"id", id.text().as_bytes(), &moment(date)]),
            (Some(id), None) => Fingerprint::of(&[b"id", id.text().as_bytes()]),
            (None, _) => Fingerprint::of(&[b"record", raw.text().as_bytes()]),
        };
        Self { raw, date, fingerprint, is_plain: false }
    }

    /// Which record it is.
    #[must_use]
    pub fn identity(&self) -> RecordKey {
        RecordKey { fingerprint: self.fingerprint, date: self.date }
    }

    /// Appends the record's line, without its line break.
    pub fn append_line(&self, fields: &CustomFields, line: &mut Vec<u8>) {
        if self.is_plain {
            fields.append_plain(self.raw, line);
        } else {
            fields.append_line(self.raw, line);
        }
    }
}

/// Beside an id of up to 29 bytes, short enough for one block of SHA-256.
fn moment(date: DateTime<Utc>) -> [u8; 12] {
    let mut moment = [0; 12];
    let (second, nanosecond) = moment.split_at_mut(8);
    second.copy_from_slice(&date.timestamp().to_le_bytes());
    nanosecond.copy_from_slice(&date.timestamp_subsec_nanos().to_le_bytes());
    moment
}

/// By several ids; by the whole record where one of them is missing.
fn of_ids(raw: RawJson<'_>, first: RawJson<'_>, others: &[JsonPath], date: Option<DateTime<Utc>>) -> Fingerprint {
    let found: Option<Vec<RawJson<'_>>> = others.iter().map(|path| path.first(raw)).collect();
    let Some(found) = found else { return Fingerprint::of(&[b"record", raw.text().as_bytes()]) };
    let moment = date.map(moment);
    let ids = std::iter::once(&first).chain(&found).map(|id| id.text().as_bytes());
    let parts = std::iter::once(b"ids".as_slice()).chain(moment.as_ref().map(<[u8; 12]>::as_slice)).chain(ids);
    Fingerprint::of(&parts.collect::<Vec<_>>())
}

/// What is looked for in each record.
#[derive(Debug)]
struct RecordReader<'p> {
    paths: &'p Paths,
    date: Option<PathMatcher<'p>>,
    id: Option<PathMatcher<'p>>,
    fields: &'p CustomFields,
    lengths: Lengths,
}

impl<'p> RecordReader<'p> {
    fn new(paths: &'p Paths, fields: &'p CustomFields) -> Self {
        let (date, id) = (paths.date.as_ref(), paths.id.as_ref().map(|id| &id.first));
        let (date, id) = (date.and_then(JsonPath::head), id.and_then(JsonPath::head));
        let keys = [&date, &id].into_iter().flatten().flat_map(PathMatcher::keys);
        let lengths = Lengths::of(keys.chain(fields.keys()));
        Self { paths, date, id, fields, lengths }
    }

    /// Passes a record, once.
    fn read<'a>(&self, scan: &mut Scan<'a>) -> Result<Record<'a>, Invalid> {
        scan.peek();
        let start = scan.at();
        scan.has_breaks = false;
        if !scan.open(JsonType::Object) {
            return Ok(Record::read(scan.value()?, self.paths));
        }
        let (mut date, mut id) = (Sighting::default(), Sighting::default());
        let (mut is_overridden, mut has_members) = (false, false);
        while let Some(key) = scan.key(!has_members)? {
            has_members = true;
            let value = scan.value()?;
            if !self.lengths.may_have(&key) {
                continue;
            }
            if let Some(head) = &self.date {
                head.see(&mut date, &key, value);
            }
            if let Some(head) = &self.id {
                head.see(&mut id, &key, value);
            }
            is_overridden |= self.fields.overrides(&key);
        }
        let raw = scan.since(start);
        let found = |path: Option<&JsonPath>, head: Option<PathMatcher<'_>>, seen| {
            path.and_then(|path| head.map_or_else(|| path.first(raw), |head| head.first(seen)))
        };
        let date = found(self.paths.date.as_ref(), self.date, date);
        let id = found(self.paths.id.as_ref().map(|id| &id.first), self.id, id);
        let is_plain = has_members && !is_overridden && !scan.has_breaks;
        Ok(Record { is_plain, ..Record::of(raw, date, id, self.paths) })
    }
}
