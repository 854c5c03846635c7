//! Servers that filter by when records surfaced, and slices.

use chrono::TimeDelta;

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
