//! Many APIs with much to tell at the same time: whose pages are in memory.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use logzio_api_fetcher::fetch::SEATS;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, minutes_ago, page, record, wait_until};

const BEYOND: usize = 8;

fn config(apis: impl Iterator<Item = String>, listener: &str) -> String {
    let mut config = format!("logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n");
    for (number, url) in apis.enumerate() {
        let _ = write!(
            config,
            "  - type: general
    name: events {number}
    credentials: {{id: the-id, key: the-basic-key}}
    settings: {{time_interval: 1s, days_back_fetch: 5}}
    start_date_name: since
    http_request: {{url: '{url}'}}
    json_paths: {{next_url: next, data: data, data_date: date}}
"
        );
    }
    config
}

/// Two pages of each API, the first of which fills a batch. The listener takes nothing until every seat has sent one.
#[test]
fn every_api_is_asked_and_what_has_no_seat_waits() {
    let (date, padding) = (minutes_ago(5), "x".repeat(280_000));
    let firsts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&firsts);
    let api = MockServer::start(move |asked, _| {
        let number: u64 = asked.path[1..].parse().unwrap();
        if asked.query == "p=2" {
            return page(&[&record(number * 10 + 9, &date)], None);
        }
        counted.fetch_add(1, Ordering::SeqCst);
        let large = |n| format!(r#"{{"id":{},"date":"{date}","p":"{padding}"}}"#, number * 10 + n);
        page(&[&large(0), &large(1), &large(2), &large(3)], Some("?p=2"))
    });
    let (in_flight, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let highest = Arc::clone(&most);
    let asked = Arc::clone(&firsts);
    let listener = MockListener::answering(move |_, before| {
        let now = in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(now, Ordering::SeqCst);
        if before < SEATS {
            wait_until("a batch of every seat, and a question to every API", || {
                highest.load(Ordering::SeqCst) >= SEATS && asked.load(Ordering::SeqCst) >= SEATS + BEYOND
            });
            // Who has no seat would send now.
            std::thread::sleep(Duration::from_millis(300));
        }
        in_flight.fetch_sub(1, Ordering::SeqCst);
        Reply::status(200, "")
    });
    let apis = (0..SEATS + BEYOND).map(|number| format!("{}/{number}", api.url()));
    Fetcher::new(&config(apis, listener.url())).once().assert_code(0);
    assert_eq!(most.load(Ordering::SeqCst), SEATS, "so many sent at the same time");
    let ids = listener.ids();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (5 * (SEATS + BEYOND), ids.len()));
}

#[test]
fn apis_that_stall_hold_no_other_up() {
    let date = minutes_ago(5);
    let slow = MockServer::start(|_, _| Reply::Stall(b"{\"data\":[".to_vec()));
    let stalling = slow.url().to_owned();
    // When all the others have their answers' beginning.
    let good = MockServer::start(move |_, _| {
        Reply::Late(Duration::from_millis(1_500), Box::new(page(&[&record(1, &date)], None)))
    });
    let listener = MockListener::start();
    let apis = (0..SEATS + BEYOND).map(|_| stalling.clone()).chain([good.url().to_owned()]);
    let running = Fetcher::new(&config(apis, listener.url())).start();
    slow.wait_for_requests(SEATS + BEYOND);
    listener.wait_for_lines(1);
    running.kill();
}
