//! Several outputs: each gets what the others get, once, whatever becomes of them.

mod edited;
mod large;
mod shown;
mod state;
mod told;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, Running, minutes_ago, page, record, wait_until};

/// One API, and these outputs: their names, their URLs, and what else they say.
pub fn config(api: &str, outputs: &[(&str, &str, &str)]) -> String {
    let outputs: String = outputs
        .iter()
        .map(|(name, url, more)| format!("  - {{name: {name}, url: '{url}', token: shipping-token-1{more}}}\n"))
        .collect();
    format!("logzio:\n{outputs}auth_apis:\n{}", entry("events", api))
}

/// An entry of an API that is asked each second.
pub fn entry(name: &str, api: &str) -> String {
    format!(
        "  - type: general\n    name: {name}\n    credentials: {{id: the-id, key: the-basic-key}}\n    settings: \
         {{time_interval: 1s, days_back_fetch: 5}}\n    start_date_name: since\n    http_request: {{url: \
         '{api}/{name}'}}\n    json_paths: {{next_url: next, data: data, data_date: date, id: id}}\n"
    )
}

/// An API that has records from 1 to a number that grows, two on each page.
pub struct GrowingApi {
    pub server: MockServer,
    last: Arc<AtomicU64>,
}

impl GrowingApi {
    pub fn start(records: u64) -> Self {
        let last = Arc::new(AtomicU64::new(records));
        let dates: Vec<String> = (0..200).map(|number| minutes_ago(240 - number)).collect();
        let known = Arc::clone(&last);
        let server = MockServer::start(move |asked, _| {
            let begin: u64 = asked.raw_field("page").map_or(0, |page| page.parse().unwrap());
            let all: Vec<String> =
                (1..=known.load(Ordering::SeqCst)).map(|id| record(id, &dates[id as usize])).collect();
            let shown: Vec<&str> = all.iter().skip(2 * begin as usize).take(2).map(String::as_str).collect();
            let next = (all.len() as u64 > 2 * begin + 2).then(|| format!("/events?page={}", begin + 1));
            page(&shown, next.as_deref())
        });
        Self { server, last }
    }

    pub fn grow_to(&self, records: u64) {
        self.last.store(records, Ordering::SeqCst);
    }
}

/// A listener that takes nothing while it is down.
fn unsteady(is_down: &Arc<AtomicBool>, status: u16) -> MockListener {
    let is_down = Arc::clone(is_down);
    MockListener::answering(move |_, _| match is_down.load(Ordering::SeqCst) {
        true => Reply::status(status, ""),
        false => Reply::status(200, ""),
    })
}

fn numbers(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[track_caller]
fn wait_for_each_once(listener: &MockListener, last: u64, running: &Running) {
    wait_until("the records at the listener", || listener.ids().len() as u64 >= last);
    assert_eq!(listener.ids(), numbers(last), "{}", running.log());
}

#[test]
fn one_fetch_feeds_all_outputs() {
    let api = GrowingApi::start(5);
    let (one, other) = (MockListener::start(), MockListener::start());
    let outcome = Fetcher::new(&config(api.server.url(), &[("one", one.url(), ""), ("other", other.url(), "")]))
        .once()
        .assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(5), numbers(5)), "{}", outcome.stderr);
    assert_eq!(api.server.asked().len(), 3, "three pages are asked for once: {}", outcome.stderr);
    assert!(
        outcome.stderr.contains("output=\"one\"") && outcome.stderr.contains("output=\"other\""),
        "{}",
        outcome.stderr
    );
    let lines = outcome.read("last_start_dates.txt");
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(5), numbers(5)), "nothing twice: {}", outcome.stderr);
}

#[test]
fn an_output_that_is_down_holds_up_no_other_and_gets_what_it_lacks_when_it_is_back() {
    let (api, is_down) = (GrowingApi::start(4), Arc::new(AtomicBool::new(true)));
    let (one, other) = (MockListener::start(), unsteady(&is_down, 503));
    let running =
        Fetcher::new(&config(api.server.url(), &[("one", one.url(), ""), ("other", other.url(), "")])).start();
    wait_for_each_once(&one, 4, &running);
    running.wait_for_log("does not take its batch", 1);
    api.grow_to(9);
    wait_for_each_once(&one, 9, &running);
    assert_eq!(other.ids(), [0_u64; 0]);
    is_down.store(false, Ordering::SeqCst);
    wait_for_each_once(&other, 9, &running);
    api.grow_to(12);
    wait_for_each_once(&other, 12, &running);
    wait_for_each_once(&one, 12, &running);
    let outcome = running.stop().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(12), numbers(12)), "{}", outcome.stderr);
}

#[test]
fn an_output_whose_token_is_refused_is_told_by_its_name_and_the_others_get_all() {
    let (api, is_down) = (GrowingApi::start(3), Arc::new(AtomicBool::new(true)));
    let (one, other) = (unsteady(&is_down, 401), MockListener::start());
    let outputs = [("first", one.url(), ""), ("second", other.url(), "")];
    let outcome = Fetcher::new(&config(api.server.url(), &outputs)).once().assert_code(1);
    assert_eq!((one.ids(), other.ids()), (Vec::new(), numbers(3)), "{}", outcome.stderr);
    let outcome = outcome.assert_says("output=\"first\"").assert_says("refuses the token (401");
    is_down.store(false, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(3), numbers(3)), "{}", outcome.stderr);
}

#[test]
fn a_slow_output_gets_all_and_holds_up_no_other() {
    let api = GrowingApi::start(40);
    let one = MockListener::start();
    let other =
        MockListener::answering(|_, _| Reply::Late(Duration::from_millis(700), Box::new(Reply::status(200, ""))));
    let running =
        Fetcher::new(&config(api.server.url(), &[("one", one.url(), ""), ("other", other.url(), "")])).start();
    wait_for_each_once(&one, 40, &running);
    assert!((other.ids().len() as u64) < 40, "the other one isn't waited for: {}", running.log());
    wait_for_each_once(&other, 40, &running);
    let outcome = running.stop().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(40), numbers(40)), "{}", outcome.stderr);
}

#[test]
fn inputs_say_whose_records_an_output_gets() {
    let (api, one, other) = (GrowingApi::start(2), MockListener::start(), MockListener::start());
    let url = api.server.url();
    let outputs = [("one", one.url(), ", inputs: [more]"), ("other", other.url(), ", inputs: [events, more]")];
    let text = config(url, &outputs) + &entry("more", url) + &entry("none", url);
    let fetcher = Fetcher::new(&text);
    let outcome = fetcher.once().assert_code(0).assert_says("no output gets its records, so the API isn't asked");
    assert_eq!((one.ids(), other.ids()), (vec![1, 2], vec![1, 1, 2, 2]), "{}", outcome.stderr);
    assert!(api.server.asked().iter().all(|asked| asked.path != "/none"), "{:?}", api.server.asked());
}

#[test]
fn what_a_kill_cuts_arrives_at_each_output_at_most_one_batch_twice() {
    let api = GrowingApi::start(60);
    let (seen, is_enough) = (Arc::new(AtomicU64::new(0)), 6);
    let count = Arc::clone(&seen);
    let one = MockListener::answering(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::status(200, "")
    });
    let other = MockListener::start();
    let text = config(api.server.url(), &[("one", one.url(), ""), ("other", other.url(), "")]);
    let running = Fetcher::new(&text).start();
    wait_until("some batches", || seen.load(Ordering::SeqCst) >= is_enough);
    let outcome = running.kill();
    one.wait_until_idle();
    other.wait_until_idle();
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    for listener in [&one, &other] {
        let ids = listener.ids();
        let mut distinct = ids.clone();
        distinct.dedup();
        assert_eq!(distinct, numbers(60), "{}", outcome.stderr);
        assert!(ids.len() <= 62, "more than one batch came twice: {ids:?}\n{}", outcome.stderr);
    }
}
