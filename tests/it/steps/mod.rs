//! A request for each entry of a list: details, blobs, files, partitions, jobs and their chunks. The mocks have the
//! documented shape of services that work so, and refuse whatever these refuse.

mod audit_blobs;
mod export_jobs;
mod log_files;
mod partitions;
mod signed_urls;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::harness::{Asked, MockListener, Reply, decoded};

/// The fields of a query, decoded; refused where one is unknown, or one that must be there is missing.
fn fields(asked: &Asked, required: &[&str], optional: &[&str]) -> Result<Vec<(String, String)>, Reply> {
    let fields: Vec<(String, String)> = asked
        .query
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            (decoded(name), decoded(value))
        })
        .collect();
    let is_known = |name: &String| required.contains(&name.as_str()) || optional.contains(&name.as_str());
    if let Some((name, _)) = fields.iter().find(|(name, _)| !is_known(name)) {
        return Err(Reply::status(400, &format!("unknown parameter {name}")));
    }
    match required.iter().find(|name| fields.iter().all(|(known, _)| known != *name)) {
        Some(name) => Err(Reply::status(400, &format!("the parameter {name} is missing"))),
        None => Ok(fields),
    }
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// A date without a zone, to the second, as some services insist on.
fn plain_date(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok().map(|date| date.and_utc())
}

/// The numbers that the records of a listener have under a key, sorted.
fn numbers(listener: &MockListener, key: &str) -> Vec<u64> {
    let number = |line: &String| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        match &record[key] {
            serde_json::Value::String(text) => text.parse().unwrap(),
            other => other.as_u64().unwrap_or_else(|| panic!("no `{key}` in {line}")),
        }
    };
    let mut numbers: Vec<u64> = listener.lines().iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}
