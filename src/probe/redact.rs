//! A record as it may be shown: its keys and its shape, none of its content.
//!
//! Text and numbers become their kind and length; true, false and null stay, and so do written dates of the last years,
//! as they help to write a config: older ones may be somebody's birthday. Digits alone are no written date: any number
//! passes for UNIX time. Keys that look like somebody's address go, too.

use chrono::{DateTime, TimeDelta, Utc};

use crate::record::date;
use crate::record::json::{JsonType, RawJson};
use crate::text::Redactor;

/// How many lines a sample may have.
const LINES_MAX: usize = 40;
/// How deep it shows what is nested.
const DEPTH_MAX: usize = 4;
/// How much of a key is shown, in characters.
const KEY_CHARS_MAX: usize = 60;
/// How old a date may be that is shown.
const RECENT: TimeDelta = TimeDelta::days(2 * 365);
/// The longest text that may be a date.
const DATE_CHARS_MAX: usize = 40;

/// The lines of a record, indented by two blanks for each level.
#[must_use]
pub fn sample(record: RawJson<'_>, redactor: &Redactor, now: DateTime<Utc>) -> Vec<String> {
    let mut lines = Lines { lines: Vec::new(), redactor, now, is_full: false };
    lines.value(record, At::default(), "", "");
    if lines.is_full {
        lines.lines.push("… and more".to_owned());
    }
    lines.lines
}

/// How far a line is indented, and how deep its value is nested; lists indent nothing.
#[derive(Clone, Copy, Default)]
struct At {
    indent: usize,
    depth: usize,
}

struct Lines<'s> {
    lines: Vec<String>,
    redactor: &'s Redactor,
    now: DateTime<Utc>,
    is_full: bool,
}

impl Lines<'_> {
    fn push(&mut self, at: At, text: &str) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(format!("{}{text}", "  ".repeat(at.indent)));
        } else {
            self.is_full = true;
        }
    }

    /// Writes a value behind what stands before it on its line. Recurses no deeper than [`DEPTH_MAX`].
    fn value(&mut self, raw: RawJson<'_>, at: At, before: &str, after: &str) {
        match raw.kind() {
            JsonType::Object => self.object(raw, at, before, after),
            JsonType::Array => self.array(raw, at, before, after),
            _ => self.push(at, &format!("{before}{}{after}", self.scalar(raw))),
        }
    }

    fn object(&mut self, raw: RawJson<'_>, at: At, before: &str, after: &str) {
        let mut members = raw.members().peekable();
        if members.peek().is_none() || at.depth >= DEPTH_MAX {
            let inside = if members.peek().is_none() { "" } else { "…" };
            return self.push(at, &format!("{before}{{{inside}}}{after}"));
        }
        self.push(at, &format!("{before}{{"));
        while let Some(member) = members.next() {
            if self.is_full {
                return;
            }
            let comma = if members.peek().is_some() { "," } else { "" };
            let key = format!("\"{}\": ", self.key(member.key));
            self.value(member.value, At { indent: at.indent + 1, depth: at.depth + 1 }, &key, comma);
        }
        self.push(at, &format!("}}{after}"));
    }

    /// The first element, and how many follow.
    fn array(&mut self, raw: RawJson<'_>, at: At, before: &str, after: &str) {
        let mut elements = raw.elements();
        let Some(first) = elements.next() else { return self.push(at, &format!("{before}[]{after}")) };
        if at.depth >= DEPTH_MAX {
            return self.push(at, &format!("{before}[…]{after}"));
        }
        let more = match elements.count() {
            0 => String::new(),
            count => format!(", and {count} more"),
        };
        self.value(first, At { depth: at.depth + 1, ..at }, &format!("{before}["), &format!("{more}]{after}"));
    }

    fn key(&self, key: RawJson<'_>) -> String {
        let key = key.scalar().unwrap_or_default();
        // Some answers have data for keys; those of OData have an `@`, too.
        if key.contains('@') && !key.contains("@odata.") {
            return format!("‹key, {} characters›", key.chars().count());
        }
        let shown: String = self.redactor.redact(&key).chars().take(KEY_CHARS_MAX).collect();
        shown.replace('\\', "\\\\").replace('"', "\\\"")
    }

    fn scalar(&self, raw: RawJson<'_>) -> String {
        match raw.kind() {
            JsonType::Number => "‹number›".to_owned(),
            JsonType::Text => {
                let text = raw.scalar().unwrap_or_default();
                match text.chars().nth(DATE_CHARS_MAX).is_none() && self.is_recent_date(&text) {
                    true => format!("\"{}\"", self.redactor.redact(&text)),
                    false => match text.chars().count() {
                        1 => "‹text, 1 character›".to_owned(),
                        count => format!("‹text, {count} characters›"),
                    },
                }
            }
            // Nothing but true, false and null is left.
            _ => raw.text().to_owned(),
        }
    }
}

impl Lines<'_> {
    fn is_recent_date(&self, text: &str) -> bool {
        let date = date::parse(text).filter(|_| is_written_date(text));
        date.is_some_and(|date| self.now.signed_duration_since(date).abs() <= RECENT)
    }
}

/// Whether a text is a date as people write it, and no mere number.
pub(super) fn is_written_date(text: &str) -> bool {
    let has_more_than_digits = text.bytes().any(|b| !b.is_ascii_digit());
    has_more_than_digits
        && (date::parse_written(text).is_some() || (text.starts_with("/Date(") && date::parse(text).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Secret;

    #[track_caller]
    fn check(record: &str, expected: &str) {
        let redactor = Redactor::new([Secret::new("the-secret")]);
        let raw = RawJson::parse(record).expect("JSON");
        assert_eq!(sample(raw, &redactor, date::parse("2025-01-01").expect("a date")).join("\n"), expected);
    }

    #[test]
    fn keys_and_shape_stay_and_values_go() {
        check(
            r#"{"id":1090519054123456789,"at":"2024-05-28T10:00:00.5+02:00","user":"jo\u00e9","ok":true,"none":null,
                "card":"4111111111111111","day":"20240528","tags":["a","b","c"],"empty":[],"o":{"p":[{"q":"x"},1]},"e":{}}"#,
            "{\n  \"id\": ‹number›,\n  \"at\": \"2024-05-28T10:00:00.5+02:00\",\n  \"user\": ‹text, 3 characters›,\n  \
             \"ok\": true,\n  \"none\": null,\n  \"card\": ‹text, 16 characters›,\n  \"day\": ‹text, 8 characters›,\n  \
             \"tags\": [‹text, 1 character›, and 2 more],\n  \"empty\": [],\n  \"o\": {\n    \"p\": [{\n      \
             \"q\": ‹text, 1 character›\n    }, and 1 more]\n  },\n  \"e\": {}\n}",
        );
        check(
            r#"{"born":"1980-02-03","jo@example.com":1,"@odata.type":"x"}"#,
            "{\n  \"born\": ‹text, 10 characters›,\n  \"‹key, 14 characters›\": ‹number›,\n  \"@odata.type\": ‹text, 1 character›\n}",
        );
        check("\"just text\"", "‹text, 9 characters›");
        check("17", "‹number›");
    }

    #[test]
    fn a_secret_in_a_key_is_taken_out() {
        check(r#"{"x-the-secret":1,"a\"\nb":2}"#, "{\n  \"x-***\": ‹number›,\n  \"a\\\" b\": ‹number›\n}");
    }

    #[test]
    fn a_sample_has_an_end_whatever_the_record() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        let nested = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        let wide =
            format!("{{{}}}", (0..10_000).map(|at| format!("\"k{at}\":{{\"a\":1}}")).collect::<Vec<_>>().join(","));
        let long = format!("{{\"{}\":1}}", "k".repeat(100_000));
        for record in [deep, nested, wide, long] {
            let raw = RawJson::parse(&record).expect("JSON");
            let lines = sample(raw, &Redactor::default(), DateTime::default());
            assert!(lines.len() <= LINES_MAX + 1, "{} lines", lines.len());
            assert!(lines.iter().all(|line| line.chars().count() < 500), "{lines:?}");
        }
    }
}
