//! Whether a request is the one that was seen.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::case::Exchange;
use crate::harness::Asked;

/// How far a moment may be off that is counted from now: the cases take a while.
const OFF_MAX: TimeDelta = TimeDelta::minutes(6);
const FORM: &str = "application/x-www-form-urlencoded";

/// How the product's request differs from the one that is wanted.
pub fn difference(wanted: &Exchange, asked: &Asked) -> Option<String> {
    let (method, target) = wanted.ask.split_once(' ').expect("method and target");
    if method != asked.method || !fits(target, &target_of(asked)) {
        return Some(format!("asked {}, wanted {}", shown(asked), wanted.ask));
    }
    let of_headers = wanted.headers.iter().find_map(|(name, value)| match asked.header(name) {
        Some(found) if fits(value, found) => None,
        found => Some(format!("{}: header {name} is {found:?}, wanted {value:?}", wanted.ask)),
    });
    of_headers.or_else(|| {
        let same = body_fits(&wanted.body, asked);
        (!same).then(|| format!("{}: body {:?}, wanted {:?}", wanted.ask, asked.text(), wanted.body))
    })
}

/// What the original leaves as it is, and the product encodes in the values that it puts in itself: servers read both alike.
const ALIKE: [(&str, &str); 3] = [("%3A", ":"), ("%27", "'"), ("%3D", "=")];

/// As in the request line, but for [`ALIKE`].
pub fn target_of(asked: &Asked) -> String {
    let query = ALIKE.iter().fold(asked.query.clone(), |query, (encoded, plain)| query.replace(encoded, plain));
    match query.as_str() {
        "" => asked.path.clone(),
        query => format!("{}?{query}", asked.path),
    }
}

/// A request on one line.
pub fn shown(asked: &Asked) -> String {
    let body = asked.text();
    format!("{} {}{}{body}", asked.method, target_of(asked), if body.is_empty() { "" } else { " " })
}

/// JSON is compared by its values, a form by its fields: the original sends blanks and line breaks that YAML has folded, and
/// encodes nothing. Any other text is the same.
fn body_fits(wanted: &str, asked: &Asked) -> bool {
    let text = asked.text();
    if wanted == "<any>" {
        return true;
    }
    if let (Ok(wanted), Ok(found)) = (serde_json::from_str::<Value>(wanted), serde_json::from_str::<Value>(&text)) {
        return json_fits(&wanted, &found);
    }
    if asked.header("content-type").is_some_and(|kind| kind.starts_with(FORM)) {
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let mut wanted: Vec<String> = wanted.split('&').map(|field| decoded(field.trim())).collect();
        let mut found: Vec<String> = text.split('&').map(|field| decoded(&field.replace('+', " "))).collect();
        wanted.sort();
        found.sort();
        return wanted.len() == found.len() && wanted.iter().zip(&found).all(|(wanted, found)| fits(wanted, found));
    }
    fits(wanted, &text)
}

fn json_fits(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::String(wanted), Value::String(found)) => fits(wanted, found),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| json_fits(wanted, found))
        }
        (Value::Object(wanted), Value::Object(found)) => {
            let same = |(name, value): (&String, &Value)| found.get(name).is_some_and(|found| json_fits(value, found));
            wanted.len() == found.len() && wanted.iter().all(same)
        }
        (wanted, found) => wanted == found,
    }
}

/// Whether a text is the one that is wanted, where `<now-7d:us>` stands for that moment with microseconds (`s`: with seconds),
/// `<date:s>` for any date (`any`: in any form), and `<any>` for anything.
pub fn fits(wanted: &str, found: &str) -> bool {
    let places = ["<now", "<date", "<any>"].iter().filter_map(|place| wanted.find(place));
    let Some(at) = places.min() else { return wanted == found };
    let Some(rest) = found.strip_prefix(&wanted[..at]) else { return false };
    let Some(end) = wanted[at..].find('>').map(|end| at + end) else { return false };
    let (place, behind) = (&wanted[at + 1..end], &wanted[end + 1..]);
    // What follows a place begins with something that no value has in it.
    let next = behind.chars().next();
    let length = next.map_or(Some(rest.len()), |next| rest.find(next));
    let Some(length) = length else { return false };
    let is_good = place == "any" || is_date(place, &rest[..length]);
    is_good && fits(behind, &rest[length..])
}

fn is_date(place: &str, text: &str) -> bool {
    let (when, unit) = place.split_once(':').expect("a moment and its unit");
    let Ok(date) = text.parse::<DateTime<Utc>>() else { return false };
    let pattern = if unit == "us" { "%Y-%m-%dT%H:%M:%S%.6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    if unit != "any" && date.format(pattern).to_string() != text {
        return false;
    }
    let Some(before) = when.strip_prefix("now-") else { return when == "date" };
    let (number, kind) = before.split_at(before.len() - 1);
    let number: i64 = number.parse().expect("a number");
    let before = if kind == "d" { TimeDelta::days(number) } else { TimeDelta::hours(number) };
    (Utc::now() - before - date).abs() < OFF_MAX
}

#[test]
fn places_stand_for_what_differs_from_run_to_run() {
    let date = (Utc::now() - TimeDelta::days(7)).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    assert!(fits("/a?since=<now-7d:us>&page=2", &format!("/a?since={date}&page=2")));
    assert!(!fits("/a?since=<now-7d:us>&page=2", &format!("/a?since={date}&page=3")));
    assert!(!fits("/a?since=<now-7d:s>", &format!("/a?since={date}")));
    assert!(!fits("/a?since=<now-6d:us>", &format!("/a?since={date}")));
    assert!(fits("a=<any>&b=<date:s>", "a=x/y&b=2026-01-02T03:04:05Z"));
    assert!(fits("b=<date:any>", "b=2026-01-02T03:04:05.6+00:00"));
    assert!(!fits("b=<date:s>", "b=2026-01-02T03:04:05+00:00"));
}
