//! Lists that are read again and again (`checkpoint: snapshot`): shipped whole each time, or only what is new to them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::{Fetcher, MockListener, MockServer, Outcome, Reply, page, wait_until};

const CHECKPOINTS: &str = "last_start_dates.txt";

/// The config of one list.
fn config(api: &str, listener: &str, repeat: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: hosts\n    \
         credentials: {{id: i, key: the-basic-key}}\n    settings: {{time_interval: 1s, checkpoint: snapshot{repeat}}}\n    \
         http_request: {{url: '{api}/hosts'}}\n    json_paths: {{data: data, next_url: next}}\n"
    )
}

/// What the API lists: ids.
type Listed = Arc<Mutex<Vec<u64>>>;

/// A list in one page.
fn list(ids: &[u64]) -> (MockServer, Listed) {
    let listed = Arc::new(Mutex::new(ids.to_vec()));
    let kept = Arc::clone(&listed);
    let api = MockServer::start(move |_, _| {
        let records: Vec<String> = kept.lock().unwrap().iter().map(|id| format!("{{\"id\":{id}}}")).collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
    });
    (api, listed)
}

fn set(listed: &Listed, ids: &[u64]) {
    *listed.lock().unwrap() = ids.to_vec();
}

fn again(outcome: Outcome) -> Outcome {
    Fetcher::again(outcome).once().assert_code(0)
}

#[test]
fn each_answer_is_shipped_whole_and_start_and_check_say_so() {
    let (api, _listed) = list(&[1, 2]);
    let listener = MockListener::start();
    let config = config(api.url(), listener.url(), "");
    let outcome = Fetcher::new(&config).run("check").assert_code(0);
    let said = "hosts: its request never changes, so each answer is shipped whole";
    assert!(outcome.stdout.contains(said), "{}", outcome.stdout);
    let outcome = again(outcome).assert_says("so each answer is shipped whole");
    let outcome = again(outcome);
    assert_eq!(listener.ids(), [1, 1, 2, 2]);
    assert!(api.asked().iter().all(|asked| asked.query.is_empty()), "the request never changes");
    let state = Fetcher::again(outcome).run("state").assert_code(0);
    assert!(state.stdout.contains("remembered  0 delivered records\n"), "{}", state.stdout);
}

#[test]
fn within_one_run_each_answer_is_shipped_whole_too() {
    let (api, _listed) = list(&[1, 2]);
    let listener = MockListener::start();
    let running = Fetcher::new(&config(api.url(), listener.url(), ", repeat: ship")).start();
    listener.wait_for_lines(6);
    running.stop().assert_code(0);
    let ids = listener.ids();
    let count = |id: u64| ids.iter().filter(|known| **known == id).count();
    assert_eq!(count(1), count(2), "{ids:?}");
}

#[test]
fn what_was_shipped_is_left_out_where_that_is_wanted_also_when_a_reading_lacks_it_for_once() {
    let (api, listed) = list(&[1, 2, 3]);
    let listener = MockListener::start();
    let config = config(api.url(), listener.url(), ", repeat: skip");
    let outcome = Fetcher::new(&config).once().assert_code(0).assert_says("what was shipped before is left out");
    set(&listed, &[2, 3, 4]);
    let outcome = again(outcome);
    set(&listed, &[4, 1, 5]);
    let outcome = again(outcome);
    let outcome = again(outcome);
    set(&listed, &[1, 2, 3, 4, 5]);
    let outcome = again(outcome);
    assert_eq!(listener.ids(), [1, 2, 3, 4, 5], "a record that comes back within a day is known");
    assert!(!outcome.stderr.contains("possible gap"), "{}", outcome.stderr);
    // The line is the user's: without it the list is new.
    outcome.write(CHECKPOINTS, "");
    again(outcome);
    assert_eq!(listener.ids().len(), 10);
}

#[test]
fn a_list_that_holds_nothing_of_what_it_held_is_a_possible_gap() {
    let (api, listed) = list(&[1, 2, 3]);
    let listener = MockListener::start();
    let outcome = Fetcher::new(&config(api.url(), listener.url(), ", repeat: skip")).once().assert_code(0);
    set(&listed, &[11, 12, 13]);
    let outcome = again(outcome).assert_says("a possible gap").assert_says("set a shorter time_interval");
    assert_eq!(listener.ids(), [1, 2, 3, 11, 12, 13]);
    let state = Fetcher::again(outcome).run("state").assert_code(0);
    let state = state.assert_says("the list held nothing of what it held before");
    set(&listed, &[13, 14]);
    let outcome = again(state);
    assert!(!outcome.stderr.contains("possible gap"), "{}", outcome.stderr);
}

/// Two pages; the second one is what the test makes of it.
fn two_pages(second: impl Fn() -> Option<Reply> + Send + Sync + 'static) -> MockServer {
    MockServer::start(move |asked, _| match asked.raw_field("p") {
        None => page(&["{\"id\":1}", "{\"id\":2}"], Some("?p=2")),
        Some(_) => second().unwrap_or_else(|| page(&["{\"id\":3}"], None)),
    })
}

#[test]
fn after_a_kill_in_the_middle_the_reading_is_brought_to_its_end_and_the_next_one_is_whole() {
    for repeat in ["", ", repeat: skip"] {
        let hangs = Arc::new(AtomicBool::new(true));
        let is_hung = Arc::clone(&hangs);
        let api = two_pages(move || is_hung.load(Ordering::SeqCst).then_some(Reply::Hang));
        let listener = MockListener::start();
        let running = Fetcher::new(&config(api.url(), listener.url(), repeat)).start();
        listener.wait_for_lines(2);
        listener.wait_until_idle();
        wait_until("the second page is asked for", || api.asked().len() >= 2);
        let outcome = running.kill();
        hangs.store(false, Ordering::SeqCst);
        let outcome = again(outcome);
        let ids = listener.ids();
        // What was acknowledged just before the kill may not have been noted: one batch.
        assert!(ids == [1, 2, 3] || ids == [1, 1, 2, 2, 3], "{repeat}: {ids:?}");
        again(outcome);
        let whole = if repeat.is_empty() { 3 } else { 0 };
        assert_eq!(listener.ids().len(), ids.len() + whole, "{repeat}");
    }
}

#[test]
fn a_failed_page_or_listener_costs_nothing_and_doubles_nothing() {
    for repeat in ["", ", repeat: skip"] {
        let fails = Arc::new(AtomicUsize::new(1));
        let left = Arc::clone(&fails);
        let api = two_pages(move || {
            let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            fails.then(|| Reply::status(403, "not now"))
        });
        let refuses = Arc::new(AtomicBool::new(false));
        let is_refusing = Arc::clone(&refuses);
        let listener = MockListener::answering(move |_, _| match is_refusing.load(Ordering::SeqCst) {
            true => Reply::status(401, ""),
            false => Reply::status(200, ""),
        });
        let outcome = Fetcher::new(&config(api.url(), listener.url(), repeat)).once().assert_code(1);
        assert_eq!(listener.ids(), [1, 2], "{repeat}: what came before the failure is shipped");
        let outcome = again(outcome);
        assert_eq!(listener.ids(), [1, 2, 3], "{repeat}: and not a second time");
        refuses.store(true, Ordering::SeqCst);
        let outcome = Fetcher::again(outcome).once();
        refuses.store(false, Ordering::SeqCst);
        again(outcome);
        let expected: &[u64] = if repeat.is_empty() { &[1, 1, 2, 2, 3, 3] } else { &[1, 2, 3] };
        assert_eq!(listener.ids(), expected, "{repeat}: the reading that failed is shipped once");
    }
}

#[test]
fn a_snapshot_has_no_date_to_rewind_to_and_forget_ships_it_again() {
    let (api, _listed) = list(&[1, 2]);
    let listener = MockListener::start();
    let outcome = Fetcher::new(&config(api.url(), listener.url(), ", repeat: skip")).once().assert_code(0);
    let state = |outcome: Outcome, arguments: &[&str]| Fetcher::again(outcome).arguments(arguments).run("state");
    let outcome = state(outcome, &["rewind", "hosts", "2024-01-01"]).assert_code(2);
    let outcome = outcome.assert_says("`hosts` names no date in its request");
    let outcome = again(state(outcome, &["forget", "hosts"]).assert_code(0));
    assert_eq!(listener.ids(), [1, 1, 2, 2]);
    let outcome = again(state(outcome, &["undo"]).assert_code(0));
    assert_eq!(listener.ids(), [1, 1, 2, 2], "what was delivered is known again");
    assert!(!outcome.stderr.contains("possible gap"), "{}", outcome.stderr);
}
