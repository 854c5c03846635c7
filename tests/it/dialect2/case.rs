//! What the original was seen to do, and where something else is wanted.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

const FOLDER: &str = "tests/cases/dialect2/observed";
const DIFFERENCES: &str = "tests/cases/dialect2/differences.yaml";

/// One config, and what became of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(skip)]
    pub name: String,
    /// What it shows.
    pub what: String,
    /// With `@API@` for the address of the mock.
    pub config: String,
    pub iterations: Vec<Iteration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Iteration {
    pub asks: Vec<Exchange>,
    pub lines: Vec<String>,
}

/// A request, and what it was answered with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exchange {
    /// Method, path and query.
    pub ask: String,
    /// Those that the config or the type makes; the client's own aren't kept.
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub status: Option<u16>,
    /// The answer's headers, where it has others than the content type of JSON.
    pub gives: Option<BTreeMap<String, String>>,
    pub answer: String,
}

/// What is wanted instead of what was seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Why it is different.
    pub why: String,
    /// Answers in the place of those that were seen.
    #[serde(default)]
    pub instead: Vec<Exchange>,
    /// Answers to requests that the original never made, or for when those that were seen are used up.
    #[serde(default)]
    pub answers: Vec<Exchange>,
    /// Of each iteration what is wanted; `null` where nothing is compared.
    #[serde(default)]
    pub iterations: Vec<Option<Wanted>>,
}

/// Whatever is absent is as it was seen.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    pub asks: Option<Vec<WantedAsk>>,
    pub lines: Option<Vec<Value>>,
    /// The log says so.
    pub says: Vec<String>,
}

/// A request that is wanted: its headers and body don't matter, or they do.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum WantedAsk {
    Short(String),
    Whole(Exchange),
}

/// The dates in the cases, each on a day of its own, happened this many hours ago: the types ask for the last days.
const HAPPENED: [(&str, i64); 3] = [("2026-01-01T00:00:", 6), ("2026-01-02T00:00:", 4), ("2026-01-03T00:00:", 2)];

/// A text of a case, with its dates as if they had just been.
pub fn recent(text: &str, now: DateTime<Utc>) -> String {
    HAPPENED.iter().fold(text.to_owned(), |text, (then, hours)| {
        let date = now - TimeDelta::hours(*hours);
        text.replace(then, &date.format("%Y-%m-%dT%H:%M:").to_string())
    })
}

impl Case {
    pub fn all(now: DateTime<Utc>) -> Vec<Self> {
        let only = std::env::var("OBSERVED_ONLY").unwrap_or_default();
        let mut paths: Vec<_> = std::fs::read_dir(FOLDER).unwrap().map(|file| file.unwrap().path()).collect();
        paths.sort();
        let read = |path: std::path::PathBuf| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = recent(&std::fs::read_to_string(&path).unwrap(), now);
            let case: Self = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            Self { name, ..case }
        };
        let all = paths.into_iter().map(read);
        all.filter(|case| case.name.starts_with(&only)).collect()
    }
}

pub fn differences(now: DateTime<Utc>) -> BTreeMap<String, Difference> {
    let text = recent(&std::fs::read_to_string(DIFFERENCES).unwrap(), now);
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{DIFFERENCES}: {error}"))
}
