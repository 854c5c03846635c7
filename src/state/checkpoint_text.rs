//! What `last_start_dates.txt` says: a line for each API, the last one of a name counts. Pure.
//!
//! `NAME: DATE`, where the API gives a cursor `NAME: DATE {"cursor":"…"}`, and where no date is known yet
//! `NAME: {"cursor":"…"}`; what `next_iteration` goes on with stands there by the names of its variables, as `"res.PATH"`. What follows the name and the date is one JSON object on the same line; members with other names
//! are kept as they are.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

use super::in_place;
use crate::record::date;
use crate::template::{Captured, CapturedValues};

/// At so many places of a line an object is looked for: a name has fewer braces in it, and a line of nothing but braces
/// takes no time.
const OPENINGS_MAX: usize = 64;

/// Where an API goes on, as its line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The newest date delivered; none where no record ever had one.
    pub date: Option<DateTime<Utc>>,
    /// What answers gave to go on with, the cursor among it.
    pub values: CapturedValues,
}

impl Checkpoint {
    /// From a date and a cursor, either of which may be absent.
    #[must_use]
    pub fn new(date: Option<DateTime<Utc>>, cursor: Option<Captured>) -> Self {
        Self { date, values: CapturedValues::of_cursor(cursor) }
    }

    /// The cursor, where there is one.
    #[must_use]
    pub fn cursor(&self) -> Option<&Captured> {
        self.values.cursor()
    }

    /// Whether it says nothing, so that it needs no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.date.is_none() && self.values.is_empty()
    }

    /// As it stands behind the name.
    fn text(&self) -> String {
        match self.date.map(date::format) {
            Some(date) if self.values.is_empty() => date,
            Some(date) => format!("{date} {}", self.values.json()),
            None => self.values.json(),
        }
    }
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoints {
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// Of an API.
    Checkpoint(String, Checkpoint),
    /// A line that isn't understood, kept as it is.
    Other(String),
}

impl Checkpoints {
    /// Understands a file's text: any line ends, blank lines, percent-encoded dates, names with `: ` or JSON in them.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = in_place::read(text.trim_start_matches('\u{feff}'));
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self { lines: lines.map(Line::parse).collect() }
    }

    /// The checkpoint of each API: its last line. One that says nothing is as good as none.
    #[must_use]
    pub fn by_name(&self) -> HashMap<String, Checkpoint> {
        let known = self.lines.iter().filter_map(|line| match line {
            Line::Checkpoint(name, checkpoint) => Some((name.clone(), checkpoint.clone())),
            Line::Other(_) => None,
        });
        let mut known: HashMap<String, Checkpoint> = known.collect();
        known.retain(|_, checkpoint| !checkpoint.is_empty());
        known
    }

    /// The lines that aren't understood.
    pub fn unreadable(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| match line {
            Line::Checkpoint(..) => None,
            Line::Other(text) => Some(text.as_str()),
        })
    }

    /// Puts an API's checkpoint in the place of what is said of it; one that says nothing takes its lines out.
    pub(super) fn set(&mut self, name: &str, checkpoint: &Checkpoint) {
        self.lines.retain(|line| !matches!(line, Line::Checkpoint(of, _) if of == name));
        if !checkpoint.is_empty() {
            self.lines.push(Line::Checkpoint(name.to_owned(), checkpoint.clone()));
        }
    }

    /// One line per API, where its last line stood, and every line that isn't understood.
    #[must_use]
    pub fn compacted(&self) -> String {
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (at, line) in self.lines.iter().enumerate() {
            if let Line::Checkpoint(name, _) = line {
                last.insert(name, at);
            }
        }
        let kept = self.lines.iter().enumerate().filter_map(|(at, line)| match line {
            Line::Checkpoint(name, checkpoint) => {
                let counts = last.get(name.as_str()) == Some(&at) && !checkpoint.is_empty();
                counts.then(|| checkpoint_line(name, checkpoint))
            }
            Line::Other(text) => Some(format!("{text}\n")),
        });
        kept.collect()
    }
}

impl Line {
    fn parse(line: &str) -> Self {
        let understood = match object_behind(line) {
            Some((before, values)) => match before.strip_suffix(':') {
                Some(name) => Some((name, None, values)),
                None => dated(before).map(|(name, date)| (name, Some(date), values)),
            },
            None => dated(line).map(|(name, date)| (name, Some(date), CapturedValues::default())),
        };
        match understood {
            Some((name, date, values)) if !name.trim().is_empty() => {
                Self::Checkpoint(name.trim().to_owned(), Checkpoint { date, values })
            }
            _ => Self::Other(line.to_owned()),
        }
    }
}

/// The name and the date of `NAME: DATE`.
fn dated(line: &str) -> Option<(&str, DateTime<Utc>)> {
    let last_colon_blank = line.rsplit_once(": ");
    let any_colon = line.match_indices(':').map(|(at, _)| (line.get(..at), line.get(at + 1..)));
    let ways = last_colon_blank.into_iter().chain(any_colon.filter_map(|(name, date)| name.zip(date)));
    for (name, text) in ways {
        let decoded = percent_decode_str(text).decode_utf8_lossy();
        if let (Some(date), false) = (date::parse_written(&decoded), name.trim().is_empty()) {
            return Some((name, date));
        }
    }
    None
}

/// The JSON object at the end of a line, and what stands before it.
///
/// There is one at most, whatever the name and the values hold: what begins inside of an object and ends with it has a
/// brace or a quote too many.
fn object_behind(line: &str) -> Option<(&str, CapturedValues)> {
    if !line.ends_with('}') {
        return None;
    }
    let behind = |at: &usize| line.get(..*at).is_some_and(|before| before.ends_with([' ', '\t', ':']));
    let openings = line.match_indices('{').map(|(at, _)| at).filter(behind);
    for (before, object) in openings.take(OPENINGS_MAX).filter_map(|at| line.split_at_checked(at)) {
        if let Ok(members) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(object) {
            // A null says nothing; false says that there is no cursor, and is a value of any other name.
            let value = |(name, value): (String, Box<RawValue>)| {
                let read = if name == CapturedValues::CURSOR { Captured::of_json } else { Captured::of_value };
                read(value.get()).map(|value| (name, value))
            };
            return Some((before.trim_end(), members.into_iter().filter_map(value).collect()));
        }
    }
    None
}

/// An API's line.
pub(super) fn checkpoint_line(name: &str, checkpoint: &Checkpoint) -> String {
    format!("{name}: {}\n", checkpoint.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Option<DateTime<Utc>> {
        (!text.is_empty()).then(|| date::parse(text).expect("a date"))
    }

    /// An API, its date, and the JSON of its cursor.
    type Expected<'e> = (&'e str, &'e str, &'e str);

    #[track_caller]
    fn check(text: &str, expected: &[Expected<'_>], unreadable: &[&str]) {
        let checkpoints = Checkpoints::parse(text);
        let expected = expected
            .iter()
            .map(|(name, date, cursor)| ((*name).to_owned(), Checkpoint::new(at(date), Captured::of_json(cursor))));
        assert_eq!(checkpoints.by_name(), expected.collect(), "{text:?}");
        assert_eq!(checkpoints.unreadable().collect::<Vec<_>>(), unreadable, "{text:?}");
    }

    #[test]
    fn understands_every_file_that_may_be_there() {
        check("", &[], &[]);
        check(
            "a: 2024-05-28T13:08:54Z\nb: 2024-05-28T13:08:55Z\n",
            &[("a", "2024-05-28T13:08:54Z", ""), ("b", "2024-05-28T13:08:55Z", "")],
            &[],
        );
        check("a: 2024-05-28T13:08:54Z\na: 2024-05-27T00:00:00Z", &[("a", "2024-05-27T00:00:00Z", "")], &[]);
        check("\r\na: 2024-05-28T13:08:54Z\r\n\r\n", &[("a", "2024-05-28T13:08:54Z", "")], &[]);
        check("cisco: 2021-10-05T10%3A10%3A10%2B00%3A00\n", &[("cisco", "2021-10-05T10:10:10Z", "")], &[]);
        check("my: own: api: 2021-10-05T10:10:10+02:00\n", &[("my: own: api", "2021-10-05T08:10:10Z", "")], &[]);
        check("a:2021-10-05T10:10:10Z", &[("a", "2021-10-05T10:10:10Z", "")], &[]);
        check("a: 2024-05-28T13:08:54Z\na: 2024-05-2", &[("a", "2024-05-28T13:08:54Z", "")], &["a: 2024-05-2"]);
        check("a: None\n# mine\n: 2024-05-28\n", &[], &["a: None", "# mine", ": 2024-05-28"]);
        check(
            "# at 12:30\ndisk:5\na: 2024-05-28\na: 2024",
            &[("a", "2024-05-28", "")],
            &["# at 12:30", "disk:5", "a: 2024"],
        );
    }

    #[test]
    fn understands_cursors_of_any_kind_behind_a_date_and_without_one() {
        check("a: 2024-05-28 {\"cursor\":\"x\"}\r\n", &[("a", "2024-05-28", "\"x\"")], &[]);
        check("a: {\"cursor\":\"x\"}\nb:{\"cursor\":\"y\"}", &[("a", "", "\"x\""), ("b", "", "\"y\"")], &[]);
        check("a: 2024-05-28   { \"cursor\" : 17 } ", &[("a", "2024-05-28", "17")], &[]);
        check("a: {\"cursor\":[\"x\", 12345678901234567890]}", &[("a", "", "[\"x\", 12345678901234567890]")], &[]);
        check("a: {\"cursor\":{\"k: {\":\"}: {\"}}", &[("a", "", "{\"k: {\":\"}: {\"}")], &[]);
        check(
            "a: {\"cursor\":\"b: {\\\"cursor\\\":\\\"c\\\"}\"}",
            &[("a", "", "\"b: {\\\"cursor\\\":\\\"c\\\"}\"")],
            &[],
        );
        check("a: 2024-05-28 {\"cursor\":\"}\\n\\\\\"}", &[("a", "2024-05-28", "\"}\\n\\\\\"")], &[]);
        check("a: 2024-05-28 {\"cursor\":null}", &[("a", "2024-05-28", "")], &[]);
        check("a: 2024-05-28 {}\nb: {\"cursor\":1}\nb: {}", &[("a", "2024-05-28", "")], &[]);
        check("a: 2024%2D05%2D28 {\"cursor\":\"%41\"}", &[("a", "2024-05-28", "\"%41\"")], &[]);
    }

    #[test]
    fn false_is_a_value_but_no_cursor() {
        let line = "a: {\"cursor\":false,\"res.more\":false}\n";
        let values = Checkpoints::parse(line).by_name().remove("a").expect("a value").values;
        assert_eq!(values.json(), "{\"res.more\":false}");
        assert_eq!(Checkpoints::parse(line).compacted(), "a: {\"res.more\":false}\n");
    }

    #[test]
    fn names_may_look_like_dates_and_json() {
        for name in [
            "{\"cursor\":\"x\"}",
            "a: {\"cursor\":\"x\"}",
            "a: 2024-01-01",
            "a {",
            "x: 2024-01-01 {\"cursor\":1}",
            "a:",
        ] {
            let dates = [at("2024-05-28T13:08:54Z"), None];
            for (date, cursor) in dates.into_iter().zip(["\"{\"", "[\"a: {\",\"}\"]"]) {
                let checkpoint = Checkpoint::new(date, Captured::of_json(cursor));
                let line = checkpoint_line(name, &checkpoint);
                let read = Checkpoints::parse(&line).by_name();
                assert_eq!(read, HashMap::from([(name.to_owned(), checkpoint)]), "{line}");
            }
        }
    }

    #[test]
    fn a_line_that_is_torn_or_wrong_is_kept_and_the_one_before_it_counts() {
        let whole = "a: 2024-05-28T13:08:54Z {\"cursor\":\"x\"}";
        for torn in [" {\"cursor\":\"y", " {\"cursor\":\"y\"", " {\"cur", " {", " {\"cursor\":17"] {
            let torn = format!("a: 2024-05-29T00:00:00Z{torn}");
            check(&format!("{whole}\n{torn}"), &[("a", "2024-05-28T13:08:54Z", "\"x\"")], &[&torn]);
        }
        for wrong in [
            "a: yesterday {\"cursor\":\"y\"}",
            "{\"cursor\":\"y\"}",
            "a {\"cursor\":\"y\"}",
            ": {\"cursor\":\"y\"}",
            "a: {cursor: y}",
        ] {
            check(&format!("{whole}\n{wrong}\n"), &[("a", "2024-05-28T13:08:54Z", "\"x\"")], &[wrong]);
        }
        let braces = format!("a: {}}}", "{ ".repeat(100_000));
        check(&format!("{whole}\n{braces}"), &[("a", "2024-05-28T13:08:54Z", "\"x\"")], &[&braces]);
    }

    #[test]
    fn keeps_all_that_counts_when_it_compacts() {
        let text = "a: 2024-01-01\nold: 2020-01-01\n# mine\na: 2024-01-02\n";
        let compacted = Checkpoints::parse(text).compacted();
        assert_eq!(compacted, "old: 2020-01-01T00:00:00Z\n# mine\na: 2024-01-02T00:00:00Z\n");
        let text =
            "a: 2024-01-01 {\"cursor\":\"x\"}\nb: {\"res.next_cursor\": \"abc\", \"cursor\": 7}\na: 2024-01-02\n";
        let compacted = Checkpoints::parse(text).compacted();
        assert_eq!(compacted, "b: {\"cursor\":7,\"res.next_cursor\":\"abc\"}\na: 2024-01-02T00:00:00Z\n");
    }

    #[test]
    fn any_checkpoint_of_any_name_reads_as_it_was_written() {
        let name = "[a-z0-9 :%._é{}\"-]{1,20}"
            .prop_map(|name| name.trim().to_owned())
            .prop_filter("a name", |name| !name.is_empty());
        let text =
            prop_oneof![any::<String>(), "[a: {}\"\\\\0-9-]{0,24}"].prop_filter("a cursor", |text| !text.is_empty());
        let cursor = prop_oneof![
            text.clone().prop_map(|text| serde_json::json!(text)),
            (text, any::<i64>()).prop_map(|(text, number)| serde_json::json!([{ text.clone(): number }, text])),
        ];
        let entry = (name, prop::option::of(0_i64..4_000_000_000), cursor);
        proptest!(|(entries in prop::collection::vec(entry, 1..8))| {
            let mut expected = HashMap::new();
            let mut text = String::new();
            for (name, seconds, cursor) in entries {
                let date = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
                let checkpoint = Checkpoint::new(date, Captured::of_json(&cursor.to_string()));
                text.push_str(&checkpoint_line(&name, &checkpoint));
                expected.insert(name, checkpoint);
            }
            let read = Checkpoints::parse(&text);
            prop_assert_eq!(&read.by_name(), &expected);
            prop_assert_eq!(Checkpoints::parse(&read.compacted()).by_name(), expected);
        });
    }
}
