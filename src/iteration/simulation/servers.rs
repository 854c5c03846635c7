//! Servers in simulated time: their paging, order, clocks, quotas and failures.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::record::Fingerprint;
use crate::template::Position;

/// How many records a page has.
pub(super) const PAGE: usize = 10;

pub(super) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_716_900_000 + second, 0).expect("a date")
}

pub(super) fn second(date: DateTime<Utc>) -> i64 {
    (date - at(0)).num_seconds()
}

pub(super) fn print(text: &str) -> Fingerprint {
    Fingerprint::of(&[text.as_bytes()])
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PlayedRecord {
    pub(super) id: u64,
    pub(super) date: i64,
    pub(super) surfaces: i64,
    pub(super) gone: i64,
}

pub(super) fn record(id: u64, date: i64) -> PlayedRecord {
    PlayedRecord { id, date, surfaces: date, gone: i64::MAX }
}

/// So many records, evenly between two seconds.
pub(super) fn records(count: u64, from: i64, until: i64) -> Vec<PlayedRecord> {
    (0..count).map(|id| record(id, from + (until - from) * id as i64 / count as i64)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    NewestFirst,
    OldestFirst,
    /// What surfaced first comes first.
    Arrival,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PlayedPaging {
    /// A place in the list as it is now.
    Offset,
    /// Behind a record; page 1 where that is gone.
    Keyset,
    /// A place in the list as it was; it lives for so long, and is then refused, answered by nothing, or by page 1.
    Session(i64, Stale),
    /// One token for all pages; the server keeps the place.
    Scroll,
    /// Behind a record, and every page names a next one.
    Tail,
    /// A span of time per page, empty or not.
    Sparse(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stale {
    Refused,
    Empty,
    FirstPage,
}

#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) records: Vec<PlayedRecord>,
    pub(super) order: Order,
    pub(super) paging: PlayedPaging,
    pub(super) is_exclusive: bool,
    pub(super) ignores_start: bool,
    /// The start has whole units of so many seconds.
    pub(super) unit: i64,
    /// So many requests per seconds, with a `Retry-After` or without.
    pub(super) quota: Option<(usize, i64, bool)>,
    /// Fails every next page of a span that is longer.
    pub(super) span_max: Option<i64>,
    /// Whether it filters by when records surfaced, and not by their dates.
    pub(super) is_by_arrival: bool,
    /// Whether it refuses an end that its clock hasn't reached.
    pub(super) refuses_end_ahead: bool,
    /// Fails every next page from this one on, until it is healed.
    pub(super) fails_from: Option<usize>,
    /// Of the scroll's place with this number the answer gets lost, once.
    pub(super) loses: Option<usize>,
    /// How far its clock is ahead, if it tells it.
    pub(super) clock: Option<i64>,
    pub(super) asked: Vec<i64>,
    pub(super) sessions: Vec<(Vec<u64>, i64)>,
    pub(super) scrolled: BTreeMap<usize, (Vec<u64>, usize)>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Trouble {
    Status(u16, Option<i64>),
    Lost,
    Killed,
    Circle,
    Pause,
    Waiting,
}

pub(super) struct PlayedPage {
    pub(super) records: Vec<PlayedRecord>,
    pub(super) next: Option<String>,
}

impl Server {
    pub(super) fn new(records: Vec<PlayedRecord>, order: Order, paging: PlayedPaging) -> Self {
        Self {
            records,
            order,
            paging,
            is_exclusive: false,
            ignores_start: false,
            unit: 1,
            quota: None,
            span_max: None,
            is_by_arrival: false,
            refuses_end_ahead: false,
            fails_from: None,
            loses: None,
            clock: Some(0),
            asked: Vec::new(),
            sessions: Vec::new(),
            scrolled: BTreeMap::new(),
        }
    }

    pub(super) fn list(&self, (start, end): (i64, Option<i64>), now: i64) -> Vec<PlayedRecord> {
        let start = start.div_euclid(self.unit) * self.unit;
        let clock = |record: &PlayedRecord| {
            if self.is_by_arrival { record.surfaces + self.clock.unwrap_or(0) } else { record.date }
        };
        let key = |record: &PlayedRecord| clock(record).div_euclid(self.unit) * self.unit;
        let is_in = |record: &&PlayedRecord| {
            let is_there = record.surfaces <= now && record.gone > now && end.is_none_or(|end| clock(record) <= end);
            is_there && (self.ignores_start || key(record) > start || (!self.is_exclusive && key(record) == start))
        };
        let mut list: Vec<PlayedRecord> = self.records.iter().filter(is_in).copied().collect();
        list.sort_by_key(|record| match self.order {
            Order::NewestFirst => (-record.date, u64::MAX - record.id),
            Order::OldestFirst => (record.date, record.id),
            Order::Arrival => (record.surfaces, record.id),
        });
        list
    }

    pub(super) fn answer(
        &mut self,
        span: (i64, Option<i64>),
        link: Option<&str>,
        now: i64,
    ) -> Result<PlayedPage, Trouble> {
        self.count(now)?;
        let is_ahead = span.1.is_some_and(|end| end > now + self.clock.unwrap_or(0));
        if is_ahead && self.refuses_end_ahead {
            return Err(Trouble::Status(400, None));
        }
        let is_long = span.1.zip(self.span_max).is_some_and(|(end, most)| end - span.0 > most);
        if is_long && link.is_some() {
            return Err(Trouble::Status(503, None));
        }
        let list = self.list(span, now);
        let place = link.and_then(|link| link.split_once('/'));
        match self.paging {
            PlayedPaging::Offset => self.page_at(&list, place.map_or(0, |(from, _)| number(from) as usize), ""),
            PlayedPaging::Keyset | PlayedPaging::Tail => {
                self.page_behind(&list, place.map(|(id, _)| number(id) as u64))
            }
            PlayedPaging::Session(life, stale) => self.page_of_session(list, place, (life, stale), now),
            PlayedPaging::Scroll => self.page_of_scroll(&list, place.map(|(session, _)| number(session) as usize)),
            PlayedPaging::Sparse(width) => {
                let until = place.map_or(now, |(until, _)| number(until));
                let from = span.0.max(until - width);
                let records = list.into_iter().filter(|record| (from..until).contains(&record.date)).collect();
                Ok(PlayedPage { records, next: (from > span.0).then(|| format!("{from}/")) })
            }
        }
    }

    /// Counts a request; one that is beyond the quota is refused.
    fn count(&mut self, now: i64) -> Result<(), Trouble> {
        let Some((most, period, tells)) = self.quota else { return Ok(()) };
        self.asked.retain(|asked| now - asked < period);
        if self.asked.len() >= most {
            let left = period - (now - self.asked[0]);
            return Err(Trouble::Status(429, tells.then_some(left)));
        }
        self.asked.push(now);
        Ok(())
    }

    fn of_ids(&self, ids: &[u64]) -> Vec<PlayedRecord> {
        ids.iter().filter_map(|id| self.records.iter().find(|record| record.id == *id).copied()).collect()
    }

    fn page_at(&self, list: &[PlayedRecord], from: usize, session: &str) -> Result<PlayedPage, Trouble> {
        self.fail(from)?;
        let next = (from + PAGE < list.len()).then(|| format!("{}/{session}", from + PAGE));
        Ok(PlayedPage { records: page(list, from), next })
    }

    fn page_behind(&self, list: &[PlayedRecord], behind: Option<u64>) -> Result<PlayedPage, Trouble> {
        let found = behind.map(|id| list.iter().position(|record| record.id == id).map_or(0, |at| at + 1));
        let from = found.unwrap_or_default();
        self.fail(from)?;
        let records = page(list, from);
        let last = records.last().map(|record| record.id).or(behind.filter(|_| self.paging == PlayedPaging::Tail));
        let has_more = from + PAGE < list.len() || self.paging == PlayedPaging::Tail;
        Ok(PlayedPage { records, next: last.filter(|_| has_more).map(|id| format!("{id}/")) })
    }

    fn page_of_session(
        &mut self,
        list: Vec<PlayedRecord>,
        place: Option<(&str, &str)>,
        (life, stale): (i64, Stale),
        now: i64,
    ) -> Result<PlayedPage, Trouble> {
        let Some((from, session)) = place else {
            self.sessions.push((list.iter().map(|record| record.id).collect(), now));
            return self.page_at(&list, 0, &(self.sessions.len() - 1).to_string());
        };
        let (ids, made) = &self.sessions[number(session) as usize];
        match (now - made > life, stale) {
            (true, Stale::Refused) => Err(Trouble::Status(400, None)),
            (true, Stale::Empty) => Ok(PlayedPage { records: Vec::new(), next: None }),
            (true, Stale::FirstPage) => self.page_at(&self.of_ids(ids), 0, session),
            (false, _) => self.page_at(&self.of_ids(ids), number(from) as usize, session),
        }
    }

    fn page_of_scroll(&mut self, list: &[PlayedRecord], session: Option<usize>) -> Result<PlayedPage, Trouble> {
        let session = session.unwrap_or(self.scrolled.len());
        let ids = || (list.iter().map(|record| record.id).collect(), 0);
        let (ids, from) = self.scrolled.entry(session).or_insert_with(ids).clone();
        self.fail(from)?;
        self.scrolled.insert(session, (ids.clone(), from + PAGE));
        let records = page(&self.of_ids(&ids), from);
        if self.loses == Some(from) {
            self.loses = None;
            return Err(Trouble::Lost);
        }
        let next = (!records.is_empty()).then(|| format!("{session}/"));
        Ok(PlayedPage { records, next })
    }

    pub(super) fn fail(&self, from: usize) -> Result<(), Trouble> {
        match self.fails_from {
            Some(bad) if from >= bad * PAGE => Err(Trouble::Status(503, None)),
            _ => Ok(()),
        }
    }
}

fn number(text: &str) -> i64 {
    text.parse().expect("a number")
}

fn page(list: &[PlayedRecord], from: usize) -> Vec<PlayedRecord> {
    list.iter().skip(from).take(PAGE).copied().collect()
}

/// A position that a link leads to.
pub(super) fn by(next_url: Option<String>) -> Position {
    Position { next_url, ..Position::default() }
}
