//! `probe`: what it says of APIs, of the listener, and which config it proposes.

mod apis;
mod languages;
mod listener;
mod proposals;

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};

use crate::harness::{Fetcher, Outcome, Reply};

/// The second in which the tests begin: dates that moved between two requests would be other records.
static BEGUN: LazyLock<DateTime<Utc>> = LazyLock::new(|| DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap());

/// The date of an event some minutes ago; the first is the newest.
fn recent(at: u64) -> DateTime<Utc> {
    *BEGUN - TimeDelta::minutes(at as i64 + 1)
}

/// `probe` with the config, in a directory of its own.
fn probe(config: &str) -> Outcome {
    Fetcher::new(config).run("probe")
}

/// A page from whole records.
fn body(records: &[String], next: Option<&str>) -> Reply {
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    crate::harness::page(&records, next)
}
