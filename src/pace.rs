//! How fast one host is asked with one login, by all entries that do: what it asked for counts for all of them, and what
//! the config allows. Pure; the moments are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The most requests of a rate; each that counts is remembered.
pub const REQUESTS_MAX: u32 = 10_000;
/// The longest wait for a limit that only a header tells of. Who means more says so when it refuses.
const FORESEEN_MAX: Duration = Duration::from_secs(60);
/// A wait that isn't longer is not worth telling other processes: it is over before they could act by it.
const TOLD_FROM: Duration = Duration::from_secs(2);

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

    /// A share of it, in whole requests: then no span has more than the rate allows, whenever the others ask. A share of less
    /// than one request is one in a longer span.
    #[must_use]
    pub fn shared(self, share: RateShare) -> Self {
        let RateShare { own, all } = share;
        let (own, all) = (u64::from(self.requests) * u64::from(own), u64::from(all));
        match u32::try_from(own / all) {
            Ok(requests) if requests > 0 => Self { requests, ..self },
            _ => {
                let per_ns = (self.per.as_nanos() * u128::from(all)).div_ceil(u128::from(own.max(1)));
                Self { requests: 1, per: Duration::from_nanos(u64::try_from(per_ns).unwrap_or(u64::MAX)) }
            }
        }
    }
}

/// How much of a rate this process may use, where several share the entries that ask a host with a login: as much as it has
/// of these entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateShare {
    own: u32,
    all: u32,
}

impl RateShare {
    /// Of a process that is alone.
    pub const WHOLE: Self = Self { own: 1, all: 1 };

    /// So many of all entries. Nobody has less than one, as whoever asks has that.
    #[must_use]
    pub fn of(own: u32, all: u32) -> Self {
        let own = own.max(1);
        Self { own, all: all.max(own) }
    }

    /// Whether it is less than another one.
    #[must_use]
    pub fn is_less_than(self, other: Self) -> bool {
        u64::from(self.own) * u64::from(other.all) < u64::from(other.own) * u64::from(self.all)
    }
}

impl Default for RateShare {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// What is known of one host and login.
#[derive(Debug, Default)]
pub struct Pace {
    /// Nothing is asked before, as the host asked this process for it.
    held_until: Option<Instant>,
    /// The same, as it asked another process.
    told_until: Option<Instant>,
    /// How much of the rate is this process's own.
    share: RateShare,
    /// When the last requests were, or will be, made, oldest first: as many as the rate allows, and those that wait.
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
                let (whole, whole_per) = (usize::try_from(rate.requests).unwrap_or(usize::MAX), rate.per);
                let rate = rate.shared(self.share);
                let requests = usize::try_from(rate.requests).unwrap_or(usize::MAX);
                let before = self.made.len().checked_sub(requests).and_then(|index| self.made.get(index));
                at = at.max(before.map_or(now, |before| *before + rate.per));
                let wait = at.saturating_duration_since(now);
                if wait > longest {
                    return Err(wait);
                }
                self.made.push_back(at);
                // A share may grow, and places may be given up: then the earlier ones count, too.
                let is_over = |made: &Instant| now.saturating_duration_since(*made) >= whole_per;
                while self.made.len() > whole && self.made.front().is_some_and(is_over) {
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
        let until = self.held_until.max(self.told_until);
        until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Until when nothing is to be asked, where that is worth telling other processes and they don't seem to know it.
    #[must_use]
    pub fn untold(&self, now: Instant) -> Option<Instant> {
        let known = self.told_until.max(Some(now))?;
        self.held_until.filter(|until| until.saturating_duration_since(known) > TOLD_FROM)
    }

    /// Notes a wait that another process was asked for.
    pub fn hold_as_told(&mut self, span: Duration, now: Instant) {
        self.told_until = self.told_until.max(now.checked_add(span));
    }

    /// What another process was asked for is over. Those that wait take their places anew.
    pub fn end_told(&mut self, now: Instant) {
        self.told_until = None;
        self.give_up_places(now);
    }

    /// This process may use so much of the rate from now on. Gives whether that is new: then those that wait take their
    /// places anew.
    pub fn share_out(&mut self, share: RateShare, now: Instant) -> bool {
        let is_new = std::mem::replace(&mut self.share, share) != share;
        if is_new {
            self.give_up_places(now);
        }
        is_new
    }

    fn give_up_places(&mut self, now: Instant) {
        self.made.retain(|at| *at <= now);
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
    use proptest::prelude::*;

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

    #[test]
    fn a_share_is_in_whole_requests_and_one_of_less_is_a_longer_span() {
        let shared = |rate: &str, own, all| {
            let rate = Rate::parse(rate).expect("a rate").shared(RateShare::of(own, all));
            (rate.requests, rate.per.as_millis())
        };
        assert_eq!(shared("30/min", 1, 1), (30, 60_000));
        assert_eq!(shared("30/min", 3, 8), (11, 60_000));
        assert_eq!(shared("1/s", 1, 3), (1, 3_000));
        assert_eq!(shared("2/s", 3, 8), (1, 1_333));
        assert_eq!(shared("1/day", 1, u32::MAX).0, 1);
        assert_eq!(shared("1/s", 0, 4), (1, 4_000), "whoever asks has an entry");
    }

    #[test]
    fn a_smaller_share_counts_at_once_and_a_larger_one_counts_what_was_before() {
        let (rate, start) = (Rate::parse("4/min").ok(), Instant::now());
        let mut pace = Pace::default();
        let take = |pace: &mut Pace, at| pace.take(rate, LONG, start + s(at)).map(|wait| wait.as_secs());
        for expected in [0, 0, 0, 0, 60] {
            assert_eq!(take(&mut pace, 0), Ok(expected));
        }
        assert!(pace.share_out(RateShare::of(1, 4), start));
        assert_eq!(take(&mut pace, 0), Ok(60), "who had a place in the future has none any more");
        assert!(pace.share_out(RateShare::of(2, 4), start + s(30)));
        assert!(!pace.share_out(RateShare::of(2, 4), start + s(30)));
        assert_eq!([take(&mut pace, 30), take(&mut pace, 30), take(&mut pace, 30)], [Ok(30), Ok(30), Ok(90)]);
        assert!(pace.share_out(RateShare::WHOLE, start + s(70)));
        assert_eq!([take(&mut pace, 70), take(&mut pace, 70), take(&mut pace, 70)], [Ok(0), Ok(0), Ok(50)]);
        assert!(pace.share_out(RateShare::of(3, 4), start + s(71)));
        assert!(pace.share_out(RateShare::WHOLE, start + s(72)));
        assert_eq!(take(&mut pace, 72), Ok(48), "places that were given up leave what was before");
    }

    #[test]
    fn what_another_process_was_asked_for_holds_until_it_is_over() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.hold_as_told(s(30), now);
        assert_eq!(pace.take(None, LONG, now + s(10)), Ok(s(20)));
        pace.end_told(now + s(11));
        assert_eq!(pace.held(now + s(11)), None);
        pace.hold(s(20), now);
        pace.hold_as_told(s(5), now);
        pace.end_told(now);
        assert_eq!(pace.held(now), Some(s(20)), "its own wait stays");
    }

    #[test]
    fn a_wait_is_told_once_and_not_where_it_is_short() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.untold(now), None);
        pace.hold(s(2), now);
        assert_eq!(pace.untold(now), None);
        pace.hold(s(10), now);
        assert_eq!(pace.untold(now), Some(now + s(10)));
        assert_eq!(pace.untold(now + s(9)), None);
        pace.hold_as_told(s(9), now);
        assert_eq!(pace.untold(now), None, "they know it");
        pace.hold(s(60), now);
        assert_eq!(pace.untold(now), Some(now + s(60)));
    }

    proptest! {
        /// However the entries lie among processes: together they have no more than the rate in the long run, and within any
        /// span where each has a request at least.
        #[test]
        fn shares_are_no_more_than_the_rate(requests in 1..=REQUESTS_MAX, owned in prop::collection::vec(0..50_u32, 1..12)) {
            let rate = Rate { requests, per: s(60) };
            let all: u32 = owned.iter().sum();
            let asking = owned.iter().filter(|own| **own > 0);
            let shares: Vec<Rate> = asking.map(|own| rate.shared(RateShare::of(*own, all))).collect();
            let per_s: f64 = shares.iter().map(|share| f64::from(share.requests) / share.per.as_secs_f64()).sum();
            prop_assert!(per_s <= f64::from(requests) / 60.0 * (1.0 + 1e-9), "{per_s}");
            if shares.iter().all(|share| share.per == rate.per) {
                prop_assert!(shares.iter().map(|share| share.requests).sum::<u32>() <= requests);
            }
            // Nobody starves.
            let least = f64::from(requests) / 60.0 / f64::from(all.max(1)) / 2.0;
            prop_assert!(shares.iter().all(|share| f64::from(share.requests) / share.per.as_secs_f64() >= least));
        }

        /// Several processes ask as fast as they may, at any moments: no span has more requests than the rate.
        #[test]
        fn no_span_of_several_processes_has_more_requests_than_the_rate(
            requests in 4..40_u32,
            owned in prop::collection::vec(1..4_u32, 1..4),
            asked in prop::collection::vec((0..4_usize, 0..20_000_u64), 1..200),
        ) {
            let (rate, start, all) = (Rate { requests, per: s(60) }, Instant::now(), owned.iter().sum());
            prop_assume!(owned.iter().all(|own| requests * own >= all));
            let mut paces: Vec<Pace> = owned.iter().map(|_| Pace::default()).collect();
            for (pace, own) in paces.iter_mut().zip(&owned) {
                pace.share_out(RateShare::of(*own, all), start);
            }
            let (mut now, mut made) = (start, Vec::new());
            for (process, passed) in asked {
                now += Duration::from_millis(passed);
                let process = process % paces.len();
                made.push(now + paces[process].take(Some(rate), s(86_400), now).expect("a place"));
            }
            made.sort_unstable();
            let span = usize::try_from(requests).expect("small");
            prop_assert!(made.windows(span + 1).all(|window| window[span] - window[0] >= s(60)));
        }

        #[test]
        fn one_of_two_shares_is_less_or_they_are_alike(a in (1..100_u32, 1..100_u32), b in (1..100_u32, 1..100_u32)) {
            let (one, other) = (RateShare::of(a.0, a.1), RateShare::of(b.0, b.1));
            let part = |share: RateShare| f64::from(share.own) / f64::from(share.all);
            prop_assert_eq!(one.is_less_than(other), part(one) < part(other) - 1e-9);
            prop_assert!(!(one.is_less_than(other) && other.is_less_than(one)));
        }
    }
}
