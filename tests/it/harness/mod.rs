//! Mock API, mock listener, and a builder for the fetcher between them.

mod fetcher;
mod server;

pub use fetcher::{Fetcher, Outcome, Running};
pub use server::{Asked, MockListener, MockServer, Reply, Tls, unpack};

use std::time::{Duration, Instant};

/// How long anything may take that a test waits for; far more than it needs.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until something holds; fails with what was waited for.
#[track_caller]
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_or_tell(what, holds, String::new);
}

/// The same; whoever waits in vain is told more.
#[track_caller]
fn wait_or_tell(what: &str, mut holds: impl FnMut() -> bool, more: impl FnOnce() -> String) {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() >= DEADLINE {
            panic!("waited {DEADLINE:?} in vain for: {what}{}", more());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Decodes a query as a form.
pub fn decoded(query: &str) -> String {
    percent_encoding::percent_decode_str(query).decode_utf8_lossy().into_owned()
}

/// The config of one general auth API.
pub fn general(api: &str, listener: &str, more: &str) -> String {
    format!(
        "logzio:\n  url: {listener}\n  token: shipping-token-1\nauth_apis:\n  - type: general\n    name: events\n    \
         credentials: {{id: the-id, key: the-basic-key}}\n    settings: {{time_interval: 1s, days_back_fetch: 5}}\n    \
         start_date_name: since\n    http_request: {{url: '{api}/events'}}\n    \
         json_paths: {{next_url: next, data: data, data_date: date}}\n{more}"
    )
}

/// A page of such an API.
pub fn page(records: &[&str], next: Option<&str>) -> Reply {
    let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
    Reply::json(&format!(r#"{{"data":[{}],"next":{next}}}"#, records.join(",")))
}

/// A record of such an API.
pub fn record(id: u64, date: &str) -> String {
    format!(r#"{{"id":{id},"date":"{date}"}}"#)
}

/// A date some minutes ago.
pub fn minutes_ago(minutes: i64) -> String {
    let date = chrono::Utc::now() - chrono::TimeDelta::minutes(minutes);
    date.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
