//! `probe`: what it says of APIs, of the listener, and which config it proposes.

mod apis;
mod listener;

use crate::harness::{Fetcher, Outcome, Reply};

/// `probe` with the config, in a folder of its own.
fn probe(config: &str) -> Outcome {
    Fetcher::new(config).run("probe")
}

/// A page from whole records.
fn body(records: &[String], next: Option<&str>) -> Reply {
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    crate::harness::page(&records, next)
}
