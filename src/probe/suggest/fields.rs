//! Which values of the records are likely their dates and their ids. Pure.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::walk::{leaves, plain};
use super::{Candidate, FoundValue, ranked};
use crate::probe::redact::is_written_date;
use crate::record::date;
use crate::record::json::{JsonType, RawJson};
use crate::text::humanize::counted;

/// The longest text that may be an id, in characters.
const ID_CHARS_MAX: usize = 100;
/// A number or text that reads as a date further back than this is more likely a number: log APIs keep months.
const PLAUSIBLE_DAYS_BACK: i64 = 20 * 365;
/// The same for a number whose name speaks of no time.
const PLAUSIBLE_DAYS_BACK_UNNAMED: i64 = 400;
/// … or as one further ahead.
const PLAUSIBLE_DAYS_AHEAD: i64 = 2;

/// What the date of an event is usually called, without what people put between words.
const EVENT_DATE_NAMES: &[&str] = &[
    "date",
    "time",
    "timestamp",
    "datetime",
    "eventtime",
    "eventdate",
    "eventtimestamp",
    "createddatetime",
    "createdat",
    "created",
    "createdtime",
    "createdon",
    "createddate",
    "creationtime",
    "creationdate",
    "activitydatetime",
    "occurredat",
    "occurred",
    "published",
    "publishedat",
    "eventcreatedtime",
    "ts",
    "logtime",
    "loggedat",
];
/// Parts of the names of dates that are later than the event.
const LATER_DATE_PARTS: [&str; 11] =
    ["updated", "modified", "changed", "expir", "last", "end", "deleted", "due", "birth", "until", "closed"];
/// Parts of the names of other dates.
const DATE_PARTS: [&str; 6] = ["date", "time", "stamp", "creat", "occur", "when"];
/// What a record's own id is usually called.
const ID_NAMES: &[&str] = &["id", "uuid", "guid", "eventid", "recordid", "logid", "eventuuid", "entryid"];

/// Values that read as dates: plausible ones first, then those that most records have, then by name.
#[must_use]
pub fn dates(records: &[RawJson<'_>], now: DateTime<Utc>) -> Vec<Candidate> {
    let (walked, leaves) = leaves(records);
    let mut found = Vec::new();
    for (value_path, values) in leaves {
        let of_scalar = |raw: &RawJson<'_>| raw.scalar().and_then(|text| date::parse(&text));
        let read: Vec<DateTime<Utc>> = values.iter().filter_map(of_scalar).collect();
        if read.is_empty() {
            continue;
        }
        let rank = date_rank(&value_path.keys().next_back().map(plain).unwrap_or_default());
        let is_written = values.iter().any(|raw| raw.scalar().is_some_and(|text| is_written_date(&text)));
        let days_back = match (is_written, rank) {
            (true, _) | (_, NameRank::Event | NameRank::Time | NameRank::Later) => PLAUSIBLE_DAYS_BACK,
            (false, NameRank::Neutral) => PLAUSIBLE_DAYS_BACK_UNNAMED,
            (false, NameRank::Id) => 0,
        };
        let near = read.iter().filter(|date| is_near(**date, now, days_back)).count();
        let is_plausible = near * 2 > read.len();
        let share = match read.len() {
            all if all == walked.len() => 0,
            most if most * 2 >= walked.len() => 1,
            _ => 2,
        };
        let what = if is_plausible { "a date" } else { "what reads as a date, but is more likely a number" };
        let why = format!("{} of {} have {what} here", read.len(), counted(walked.len() as u64, "record"));
        let order = (!is_plausible, share, rank, value_path.depth(), !is_written);
        found.push((order, FoundValue { value_path, why, is_likely: is_plausible && share < 2 }));
    }
    ranked(found, &walked)
}

/// Text and whole numbers that differ in every record, those called like ids first.
#[must_use]
pub fn ids(records: &[RawJson<'_>], now: DateTime<Utc>) -> Vec<Candidate> {
    let (walked, leaves) = leaves(records);
    let mut found = Vec::new();
    for (value_path, values) in leaves {
        let texts: Vec<&str> = values.iter().filter(|raw| may_be_id(**raw)).map(|raw| raw.text()).collect();
        let different: HashSet<&str> = texts.iter().copied().collect();
        if texts.len() < walked.len() || different.len() < texts.len() {
            continue;
        }
        let name = value_path.keys().next_back().map(plain).unwrap_or_default();
        let rank = id_rank(&name);
        let reads_as_date = |raw: &RawJson<'_>| {
            let date = raw.scalar().and_then(|text| date::parse(&text));
            date.is_some_and(|date| is_near(date, now, PLAUSIBLE_DAYS_BACK))
        };
        // What differs in one record alone says nothing, but for its name.
        if rank == IdRank::Other && (walked.len() < 2 || values.iter().all(reads_as_date)) {
            continue;
        }
        let why = format!("different in each of {}", counted(walked.len() as u64, "record"));
        // An id of somebody else (of a user, a session) would make one record of two.
        found.push(((rank, value_path.depth()), FoundValue { value_path, why, is_likely: rank == IdRank::Id }));
    }
    ranked(found, &walked)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NameRank {
    /// When something took place.
    Event,
    /// Some moment.
    Time,
    Neutral,
    /// When something came to an end, or changed.
    Later,
    /// An id.
    Id,
}

fn date_rank(name: &str) -> NameRank {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    match name {
        _ if EVENT_DATE_NAMES.contains(&name) => NameRank::Event,
        _ if has(&LATER_DATE_PARTS) => NameRank::Later,
        _ if has(&DATE_PARTS) || name.ends_with("at") => NameRank::Time,
        _ if id_rank(name) != IdRank::Other => NameRank::Id,
        _ => NameRank::Neutral,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum IdRank {
    Id,
    Like,
    Other,
}

fn id_rank(name: &str) -> IdRank {
    match name {
        _ if ID_NAMES.contains(&name) => IdRank::Id,
        _ if ["id", "key", "hash"].iter().any(|end| name.ends_with(end)) => IdRank::Like,
        _ => IdRank::Other,
    }
}

fn may_be_id(raw: RawJson<'_>) -> bool {
    match raw.kind() {
        JsonType::Number => !raw.text().contains(['.', 'e', 'E']),
        JsonType::Text => {
            let text = raw.scalar().unwrap_or_default();
            let fits = !text.is_empty() && text.chars().nth(ID_CHARS_MAX).is_none();
            fits && !text.contains(char::is_whitespace) && !is_written_date(&text)
        }
        _ => false,
    }
}

fn is_near(date: DateTime<Utc>, now: DateTime<Utc>, days_back: i64) -> bool {
    let ahead = date.signed_duration_since(now);
    ahead > -TimeDelta::days(days_back) && ahead < TimeDelta::days(PLAUSIBLE_DAYS_AHEAD)
}
