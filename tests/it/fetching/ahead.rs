//! How far pages are read ahead of what ships.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, wait_until};

/// Pages that fill no batch are read while two batches are on their way, and no further.
#[test]
fn small_pages_are_not_read_far_ahead_of_a_slow_listener() {
    const PAGES: usize = 30;
    let (date, padding) = (minutes_ago(5), "x".repeat(200_000));
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let api = MockServer::start(move |_, before| {
        counting.fetch_add(1, Ordering::SeqCst);
        let record = |n| format!(r#"{{"id":{},"date":"{date}","p":"{padding}"}}"#, before * 2 + n);
        page(&[&record(0), &record(1)], (before + 1 < PAGES).then(|| format!("?p={before}")).as_deref())
    });
    let at_second = Arc::new(AtomicUsize::new(0));
    let (noted, asked) = (Arc::clone(&at_second), Arc::clone(&asked));
    let listener = MockListener::answering(move |_, before| {
        if before == 1 {
            noted.store(asked.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        let answer = Reply::status(200, "");
        if before == 0 { Reply::Late(Duration::from_millis(1_500), Box::new(answer)) } else { answer }
    });
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!(listener.lines().len(), 2 * PAGES);
    // A batch holds five such records: three are full after eight pages. One page is in hand, and one on its way. The answer to
    // the first batch makes room for another one, of three pages, which may be asked for before the second batch is here.
    let asked = at_second.load(Ordering::SeqCst);
    assert!((5..=13).contains(&asked), "{asked} of {PAGES} pages were asked for when the second batch came");
}

#[test]
fn the_next_page_is_fetched_while_this_one_ships() {
    let date = minutes_ago(5);
    let padding = "x".repeat(300_000);
    let api = MockServer::start(move |_, before| {
        let records: Vec<String> =
            (0..5).map(|n| format!(r#"{{"id":{},"date":"{date}","p":"{padding}"}}"#, before * 10 + n)).collect();
        page(
            &records.iter().map(String::as_str).collect::<Vec<_>>(),
            (before < 2).then(|| format!("?p={before}")).as_deref(),
        )
    });
    let listener = MockListener::answering(|_, before| match before {
        0 => Reply::Late(Duration::from_millis(800), Box::new(Reply::status(200, ""))),
        _ => Reply::status(200, ""),
    });
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start_command(Some("once"));
    wait_until("the first batch on its way", || listener.asked().len() == 1);
    api.wait_for_requests(2);
    assert_eq!(listener.asked().len(), 1, "the second page is asked for before the first batch is answered");
    assert_eq!(api.asked().len(), 2, "one page ahead, no more");
    running.wait().assert_code(0);
    assert_eq!(listener.lines().len(), 15);
}
