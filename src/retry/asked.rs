//! The waits that servers ask for, in all the ways in which they do. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};

use crate::record::date;

/// Seconds from now are smaller than this, UNIX times are larger (2001 and on).
const UNIX_SECONDS_MIN: f64 = 1e9;
/// UNIX times in milliseconds are larger than this.
const UNIX_MILLISECONDS_MIN: f64 = 1e12;

/// Milliseconds from now (OpenAI, Azure).
const RETRY_AFTER_MS: [&str; 2] = ["retry-after-ms", "x-ms-retry-after-ms"];
/// `Retry-After` by other names (Bucket4j's among them).
const RETRY_AFTER_NAMES: [&str; 3] = ["retry-after", "x-retry-after", "x-rate-limit-retry-after-seconds"];
/// The moment at which a limit begins anew: seconds from now, UNIX time, or a date (IETF drafts, GitHub, Okta, Discord).
const RESETS: [&str; 4] = ["x-ratelimit-reset-after", "ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"];
/// How many requests are left until then.
const LEFT: [&str; 3] = ["ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining"];
/// The header of the IETF drafts on rate limits, in its older and its newer form.
const RATE_LIMIT: &str = "ratelimit";

/// The wait that a rate limit asks for. What counts another limit, with requests left, asks for none.
pub(super) fn by_limit(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let now = their_now(headers, now);
    retry_after(headers, now).or_else(|| structured(headers, now)?.until_reset()).or_else(|| {
        let is_used_up = left(headers).is_none_or(|left| left <= 0.0);
        is_used_up.then(|| resets(headers, now)).flatten()
    })
}

/// The wait that any failure may ask for.
pub(super) fn by_failure(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    retry_after(headers, their_now(headers, now))
}

/// Whether the headers say that a limit is used up.
pub(super) fn is_used_up(headers: &HeaderMap) -> bool {
    let structured = structured(headers, DateTime::UNIX_EPOCH);
    left(headers).is_some_and(|left| left <= 0.0) || structured.is_some_and(|limits| limits.has_used_up())
}

/// How many requests are left by the headers of any answer, and how long until there are more.
pub(super) fn quota(headers: &HeaderMap, now: DateTime<Utc>) -> Option<(f64, Duration)> {
    let now = their_now(headers, now);
    if let Some(limits) = structured(headers, now) {
        let scarcest = limits.0.iter().filter_map(|limit| Some((limit.left?, limit.reset?)));
        return scarcest.min_by(|a, b| a.0.total_cmp(&b.0));
    }
    Some((left(headers)?, resets(headers, now)?))
}

/// Dates count by the clock of who writes them.
fn their_now(headers: &HeaderMap, now: DateTime<Utc>) -> DateTime<Utc> {
    text(headers, DATE.as_str()).and_then(date::parse).unwrap_or(now)
}

fn left(headers: &HeaderMap) -> Option<f64> {
    LEFT.iter().find_map(|name| text(headers, name)).and_then(|left| left.parse::<f64>().ok())
}

fn resets(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    RESETS.iter().find_map(|name| until(text(headers, name)?, now))
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds or a date; and its relatives. None where it is over already.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let milliseconds = RETRY_AFTER_MS.iter().find_map(|name| text(headers, name)?.parse::<f64>().ok());
    let exactly = milliseconds.and_then(|milliseconds| Duration::try_from_secs_f64(milliseconds / 1000.0).ok());
    let roughly = || RETRY_AFTER_NAMES.iter().find_map(|name| until(text(headers, name)?, now));
    exactly.or_else(roughly).filter(|wait| !wait.is_zero())
}

/// A moment: seconds from now, UNIX time in seconds or milliseconds, or a date. None where it has passed.
fn until(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let seconds = text.strip_suffix('s').unwrap_or(text).trim_end();
    let Ok(number) = seconds.parse::<f64>() else {
        return date::parse(text)?.signed_duration_since(now).to_std().ok();
    };
    #[expect(clippy::cast_precision_loss, reason = "a wait needs no exact milliseconds")]
    let now_s = now.timestamp_millis() as f64 / 1000.0;
    let seconds = match number {
        _ if number >= UNIX_MILLISECONDS_MIN => number / 1000.0 - now_s,
        _ if number >= UNIX_SECONDS_MIN => number - now_s,
        _ => number,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// What `RateLimit` tells of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Limit {
    left: Option<f64>,
    reset: Option<Duration>,
}

/// What `RateLimit` tells of all of them.
struct Limits(Vec<Limit>);

impl Limits {
    fn has_used_up(&self) -> bool {
        self.0.iter().any(|limit| limit.left.is_some_and(|left| left <= 0.0))
    }

    /// Until the last of those that are used up begins anew, or that don't say how much is left.
    fn until_reset(&self) -> Option<Duration> {
        let is_used_up = |limit: &&Limit| limit.left.is_none_or(|left| left <= 0.0);
        self.0.iter().filter(is_used_up).filter_map(|limit| limit.reset).max()
    }
}

/// `RateLimit: "default";r=0;t=12` (draft 08 and on: a list, with parameters), and
/// `RateLimit: limit=10, remaining=0, reset=12` (draft 07 and before: one dictionary).
fn structured(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Limits> {
    let mut limits = Vec::new();
    let mut dictionary = Limit::default();
    for value in headers.get_all(RATE_LIMIT) {
        for item in value.to_str().ok()?.split(',') {
            let mut limit = Limit::default();
            for (name, value) in item.split(';').filter_map(|field| field.split_once('=')) {
                let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
                match name.as_str() {
                    "r" => limit.left = value.parse().ok(),
                    "t" => limit.reset = until(value, now),
                    "remaining" => dictionary.left = value.parse().ok(),
                    "reset" => dictionary.reset = until(value, now),
                    _ => {}
                }
            }
            limits.push(limit);
        }
    }
    limits.push(dictionary);
    limits.retain(|limit| *limit != Limit::default());
    (!limits.is_empty()).then_some(Limits(limits))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}
