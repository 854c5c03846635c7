//! Iterations in simulated time, against servers whose paging, clocks, quotas and arrival delay break naive rules.
//!
//! The deciding parts are the real ones: window, chain, place, outcome. Only fetching, shipping and the disk are played.

mod fetcher;
mod servers;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Overlap;
use crate::template::Granularity;

use fetcher::PlayedFetcher;
use servers::{Order, PAGE, PlayedPaging, PlayedRecord, Server, Stale, at, record, records};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

#[test]
fn an_iteration_that_was_cut_goes_on_and_loses_nothing_whatever_became_of_its_place() {
    let pagings = [
        PlayedPaging::Offset,
        PlayedPaging::Keyset,
        PlayedPaging::Scroll,
        PlayedPaging::Session(i64::MAX, Stale::Refused),
        PlayedPaging::Session(300, Stale::Refused),
        PlayedPaging::Session(300, Stale::Empty),
        PlayedPaging::Session(300, Stale::FirstPage),
    ];
    for (paging, order) in pagings.iter().flat_map(|p| [Order::NewestFirst, Order::OldestFirst].map(|o| (*p, o))) {
        for (pause, gone) in [60, 2_400, 2 * DAY].iter().flat_map(|pause| [0, 5, 12].map(|gone| (*pause, gone))) {
            let mut fetcher = PlayedFetcher::new(Server::new(records(50, -5_000, -100), order, paging));
            fetcher.server.fails_from = Some(2);
            fetcher.iterate();
            assert!(fetcher.last.is_err(), "the third page fails");
            fetcher.server.fails_from = None;
            let now = fetcher.now;
            let mut list = fetcher.server.list((-DAY, None), now);
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
    for paging in [
        PlayedPaging::Session(i64::MAX, Stale::Refused),
        PlayedPaging::Offset,
        PlayedPaging::Scroll,
        PlayedPaging::Keyset,
    ] {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            for (pause, at) in [60, 2_400, 2 * DAY].iter().flat_map(|pause| (1..9).map(|at| (*pause, at))) {
                for is_request in [true, false] {
                    let mut all = records(55, -5_000, -100);
                    all.extend((0..30).map(|n| record(1_000 + n, 20 * n as i64)));
                    let mut fetcher = PlayedFetcher::new(Server::new(all, order, paging));
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
    let mut fetcher =
        PlayedFetcher::new(Server::new(records(60, -5_000, -100), Order::NewestFirst, PlayedPaging::Scroll));
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
        let mut fetcher = PlayedFetcher::new(Server::new(all, Order::NewestFirst, PlayedPaging::Sparse(100)));
        fetcher.rule.configured = Some(at(start - 500));
        fetcher.iterate_for(6);
        fetcher.check(&format!("{pages} empty pages"), 0, 0);
    }
}

#[test]
fn a_quota_smaller_than_the_backlog_is_worked_off_in_the_fewest_windows() {
    for (most, period, tells) in [(3, HOUR, true), (3, HOUR, false), (3, DAY, true), (3, 900, true), (20, 1_800, true)]
    {
        let server = Server::new(
            records(80, -50_000, -100),
            Order::NewestFirst,
            PlayedPaging::Session(i64::MAX, Stale::Refused),
        );
        let mut fetcher = PlayedFetcher::new(Server { quota: Some((most, period, tells)), ..server });
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
    let server =
        Server::new(records(80, -50_000, -100), Order::NewestFirst, PlayedPaging::Session(i64::MAX, Stale::Refused));
    let mut fetcher = PlayedFetcher::new(Server { quota: Some((1, 900, true)), ..server });
    fetcher.iterate_for(400);
    fetcher.check("one request each", 0, 0);
}

#[test]
fn pages_that_never_come_to_an_end_move_the_checkpoint_where_they_come_oldest_first() {
    let server =
        Server::new(records(80, -50_000, -100), Order::OldestFirst, PlayedPaging::Session(300, Stale::Refused));
    let mut fetcher = PlayedFetcher::new(Server { quota: Some((3, 600, true)), ..server });
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
            let mut fetcher =
                PlayedFetcher::new(Server::new(all, order, PlayedPaging::Session(i64::MAX, Stale::Refused)));
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
        for paging in [PlayedPaging::Tail, PlayedPaging::Session(i64::MAX, Stale::Refused), PlayedPaging::Offset] {
            let mut all: Vec<PlayedRecord> = (0..1_200).map(|n| record(n, 2 * n as i64)).collect();
            all.extend(
                (0..80).map(|n| PlayedRecord { surfaces: 30 * n as i64, ..record(5_000 + n, 30 * n as i64 + 240) }),
            );
            let mut fetcher = PlayedFetcher::new(Server::new(all, order, paging));
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
            let all =
                (0..300).map(|n| PlayedRecord { surfaces: 388 * n as i64 + 1, ..record(n, 388 * n as i64) }).collect();
            let server = Server::new(all, Order::NewestFirst, PlayedPaging::Session(i64::MAX, Stale::Refused));
            let mut fetcher = PlayedFetcher::new(Server { unit, is_exclusive, ..server });
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
        let all = (0..800).map(|n| PlayedRecord { surfaces: surfaces(n), ..record(n, 100 * n as i64) }).collect();
        let mut fetcher =
            PlayedFetcher::new(Server::new(all, Order::NewestFirst, PlayedPaging::Session(i64::MAX, Stale::Refused)));
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
        let all =
            (0..2_000).map(|n| PlayedRecord { surfaces: 30 * n as i64 + late, ..record(n, 30 * n as i64) }).collect();
        let mut fetcher =
            PlayedFetcher::new(Server::new(all, Order::NewestFirst, PlayedPaging::Session(i64::MAX, Stale::Refused)));
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
    let server = Server::new(all, Order::NewestFirst, PlayedPaging::Session(i64::MAX, Stale::Refused));
    let mut fetcher = PlayedFetcher::new(Server { ignores_start: true, ..server });
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
        let mut fetcher = PlayedFetcher::new(Server::new(all, order, PlayedPaging::Tail));
        fetcher.iterate_for(40);
        fetcher.check(&format!("{order:?}"), 0, 0);
    }
}

#[test]
fn a_kill_half_way_asks_for_no_page_twice_but_the_last_one_and_the_one_under_way() {
    let server =
        Server::new(records(500, -50_000, -100), Order::NewestFirst, PlayedPaging::Session(i64::MAX, Stale::Refused));
    let mut fetcher = PlayedFetcher::new(server);
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
