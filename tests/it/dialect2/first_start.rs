//! The word on what the first start after the original ships a second time: once, and with what avoids it.

use super::accounts::Accounts;
use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record, wait_until};

const TOLD: &str = "this is the first start here: what the original shipped within `days_back_fetch` comes again. To begin \
                    later, write a line for each API into ";

/// Each API has a record of long ago, and one of now.
fn api() -> MockServer {
    let dates = [minutes_ago(600), minutes_ago(5)];
    MockServer::start(move |asked, _| {
        let Some(since) = asked.raw_field("since") else { return Reply::json(r#"{"id":9}"#) };
        let listed =
            dates.iter().zip(1..).filter(|(date, _)| date.as_str() >= since).map(|(date, id)| record(id, date));
        Reply::json(&format!(r#"{{"items":[{}]}}"#, listed.collect::<Vec<_>>().join(",")))
    })
}

/// APIs of these names with a date as their cursor, and one that is read whole each time.
fn config(api: &str, listener: &str, names: &[String]) -> String {
    let entries = names.iter().map(|name| {
        format!(
            "  - {{name: {name}, type: general, scrape_interval: 1s, response_data_path: items, url: \
             '{api}/{name}?since=2026-01-01T00:00:00Z', next_url: '{api}/{name}?since={{res.items.[-1].date}}'}}\n"
        )
    });
    let entries: String = entries.collect();
    format!(
        "logzio: {{url: '{listener}', token: tok}}\napis:\n{entries}  - {{name: whole, type: general, url: '{api}/whole'}}\n"
    )
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("events {number}")).collect()
}

/// The ids that arrived of records with a date.
fn ids(accounts: &Accounts) -> Vec<u64> {
    let lines = accounts.lines();
    let dated = lines.values().flatten().filter(|line| line.get("date").is_some());
    let mut ids: Vec<u64> = dated.map(|line| line["id"].as_u64().expect("an id")).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn the_first_start_alone_tells_what_comes_again() {
    let (api, accounts) = (api(), Accounts::start());
    let text = config(api.url(), accounts.url(), &names(1));
    let outcome = Fetcher::new(&text).run("check").assert_code(0).assert_says(&format!("note: {TOLD}"));
    assert_eq!(outcome.stdout.matches(TOLD).count(), 1, "{}", outcome.stdout);
    let outcome = Fetcher::again(outcome).run("check").assert_says(TOLD).assert_says(": `events 0: DATE`\n");
    assert!(!outcome.stdout.contains("`whole: DATE`"), "what has no date needs no line: {}", outcome.stdout);

    let running = Fetcher::again(outcome).start();
    wait_until("the records", || ids(&accounts) == [1, 2]);
    let asked = api.asked().len();
    wait_until("another iteration", || api.asked().len() > asked + 1);
    let outcome = running.stop().assert_code(0);
    assert_eq!(outcome.stderr.matches(TOLD).count(), 1, "{}", outcome.stderr);
    let again = Fetcher::again(outcome).once().assert_code(0);
    assert!(!again.stderr.contains(TOLD), "{}", again.stderr);
    let again = Fetcher::again(again).run("check").assert_code(0);
    assert!(!again.stdout.contains(TOLD), "{}", again.stdout);
    assert_eq!(ids(&accounts), [1, 2]);
}

#[test]
fn the_lines_that_it_shows_make_a_later_beginning() {
    let (api, accounts) = (api(), Accounts::start());
    let names = names(7);
    let outcome = Fetcher::new(&config(api.url(), accounts.url(), &names)).run("check").assert_code(0);
    let (_, lines) = outcome.stdout.split_once("2026-01-31T10:00:00Z: ").expect("the lines");
    let lines = lines.lines().next().expect("a line");
    let lines: Vec<&str> = lines.split(", ").map(|line| line.trim_matches('`')).collect();
    let expected: Vec<String> = names.iter().map(|name| format!("{name}: DATE")).collect();
    assert_eq!(lines, expected, "check shows all of them");
    let text = lines.join("\n").replace("DATE", &minutes_ago(60)) + "\n";
    outcome.write("last_start_dates.txt", &text);
    let outcome = Fetcher::again(outcome).run("check").assert_code(0);
    assert!(!outcome.stdout.contains(TOLD), "{}", outcome.stdout);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert!(!outcome.stderr.contains(TOLD), "{}", outcome.stderr);
    assert_eq!(ids(&accounts), [2; 7], "{}", outcome.stderr);
}

#[test]
fn the_log_shows_some_lines_and_says_how_many_more_there_are() {
    let (api, accounts) = (api(), Accounts::start());
    let outcome = Fetcher::new(&config(api.url(), accounts.url(), &names(7))).once().assert_code(0);
    let outcome = outcome.assert_says("`events 4: DATE`, and 2 more; before the first start `check` shows all");
    assert!(!outcome.stderr.contains("`events 5: DATE`"), "{}", outcome.stderr);
}

#[test]
fn our_own_lists_begin_without_a_word() {
    let date = minutes_ago(5);
    let (api, listener) = (MockServer::start(move |_, _| page(&[&record(1, &date)], None)), MockListener::start());
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).run("check").assert_code(0);
    assert!(!outcome.stdout.contains("first start"), "{}", outcome.stdout);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert!(!outcome.stderr.contains("first start"), "{}", outcome.stderr);
    assert_eq!(listener.ids(), [1]);
}
