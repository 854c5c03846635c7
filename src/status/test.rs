//! What the tests of this module share.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    ApiStatus, ClusterReading, ClusterStanding, Day, Failure, Phase, RecentIteration, Reload, Snapshot, StateSummary,
};
use crate::cluster::{AboutMember, ClusterStatus, ClusterTotals, MemberId};
use crate::counters::Totals;
use crate::memory::Usage;

pub(crate) static NOW: LazyLock<DateTime<Utc>> =
    LazyLock::new(|| DateTime::parse_from_rfc3339("2026-03-01T12:30:05Z").unwrap().to_utc());

/// An API that is OK.
pub(crate) fn api() -> ApiStatus {
    ApiStatus {
        api: "events".to_owned(),
        output: None,
        url: "https://api.example.com/v1/events".to_owned(),
        interval: Duration::from_secs(60),
        phase: Phase::Waiting { until: Some(*NOW + TimeDelta::seconds(30)) },
        totals: Totals::default(),
        succeeded: 1,
        failed: 0,
        took: Duration::ZERO,
        last_success: Some(*NOW),
        failures_in_a_row: 0,
        trouble: None,
        standing: StateSummary::default(),
        recent: Arc::default(),
        day: Arc::new(Day::default()),
        failing_since: None,
        under_way: 0,
        stuck_for: None,
    }
}

/// One whose last iterations failed, so many in a row.
pub(crate) fn failing(in_a_row: u32) -> ApiStatus {
    let cause = "page 1: https://login.example.com/token answered 401 Unauthorized: expired".to_owned();
    let mut api = api();
    for at in 0..in_a_row {
        let at = *NOW + TimeDelta::minutes(i64::from(at));
        let ended = RecentIteration { at, seconds: 1.0, records: 0, pages: 0, is_failed: true };
        api.end(ended, Some(Failure { cause: cause.clone(), hint: "check the credentials", until: None }), at);
    }
    api
}

/// A cluster of one member, in which another one ran an API.
pub(crate) fn standing() -> ClusterStanding {
    let member = |name: &str| MemberId { member: name.to_owned(), incarnation: 1 };
    let status = ClusterStatus { members: vec![(member("one"), AboutMember::default())], ..ClusterStatus::default() };
    ClusterStanding {
        name: "production".to_owned(),
        me: member("one"),
        is_suspended: false,
        lease_left: Duration::from_secs(4),
        reading: ClusterReading { read_at: Some(*NOW), status, ..ClusterReading::default() },
        elsewhere: vec![("events".to_owned(), Some(member("two")))],
        totals: ClusterTotals::default(),
    }
}

pub(crate) fn snapshot(apis: impl IntoIterator<Item = (String, ApiStatus)>) -> Snapshot {
    let reload = Reload { succeeded: *NOW, faults: Vec::new(), is_partial: false };
    let started = *NOW - TimeDelta::hours(3);
    Snapshot { started, reload, apis: apis.into_iter().collect(), memory: Usage::default(), cluster: None }
}
