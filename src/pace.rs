//! How fast one host is asked with one login, by all entries that do: what it asked for counts for all of them, and what
//! the config allows. Pure; the moments are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The most requests of a rate; each that counts is remembered.
pub const REQUESTS_MAX: u32 = 10_000;
/// The longest wait for a limit that only a header tells of. Who means more says so when it refuses.
const FORESEEN_MAX: Duration = Duration::from_secs(60);

/// How many requests may be made within a span, wherever the span begins (`settings.rate_limit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    requests: u32,
    per: Duration,
}

impl Rate {
    /// Reads `30/min`: requests per `s`, `min`, `h` or `day`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (requests, unit) = text.split_once('/').ok_or("it is not a rate")?;
        let per_s = match unit.trim().to_ascii_lowercase().as_str() {
            "s" | "sec" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3600,
            "d" | "day" => 86_400,
            _ => return Err("it is not a rate"),
        };
        let requests = requests.trim().parse::<u32>().map_err(|_| "it is not a rate")?;
        match requests {
            0 => Err("it should be more than 0"),
            _ if requests > REQUESTS_MAX => Err("it should be 10000 requests at most; name a shorter span"),
            _ => Ok(Self { requests, per: Duration::from_secs(per_s) }),
        }
    }

    /// The one of two that allows less in the long run.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let pause = |rate: Self| rate.per / rate.requests.max(1);
        if pause(other) > pause(self) { other } else { self }
    }
}

/// What is known of one host and login.
#[derive(Debug, Default)]
pub struct Pace {
    /// Nothing is asked before.
    held_until: Option<Instant>,
    /// When the last requests were, or will be, made, oldest first.
    made: VecDeque<Instant>,
    /// Whether its headers ever told of requests that were left: those that always say none mean something else.
    had_left: bool,
}

impl Pace {
    /// Takes the next place among the requests. Gives how long to wait for it.
    ///
    /// # Errors
    /// The wait, where it is longer than may be; the place isn't taken then.
    pub fn take(&mut self, rate: Option<Rate>, longest: Duration, now: Instant) -> Result<Duration, Duration> {
        let mut at = now + self.held(now).unwrap_or_default();
        match rate {
            Some(rate) => {
                let requests = usize::try_from(rate.requests).unwrap_or(usize::MAX);
                let before = self.made.len().checked_sub(requests).and_then(|index| self.made.get(index));
                at = at.max(before.map_or(now, |before| *before + rate.per));
                let wait = at.saturating_duration_since(now);
                if wait > longest {
                    return Err(wait);
                }
                self.made.push_back(at);
                while self.made.len() > requests {
                    self.made.pop_front();
                }
                Ok(wait)
            }
            None => {
                self.made.clear();
                let wait = at.saturating_duration_since(now);
                if wait > longest { Err(wait) } else { Ok(wait) }
            }
        }
    }

    /// How much longer nothing is to be asked.
    #[must_use]
    pub fn held(&self, now: Instant) -> Option<Duration> {
        self.held_until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Notes a wait that was asked for.
    pub fn hold(&mut self, span: Duration, now: Instant) {
        // Beyond what the clock can hold it is for ever, and nobody means that.
        self.held_until = self.held_until.max(now.checked_add(span));
    }

    /// Notes what an answer's headers tell: so many requests are left until a moment.
    pub fn note(&mut self, left: f64, until_more: Duration, now: Instant) {
        if left > 0.0 {
            self.had_left = true;
        } else if self.had_left {
            self.hold(until_more.min(FORESEEN_MAX), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(300);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn reads_rates() {
        for (text, requests, per) in
            [("30/min", 30, 60), (" 5 / s ", 5, 1), ("3000/h", 3000, 3600), ("100/Day", 100, 86_400)]
        {
            assert_eq!(Rate::parse(text), Ok(Rate { requests, per: s(per) }), "{text}");
        }
        for text in ["", "30", "0/min", "-1/s", "1/week", "1.5/s", "10001/day", "/min"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        let (slow, fast) = (Rate::parse("30/min").expect("a rate"), Rate::parse("1/s").expect("a rate"));
        assert_eq!([slow.stricter(fast), fast.stricter(slow)], [slow, slow]);
    }

    #[test]
    fn no_span_has_more_requests_than_the_rate_allows() {
        let (rate, start) = (Rate::parse("3/min").ok(), Instant::now());
        let mut pace = Pace::default();
        let mut made = Vec::new();
        for number in 0..20 {
            // Somebody asks every five seconds, and waits as long as it must.
            let now = start + s(5 * number);
            made.push(now + pace.take(rate, s(3600), now).expect("a place"));
        }
        for window in made.windows(4) {
            assert!(window[3] - window[0] >= s(60), "{:?}", made.iter().map(|at| *at - start).collect::<Vec<_>>());
        }
        assert_eq!(made[3] - start, s(60), "and not fewer than it can");
    }

    #[test]
    fn a_wait_holds_everybody_and_the_longest_counts() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.take(None, LONG, now), Ok(s(0)));
        pace.hold(s(30), now);
        pace.hold(s(10), now);
        assert_eq!(pace.take(None, LONG, now + s(5)), Ok(s(25)));
        assert_eq!(pace.take(None, s(20), now + s(5)), Err(s(25)));
        assert_eq!(pace.take(None, LONG, now + s(30)), Ok(s(0)));
    }

    #[test]
    fn a_place_that_is_too_far_away_is_not_taken() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let rate = Rate::parse("1/h").ok();
        assert_eq!(pace.take(rate, LONG, now), Ok(s(0)));
        assert_eq!(pace.take(rate, LONG, now), Err(s(3600)));
        assert_eq!(pace.take(rate, LONG, now + s(3400)), Ok(s(200)));
    }

    #[test]
    fn headers_hold_only_where_they_ever_counted_down_and_not_for_long() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.note(0.0, s(30), now);
        assert_eq!(pace.held(now), None);
        pace.note(1.0, s(30), now);
        pace.note(0.0, s(30), now);
        assert_eq!(pace.held(now), Some(s(30)));
        pace.note(0.0, s(86_400), now);
        assert_eq!(pace.held(now), Some(FORESEEN_MAX));
    }
}
