//! Large pages while one output is down: what may be in memory, and who waits for whom.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::unsteady;
use crate::harness::{Fetcher, MockListener, MockServer, Running, minutes_ago, page, wait_until};
use crate::status::{get, page_of, value};

const MIB: usize = 1024 * 1024;
/// The smallest budget that there is.
const BUDGET: usize = 16 * MIB;
/// What a page of 4 MiB counts for: its text and its batches, with the holes between.
const PAGE_BYTES: usize = 18 * MIB;
/// What the process may take besides.
const BESIDES: usize = 64_000_000;
/// Records of a page.
const PAGE: u64 = 10;

/// So many pages of so many bytes for each path, whose number is in the ids.
fn api(bytes: usize, pages: u64) -> MockServer {
    let (date, padding) = (minutes_ago(5), "x".repeat(bytes / PAGE as usize));
    let server = MockServer::start(move |asked, _| {
        let number: u64 = asked.path[1..].parse().unwrap();
        let place: u64 = asked.raw_field("p").map_or(0, |place| place.parse().unwrap());
        let first = 1_000 * number + PAGE * place;
        let large = |id| format!(r#"{{"id":{id},"date":"{date}","p":"{padding}"}}"#);
        let records: Vec<String> = (first..first + PAGE).map(large).collect();
        let next = (place + 1 < pages).then(|| format!("?p={}", place + 1));
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), next.as_deref())
    });
    server.forgetful()
}

fn config(api: &str, count: usize, one: &str, other: &str) -> String {
    let mut text = format!(
        "limits: {{memory: 16MiB}}\nstatus: {{listen: '127.0.0.1:0'}}\nlogzio:\n  - {{name: one, url: '{one}', token: \
         shipping-token-1}}\n  - {{name: other, url: '{other}', token: shipping-token-1}}\nauth_apis:\n"
    );
    for number in 0..count {
        let _ = writeln!(
            text,
            "  - {{type: general, name: events {number}, credentials: {{id: the-id, key: the-basic-key}}, settings: \
             {{time_interval: 1s, days_back_fetch: 5}}, start_date_name: since, http_request: {{url: '{api}/{number}'}}, \
             json_paths: {{next_url: next, data: data, data_date: date, id: id}}}}"
        );
    }
    text
}

fn start(text: &str) -> Running {
    let mut fetcher = Fetcher::new(text);
    // As the image sets them.
    for (name, value) in [("ARENA_MAX", "1"), ("TRIM_THRESHOLD_", "4194304"), ("MMAP_THRESHOLD_", "2097152")] {
        fetcher = fetcher.variable(&format!("MALLOC_{name}"), value);
    }
    fetcher.start()
}

#[track_caller]
fn assert_each_once(listener: &MockListener, records: usize, running: &Running) {
    let ids = listener.ids();
    let distinct = ids.iter().collect::<BTreeSet<_>>().len();
    assert_eq!((ids.len(), distinct), (records, records), "each record once: {}", running.log());
}

/// One page takes more than the budget as it is read, so what the output that is down holds of it would keep everybody else
/// from reading any.
#[test]
fn an_output_that_is_down_leaves_the_memory_to_the_others() {
    const APIS: usize = 3;
    const PAGES: usize = 2;
    let (api, is_down) = (api(4 * MIB, PAGES as u64), Arc::new(AtomicBool::new(true)));
    let (one, other) = (MockListener::start(), unsteady(&is_down, 503));
    let running = start(&config(api.url(), APIS, one.url(), other.url()));
    let records = PAGE as usize * PAGES * APIS;
    one.wait_for_lines(records);
    assert_each_once(&one, records, &running);
    assert!(other.lines().is_empty());

    let metrics = get(&format!("{}/metrics", page_of(&running, 1))).text;
    let most = value(&metrics, "logzio_fetcher_memory_used_bytes_max");
    // One page may exceed it; it counts for each output that has it, and once more while it is kept for one.
    assert!(most < (BUDGET + 4 * PAGE_BYTES) as f64, "{most}");
    let peak = running.peak_memory_bytes();
    assert!(peak < (BUDGET + BESIDES) as u64, "{} MB were in memory", peak / 1_000_000);

    is_down.store(false, Ordering::SeqCst);
    other.wait_for_lines(records);
    assert_each_once(&other, records, &running);
    assert_each_once(&one, records, &running);
    let used = || {
        let metrics = get(&format!("{}/metrics", page_of(&running, 1))).text;
        value(&metrics, "logzio_fetcher_memory_used_bytes")
    };
    wait_until("everything to be given back", || used() == 0.0);
    running.stop().assert_code(0);
}
