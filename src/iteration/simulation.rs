//! Iterations in simulated time, against servers whose paging, clocks, quotas and arrival delay break naive rules.
//!
//! The deciding parts are the real ones: window, chain, place, outcome. Only fetching, shipping and the disk are played.

mod servers;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::outcome::{self, EndedChain, How};
use super::watch::{self, Observed};
use crate::plan::{EndPolicy, Overlap, StartPolicy};
use crate::record::Fingerprint;
use crate::state::ApiState;
use crate::template::Granularity;
use crate::window::{Chain, ChainStep, Moment, Progress, Proof, SeenRecord, Sight, is_future};

use servers::{Order, PAGE, Page, Paging, Record, Server, Stale, Trouble, at, by, print, record, records, second};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A fetcher, its disk, and the time.
struct Fetcher {
    server: Server,
    rule: StartPolicy,
    account: ApiState,
    now: i64,
    /// How far our clock is ahead.
    clock: i64,
    interval: i64,
    delivered: BTreeMap<u64, i64>,
    shipped: Vec<u64>,
    requests: usize,
    links: Vec<Option<String>>,
    kill_at_request: Option<usize>,
    kill_at_ship: Option<usize>,
    ships: usize,
    last: Result<(), Trouble>,
}

impl Fetcher {
    fn new(server: Server) -> Self {
        let rule = StartPolicy {
            configured: None,
            back: TimeDelta::days(14),
            overlap: Overlap::Measured { until_measured: TimeDelta::minutes(1) },
            granularity: Granularity::Second,
            end: EndPolicy::default(),
        };
        Self {
            server,
            rule,
            account: ApiState::default(),
            now: 0,
            clock: 0,
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
    fn ask(&mut self, start: DateTime<Utc>, link: Option<&str>, is_repeated: bool) -> Result<(Page, Moment), Trouble> {
        for attempt in 1.. {
            let asked_at = self.own();
            self.now += 1;
            self.requests += 1;
            self.links.push(link.map(str::to_owned));
            if self.kill_at_request == Some(self.requests) {
                return Err(Trouble::Killed);
            }
            match self.server.answer(second(start), link, self.now) {
                Ok(page) => {
                    let of_api = self.server.clock.map(|clock| at(self.now + clock));
                    return Ok((page, Moment::new(asked_at, of_api)));
                }
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

    fn iterate(&mut self) {
        self.last = self.iteration();
        self.now += self.interval;
    }

    fn iteration(&mut self) -> Result<(), Trouble> {
        let now = self.own();
        if self.account.not_before.is_some_and(|until| now < until) {
            return Err(Trouble::Waiting);
        }
        self.account.not_before = None;
        outcome::begin(&self.rule, &mut self.account, now);
        let (mut window, is_wide) = outcome::open(&self.rule, &mut self.account, now);
        let requests = print("entry");
        let mut chain = Chain::new(self.account.sorted, outcome::overlap(&self.rule, &self.account), now);
        let mut observed = Observed { remembered: self.delivered.len() as u64, ..Observed::default() };
        let (mut link, mut resumed, mut is_resumed, mut is_proof) = (None, None, false, false);
        if let Some(progress) = self.account.progress.clone().filter(|place| place.is_valid(requests, now)) {
            let (asked, again) = match progress.proof() {
                Proof::Again(position) => (position.next_url.clone(), true),
                Proof::Behind(position) => (position.next_url.clone(), false),
            };
            let answer = self.ask(progress.window.start, asked.as_deref(), false);
            let is_proved = match &answer {
                Ok((page, _)) if again => {
                    let prints: Vec<Fingerprint> = page.records.iter().map(|r| print(&r.id.to_string())).collect();
                    progress.is_proved(&prints, page.next.is_some())
                }
                Ok((page, _)) => page.records.iter().any(|record| !self.delivered.contains_key(&record.id)),
                Err(Trouble::Status(code, _)) => *code == 429 || *code >= 500,
                Err(_) => true,
            };
            if is_proved {
                chain = chain.resumed(progress.course, again);
                (window, link, resumed, is_resumed, is_proof) = (progress.window, asked, Some(answer), true, again);
            } else {
                if let Err(Trouble::Killed) = answer {
                    return Err(Trouble::Killed);
                }
                self.account.progress = None;
            }
        } else {
            self.account.progress = None;
        }
        let (mut is_repeated, mut pages) = (false, 0);
        let result = loop {
            let answer = match resumed.take() {
                Some(answer) => answer,
                None => self.ask(window.start, link.as_deref(), is_repeated),
            };
            let (page, moment) = match answer {
                Ok(answer) => answer,
                Err(trouble) => break Err(trouble),
            };
            pages += 1;
            window.see_dates(page.records.iter().map(|record| at(record.date)), self.own());
            let seen = |record: &Record| SeenRecord {
                fingerprint: print(&record.id.to_string()),
                date: Some(at(record.date)),
                is_below: window.is_below(at(record.date)),
            };
            let seen: Vec<SeenRecord> = page.records.iter().map(seen).collect();
            let request = |link: &Option<String>| print(link.as_deref().unwrap_or("first"));
            let next = page.next.as_ref().map(|_| request(&page.next));
            let step = chain.see(&Sight { request: request(&link), moment, records: &seen, next, is_counted: false });
            self.deliver(&page.records, &window)?;
            observed.records = page.records.len() as u64;
            let is_back = |r: &Record| self.account.checkpoint.is_some_and(|point| at(r.date + 1) < point);
            observed.back += u64::from(!page.records.is_empty() && page.records.iter().all(is_back));
            match (step, page.next) {
                (ChainStep::On { is_repeated: repeated }, Some(next)) => {
                    let prints: Vec<Fingerprint> = seen.iter().map(|seen| seen.fingerprint).collect();
                    let place = Progress::new(requests, window, by(link), by(Some(next.clone())), chain.course());
                    self.account.progress = Some(place.proved_by(&prints, is_proof && pages == 1, self.own()));
                    (link, is_repeated) = (Some(next), repeated);
                }
                (ChainStep::Circle, _) => break Err(Trouble::Circle),
                (ChainStep::Pause, Some(next)) => {
                    let place = Progress::new(requests, window, by(link), by(Some(next)), chain.course());
                    let prints: Vec<Fingerprint> = seen.iter().map(|seen| seen.fingerprint).collect();
                    self.account.progress = Some(place.proved_by(&prints, false, self.own()));
                    break Err(Trouble::Pause);
                }
                _ => break Ok(()),
            }
        };
        if matches!(result, Err(Trouble::Killed)) {
            return result;
        }
        self.end(result, &chain, window, (is_wide && !is_resumed, pages), &observed)
    }

    fn end(
        &mut self,
        result: Result<(), Trouble>,
        chain: &Chain,
        window: crate::window::Window,
        (is_look, pages): (bool, u64),
        observed: &Observed,
    ) -> Result<(), Trouble> {
        let now = self.own();
        let (course, is_newest_first) = (chain.course(), chain.is_newest_first());
        let ended = EndedChain { window, course, is_newest_first, is_look, is_delivered: true };
        self.account.lookback.add(pages, observed.back, is_look, now);
        let moved = match &result {
            Ok(()) => {
                watch::judge(&mut self.account, observed, now);
                outcome::cover(&mut self.account, &ended, now);
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

    fn deliver(&mut self, page: &[Record], window: &crate::window::Window) -> Result<(), Trouble> {
        let is_new = |record: &&Record| !window.is_below(at(record.date)) && !self.delivered.contains_key(&record.id);
        let new: Vec<Record> = page.iter().filter(is_new).copied().collect();
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
            self.delivered.insert(record.id, record.date);
            let newest = self.account.newest.filter(|_| look.is_some_and(|look| at(record.date) >= look));
            if let Some(newest) = newest.filter(|_| !is_future(at(record.date), self.own())) {
                self.account.arrival_delay.add(newest - at(record.date));
            }
        }
        Ok(())
    }

    fn iterate_for(&mut self, iterations: usize) {
        (0..iterations).for_each(|_| self.iterate());
    }

    /// Everything that could be seen by now has been shipped, at most `doubled` of it twice, and nothing is stuck.
    #[track_caller]
    fn check(&self, what: &str, settled_s: i64, doubled: usize) {
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

#[test]
fn an_iteration_that_was_cut_goes_on_and_loses_nothing_whatever_became_of_its_place() {
    let pagings = [
        Paging::Offset,
        Paging::Keyset,
        Paging::Scroll,
        Paging::Session(i64::MAX, Stale::Refused),
        Paging::Session(300, Stale::Refused),
        Paging::Session(300, Stale::Empty),
        Paging::Session(300, Stale::FirstPage),
    ];
    for (paging, order) in pagings.iter().flat_map(|p| [Order::NewestFirst, Order::OldestFirst].map(|o| (*p, o))) {
        for (pause, gone) in [60, 2_400, 2 * DAY].iter().flat_map(|pause| [0, 5, 12].map(|gone| (*pause, gone))) {
            let mut fetcher = Fetcher::new(Server::new(records(50, -5_000, -100), order, paging));
            fetcher.server.fails_from = Some(2);
            fetcher.iterate();
            assert!(fetcher.last.is_err(), "the third page fails");
            fetcher.server.fails_from = None;
            let now = fetcher.now;
            let mut list = fetcher.server.list(-DAY, now);
            // Records that were delivered leave the list, the last one of the last page among them.
            list.drain(..).take(20).skip(20 - gone).for_each(|left| {
                fetcher.server.records.iter_mut().filter(|r| r.id == left.id).for_each(|r| r.gone = now);
            });
            fetcher.now += pause;
            fetcher.iterate_for(6);
            fetcher.check(&format!("{paging:?} {order:?}, {gone} gone, after {pause} s"), 0, 0);
        }
    }
}

#[test]
fn a_kill_at_any_request_or_batch_loses_nothing_and_doubles_a_page_at_most() {
    for paging in [Paging::Session(i64::MAX, Stale::Refused), Paging::Offset, Paging::Scroll, Paging::Keyset] {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            for (pause, at) in [60, 2_400, 2 * DAY].iter().flat_map(|pause| (1..9).map(|at| (*pause, at))) {
                for is_request in [true, false] {
                    let mut all = records(55, -5_000, -100);
                    all.extend((0..30).map(|n| record(1_000 + n, 20 * n as i64)));
                    let mut fetcher = Fetcher::new(Server::new(all, order, paging));
                    let kill = if is_request { &mut fetcher.kill_at_request } else { &mut fetcher.kill_at_ship };
                    *kill = Some(at);
                    fetcher.iterate();
                    fetcher.now += pause;
                    fetcher.iterate_for(14);
                    let what = format!("{paging:?} {order:?}, killed at {at}, {pause} s");
                    fetcher.check(&what, 0, if is_request { 0 } else { PAGE });
                }
            }
        }
    }
}

#[test]
fn an_answer_that_is_lost_while_the_server_keeps_the_place_is_asked_for_from_the_beginning() {
    let mut fetcher = Fetcher::new(Server::new(records(60, -5_000, -100), Order::NewestFirst, Paging::Scroll));
    fetcher.server.loses = Some(20);
    fetcher.iterate_for(5);
    fetcher.check("scroll", 0, 0);
}

#[test]
fn empty_pages_are_followed_also_over_a_pause() {
    for pages in [4, 1_500] {
        let start = -100 * pages;
        let mut all = vec![record(1, -50), record(2, -60)];
        all.extend((0..6).map(|n| record(10 + n, start + 40 - 10 * n as i64)));
        let mut fetcher = Fetcher::new(Server::new(all, Order::NewestFirst, Paging::Sparse(100)));
        fetcher.rule.configured = Some(at(start - 500));
        fetcher.iterate_for(6);
        fetcher.check(&format!("{pages} empty pages"), 0, 0);
    }
}

#[test]
fn a_quota_smaller_than_the_backlog_is_worked_off_in_the_fewest_windows() {
    for (most, period, tells) in [(3, HOUR, true), (3, HOUR, false), (3, DAY, true), (3, 900, true), (20, 1_800, true)]
    {
        let server =
            Server::new(records(80, -50_000, -100), Order::NewestFirst, Paging::Session(i64::MAX, Stale::Refused));
        let mut fetcher = Fetcher::new(Server { quota: Some((most, period, tells)), ..server });
        fetcher.interval = 300;
        let mut iterations = 0;
        while fetcher.last.is_err() || fetcher.shipped.len() < 80 {
            fetcher.iterate();
            iterations += 1;
            assert!(iterations < 3_000, "{most} per {period} s: {} of 80, {:?}", fetcher.shipped.len(), fetcher.last);
        }
        fetcher.check("quota", 0, 0);
        // Of each window one request is the proof; where it leaves one more page each, 8 pages take 4 windows of 3.
        let windows = fetcher.now / period + 1;
        let fewest = 7_i64.div_euclid(most as i64 - 1) + 1;
        assert!(windows <= fewest + 1, "{most} per {period} s: {windows} windows instead of {fewest}");
    }
}

#[test]
fn a_quota_of_one_request_gets_on_by_asking_behind_the_place() {
    let server = Server::new(records(80, -50_000, -100), Order::NewestFirst, Paging::Session(i64::MAX, Stale::Refused));
    let mut fetcher = Fetcher::new(Server { quota: Some((1, 900, true)), ..server });
    fetcher.iterate_for(400);
    fetcher.check("one request each", 0, 0);
}

#[test]
fn pages_that_never_come_to_an_end_move_the_checkpoint_where_they_come_oldest_first() {
    let server = Server::new(records(80, -50_000, -100), Order::OldestFirst, Paging::Session(300, Stale::Refused));
    let mut fetcher = Fetcher::new(Server { quota: Some((3, 600, true)), ..server });
    fetcher.interval = 300;
    fetcher.iterate_for(150);
    fetcher.check("tokens live shorter than the quota's period", 0, 0);
}

#[test]
fn clocks_that_differ_lose_nothing() {
    let clocks = [(0, Some(0)), (90, Some(0)), (600, Some(0)), (-600, Some(0)), (0, Some(600)), (0, Some(-600))];
    for (own, api) in clocks.into_iter().chain([(45, None), (150, None), (-600, None)]) {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let all = (0..900).map(|n| record(n, 7 * n as i64)).collect();
            let mut fetcher = Fetcher::new(Server::new(all, order, Paging::Session(i64::MAX, Stale::Refused)));
            (fetcher.clock, fetcher.server.clock, fetcher.rule.overlap) = (own, api, Overlap::Unit);
            fetcher.iterate_for(110);
            // What lies between the clocks is asked for later.
            fetcher.check(&format!("{order:?}: ours {own} s, the API's {api:?}"), 900, 0);
        }
    }
}

#[test]
fn a_source_whose_clock_is_ahead_pushes_nobody_out_of_the_window() {
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Arrival] {
        for paging in [Paging::Tail, Paging::Session(i64::MAX, Stale::Refused), Paging::Offset] {
            let mut all: Vec<Record> = (0..1_200).map(|n| record(n, 2 * n as i64)).collect();
            all.extend((0..80).map(|n| Record { surfaces: 30 * n as i64, ..record(5_000 + n, 30 * n as i64 + 240) }));
            let mut fetcher = Fetcher::new(Server::new(all, order, paging));
            fetcher.rule.overlap = Overlap::Unit;
            fetcher.iterate_for(60);
            fetcher.check(&format!("{order:?} {paging:?}"), 0, 0);
        }
    }
}

#[test]
fn starts_that_are_exclusive_or_coarse_lose_nothing() {
    for (unit, granularity) in [(1, Granularity::Second), (DAY, Granularity::Day)] {
        for is_exclusive in [true, false] {
            let all = (0..300).map(|n| Record { surfaces: 388 * n as i64 + 1, ..record(n, 388 * n as i64) }).collect();
            let server = Server::new(all, Order::NewestFirst, Paging::Session(i64::MAX, Stale::Refused));
            let mut fetcher = Fetcher::new(Server { unit, is_exclusive, ..server });
            (fetcher.rule.granularity, fetcher.interval) = (granularity, 600);
            fetcher.iterate_for(200);
            fetcher.check(&format!("units of {unit} s, exclusive: {is_exclusive}"), 0, 0);
        }
    }
}

#[test]
fn late_records_are_found_within_the_wide_look() {
    for (late, every) in [(1_200, 200), (1_200, 10), (10_000, 200)] {
        let surfaces = |n: u64| 100 * n as i64 + if n.is_multiple_of(every) { late } else { 0 };
        let all = (0..800).map(|n| Record { surfaces: surfaces(n), ..record(n, 100 * n as i64) }).collect();
        let mut fetcher = Fetcher::new(Server::new(all, Order::NewestFirst, Paging::Session(i64::MAX, Stale::Refused)));
        fetcher.interval = 120;
        fetcher.iterate_for(780);
        fetcher.check(&format!("one of {every} is late by {late} s"), 4 * HOUR, 0);
        let own = 780;
        assert!(fetcher.requests < 3 * own, "{} requests, {own} without looking back", fetcher.requests);
    }
}

#[test]
fn a_source_that_is_late_throughout_costs_no_more_pages_than_one_that_is_not() {
    let requests = |late: i64| {
        let all = (0..2_000).map(|n| Record { surfaces: 30 * n as i64 + late, ..record(n, 30 * n as i64) }).collect();
        let mut fetcher = Fetcher::new(Server::new(all, Order::NewestFirst, Paging::Session(i64::MAX, Stale::Refused)));
        fetcher.now = late;
        fetcher.iterate_for(900);
        fetcher.check(&format!("late by {late} s"), 0, 0);
        fetcher.requests
    };
    let (prompt, late) = (requests(0), requests(8 * HOUR));
    assert!(late <= prompt + prompt / 10, "{late} requests instead of {prompt}");
}

#[test]
fn a_server_that_ignores_the_start_costs_its_whole_history_once_a_day() {
    let mut all = records(300, -20 * DAY, -100);
    all.extend((0..600).map(|n| record(900 + n, 60 * n as i64)));
    let server = Server::new(all, Order::NewestFirst, Paging::Session(i64::MAX, Stale::Refused));
    let mut fetcher = Fetcher::new(Server { ignores_start: true, ..server });
    fetcher.rule.configured = Some(at(-DAY));
    fetcher.iterate_for(400);
    let shipped: BTreeSet<u64> = fetcher.shipped.iter().copied().collect();
    assert!((286..300).chain(900..1_290).all(|id| shipped.contains(&id)), "in the window, and not shipped");
    assert!(fetcher.shipped.len() == shipped.len() && !shipped.contains(&200), "doubled, or from before the start");
    let pages = 400 * 6;
    assert!(fetcher.requests < pages, "{} requests in 400 iterations of 30 pages and more", fetcher.requests);
}

#[test]
fn a_last_page_that_names_a_next_one_is_the_last_one() {
    for order in [Order::OldestFirst, Order::NewestFirst, Order::Arrival] {
        let mut all = records(55, -5_000, -100);
        all.extend((0..100).map(|n| record(1_000 + n, 20 * n as i64)));
        let mut fetcher = Fetcher::new(Server::new(all, order, Paging::Tail));
        fetcher.iterate_for(40);
        fetcher.check(&format!("{order:?}"), 0, 0);
    }
}

#[test]
fn a_kill_half_way_asks_for_no_page_twice_but_the_last_one_and_the_one_under_way() {
    let server =
        Server::new(records(500, -50_000, -100), Order::NewestFirst, Paging::Session(i64::MAX, Stale::Refused));
    let mut fetcher = Fetcher::new(server);
    fetcher.kill_at_request = Some(25);
    fetcher.iterate_for(2);
    fetcher.check("killed half-way", 0, 0);
    let mut times = BTreeMap::new();
    for link in &fetcher.links[..51.min(fetcher.links.len())] {
        *times.entry(link.clone()).or_insert(0) += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.len() <= 2, "{twice:?}");
}
