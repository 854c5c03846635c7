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
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) date: i64,
    pub(super) surfaces: i64,
    pub(super) gone: i64,
}

pub(super) fn record(id: u64, date: i64) -> Record {
    Record { id, date, surfaces: date, gone: i64::MAX }
}

/// So many records, evenly between two seconds.
pub(super) fn records(count: u64, from: i64, until: i64) -> Vec<Record> {
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
pub(super) enum Paging {
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
    pub(super) records: Vec<Record>,
    pub(super) order: Order,
    pub(super) paging: Paging,
    pub(super) is_exclusive: bool,
    pub(super) ignores_start: bool,
    /// The start has whole units of so many seconds.
    pub(super) unit: i64,
    /// So many requests per seconds, with a `Retry-After` or without.
    pub(super) quota: Option<(usize, i64, bool)>,
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

pub(super) struct Page {
    pub(super) records: Vec<Record>,
    pub(super) next: Option<String>,
}

impl Server {
    pub(super) fn new(records: Vec<Record>, order: Order, paging: Paging) -> Self {
        Self {
            records,
            order,
            paging,
            is_exclusive: false,
            ignores_start: false,
            unit: 1,
            quota: None,
            fails_from: None,
            loses: None,
            clock: Some(0),
            asked: Vec::new(),
            sessions: Vec::new(),
            scrolled: BTreeMap::new(),
        }
    }

    pub(super) fn list(&self, start: i64, now: i64) -> Vec<Record> {
        let start = start.div_euclid(self.unit) * self.unit;
        let key = |record: &Record| record.date.div_euclid(self.unit) * self.unit;
        let is_in = |record: &&Record| {
            let is_there = record.surfaces <= now && record.gone > now;
            is_there && (self.ignores_start || key(record) > start || (!self.is_exclusive && key(record) == start))
        };
        let mut list: Vec<Record> = self.records.iter().filter(is_in).copied().collect();
        list.sort_by_key(|record| match self.order {
            Order::NewestFirst => (-record.date, u64::MAX - record.id),
            Order::OldestFirst => (record.date, record.id),
            Order::Arrival => (record.surfaces, record.id),
        });
        list
    }

    pub(super) fn answer(&mut self, start: i64, link: Option<&str>, now: i64) -> Result<Page, Trouble> {
        if let Some((most, period, tells)) = self.quota {
            let first = self.asked.iter().position(|asked| now - asked < period).unwrap_or(self.asked.len());
            let recent = self.asked.split_off(first);
            self.asked = recent;
            if self.asked.len() >= most {
                let left = period - (now - self.asked[0]);
                return Err(Trouble::Status(429, tells.then_some(left)));
            }
            self.asked.push(now);
        }
        let list = self.list(start, now);
        let place = link.and_then(|link| link.split_once('/')).map(|(from, to)| (from.to_owned(), to.to_owned()));
        let number = |text: &str| text.parse::<i64>().expect("a number");
        let page =
            |list: &[Record], from: usize| -> Vec<Record> { list.iter().skip(from).take(PAGE).copied().collect() };
        let of_ids = |server: &Self, ids: &[u64]| -> Vec<Record> {
            let find = |id: &u64| server.records.iter().find(|record| record.id == *id).copied();
            ids.iter().filter_map(find).collect()
        };
        match self.paging {
            Paging::Offset => {
                let from = place.map_or(0, |(from, _)| number(&from) as usize);
                self.fail(from)?;
                let next = (from + PAGE < list.len()).then(|| format!("{}/", from + PAGE));
                Ok(Page { records: page(&list, from), next })
            }
            Paging::Keyset | Paging::Tail => {
                let behind = place.map(|(id, _)| number(&id) as u64);
                let found = behind.map(|id| list.iter().position(|record| record.id == id).map_or(0, |at| at + 1));
                let from = found.unwrap_or_default();
                self.fail(from)?;
                let records = page(&list, from);
                let last = records.last().map(|record| record.id).or(behind.filter(|_| self.paging == Paging::Tail));
                let has_more = from + PAGE < list.len() || self.paging == Paging::Tail;
                Ok(Page { records, next: last.filter(|_| has_more).map(|id| format!("{id}/")) })
            }
            Paging::Session(life, stale) => {
                let (list, from, session) = match place {
                    None => {
                        self.sessions.push((list.iter().map(|record| record.id).collect(), now));
                        (list, 0, self.sessions.len() - 1)
                    }
                    Some((from, session)) => {
                        let (ids, made) = self.sessions[number(&session) as usize].clone();
                        match (now - made > life, stale) {
                            (true, Stale::Refused) => return Err(Trouble::Status(400, None)),
                            (true, Stale::Empty) => return Ok(Page { records: Vec::new(), next: None }),
                            (true, Stale::FirstPage) => (of_ids(self, &ids), 0, number(&session) as usize),
                            (false, _) => (of_ids(self, &ids), number(&from) as usize, number(&session) as usize),
                        }
                    }
                };
                self.fail(from)?;
                let next = (from + PAGE < list.len()).then(|| format!("{}/{session}", from + PAGE));
                Ok(Page { records: page(&list, from), next })
            }
            Paging::Scroll => {
                let session = place.map_or(self.scrolled.len(), |(session, _)| number(&session) as usize);
                let ids = || (list.iter().map(|record| record.id).collect(), 0);
                let (ids, from) = self.scrolled.entry(session).or_insert_with(ids).clone();
                self.fail(from)?;
                self.scrolled.insert(session, (ids.clone(), from + PAGE));
                let records = page(&of_ids(self, &ids), from);
                if self.loses == Some(from) {
                    self.loses = None;
                    return Err(Trouble::Lost);
                }
                let next = (!records.is_empty()).then(|| format!("{session}/"));
                Ok(Page { records, next })
            }
            Paging::Sparse(span) => {
                let until = place.map_or(now, |(until, _)| number(&until));
                let from = start.max(until - span);
                let records = list.into_iter().filter(|record| (from..until).contains(&record.date)).collect();
                Ok(Page { records, next: (from > start).then(|| format!("{from}/")) })
            }
        }
    }

    pub(super) fn fail(&self, from: usize) -> Result<(), Trouble> {
        match self.fails_from {
            Some(bad) if from >= bad * PAGE => Err(Trouble::Status(503, None)),
            _ => Ok(()),
        }
    }
}

/// A position that a link leads to.
pub(super) fn by(next_url: Option<String>) -> Position {
    Position { next_url, ..Position::default() }
}
