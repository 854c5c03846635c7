//! What follows a failure: the one verdict, how long to wait before another try, and when to give up.
//!
//! Both directions use it, towards the API and towards the listener. The deciding is pure: time and chance are arguments.

mod asked;
mod attempts;

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

pub use attempts::{AttemptOutcome, Attempts, until_done};

/// The longest wait that a server may ask for within an iteration; a longer one ends it.
pub const ASKED_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest wait that a server may ask of somebody who sits and waits for an answer (`once`, `probe`).
pub const ASKED_MAX_ATTENDED: Duration = Duration::from_secs(60);
/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, not before the wait that the server asked for.
    Retry {
        /// What the server asked for, if it did.
        asked: Option<Duration>,
    },
    /// Nothing helps for now: the iteration ends.
    End,
}

/// How often and how long to try.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The most tries, the first one included.
    pub tries_max: u32,
    /// The span from the first try within which another may begin.
    pub span_max: Duration,
    /// The wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// The longest wait that is not asked for.
    pub longest: Duration,
    /// What the log says of another try.
    pub told: &'static str,
}

/// Towards an API: a few tries; the next iteration is never far.
pub const API: Policy = Policy {
    tries_max: 5,
    span_max: Duration::from_secs(30 * 60),
    first: Duration::from_millis(500),
    longest: Duration::from_secs(30),
    told: "retrying",
};

/// Towards the listener: up to five minutes, as what is in hand would have to be fetched again.
pub const LISTENER: Policy = Policy {
    tries_max: u32::MAX,
    span_max: Duration::from_secs(5 * 60),
    first: Duration::from_millis(500),
    longest: Duration::from_secs(30),
    told: "retrying the batch",
};

/// Towards a listener whose batches may wait on the disk instead: the next iteration asks it again.
pub const LISTENER_ONCE: Policy = Policy { tries_max: 1, ..LISTENER };

/// The tries of one request.
#[derive(Debug)]
struct Retries {
    policy: Policy,
    tries: u32,
    begun: tokio::time::Instant,
    /// Whether the try that is made now is the last one.
    is_last: bool,
}

impl Retries {
    /// Before the first try.
    fn new(policy: Policy) -> Self {
        Self { policy, tries: 0, begun: tokio::time::Instant::now(), is_last: false }
    }

    /// How many tries have failed.
    fn failed(&self) -> u32 {
        self.tries
    }

    /// After a failed try: how long to wait before the next, or nothing to give up.
    fn next_wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.tries = self.tries.saturating_add(1);
        let wait = next_wait(&self.policy, self.tries, self.begun.elapsed(), asked, fastrand::f64());
        wait.filter(|_| !self.is_last)
    }
}

/// The wait before the next try; nothing where there is none. The last one is made at the end of the span.
fn next_wait(
    policy: &Policy,
    failed: u32,
    elapsed: Duration,
    asked: Option<Duration>,
    chance: f64,
) -> Option<Duration> {
    let left = policy.span_max.saturating_sub(elapsed);
    let has_more = failed < policy.tries_max && !left.is_zero();
    has_more.then(|| wait(policy, failed, asked, chance).min(left))
}

/// The wait after a number of failed tries; `chance` (0 to 1) spreads those that failed together.
fn wait(policy: &Policy, failed: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let doubled = policy.first.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)));
    let own = doubled.min(policy.longest).mul_f64(0.5 + 0.5 * chance);
    own.max(asked.unwrap_or_default().min(ASKED_MAX))
}

/// What an answer of this status and these headers is followed by.
#[must_use]
pub fn verdict(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Verdict {
    match status {
        StatusCode::TOO_MANY_REQUESTS => limited(headers, now),
        StatusCode::REQUEST_TIMEOUT => Verdict::Retry { asked: asked::by_limit(headers, now) },
        // Some send their rate limit as 403, with the headers of a rate limit.
        StatusCode::FORBIDDEN if asked::by_failure(headers, now).is_some() || asked::is_used_up(headers) => {
            limited(headers, now)
        }
        _ if status.is_server_error() => Verdict::Retry { asked: asked::by_failure(headers, now) },
        _ => Verdict::End,
    }
}

/// What follows an answer that is a rate limit, whatever its status.
#[must_use]
pub fn limited(headers: &HeaderMap, now: DateTime<Utc>) -> Verdict {
    Verdict::Retry { asked: asked::by_limit(headers, now) }
}

/// The wait that any answer may ask for (`Retry-After`), as one does that says that a job isn't done.
#[must_use]
pub fn asked_wait(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    asked::by_failure(headers, now)
}

/// How many requests are left by the headers of any answer, and how long until there are more; nothing where they don't
/// say both.
#[must_use]
pub fn quota(headers: &HeaderMap, now: DateTime<Utc>) -> Option<(f64, Duration)> {
    asked::quota(headers, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    #[track_caller]
    fn check(status: u16, headers: &[(&'static str, &'static str)], expected: Verdict) {
        let headers: HeaderMap =
            headers.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect();
        let now = DateTime::from_timestamp(1_716_900_000, 0).unwrap_or_default();
        let status = StatusCode::from_u16(status).expect("a status");
        assert_eq!(verdict(status, &headers, now), expected, "{status} {headers:?}");
    }

    fn retry(seconds: Option<u64>) -> Verdict {
        Verdict::Retry { asked: seconds.map(Duration::from_secs) }
    }

    #[test]
    fn hears_what_servers_ask_for() {
        check(429, &[("retry-after", "17")], retry(Some(17)));
        check(429, &[("retry-after", "17.0")], retry(Some(17)));
        check(429, &[("retry-after", "17s")], retry(Some(17)));
        check(429, &[("retry-after", "Tue, 28 May 2024 12:40:20 GMT")], retry(Some(20)));
        check(429, &[("retry-after", "Tue, 28 May 2024 12:00:00 GMT")], retry(None));
        check(429, &[("retry-after", "86400")], retry(Some(86_400)));
        check(429, &[("retry-after-ms", "11000")], retry(Some(11)));
        check(429, &[("retry-after-ms", "11000"), ("retry-after", "12")], retry(Some(11)));
        check(429, &[("retry-after", "0"), ("x-ratelimit-reset", "9")], retry(Some(9)));
        check(429, &[("x-ratelimit-reset", "40")], retry(Some(40)));
        check(429, &[("x-ratelimit-reset-after", "40.0")], retry(Some(40)));
        check(429, &[("ratelimit-reset", "40")], retry(Some(40)));
        check(429, &[("x-rate-limit-reset", "1716900009")], retry(Some(9)));
        check(429, &[("x-ratelimit-reset", "1716900009000")], retry(Some(9)));
        check(429, &[("x-ratelimit-reset", "2024-05-28T12:40:09Z")], retry(Some(9)));
        check(429, &[("x-ratelimit-reset", "-3")], retry(None));
        check(429, &[("retry-after", "soon")], retry(None));
        check(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "5")], retry(Some(5)));
        check(403, &[("x-ratelimit-remaining", "10"), ("x-ratelimit-reset", "5")], Verdict::End);
        check(403, &[("retry-after", "6")], retry(Some(6)));
        check(503, &[("retry-after", "2")], retry(Some(2)));
        check(500, &[("x-ratelimit-reset", "3000")], retry(None));
        check(408, &[], retry(None));
        for status in [400, 401, 403, 404, 413, 422] {
            check(status, &[], Verdict::End);
        }
    }

    #[test]
    fn hears_the_drafts_of_a_standard_in_both_forms() {
        check(429, &[("ratelimit", r#""default";r=0;t=12"#)], retry(Some(12)));
        check(429, &[("ratelimit", r#""burst";r=3;t=2, "day";r=0;t=4000"#)], retry(Some(4000)));
        check(429, &[("ratelimit", "limit=10, remaining=0, reset=12")], retry(Some(12)));
        check(429, &[("ratelimit", r#""default";r=7;t=12"#)], retry(None));
        check(403, &[("ratelimit", r#""default";r=0;t=12"#)], retry(Some(12)));
        check(403, &[("ratelimit", r#""default";r=1;t=12"#)], Verdict::End);
    }

    #[test]
    fn a_limit_with_requests_left_asks_for_no_wait() {
        check(429, &[("x-ratelimit-remaining", "4900"), ("x-ratelimit-reset", "3000")], retry(None));
    }

    #[test]
    fn dates_count_by_the_clock_of_who_writes_them() {
        let an_hour_ahead = [("date", "Tue, 28 May 2024 13:40:00 GMT"), ("x-rate-limit-reset", "1716903609")];
        check(429, &an_hour_ahead, retry(Some(9)));
        check(429, &[an_hour_ahead[0], ("retry-after", "9")], retry(Some(9)));
    }

    /// How many tries are made, and when the last one begins, if each fails at once.
    fn tries(policy: &Policy, asked: Option<Duration>) -> (u32, Duration) {
        let (mut failed, mut elapsed) = (1, Duration::ZERO);
        while let Some(wait) = next_wait(policy, failed, elapsed, asked, 0.5) {
            (failed, elapsed) = (failed + 1, elapsed + wait);
        }
        (failed, elapsed)
    }

    #[test]
    fn gives_an_api_five_tries_and_the_listener_five_minutes() {
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(tries(&API, None).0, 5);
        assert_eq!(tries(&API, asked(1000)), (5, Duration::from_secs(4 * 300)));
        assert_eq!(tries(&LISTENER, None).1, Duration::from_secs(300));
        assert_eq!(tries(&LISTENER, asked(1000)), (2, Duration::from_secs(300)));
    }

    #[test]
    fn waits_longer_each_time_and_never_too_long() {
        let seconds = |failed, asked, chance| wait(&API, failed, asked, chance).as_secs_f64();
        assert_eq!([1, 2, 3, 4, 9].map(|failed| seconds(failed, None, 1.0)), [0.5, 1.0, 2.0, 4.0, 30.0]);
        assert_eq!(seconds(1, None, 0.0), 0.25);
        assert_eq!(seconds(u32::MAX, None, 1.0), 30.0);
        assert_eq!(seconds(1, Some(Duration::from_secs(86_400)), 1.0), 300.0);
    }
}
