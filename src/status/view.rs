//! Which APIs are shown, and in which order: what the query of the page's URL says.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::cause::FailureCause;
use super::health::{ApiHealth, STATES};
use super::snapshot::{ApiStatus, Snapshot};

/// What stays as it is in a part of a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What the reader has chosen. Whatever a query says that means nothing is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// One of `STATES`.
    pub state: Option<&'static str>,
    /// A `FailureCause`, as it is written.
    pub cause: Option<String>,
    /// What the name, the URL or the error holds.
    pub search: String,
    /// By what the rows are sorted.
    pub sort: Sort,
    /// Whether the other way round.
    pub is_reversed: bool,
}

/// By what the rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The worst first.
    #[default]
    State,
    /// By name.
    Name,
    /// What has been failing for longest first.
    Since,
    /// What succeeded longest ago first.
    Success,
    /// What is furthest behind first.
    Delay,
    /// What brings most first.
    Records,
}

/// How each is written in a URL.
pub const SORTS: [(Sort, &str); 6] = [
    (Sort::State, "state"),
    (Sort::Name, "name"),
    (Sort::Since, "since"),
    (Sort::Success, "success"),
    (Sort::Delay, "delay"),
    (Sort::Records, "records"),
];

/// An API, with all that is derived of it.
#[derive(Clone, Debug)]
pub struct Row<'s> {
    /// Its name.
    pub name: &'s str,
    /// What is known of it.
    pub api: &'s ApiStatus,
    /// Its state.
    pub health: ApiHealth,
    /// Why it fails, or waits.
    pub cause: Option<FailureCause>,
    /// Records delivered within the last hour.
    pub records_last_hour: u64,
}

/// Failures with the same cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseGroup<'s> {
    /// The cause, as it is written.
    pub cause: String,
    /// How many APIs fail of it.
    pub apis: u64,
    /// What to do about it.
    pub hint: &'s str,
}

impl View {
    /// Of a query.
    #[must_use]
    pub fn of(query: &str) -> Self {
        let mut view = Self::default();
        for (name, value) in query.split('&').filter_map(|field| field.split_once('=')) {
            let value = percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned();
            match name {
                "state" => view.state = STATES.into_iter().find(|state| *state == value),
                "cause" => view.cause = Some(value).filter(|cause| !cause.is_empty()),
                "q" => view.search = value.trim().to_owned(),
                "sort" => {
                    let by = value.strip_prefix('-').unwrap_or(&value);
                    view.sort = SORTS.into_iter().find(|(_, name)| *name == by).map_or(Sort::State, |(sort, _)| sort);
                    view.is_reversed = by != value;
                }
                _ => (),
            }
        }
        view
    }

    /// As the query of a link; `?` alone where nothing is chosen.
    #[must_use]
    pub fn to_query(&self) -> String {
        let sort = SORTS.into_iter().find(|(sort, _)| *sort == self.sort).map(|(_, name)| name).unwrap_or_default();
        let sort = format!("{}{sort}", if self.is_reversed { "-" } else { "" });
        let fields = [
            ("state", self.state.unwrap_or_default()),
            ("cause", self.cause.as_deref().unwrap_or_default()),
            ("q", &self.search),
            ("sort", if sort == "state" { "" } else { &sort }),
        ];
        let chosen = fields.iter().filter(|(_, value)| !value.is_empty());
        let fields: Vec<String> = chosen.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        format!("?{}", fields.join("&"))
    }

    /// The rows that are wanted, in order.
    #[must_use]
    pub fn choose<'a, 's>(&self, rows: &'a [Row<'s>], now: DateTime<Utc>) -> Vec<&'a Row<'s>> {
        let sought = self.search.to_lowercase();
        let is_wanted = |row: &&Row<'_>| {
            self.state.is_none_or(|state| row.health.name() == state)
                && self
                    .cause
                    .as_ref()
                    .is_none_or(|cause| row.cause.as_ref().is_some_and(|own| own.to_string() == *cause))
                && (sought.is_empty() || row.holds(&sought))
        };
        let mut chosen: Vec<&Row<'_>> = rows.iter().filter(is_wanted).collect();
        // By name within what is equal, as they are by name already.
        chosen.sort_by(|a, b| self.order(a, b, now));
        chosen
    }

    fn order(&self, a: &Row<'_>, b: &Row<'_>, now: DateTime<Utc>) -> Ordering {
        let directed = |order: Ordering| if self.is_reversed { order.reverse() } else { order };
        match self.sort {
            Sort::State => directed(rank(a.health).cmp(&rank(b.health))),
            Sort::Name => directed(a.name.cmp(b.name)),
            Sort::Since => given_first(a.since(), b.since(), |a, b| directed(a.cmp(b))),
            Sort::Success => given_first(a.api.last_success(), b.api.last_success(), |a, b| directed(a.cmp(b))),
            Sort::Delay => given_first(a.delay(now), b.delay(now), |a, b| directed(b.cmp(a))),
            Sort::Records => directed(b.records_last_hour.cmp(&a.records_last_hour)),
        }
    }
}

/// What has no value stands last, whichever way the rest is sorted.
fn given_first<T>(a: Option<T>, b: Option<T>, order: impl FnOnce(&T, &T) -> Ordering) -> Ordering {
    match (&a, &b) {
        (Some(a), Some(b)) => order(a, b),
        _ => b.is_some().cmp(&a.is_some()),
    }
}

fn rank(health: ApiHealth) -> usize {
    STATES.iter().position(|state| *state == health.name()).unwrap_or_default()
}

impl<'s> Row<'s> {
    /// All of them, by name.
    #[must_use]
    pub fn all(snapshot: &'s Snapshot, now: DateTime<Utc>) -> Vec<Self> {
        snapshot.apis.iter().map(|(name, api)| Self::of(name, api, now)).collect()
    }

    /// Of one API.
    #[must_use]
    pub fn of(name: &'s str, api: &'s ApiStatus, now: DateTime<Utc>) -> Self {
        let cause = api.trouble.as_ref().map(|trouble| FailureCause::of(&trouble.cause, &api.url));
        let (health, records_last_hour) = (ApiHealth::of(api, now), api.records_last_hour(now));
        Self { name, api, health, cause, records_last_hour }
    }

    /// Since when it fails.
    #[must_use]
    pub fn since(&self) -> Option<DateTime<Utc>> {
        self.api.failing_since
    }

    /// How old the newest delivered event is.
    #[must_use]
    pub fn delay(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        let newest = self.api.standing.checkpoint?;
        Some(now.signed_duration_since(newest).max(TimeDelta::zero()))
    }

    fn holds(&self, sought: &str) -> bool {
        let error = self.api.trouble.as_ref().map(|trouble| trouble.cause.as_str()).unwrap_or_default();
        [self.name, &self.api.url, error].into_iter().any(|text| text.to_lowercase().contains(sought))
    }
}

/// Failures by their cause, the most frequent first. APIs that wait as they were asked to don't fail.
#[must_use]
pub fn by_cause<'s>(rows: &[Row<'s>]) -> Vec<CauseGroup<'s>> {
    let mut groups: BTreeMap<&FailureCause, (u64, &'s str)> = BTreeMap::new();
    for row in rows {
        let (Some(cause), Some(trouble)) = (&row.cause, &row.api.trouble) else { continue };
        if matches!(row.health, ApiHealth::Failing { .. } | ApiHealth::Retrying { .. }) {
            groups.entry(cause).or_insert((0, trouble.hint)).0 += 1;
        }
    }
    let groups = groups.into_iter().map(|(cause, (apis, hint))| CauseGroup { cause: cause.to_string(), apis, hint });
    let mut groups: Vec<_> = groups.collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.apis));
    groups
}

/// Encoded for a part of a URL.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::test::{NOW, api, failing, snapshot};

    #[test]
    fn a_query_is_read_as_it_is_written() {
        let view = View {
            state: Some("failing"),
            cause: Some("401 from a.example:81".to_owned()),
            search: "100% + \u{1f600}&=".to_owned(),
            sort: Sort::Delay,
            is_reversed: true,
        };
        assert_eq!(View::of(view.to_query().trim_start_matches('?')), view);
        assert_eq!(View::of("q=a+b&state=nonsense&sort=nonsense&x").to_query(), "?q=a%20b");
        assert_eq!(View::default().to_query(), "?");
    }

    #[test]
    fn chooses_and_sorts() {
        let mut late = api();
        late.standing.checkpoint = Some(*NOW - TimeDelta::hours(1));
        let mut early = api();
        early.standing.checkpoint = Some(*NOW);
        let apis = [("B ok", early), ("a late", late), ("c bad", failing(3)), ("d retrying", failing(1))];
        let snapshot = snapshot(apis.map(|(name, api)| (name.to_owned(), api)));
        let rows = Row::all(&snapshot, *NOW);
        let names = |query| {
            View::of(query)
                .choose(&rows, *NOW)
                .into_iter()
                .map(|row| row.name.split_once(' ').unwrap().0)
                .collect::<String>()
        };
        assert_eq!((names(""), names("sort=-state")), ("cdBa".to_owned(), "Badc".to_owned()));
        assert_eq!((names("sort=delay"), names("sort=-delay")), ("aBcd".to_owned(), "Bacd".to_owned()));
        assert_eq!((names("state=failing"), names("q=b"), names("q=EXPIRED")), ("c".into(), "cB".into(), "cd".into()));
        assert_eq!(names("cause=401%20from%20login.example.com"), "cd");
        let groups = by_cause(&rows);
        let group =
            CauseGroup { cause: "401 from login.example.com".to_owned(), apis: 2, hint: "check the credentials" };
        assert_eq!(groups, [group]);
    }
}
