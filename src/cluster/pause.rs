//! Waits that a host asked one member for, and that all members keep.
//!
//! Under the host's key stands how many seconds are left, so nobody's clock is compared with another one's; and the key hangs
//! on a lease of that length, so it goes when the wait is over. What can't be told is not told: then each member is refused
//! once, as it was before. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// The longest wait that others are told of. A host that means more says so again.
pub const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How many waits may be on their way to the engine; more are not told.
pub const UNTOLD_MAX: usize = 64;
/// How often one host is told of: one that refuses everything does so many times a second.
const TOLD_EVERY: Duration = Duration::from_secs(3);
/// What is shorter when it could be told is over before anybody has heard of it.
const LEAST: Duration = Duration::from_secs(1);
/// How many hosts are remembered as just told of.
const HOSTS_MAX: usize = 10_000;

/// A wait that this member was asked for, which the others may not know yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntoldPause {
    /// Which host and login, in a word that tells nothing of either.
    pub host: String,
    /// Until when.
    pub until: Instant,
}

/// What is told of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldPause {
    /// Which host and login.
    pub host: String,
    /// How much longer it isn't to be asked; nothing where that is over.
    pub wait: Option<Duration>,
}

/// What was told lately.
#[derive(Debug, Default)]
pub struct PauseThrottle(HashMap<String, Instant>);

impl PauseThrottle {
    /// How long a wait is to be told of now; nothing where it isn't told.
    pub fn admit(&mut self, pause: &UntoldPause, now: Instant) -> Option<Duration> {
        self.0.retain(|_, told| now.saturating_duration_since(*told) < TOLD_EVERY);
        let wait = wait_of(pause, now)?;
        if self.0.contains_key(&pause.host) || self.0.len() >= HOSTS_MAX {
            return None;
        }
        self.0.insert(pause.host.clone(), now);
        Some(wait)
    }
}

/// How long a wait is to be told of, if it is worth that.
#[must_use]
pub fn wait_of(pause: &UntoldPause, now: Instant) -> Option<Duration> {
    let left = pause.until.saturating_duration_since(now);
    (left >= LEAST).then_some(left.min(PAUSE_MAX))
}

/// What stands under a host's key.
#[must_use]
pub fn encode_wait(wait: Duration) -> Vec<u8> {
    format!("{:.3}", wait.as_secs_f64()).into_bytes()
}

/// Out of what stands there, whatever that is. It is no longer than the longest.
#[must_use]
pub fn decode_wait(value: &[u8]) -> Option<Duration> {
    let seconds: f64 = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
    // A number, that is: of one that is none the smaller is the bound.
    let seconds = Some(seconds).filter(|seconds| !seconds.is_nan())?.min(PAUSE_MAX.as_secs_f64());
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    (!wait.is_zero()).then_some(wait)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pause(host: &str, until: Instant) -> UntoldPause {
        UntoldPause { host: host.to_owned(), until }
    }

    #[test]
    fn a_host_is_told_of_once_in_some_seconds_and_not_of_what_is_over_soon() {
        let (mut throttle, now) = (PauseThrottle::default(), Instant::now());
        let s = Duration::from_secs;
        assert_eq!(throttle.admit(&pause("a", now), now), None);
        assert_eq!(throttle.admit(&pause("a", now + s(1) / 2), now), None);
        assert_eq!(throttle.admit(&pause("a", now + s(8)), now), Some(s(8)));
        assert_eq!(throttle.admit(&pause("a", now + s(60)), now + s(1)), None);
        assert_eq!(throttle.admit(&pause("b", now + s(9_999)), now + s(1)), Some(PAUSE_MAX));
        assert_eq!(throttle.admit(&pause("a", now + s(60)), now + s(3)), Some(s(57)));
    }

    #[test]
    fn of_many_hosts_some_are_told_of() {
        let (mut throttle, now) = (PauseThrottle::default(), Instant::now());
        let until = now + Duration::from_secs(8);
        let told = (0..HOSTS_MAX + 10).filter(|host| throttle.admit(&pause(&host.to_string(), until), now).is_some());
        assert_eq!(told.count(), HOSTS_MAX);
    }

    #[test]
    fn whatever_stands_there_is_a_wait_within_the_bound_or_none() {
        for (value, seconds) in [("8", 8.0), ("7.250", 7.25), (" 3\n", 3.0), ("1e300", 300.0), ("inf", 300.0)] {
            assert_eq!(decode_wait(value.as_bytes()), Some(Duration::from_secs_f64(seconds)), "{value}");
        }
        for value in ["", "0", "-1", "-inf", "NaN", "soon", "8 s", "\0"] {
            assert_eq!(decode_wait(value.as_bytes()), None, "{value}");
        }
        assert_eq!(decode_wait(b"\xff\xfe"), None);
    }

    proptest! {
        #[test]
        fn a_wait_comes_back(ms in 1..300_000_u64) {
            let wait = Duration::from_millis(ms);
            prop_assert_eq!(decode_wait(&encode_wait(wait)), Some(wait));
        }

        #[test]
        fn no_value_breaks_the_reader(value in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(decode_wait(&value).is_none_or(|wait| wait <= PAUSE_MAX));
        }
    }
}
