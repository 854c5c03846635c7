//! Where iterations begin, what they ship, where the checkpoint goes.

use chrono::{TimeDelta, Utc};
use logzio_api_fetcher::record::date;

use crate::harness::{Fetcher, MockListener, MockServer, decoded, general, minutes_ago, page, record};

const CHECKPOINTS: &str = "last_start_dates.txt";

/// The start date of a request.
fn since(asked: &crate::harness::Asked) -> chrono::DateTime<Utc> {
    date::parse(&decoded(asked.raw_field("since").expect("a start date"))).expect("a date")
}

#[test]
fn the_first_iteration_begins_some_days_back() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    let back = Utc::now() - since(&api.asked()[0]);
    assert!(
        back > TimeDelta::days(5) - TimeDelta::minutes(1) && back < TimeDelta::days(5) + TimeDelta::minutes(1),
        "{back}"
    );
    assert_eq!(outcome.read(CHECKPOINTS), "", "no record, no checkpoint");
}

#[test]
fn the_checkpoint_is_the_newest_date_in_any_order_and_the_next_start() {
    let dates = [minutes_ago(30), minutes_ago(10), minutes_ago(20)];
    let newest = dates[1].clone();
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[&record(1, &dates[0]), &record(2, &dates[1])], Some("?p=2")),
        1 => page(&[&record(3, &dates[2])], None),
        _ => page(&[], None),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    api.wait_for_requests(3);
    let outcome = running.stop().assert_code(0);
    assert_eq!(outcome.read(CHECKPOINTS), format!("events: {newest}\n"));
    let again = since(&api.asked()[2]) + TimeDelta::seconds(1);
    assert_eq!(date::format(again), newest, "a second earlier, as the start may be exclusive");
    assert_eq!(api.asked()[1].query, "p=2", "a next link is used as it is");
}

#[test]
fn records_of_the_edge_are_shipped_once_and_late_ones_in_its_second_too() {
    let edge = minutes_ago(10);
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[&record(1, &edge), &record(2, &edge)], None),
        1 => page(&[&record(2, &edge), &record(3, &edge), &record(1, &edge)], None),
        _ => page(&[&record(1, &edge), &record(2, &edge), &record(3, &edge)], None),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration done", 4);
    assert_eq!(listener.ids(), [1, 2, 3]);
}

#[test]
fn a_server_that_ignores_the_start_date_gets_nothing_shipped_twice() {
    let dates: Vec<String> = [50, 40, 30, 20].into_iter().map(minutes_ago).collect();
    let api = MockServer::start(move |_, _| {
        let records: Vec<String> = dates.iter().zip(1..).map(|(date, id)| record(id, date)).collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration done", 3);
    assert_eq!(listener.ids(), [1, 2, 3, 4]);
    drop(running);
}

#[test]
fn two_identical_records_of_one_page_are_two_and_one_of_two_pages_is_one() {
    let (same, other) = (record(1, &minutes_ago(5)), record(2, &minutes_ago(4)));
    let api = MockServer::start(move |_, before| match before % 2 {
        0 => page(&[&same, &same, &other], Some(&format!("?p={before}"))),
        _ => page(&[&other, &same], None),
    });
    let listener = MockListener::start();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0).assert_says("duplicates=2");
    assert_eq!(listener.ids(), [1, 1, 2]);
}

#[test]
fn an_id_tells_records_apart_whatever_else_changes() {
    let date = minutes_ago(5);
    let api =
        MockServer::start(move |_, before| page(&[&format!(r#"{{"id":7,"date":"{date}","reads":{before}}}"#)], None));
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "").replace("data_date: date}", "data_date: date, id: id}");
    let running = Fetcher::new(&config).start();
    running.wait_for_log("iteration done", 3);
    assert_eq!(listener.ids(), [7]);
}

#[test]
fn a_first_run_leaves_out_what_is_older_than_the_newest_less_the_days_back() {
    let api = MockServer::start(|_, before| match before {
        0 => page(&[&record(1, "2022-03-18T11:20:06+00:00"), &record(2, "2022-03-13T11:20:06+00:00")], Some("?p=2")),
        1 => page(&[&record(3, "2022-03-13T11:20:05+00:00")], Some("?p=3")),
        _ => page(&[&record(4, "2022-03-01T00:00:00+00:00")], None),
    });
    let listener = MockListener::start();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 2]);
    assert_eq!(api.asked().len(), 3, "every page: an order that is only seen now ends nothing");
    assert_eq!(outcome.read(CHECKPOINTS), "events: 2022-03-18T11:20:06Z\n");
    Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 2], "the edge is known, however old it is");
}

#[test]
fn one_page_that_falls_by_chance_ends_no_paging() {
    let ago = |days: i64| minutes_ago(60 * 24 * days);
    let pages = [[ago(2), ago(9), ago(12)], [ago(8), ago(1), ago(3)]];
    let api = MockServer::start(move |asked, _| {
        let number = usize::from(asked.raw_field("p").is_some());
        let records: Vec<String> =
            pages[number].iter().zip(1..).map(|(date, id)| record(number as u64 * 10 + id, date)).collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), (number == 0).then_some("?p=2"))
    });
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), &format!("    filters: {{since: '{}'}}\n", ago(4)));
    Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 12, 13]);
}

#[test]
fn a_first_window_that_fails_does_not_slide() {
    let api = MockServer::start(|_, before| match before {
        0 => crate::harness::Reply::status(404, ""),
        1 => crate::harness::Reply::status(400, ""),
        _ => page(&[], None),
    });
    let listener = MockListener::start().may_be_idle();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    api.wait_for_requests(4);
    running.stop().assert_code(0);
    let starts: Vec<_> = api.asked().iter().map(since).collect();
    assert!(starts[0] == starts[1] && starts[1] == starts[2] && starts[2] < starts[3], "{starts:?}");
}

#[test]
fn a_checkpoint_in_the_future_is_warned_of() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let fetcher = Fetcher::new(&general(api.url(), listener.url(), "")).file(CHECKPOINTS, "events: 2199-01-01\n");
    fetcher.once().assert_code(0).assert_says("the checkpoint lies in the future");
}

#[test]
fn pages_that_are_not_newest_first_are_read_to_the_end() {
    let (old, new) = (minutes_ago(60 * 24 * 30), minutes_ago(10));
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[&record(1, &old), &record(2, &new), &record(3, &old)], Some("?p=2")),
        _ => page(&[&record(4, &new)], None),
    });
    let listener = MockListener::start();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!(listener.ids(), [2, 4]);
}

#[test]
fn a_date_in_the_future_is_shipped_and_moves_no_checkpoint() {
    let (now, future) = (minutes_ago(10), minutes_ago(-60));
    let expected = format!("events: {now}\n");
    let api = MockServer::start(move |_, _| page(&[&record(1, &future), &record(2, &now)], None));
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration done", 3);
    let outcome = running.stop().assert_says("have a date in the future");
    assert_eq!(listener.ids(), [1, 2]);
    assert_eq!(outcome.read(CHECKPOINTS), expected);
}

#[test]
fn the_start_date_of_the_filters_counts_until_the_checkpoint_is_later() {
    let (filter, first) = (minutes_ago(60), minutes_ago(30));
    let filter_sent = filter.clone();
    let api = MockServer::start(move |_, _| page(&[&record(1, &first)], None));
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), &format!("    filters: {{since: '{filter}', kind: 'a b'}}\n"));
    let running = Fetcher::new(&config).start();
    api.wait_for_requests(2);
    running.wait_for_log("to start over, stop, delete the API's line in last_start_dates.txt", 1);
    running.wait_for_log("iteration done", 3);
    let outcome = running.stop();
    let asked = api.asked();
    assert_eq!(decoded(&asked[0].query), format!("kind=a b&since={filter_sent}"), "the filter is sent once");
    assert!(since(&asked[1]) > since(&asked[0]));
    assert_eq!(outcome.stderr.matches("to start over").count(), 1, "told once");
}

#[test]
fn a_filter_later_than_the_checkpoint_wins() {
    let filter = minutes_ago(60);
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let config = general(api.url(), listener.url(), &format!("    filters: {{since: '{filter}'}}\n"));
    let outcome = Fetcher::new(&config).file(CHECKPOINTS, "events: 2024-01-01T00:00:00Z\n").once().assert_code(0);
    assert_eq!(date::format(since(&api.asked()[0])), filter);
    assert_eq!(outcome.read(CHECKPOINTS), "events: 2024-01-01T00:00:00Z\n");
}

#[test]
fn the_overlap_looks_back_and_ships_only_what_is_late() {
    let (newest, late) = (minutes_ago(10), minutes_ago(15));
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[&record(1, &newest)], None),
        _ => page(&[&record(1, &newest), &record(2, &late)], None),
    });
    let listener = MockListener::start();
    let config =
        general(api.url(), listener.url(), "").replace("days_back_fetch: 5", "days_back_fetch: 5, overlap: 10");
    let running = Fetcher::new(&config).start();
    running.wait_for_log("iteration done", 3);
    let outcome = running.stop();
    assert_eq!(listener.ids(), [1, 2]);
    let checkpoint = date::parse(outcome.read(CHECKPOINTS).trim().strip_prefix("events: ").unwrap()).unwrap();
    assert_eq!(checkpoint - since(&api.asked()[1]), TimeDelta::minutes(10) + TimeDelta::seconds(1));
    assert_eq!(outcome.read(CHECKPOINTS).lines().count(), 1, "it did not move, so it is not written again");
}

#[test]
fn a_failed_iteration_leaves_the_checkpoint_and_forgets_no_delivery() {
    let dates = [minutes_ago(10), minutes_ago(9)];
    let newest = dates[1].clone();
    let api = MockServer::start(move |asked, before| match (asked.raw_field("p"), before) {
        (None, _) => page(&[&record(1, &dates[0])], Some("?p=2")),
        (_, 1) => crate::harness::Reply::status(410, ""),
        _ => page(&[&record(2, &dates[1])], None),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration failed", 1);
    assert_eq!(running.read(CHECKPOINTS), "");
    running.wait_for_log("iteration done", 1);
    let outcome = running.stop();
    assert_eq!(listener.ids(), [1, 2], "{}", outcome.stderr);
    assert_eq!(outcome.read(CHECKPOINTS), format!("events: {newest}\n"));
}
