//! Many APIs with much to tell at the same time, and pages that are large: what may be in memory.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::{Fetcher, MockListener, MockServer, Reply, minutes_ago, page, record, wait_until};
use crate::status::{get, page_of};

const MIB: usize = 1024 * 1024;
/// The smallest budget that there is.
const BUDGET: usize = 16 * MIB;
/// What the process may take besides.
const BESIDES: usize = 64_000_000;

fn config(apis: impl Iterator<Item = String>, listener: &str) -> String {
    let mut config = format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nlimits: {{memory: 16MiB}}\nstatus: {{listen: \
         127.0.0.1:0}}\nauth_apis:\n"
    );
    for (number, url) in apis.enumerate() {
        let _ = write!(
            config,
            "  - type: general
    name: events {number}
    credentials: {{id: the-id, key: the-basic-key}}
    settings: {{time_interval: 1h, days_back_fetch: 5}}
    start_date_name: since
    http_request: {{url: '{url}'}}
    json_paths: {{next_url: next, data: data, data_date: date}}
"
        );
    }
    config
}

/// So many pages of each API, with ten records of a tenth of `bytes` each, and one with one more.
fn api(bytes: usize, pages: u64) -> MockServer {
    let (date, padding) = (minutes_ago(5), "x".repeat(bytes / 10));
    let server = MockServer::start(move |asked, _| {
        let number: u64 = asked.path[1..].parse().unwrap();
        let place: u64 = asked.query.strip_prefix("p=").map_or(0, |place| place.parse().unwrap());
        if place == pages {
            return page(&[&record(number * 1_000 + 999, &date)], None);
        }
        let large = |n| format!(r#"{{"id":{},"date":"{date}","p":"{padding}"}}"#, number * 1_000 + place * 10 + n);
        let records: Vec<String> = (0..10).map(large).collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), Some(&format!("?p={}", place + 1)))
    });
    server.forgetful()
}

#[track_caller]
fn assert_each_once(listener: &MockListener, records: usize) {
    let ids = listener.ids();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (records, records), "each record once");
}

#[test]
fn a_hundred_apis_stay_within_the_budget_while_the_listener_is_down_and_lose_nothing() {
    const APIS: usize = 100;
    let api = api(MIB, 1);
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let listener =
        MockListener::answering(move |_, _| Reply::status(if up.load(Ordering::SeqCst) { 200 } else { 503 }, ""));
    let apis = (0..APIS).map(|number| format!("{}/{number}", api.url()));
    let mut fetcher = Fetcher::new(&config(apis, listener.url()));
    // As the image sets them.
    for (name, value) in [("ARENA_MAX", "1"), ("TRIM_THRESHOLD_", "4194304"), ("MMAP_THRESHOLD_", "2097152")] {
        fetcher = fetcher.variable(&format!("MALLOC_{name}"), value);
    }
    let running = fetcher.start();
    // Where one batch failed before another page was asked for, its API is alone, and tries five times within seconds.
    running.wait_for_log("retrying the batch", 5);
    let asked = api.asked().len();
    assert!(asked <= 2 * BUDGET / MIB, "{asked} pages were asked for, and none is delivered");
    is_up.store(true, Ordering::SeqCst);
    listener.wait_for_lines(11 * APIS);
    let peak = running.peak_memory_bytes();
    assert!(peak < (BUDGET + BESIDES) as u64, "{} MB were in memory", peak / 1_000_000);
    let outcome = running.stop().assert_code(0);
    assert_each_once(&listener, 11 * APIS);
    // That the listener itself was down may have been told by then.
    assert!(!outcome.stderr.contains("iteration failed"), "{}", outcome.stderr);
}

/// Each of three has a page that takes more than the budget, and wants it at the same time.
#[test]
fn a_page_larger_than_the_budget_is_read_one_at_a_time() {
    let api = api(4 * MIB, 1);
    let listener = MockListener::start();
    let apis = (0..4).map(|number| format!("{}/{number}", api.url()));
    let running = Fetcher::new(&config(apis, listener.url())).start();
    listener.wait_for_lines(44);
    running.stop().assert_code(0);
    assert_each_once(&listener, 44);

    let large = self::api(18 * MIB, 1);
    let listener = MockListener::start();
    let date = minutes_ago(5);
    let other = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    // Its records are too long for the listener: they are kept in a file, and nothing is lost.
    let apis = [format!("{}/5", large.url()), other.url().to_owned()];
    let outcome = Fetcher::new(&config(apis.into_iter(), listener.url())).once().assert_code(0);
    assert_eq!(outcome.read("undelivered.ndjson").lines().count(), 10, "{}", outcome.stderr);
    listener.wait_for_lines(2);
    assert_each_once(&listener, 2);
}

/// Each page leaves a batch half full: whoever waits for the next one ships it, and holds nothing.
#[test]
fn iterations_that_wait_for_room_hold_none() {
    const APIS: usize = 40;
    let api = api(7 * MIB / 10, 4);
    let listener = MockListener::start();
    let apis = (0..APIS).map(|number| format!("{}/{number}", api.url()));
    Fetcher::new(&config(apis, listener.url())).once().assert_code(0);
    assert_each_once(&listener, 41 * APIS);
}

/// More APIs than the budget has first pieces for, which all begin to answer and then stall.
#[test]
fn apis_that_stall_hold_no_other_up() {
    const STALLED: usize = 80;
    let date = minutes_ago(5);
    let stalled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&stalled);
    let slow = MockServer::start(move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        Reply::Stall(b"{\"data\":[".to_vec())
    });
    let stalling = slow.url().to_owned();
    let good = MockServer::start(move |_, _| {
        wait_until("all others to be asked", || stalled.load(Ordering::SeqCst) >= STALLED);
        page(&[&record(1, &date)], None)
    });
    let listener = MockListener::start();
    let apis = (0..STALLED).map(|_| stalling.clone()).chain([good.url().to_owned()]);
    let running = Fetcher::new(&config(apis, listener.url())).start();
    slow.wait_for_requests(STALLED);
    listener.wait_for_lines(1);
    running.kill();
}

/// The figures are among the metrics, and a page that is gone is gone from them, too.
#[test]
fn the_metrics_say_what_the_budget_is_and_what_is_taken_of_it() {
    let api = api(MIB, 1);
    let listener = MockListener::start();
    let running = Fetcher::new(&config([format!("{}/1", api.url())].into_iter(), listener.url())).start();
    listener.wait_for_lines(11);
    let url = page_of(&running, 1);
    let figure = |name: &str| -> u64 {
        let metrics = get(&format!("{url}/metrics")).text;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("logzio_fetcher_{name} ")));
        line.unwrap_or_else(|| panic!("{name} is missing in\n{metrics}")).parse().unwrap()
    };
    wait_until("everything to be given back", || figure("memory_used_bytes") == 0);
    assert_eq!(figure("memory_budget_bytes"), BUDGET as u64);
    let most = figure("memory_used_bytes_max");
    assert!((3 * MIB as u64..10 * MIB as u64).contains(&most), "{most}");
    running.stop().assert_code(0);
}
