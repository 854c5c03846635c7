//! Answers that aren't ready: the same is asked again, with what they gave to ask with. The deciding is pure.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::plan::ResponseRule;

/// How long an answer is left alone before it is asked for again the first time; the wait doubles,
const FIRST: Duration = Duration::from_secs(1);
/// up to this one: what takes minutes isn't missed by seconds.
const LONGEST: Duration = Duration::from_secs(30);
/// How long it is asked for in all: who needs longer is asked in the next iteration.
const WITHIN: Duration = Duration::from_secs(10 * 60);

/// What an answer says that isn't ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Later {
    /// The wait that it asks for.
    pub(super) asked: Option<Duration>,
    /// The header to ask again with.
    ticket: Option<(HeaderName, HeaderValue)>,
}

/// How often the same was asked for, and what to ask with next.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    times: u32,
    waited: Duration,
    ticket: Option<(HeaderName, HeaderValue)>,
}

impl Later {
    /// What an answer of this status says, where it isn't ready.
    pub(super) fn of(
        rule: &ResponseRule,
        status: StatusCode,
        headers: &HeaderMap,
        asked: Option<Duration>,
    ) -> Option<Self> {
        let ticket = || {
            let name = rule.retry_header.clone()?;
            let mut value = headers.get(&name)?.clone();
            value.set_sensitive(true);
            Some((name, value))
        };
        rule.retry_statuses.contains(&status).then(|| Self { asked, ticket: ticket() })
    }
}

impl Readiness {
    /// How long to wait before the same is asked for again; `None` where it was long enough.
    pub(super) fn pause(&mut self, later: Later) -> Option<Duration> {
        let left = WITHIN.checked_sub(self.waited).filter(|left| !left.is_zero())?;
        let own = FIRST.saturating_mul(2_u32.saturating_pow(self.times)).min(LONGEST);
        let pause = later.asked.unwrap_or(own).max(FIRST).min(left);
        self.times = self.times.saturating_add(1);
        self.waited = self.waited.saturating_add(pause);
        // An answer without one goes on with the one before.
        self.ticket = later.ticket.or(self.ticket.take());
        Some(pause)
    }

    /// How long was waited in all.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Puts what there is to ask with into the headers of a request.
    pub(super) fn put_into(&self, headers: &mut HeaderMap) {
        if let Some((name, value)) = &self.ticket {
            headers.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> ResponseRule {
        ResponseRule {
            retry_statuses: vec![StatusCode::ACCEPTED],
            retry_header: Some(HeaderName::from_static("response-id")),
            ..ResponseRule::default()
        }
    }

    fn headers(id: &'static str) -> HeaderMap {
        [(HeaderName::from_static("response-id"), HeaderValue::from_static(id))].into_iter().collect()
    }

    #[test]
    fn only_the_statuses_of_the_entry_mean_later_and_the_named_header_goes_along() {
        assert_eq!(Later::of(&rule(), StatusCode::OK, &headers("1"), None), None);
        assert_eq!(Later::of(&ResponseRule::default(), StatusCode::ACCEPTED, &headers("1"), None), None);
        let mut readiness = Readiness::default();
        let mut sent = HeaderMap::new();
        readiness.put_into(&mut sent);
        assert!(sent.is_empty());
        for (id, expected) in [(Some("one"), "one"), (Some("two"), "two"), (None, "two")] {
            let headers = id.map(headers).unwrap_or_default();
            let later = Later::of(&rule(), StatusCode::ACCEPTED, &headers, None).expect("it isn't ready");
            readiness.pause(later).expect("there is time");
            readiness.put_into(&mut sent);
            assert_eq!(sent["response-id"], expected);
        }
    }

    #[test]
    fn it_is_asked_less_and_less_often_and_as_it_says_until_the_time_is_up() {
        let mut readiness = Readiness::default();
        let asked = |seconds| Later { asked: Some(Duration::from_secs(seconds)), ticket: None };
        let mut pauses = vec![readiness.pause(asked(20)), readiness.pause(asked(0))];
        pauses.extend((0..4).map(|_| readiness.pause(Later::default())));
        let seconds: Vec<u64> = pauses.into_iter().map(|pause| pause.expect("there is time").as_secs()).collect();
        assert_eq!(seconds, [20, 1, 4, 8, 16, 30]);
        let further = std::iter::from_fn(|| readiness.pause(Later::default())).count();
        assert_eq!(readiness.waited(), WITHIN);
        assert_eq!(further, 18, "{:?} in all", readiness.waited());
    }
}
