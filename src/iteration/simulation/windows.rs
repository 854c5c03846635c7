//! Servers that filter by when records surfaced, and slices.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::fetcher::PlayedFetcher;
use super::servers::{Order, PAGE, PlayedPaging, PlayedRecord, Server, Stale, at, record};
use super::{DAY, HOUR};
use crate::plan::{CheckpointKind, Overlap};
use crate::template::Granularity;

/// Records whose dates lie up to two days before they surface, in no order.
fn late_records(count: u64, every: i64) -> Vec<PlayedRecord> {
    let late = |n: u64| [0, 40, 2 * DAY, 7 * HOUR, 3][n as usize % 5] + (n as i64 * 7_919) % 600;
    (0..count).map(|n| PlayedRecord { surfaces: every * n as i64, ..record(n, every * n as i64 - late(n)) }).collect()
}

/// A fetcher of an API that filters by arrival.
fn by_arrival(records: Vec<PlayedRecord>, order: Order, paging: PlayedPaging, names_end: bool) -> PlayedFetcher {
    let server = Server { is_by_arrival: true, ..Server::new(records, order, paging) };
    let mut fetcher = PlayedFetcher::new(server);
    fetcher.rule.checkpoint = CheckpointKind::WindowEnd;
    fetcher.rule.end.delay = TimeDelta::minutes(1);
    fetcher.rule.end.written = names_end.then_some(Granularity::Second);
    fetcher
}

#[test]
fn an_api_that_filters_by_arrival_loses_and_doubles_nothing_however_late_its_records_are_dated() {
    for (order, names_end) in
        [Order::NewestFirst, Order::OldestFirst, Order::Arrival].map(|o| [(o, true), (o, false)]).concat()
    {
        for paging in [PlayedPaging::Session(i64::MAX, Stale::Refused), PlayedPaging::Offset, PlayedPaging::Tail] {
            // A list that grows or shrinks under a place in it moves on: where nothing says an end it must be frozen.
            if paging != PlayedPaging::Session(i64::MAX, Stale::Refused) && !names_end {
                continue;
            }
            for overlap in [Overlap::Unit, Overlap::Measured { until_measured: TimeDelta::minutes(1) }] {
                let mut fetcher = by_arrival(late_records(900, 31), order, paging, names_end);
                fetcher.rule.overlap = overlap;
                fetcher.iterate_for(330);
                let what = format!("{order:?} {paging:?} {overlap:?}, names its end: {names_end}");
                fetcher.check(&what, 120, 0);
                assert_eq!(fetcher.account.arrival_delay.measures(), 0, "dates tell nothing of the delay");
            }
        }
    }
}

#[test]
fn clocks_that_differ_lose_and_double_nothing_where_arrival_counts() {
    let clocks =
        [(90, Some(0)), (600, Some(0)), (-600, Some(0)), (0, Some(600)), (0, Some(-600)), (-90, None), (45, None)];
    for ((own, api), names_end) in clocks.map(|clocks| [(clocks, true), (clocks, false)]).concat() {
        let mut fetcher = by_arrival(
            late_records(700, 23),
            Order::Arrival,
            PlayedPaging::Session(i64::MAX, Stale::Refused),
            names_end,
        );
        (fetcher.clock, fetcher.server.clock, fetcher.rule.overlap) = (own, api, Overlap::Unit);
        fetcher.iterate_for(200);
        fetcher.check(&format!("ours {own} s, the API's {api:?}, names its end: {names_end}"), 900, 0);
    }
}

#[test]
fn an_end_that_the_api_s_clock_has_not_reached_is_refused_once_at_most() {
    for (own, api) in [(0, -600), (600, 0), (300, -300), (0, 600), (0, 0)] {
        let mut fetcher = by_arrival(late_records(100, 23), Order::Arrival, PlayedPaging::Offset, true);
        (fetcher.clock, fetcher.server.clock, fetcher.server.refuses_end_ahead) = (own, Some(api), true);
        fetcher.iterate();
        let is_behind = own > api;
        let what = format!("ours {own} s, the API's {api} s");
        assert_eq!(fetcher.last.is_err(), is_behind, "{what}: nobody told of its clock before the first answer");
        for _ in 0..80 {
            fetcher.iterate();
            assert_eq!(fetcher.last, Ok(()), "{what}: its answers told of its clock");
        }
        fetcher.check(&what, 900, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn slices_by_arrival_lose_nothing_and_double_a_page_at_most_whatever_comes_when(
        gaps in prop::collection::vec((0_i64..9_000, 0_i64..3 * DAY), 1..70),
        (slice_s, delay_s, interval_s) in (600_i64..2 * DAY, 1_i64..900, 300_i64..4_000),
        (own, api) in (-900_i64..900, -900_i64..900),
        (order, paging) in (0_usize..3, 0_usize..3),
        is_measured in any::<bool>(),
        (kill_at_request, kill_at_ship) in (prop::option::of(1_usize..60), prop::option::of(1_usize..12)),
        fails_from in prop::option::of(1_usize..4),
    ) {
        let mut surfaces = 0;
        let numbered = gaps.iter().zip(0_u64..);
        let records = numbered.map(|((pause, late), n)| {
            surfaces += pause;
            PlayedRecord { surfaces, ..record(n, surfaces - late) }
        }).collect();
        let order = [Order::NewestFirst, Order::OldestFirst, Order::Arrival][order];
        let paging = [PlayedPaging::Session(i64::MAX, Stale::Refused), PlayedPaging::Offset, PlayedPaging::Tail][paging];
        let mut fetcher = by_arrival(records, order, paging, true);
        (fetcher.rule.end.longest, fetcher.rule.end.delay) = (Some(TimeDelta::seconds(slice_s)), TimeDelta::seconds(delay_s));
        (fetcher.clock, fetcher.server.clock, fetcher.interval) = (own, Some(api), interval_s);
        fetcher.rule.overlap = if is_measured { Overlap::Measured { until_measured: TimeDelta::minutes(1) } } else { Overlap::Unit };
        fetcher.rule.configured = Some(at(-HOUR));
        fetcher.now = surfaces / 2;
        (fetcher.kill_at_request, fetcher.kill_at_ship, fetcher.server.fails_from) = (kill_at_request, kill_at_ship, fails_from);
        fetcher.iterate_for(4);
        (fetcher.kill_at_request, fetcher.kill_at_ship, fetcher.server.fails_from) = (None, None, None);
        while fetcher.now < surfaces + 3 * interval_s + 3_600 {
            fetcher.iterate();
        }
        fetcher.check("slices by arrival", 3_600, 2 * PAGE);
    }
}

#[test]
fn slices_by_arrival_move_on_over_quiet_ones_and_survive_a_kill_anywhere() {
    for at_request in 1..60 {
        let mut records = late_records(40, 600);
        records.extend(late_records(60, 60).into_iter().map(|r| PlayedRecord {
            id: r.id + 1_000,
            date: r.date + 5 * DAY,
            surfaces: r.surfaces + 5 * DAY,
            ..r
        }));
        let mut fetcher = by_arrival(records, Order::NewestFirst, PlayedPaging::Offset, true);
        fetcher.rule.end.longest = Some(TimeDelta::hours(6));
        fetcher.rule.configured = Some(at(-HOUR));
        fetcher.now = 5 * DAY + 2 * HOUR;
        fetcher.kill_at_request = Some(at_request);
        fetcher.iterate_for(6);
        // It may not have come so far.
        fetcher.kill_at_request = None;
        fetcher.iterate_for(2);
        fetcher.check(&format!("killed at request {at_request}"), 120, PAGE);
        let checkpoint = fetcher.account.checkpoint.expect("a checkpoint");
        assert!(at(fetcher.now) - checkpoint < TimeDelta::minutes(4), "a quiet slice is done: {checkpoint}");
    }
}

#[test]
fn a_server_that_fails_in_long_windows_is_asked_in_halves_until_all_is_there() {
    for (order, is_by_arrival) in [Order::NewestFirst, Order::OldestFirst].map(|o| [(o, true), (o, false)]).concat() {
        let mut fetcher = by_arrival(late_records(500, 900), order, PlayedPaging::Offset, true);
        if !is_by_arrival {
            fetcher.server.records.iter_mut().for_each(|record| record.date = record.surfaces);
            fetcher.server.is_by_arrival = false;
            fetcher.rule.checkpoint = CheckpointKind::Newest;
        }
        fetcher.server.span_max = Some(9 * HOUR);
        fetcher.now = 900 * 500;
        fetcher.iterate_for(40);
        fetcher.check(&format!("{order:?}, by arrival: {is_by_arrival}"), 120, 0);
        assert_eq!(fetcher.account.halving, None, "nothing is left to ask in halves");
        assert!(fetcher.requests < 600, "{} requests", fetcher.requests);
    }
}

#[test]
fn a_quiet_slice_is_done_but_comes_no_closer_to_now_than_six_hours_or_six_slices() {
    for (slice, closest) in [(TimeDelta::minutes(30), 3 * HOUR), (TimeDelta::days(1), 6 * HOUR)] {
        let mut fetcher = PlayedFetcher::new(Server::new(Vec::new(), Order::NewestFirst, PlayedPaging::Offset));
        (fetcher.rule.end.longest, fetcher.rule.end.written) = (Some(slice), Some(Granularity::Second));
        fetcher.iterate();
        let checkpoint = fetcher.account.checkpoint.expect("a checkpoint");
        let expected = at(-closest)..=at(fetcher.now - closest);
        assert!(expected.contains(&checkpoint), "slices of {slice}: {checkpoint}, not {expected:?}");
        // What surfaces late behind it is found.
        fetcher.server.records.push(PlayedRecord { surfaces: fetcher.now, ..record(1, fetcher.now - closest + 60) });
        fetcher.iterate_for(2);
        assert_eq!(fetcher.shipped, [1], "slices of {slice}");
    }
}
