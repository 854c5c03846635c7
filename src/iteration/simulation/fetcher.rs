//! A fetcher in simulated time: its requests, its deliveries, and its disk.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::super::outcome::{self, EndedChain, How};
use super::super::watch::{self, Observed};
use super::servers::{PlayedPage, PlayedRecord, Server, Trouble, at, by, print, second};
use crate::plan::{CheckpointKind, EndPolicy, Overlap, StartPolicy};
use crate::record::Fingerprint;
use crate::state::ApiState;
use crate::template::Granularity;
use crate::window::{Chain, ChainStep, Moment, Progress, Proof, SeenRecord, Sight, Window, is_future};

/// A fetcher, its disk, and the time.
pub(super) struct PlayedFetcher {
    pub(super) server: Server,
    pub(super) rule: StartPolicy,
    pub(super) account: ApiState,
    pub(super) now: i64,
    /// How far our clock is ahead.
    pub(super) clock: i64,
    /// How far the server's is behind ours, as its answers told.
    clock_behind: TimeDelta,
    pub(super) interval: i64,
    /// What is remembered, and the date by which it is forgotten.
    delivered: BTreeMap<u64, i64>,
    pub(super) shipped: Vec<u64>,
    pub(super) requests: usize,
    pub(super) links: Vec<Option<String>>,
    pub(super) kill_at_request: Option<usize>,
    pub(super) kill_at_ship: Option<usize>,
    ships: usize,
    pub(super) last: Result<(), Trouble>,
}

/// A chain of pages under way.
struct ChainRun {
    window: Window,
    is_wide: bool,
    chain: Chain,
    observed: Observed,
    link: Option<String>,
    is_repeated: bool,
    /// Whether it went on where the last one was cut, and whether its first page is that iteration's last one.
    is_resumed: bool,
    is_proof: bool,
    pages: u64,
}

type Answered = Result<(PlayedPage, Moment), Trouble>;

impl PlayedFetcher {
    pub(super) fn new(server: Server) -> Self {
        let rule = StartPolicy {
            configured: None,
            back: TimeDelta::days(14),
            overlap: Overlap::Measured { until_measured: TimeDelta::minutes(1) },
            granularity: Granularity::Second,
            end: EndPolicy::default(),
            checkpoint: CheckpointKind::default(),
            max_age: None,
        };
        Self {
            server,
            rule,
            account: ApiState::default(),
            now: 0,
            clock: 0,
            clock_behind: TimeDelta::zero(),
            interval: 60,
            delivered: BTreeMap::new(),
            shipped: Vec::new(),
            requests: 0,
            links: Vec::new(),
            kill_at_request: None,
            kill_at_ship: None,
            ships: 0,
            last: Ok(()),
        }
    }

    fn own(&self) -> DateTime<Utc> {
        at(self.now + self.clock)
    }

    /// Five attempts, and the waits that are asked for up to five minutes.
    fn ask(&mut self, window: &Window, link: Option<&str>, is_repeated: bool) -> Answered {
        let end = window.end.filter(|_| self.rule.end.written.is_some()).map(second);
        for attempt in 1.. {
            let asked_at = self.own();
            self.now += 1;
            self.requests += 1;
            self.links.push(link.map(str::to_owned));
            if self.kill_at_request == Some(self.requests) {
                return Err(Trouble::Killed);
            }
            let answer = self.server.answer((second(window.start), end), link, self.now);
            let moment = Moment::new(asked_at, self.server.clock.map(|clock| at(self.now + clock)));
            self.clock_behind = moment.behind;
            match answer {
                Ok(page) => return Ok((page, moment)),
                Err(Trouble::Lost) if is_repeated => return Err(Trouble::Status(410, None)),
                Err(Trouble::Status(429 | 503, Some(wait))) if wait > 300 => {
                    self.account.not_before = Some(self.own() + TimeDelta::seconds(wait));
                    return Err(Trouble::Status(429, Some(wait)));
                }
                Err(trouble @ (Trouble::Status(429 | 503, _) | Trouble::Lost)) => {
                    if attempt == 5 {
                        return Err(trouble);
                    }
                    let wait = if let Trouble::Status(_, Some(wait)) = trouble { wait } else { 1 << attempt };
                    self.now += wait;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        unreachable!("an attempt is the last")
    }

    /// Slice by slice, and the pause behind it.
    pub(super) fn iterate(&mut self) {
        loop {
            let slice_before = self.account.slice_from;
            self.last = self.iteration();
            let has_next = self.account.slice_from.is_some() && self.account.slice_from != slice_before;
            if self.last.is_err() || !has_next {
                break;
            }
        }
        self.now += self.interval;
    }

    fn iteration(&mut self) -> Result<(), Trouble> {
        let now = self.own();
        if self.account.not_before.is_some_and(|until| now < until) {
            return Err(Trouble::Waiting);
        }
        self.account.not_before = None;
        outcome::begin(&self.rule, &mut self.account, now);
        let (window, is_wide) = outcome::open(&self.rule, &mut self.account, now, self.clock_behind);
        let mut iteration = ChainRun {
            window,
            is_wide,
            chain: outcome::chain(&self.rule, &self.account, now),
            observed: Observed { remembered: self.delivered.len() as u64, ..Observed::default() },
            link: None,
            is_repeated: false,
            is_resumed: false,
            is_proof: false,
            pages: 0,
        };
        let mut resumed = self.resume(&mut iteration, now)?;
        let result = loop {
            let answer = match resumed.take() {
                Some(answer) => answer,
                None => self.ask(&iteration.window, iteration.link.as_deref(), iteration.is_repeated),
            };
            match answer.and_then(|(page, moment)| self.take_page(&mut iteration, page, moment)) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(trouble) => break Err(trouble),
            }
        };
        if matches!(result, Err(Trouble::Killed)) {
            return result;
        }
        self.end(result, &iteration)
    }

    /// Goes on where the last iteration was cut, if the place proves itself. Gives the answer that does.
    fn resume(&mut self, iteration: &mut ChainRun, now: DateTime<Utc>) -> Result<Option<Answered>, Trouble> {
        let requests = print("entry");
        let Some(progress) = self.account.progress.clone().filter(|place| place.is_valid(requests, now)) else {
            self.account.progress = None;
            return Ok(None);
        };
        let (asked, is_proof) = match progress.proof() {
            Proof::Again(position) => (position.next_url.clone(), true),
            Proof::Behind(position) => (position.next_url.clone(), false),
        };
        let answer = self.ask(&progress.window, asked.as_deref(), false);
        let is_proved = match &answer {
            Ok((page, _)) if is_proof => {
                let prints: Vec<Fingerprint> = page.records.iter().map(|r| print(&r.id.to_string())).collect();
                progress.is_proved(&prints, page.next.is_some())
            }
            Ok((page, _)) => page.records.iter().any(|record| !self.delivered.contains_key(&record.id)),
            Err(Trouble::Status(code, _)) => *code == 429 || *code >= 500,
            Err(_) => true,
        };
        if !is_proved {
            self.account.progress = None;
            return if matches!(answer, Err(Trouble::Killed)) { Err(Trouble::Killed) } else { Ok(None) };
        }
        iteration.chain = outcome::chain(&self.rule, &self.account, now).resumed(progress.course, is_proof);
        (iteration.window, iteration.link) = (progress.window, asked);
        (iteration.is_resumed, iteration.is_proof) = (true, is_proof);
        Ok(Some(answer))
    }

    /// Reads a page and delivers what is new. Gives whether another one follows.
    fn take_page(&mut self, iteration: &mut ChainRun, page: PlayedPage, moment: Moment) -> Result<bool, Trouble> {
        iteration.pages += 1;
        let arrived = moment.later.max(self.own());
        outcome::arrive(&mut self.account, arrived);
        let is_by_arrival = self.rule.goes_by_arrival();
        if !is_by_arrival {
            iteration.window.see_dates(page.records.iter().map(|record| at(record.date)), self.own());
        }
        let is_below = |record: &PlayedRecord| !is_by_arrival && iteration.window.is_below(at(record.date));
        let seen = |record: &PlayedRecord| SeenRecord {
            fingerprint: print(&record.id.to_string()),
            date: Some(at(record.date)),
            is_below: is_below(record),
        };
        let seen: Vec<SeenRecord> = page.records.iter().map(seen).collect();
        let request = |link: &Option<String>| print(link.as_deref().unwrap_or("first"));
        let next = page.next.as_ref().map(|_| request(&page.next));
        let request = request(&iteration.link);
        let (is_counted, has_stop_rule, pages_max) = (false, false, None);
        let sight = Sight { request, moment, records: &seen, next, is_counted, has_stop_rule, pages_max };
        let step = iteration.chain.see(&sight);
        let inside: Vec<PlayedRecord> = page.records.iter().filter(|record| !is_below(record)).copied().collect();
        let is_known = |record: &PlayedRecord| self.delivered.contains_key(&record.id);
        let is_early = |r: &PlayedRecord| self.account.checkpoint.is_some_and(|point| at(r.date + 1) < point);
        let is_back = page.records.iter().all(|record| if is_by_arrival { is_known(record) } else { is_early(record) });
        iteration.observed.back += u64::from(!page.records.is_empty() && is_back);
        iteration.observed.records = page.records.len() as u64;
        self.deliver(inside)?;
        let (Some(next), ChainStep::On { .. } | ChainStep::Pause) = (page.next, step) else {
            return if step == ChainStep::Circle { Err(Trouble::Circle) } else { Ok(false) };
        };
        let prints: Vec<Fingerprint> = seen.iter().map(|seen| seen.fingerprint).collect();
        let asked = by(iteration.link.replace(next.clone()));
        let place = Progress::new(print("entry"), iteration.window, asked, by(Some(next)), iteration.chain.course());
        let is_only_proved = iteration.is_proof && iteration.pages == 1 && step != ChainStep::Pause;
        self.account.progress = Some(place.proved_by(&prints, is_only_proved, self.own()));
        match step {
            ChainStep::On { is_repeated } => iteration.is_repeated = is_repeated,
            _ => return Err(Trouble::Pause),
        }
        Ok(true)
    }

    fn end(&mut self, result: Result<(), Trouble>, iteration: &ChainRun) -> Result<(), Trouble> {
        let ChainRun { window, chain, observed, pages, .. } = iteration;
        let (window, pages, now) = (*window, *pages, self.own());
        let (course, is_newest_first) = (chain.course(), chain.is_newest_first());
        let is_look = iteration.is_wide && !iteration.is_resumed;
        let (undone, are_entries_settled) = (None, false);
        let is_delivered = true;
        let ended = EndedChain { window, course, is_newest_first, is_look, is_delivered, undone, are_entries_settled };
        self.account.lookback.add(pages, observed.back, is_look, now);
        let moved = match &result {
            Ok(()) => {
                watch::judge(&mut self.account, observed, now);
                outcome::cover(&self.rule, &mut self.account, &ended, observed, now);
                Some(outcome::complete(&self.rule, &mut self.account, &ended, observed, now))
            }
            Err(trouble) => {
                let is_refused = matches!(trouble, Trouble::Status(400 | 404 | 410, _) | Trouble::Circle);
                let is_answer = matches!(trouble, Trouble::Status(..));
                let until = self.account.not_before;
                let how = How { is_answer, voids_place: is_refused, has_tried: pages > 0, until };
                outcome::cut(&self.rule, &mut self.account, &ended, how, now)
            }
        };
        if let Some((checkpoint, since)) = moved {
            assert!(checkpoint >= self.account.checkpoint, "the checkpoint moved backwards");
            self.account.checkpoint = checkpoint;
            self.account.remembered_since = Some(since);
            self.delivered.retain(|_, date| at(*date) >= since);
        }
        result
    }

    fn deliver(&mut self, inside: Vec<PlayedRecord>) -> Result<(), Trouble> {
        let new: Vec<PlayedRecord> =
            inside.into_iter().filter(|record| !self.delivered.contains_key(&record.id)).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.ships += 1;
        self.shipped.extend(new.iter().map(|record| record.id));
        if self.kill_at_ship == Some(self.ships) {
            return Err(Trouble::Killed);
        }
        let look = self.account.last_complete.map(|look| look.start);
        for record in new {
            if self.rule.goes_by_arrival() {
                let arrived = DateTime::from_timestamp(i64::from(self.account.iteration), 0).expect("a date");
                self.delivered.insert(record.id, second(arrived));
                continue;
            }
            self.delivered.insert(record.id, record.date);
            let newest = self.account.newest.filter(|_| look.is_some_and(|look| at(record.date) >= look));
            if let Some(newest) = newest.filter(|_| !is_future(at(record.date), self.own())) {
                self.account.arrival_delay.add(newest - at(record.date));
            }
        }
        Ok(())
    }

    pub(super) fn iterate_for(&mut self, iterations: usize) {
        (0..iterations).for_each(|_| self.iterate());
    }

    /// Everything that could be seen by now has been shipped, at most `doubled` of it twice, and nothing is stuck.
    #[track_caller]
    pub(super) fn check(&self, what: &str, settled_s: i64, doubled: usize) {
        let until = self.now - 2 * self.interval - settled_s;
        let there = self.server.records.iter().filter(|r| r.surfaces <= until && r.gone > self.now);
        let expected: BTreeSet<u64> = there.map(|record| record.id).collect();
        let shipped: BTreeSet<u64> = self.shipped.iter().copied().collect();
        let lost: Vec<&u64> = expected.difference(&shipped).take(5).collect();
        assert!(lost.is_empty(), "{what}: lost {lost:?}; checkpoint {:?}", self.account.checkpoint.map(second));
        let twice = self.shipped.len() - shipped.len();
        assert!(twice <= doubled, "{what}: {twice} doubled");
        let is_well = matches!(self.last, Ok(()) | Err(Trouble::Waiting));
        assert!(is_well && self.account.checkpoint.is_some(), "{what}: stuck, {:?}", self.last);
    }
}
