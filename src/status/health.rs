//! The state of an API: one of seven, decided in one place, for the page and for `/status.json` alike.

use chrono::{DateTime, TimeDelta, Utc};

use super::snapshot::{ApiStatus, Phase};
use crate::text::humanize::{counted, pause};

/// How long what was seen once counts as a warning.
const WARNS_FOR: TimeDelta = TimeDelta::days(1);

/// The state of an API, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiHealth {
    /// So many iterations in a row have failed that it is no passing trouble.
    Failing {
        /// When the first of them began.
        since: Option<DateTime<Utc>>,
    },
    /// The last iteration failed, or the last two; the next one may succeed.
    Retrying {
        /// How many in a row.
        failures: u32,
    },
    /// It works, but something is not right.
    Warning,
    /// The API asked to be left alone.
    Waiting {
        /// Until then.
        until: DateTime<Utc>,
    },
    /// No iteration has ended yet.
    Starting,
    /// No iteration follows.
    Stopped,
    /// All is well.
    Ok,
}

/// The states, the worst first: as they are written in a URL and in `/status.json`.
pub const STATES: [&str; 7] = ["failing", "retrying", "warning", "waiting", "starting", "stopped", "ok"];

/// Something that works, and is not right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is, and what to do.
    pub text: String,
    /// When it was seen last; nothing where it lasts.
    pub last_seen: Option<DateTime<Utc>>,
}

impl ApiHealth {
    /// Decides.
    #[must_use]
    pub fn of(api: &ApiStatus, now: DateTime<Utc>) -> Self {
        let trouble = api.trouble.as_ref();
        match (api.phase, trouble.map(|trouble| trouble.until)) {
            (Phase::Waiting { until: None }, _) => Self::Stopped,
            _ if api.is_failing() => Self::Failing { since: api.failing_since },
            (_, Some(Some(until))) => Self::Waiting { until },
            (_, Some(None)) => Self::Retrying { failures: api.failures_in_a_row },
            _ if !warnings(api, now).is_empty() => Self::Warning,
            _ if api.succeeded == 0 => Self::Starting,
            _ => Self::Ok,
        }
    }

    /// As one word, one of `STATES`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failing { .. } => "failing",
            Self::Retrying { .. } => "retrying",
            Self::Warning => "warning",
            Self::Waiting { .. } => "waiting",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
            Self::Ok => "ok",
        }
    }
}

/// How a state is called where people read it.
#[must_use]
pub fn shown(state: &str) -> &str {
    if state == "ok" { "OK" } else { state }
}

/// Everything about an API that works and is not right.
#[must_use]
pub fn warnings(api: &ApiStatus, now: DateTime<Utc>) -> Vec<Warning> {
    let lasting = |text: String| Warning { text, last_seen: None };
    let undelivered = (api.totals.set_aside > 0).then(|| {
        let count = counted(api.totals.set_aside, "record");
        lasting(format!("{count} can't be delivered; `logzio-api-fetcher undelivered show` says why"))
    });
    let gaps = (api.totals.gaps > 0).then(|| {
        let count = counted(api.totals.gaps, "period");
        lasting(format!("{count} can't be fetched any more; export what is missing by other means"))
    });
    let stuck = api.stuck_for.map(|still| {
        lasting(format!(
            "nothing has moved for {}; restart the fetcher, and report it if it happens again",
            pause(still)
        ))
    });
    let odd = api.standing.anomalies.iter().filter(|(_, last)| now.signed_duration_since(*last) <= WARNS_FOR);
    let odd = odd.map(|(anomaly, last)| Warning { text: anomaly.hint().to_owned(), last_seen: Some(*last) });
    stuck.into_iter().chain(undelivered).chain(gaps).chain(odd).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::state::Anomaly;
    use crate::status::Failure;
    use crate::status::test::{NOW, api, failing};

    fn of(change: impl FnOnce(&mut ApiStatus)) -> ApiHealth {
        let mut api = api();
        change(&mut api);
        ApiHealth::of(&api, *NOW)
    }

    fn limited(until: DateTime<Utc>) -> Option<Failure> {
        Some(Failure { cause: "429".to_owned(), hint: "nothing", until: Some(until) })
    }

    #[test]
    fn failures_in_a_row_decide_between_retrying_and_failing() {
        assert_eq!(of(|_| ()), ApiHealth::Ok);
        assert_eq!(ApiHealth::of(&failing(1), *NOW), ApiHealth::Retrying { failures: 1 });
        assert_eq!(ApiHealth::of(&failing(2), *NOW), ApiHealth::Retrying { failures: 2 });
        assert_eq!(ApiHealth::of(&failing(3), *NOW), ApiHealth::Failing { since: Some(*NOW) });
    }

    #[test]
    fn an_api_that_asked_to_wait_is_waiting_unless_it_failed_before() {
        let until = *NOW + TimeDelta::minutes(30);
        assert_eq!(of(|api| api.trouble = limited(until)), ApiHealth::Waiting { until });
        let failing = of(|api| (api.trouble, api.failures_in_a_row) = (limited(until), 3));
        assert_eq!(failing.name(), "failing");
    }

    #[test]
    fn what_is_not_right_is_a_warning() {
        assert_eq!(of(|api| api.totals.set_aside = 1), ApiHealth::Warning);
        assert_eq!(of(|api| api.totals.gaps = 1), ApiHealth::Warning);
        assert_eq!(of(|api| api.stuck_for = Some(Duration::from_secs(7_200))), ApiHealth::Warning);
        let seen = |hours| of(|api| api.standing.anomalies.push((Anomaly::MoreUnread, *NOW - TimeDelta::hours(hours))));
        assert_eq!((seen(24), seen(25)), (ApiHealth::Warning, ApiHealth::Ok));
        let before_it_worked = of(|api| (api.succeeded, api.totals.set_aside) = (0, 1));
        assert_eq!(before_it_worked, ApiHealth::Warning);
    }

    #[test]
    fn begins_and_ends() {
        assert_eq!(of(|api| api.succeeded = 0), ApiHealth::Starting);
        assert_eq!(of(|api| api.phase = Phase::Waiting { until: None }), ApiHealth::Stopped);
    }

    #[test]
    fn the_names_are_in_the_order_of_the_states() {
        let since = None;
        let states = [
            ApiHealth::Failing { since },
            ApiHealth::Retrying { failures: 1 },
            ApiHealth::Warning,
            ApiHealth::Waiting { until: *NOW },
            ApiHealth::Starting,
            ApiHealth::Stopped,
            ApiHealth::Ok,
        ];
        assert!(states.is_sorted() && states.map(ApiHealth::name) == STATES);
    }
}
