//! Several outputs in the dialect's form: one that fails holds up no other, and gets what it lacks when it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::accounts::Accounts;
use crate::harness::{Fetcher, MockServer, Reply, minutes_ago, wait_until};

/// The `id` of each record of an account, sorted.
fn ids(accounts: &Accounts, token: &str) -> Vec<u64> {
    let lines = accounts.lines();
    let mut ids: Vec<u64> =
        lines.get(token).into_iter().flatten().map(|record| record["id"].as_u64().expect("an id")).collect();
    ids.sort_unstable();
    ids
}

/// An API with a date as its cursor, which lists so many records, newest first; another one, without a name, that is read anew
/// each time.
fn api(records: &Arc<AtomicUsize>) -> MockServer {
    let records = Arc::clone(records);
    let date: Vec<String> = (0..20).map(|index| minutes_ago(60 - index)).collect();
    MockServer::start(move |asked, _| {
        if asked.path == "/state" {
            return Reply::json(r#"{"id":1000}"#);
        }
        let since = asked.raw_field("since").expect("a start").to_owned();
        let known = records.load(Ordering::SeqCst);
        let listed = (1..=known).rev().filter(|id| date[id - 1] >= since);
        let listed: Vec<String> = listed.map(|id| format!(r#"{{"id":{id},"at":"{}"}}"#, date[id - 1])).collect();
        Reply::json(&format!(r#"{{"items":[{}]}}"#, listed.join(",")))
    })
}

/// The second output names one API by its name, and the other by its URL.
fn config(api: &MockServer, accounts: &Accounts) -> String {
    let (api, listener) = (api.url(), accounts.url());
    format!(
        "apis:\n  - name: events\n    type: general\n    url: {api}/events?since=2026-01-01T00:00:00Z\n    \
         next_url: '{api}/events?since={{res.items.[0].at}}'\n    response_data_path: items\n  \
         - {{type: general, url: {api}/state}}\n\
         logzio:\n  - {{url: {listener}, token: one, inputs: [events]}}\n  \
         - {{url: {listener}, token: two, inputs: [events, '{api}/state']}}\n"
    )
}

#[test]
fn an_output_that_refuses_gets_what_it_lacks_after_a_restart_and_the_other_nothing_twice() {
    let records = Arc::new(AtomicUsize::new(3));
    let refuses = Arc::new(AtomicBool::new(true));
    let refused = Arc::clone(&refuses);
    let accounts = Accounts::answering(move |token| match token {
        "two" if refused.load(Ordering::SeqCst) => Reply::status(401, "no such token"),
        _ => Reply::status(200, ""),
    });
    let api = api(&records);
    let outcome = Fetcher::new(&config(&api, &accounts)).once().assert_code(1).assert_says("401");
    assert_eq!(ids(&accounts, "one"), [1, 2, 3], "{}", outcome.stderr);
    assert_eq!(ids(&accounts, "two"), [0; 0], "{}", outcome.stderr);

    records.store(5, Ordering::SeqCst);
    refuses.store(false, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(ids(&accounts, "one"), [1, 2, 3, 4, 5], "{}", outcome.stderr);
    assert_eq!(ids(&accounts, "two"), [1, 2, 3, 4, 5, 1000], "{}", outcome.stderr);

    records.store(6, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(ids(&accounts, "one"), [1, 2, 3, 4, 5, 6], "{}", outcome.stderr);
    assert_eq!(ids(&accounts, "two"), [1, 2, 3, 4, 5, 6, 1000, 1000], "{}", outcome.stderr);
}

#[test]
fn an_output_that_hangs_when_the_fetcher_is_killed_gets_everything_afterwards() {
    let records = Arc::new(AtomicUsize::new(3));
    let hangs = Arc::new(AtomicBool::new(true));
    let hung = Arc::clone(&hangs);
    let accounts = Accounts::answering(move |token| match token {
        "two" if hung.load(Ordering::SeqCst) => Reply::Hang,
        _ => Reply::status(200, ""),
    });
    let api = api(&records);
    let running = Fetcher::new(&config(&api, &accounts)).start_command(Some("once"));
    wait_until("the records at the first output", || ids(&accounts, "one").len() == 3);
    let outcome = running.kill();

    records.store(5, Ordering::SeqCst);
    hangs.store(false, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    let mut one = ids(&accounts, "one");
    // The batch that was under way may come twice.
    one.dedup();
    assert_eq!(one, [1, 2, 3, 4, 5], "{}", outcome.stderr);
    assert_eq!(ids(&accounts, "two"), [1, 2, 3, 4, 5, 1000], "{}", outcome.stderr);
    let count = ids(&accounts, "one").len();
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(ids(&accounts, "one").len(), count, "{}", outcome.stderr);
}
