//! Whatever edits come, in whatever order: nothing is lost or doubled, and what runs is what a fresh start would run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use logzio_api_fetcher::config::{self, Environment};
use logzio_api_fetcher::daemon::{Diff, DiffStep};
use logzio_api_fetcher::plan::{Config, Plan};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::{Entry, config_of, edit_and_tell, entry};
use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, page, record, wait_until};

/// Records flow all the while, pages are slow, and the config changes again and again.
#[test]
fn no_sequence_of_edits_loses_or_doubles_a_record() {
    const EDITS: usize = 25;
    let begun = chrono::Utc::now();
    // One event every 20 ms; the pages of an API have all events of its own since the start date.
    let events_until = move |now: chrono::DateTime<chrono::Utc>| (now - begun).num_milliseconds() / 20;
    let at = move |event: i64| begun + chrono::TimeDelta::milliseconds(event * 20);
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (over, last) = (Arc::clone(&is_over), Arc::new(AtomicUsize::new(usize::MAX)));
    let last_event = Arc::clone(&last);
    let api = MockServer::start(move |asked, _| {
        let now = chrono::Utc::now();
        let newest = events_until(now).min(last_event.load(Ordering::SeqCst) as i64);
        let since = asked.raw_field("since").unwrap().replace("%3A", ":").replace("%2B", "+");
        let since = chrono::DateTime::parse_from_rfc3339(&since).unwrap().to_utc();
        let number: i64 = asked.path[2..3].parse().unwrap();
        let records: Vec<String> = (0..=newest)
            .filter(|event| at(*event) >= since)
            .map(|event| record((event * 10 + number) as u64, &at(event).to_rfc3339()))
            .collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let slow = std::time::Duration::from_millis(if over.load(Ordering::SeqCst) { 0 } else { 60 });
        Reply::Late(slow, Box::new(page(&records, None)))
    });
    let listener = MockListener::start();
    let mut random = fastrand::Rng::with_seed(20_261_122);
    let all: Vec<Entry> = (0..3).map(|number| entry(&format!("n{number}"), &format!("n{number}"), "0.03s")).collect();
    let text =
        |entries: &[Entry], token: &str| config_of(api.url(), listener.url(), "shipping-token-1", entries) + token;
    let running = Fetcher::new(&text(&all, "")).start();
    running.wait_for_log("iteration done", 3);
    for edit in 1..=EDITS {
        let mut some: Vec<Entry> = all.iter().filter(|_| random.u8(..4) > 0).cloned().collect();
        for entry in &mut some {
            // Another interval, or another path to the same events: both are a change.
            entry.interval = if random.bool() { "0.03s" } else { "0.04s" };
            entry.path = format!("n{}{}", &entry.name[1..], if random.bool() { "" } else { "/other" });
        }
        if some.is_empty() {
            some.push(all[0].clone());
        }
        edit_and_tell(&running, &text(&some, if random.bool() { "" } else { "tls: {ca_file: }\n" }));
        running.wait_for_log("SIGHUP: the config is read again", edit);
    }
    last.store(events_until(chrono::Utc::now()) as usize, Ordering::SeqCst);
    is_over.store(true, Ordering::SeqCst);
    edit_and_tell(&running, &text(&all, ""));
    let events = last.load(Ordering::SeqCst) as u64 + 1;
    let expected = 3 * events as usize;
    listener.wait_for_lines(expected);
    running.stop().assert_code(0);
    let ids = listener.ids();
    let mut once = ids.clone();
    once.dedup();
    assert_eq!((ids.len(), once.len()), (expected, expected), "shipped, and different ones of them");
}

/// What a config asks for, by path: whatever else is asked is too much.
fn paths_of(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| format!("/{}", entry.path)).collect()
}

/// One fetcher, one config after another: it asks what a fresh one would, and nothing else.
#[test]
fn after_each_of_many_edits_it_asks_what_a_fresh_start_would() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let one = (0..6_u8, 0..2_u8)
        .prop_map(|(name, variant)| entry(&format!("n{name}"), &format!("{name}-{variant}"), "0.02s"));
    let some = prop::collection::vec(one, 1..6).prop_map(|mut entries| {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        entries
    });
    let configs: Vec<Vec<Entry>> = (0..12).map(|_| some.new_tree(&mut runner).unwrap().current()).collect();
    let api = MockServer::start(|_, _| page(&[], None));
    let text = |entries: &[Entry]| config_of(api.url(), "http://127.0.0.1:1", "t", entries);
    let running = Fetcher::new(&text(&configs[0])).start();
    let mut ended = 0;
    for (round, entries) in configs.iter().enumerate() {
        if round > 0 {
            edit_and_tell(&running, &text(entries));
            running.wait_for_log("SIGHUP: the config is read again", round);
            let done = || {
                running.log().matches("config reloaded").count() + running.log().matches("no API has changed").count()
            };
            wait_until("the change", || done() == round);
        }
        // Whatever ended has ended; what has changed asks by its new path only after its old iteration.
        let before = round.checked_sub(1).map(|before| &configs[before]);
        let gone = |name: &String| !entries.iter().any(|entry| entry.name == *name);
        ended += before.map_or(0, |before| before.iter().filter(|entry| gone(&entry.name)).count());
        running.wait_for_log("is no longer in the config, or is not enabled, and has ended", ended);
        let wanted = paths_of(entries);
        let asked_since = |from: usize| -> Vec<Asked> { api.asked().split_off(from) };
        let from = api.asked().len();
        let settled =
            |asked: &[Asked]| wanted.iter().all(|path| asked.iter().filter(|asked| asked.path == *path).count() >= 2);
        wait_until("two requests of each API", || settled(&asked_since(from)));
        let from = api.asked().len();
        wait_until("two more requests of each API", || settled(&asked_since(from)));
        for asked in asked_since(from) {
            assert!(wanted.contains(&asked.path), "{} is asked in round {round}, after {entries:?}", asked.path);
        }
    }
    running.stop().assert_code(0);
}

fn compiled(text: &str) -> Config {
    let reading = config::compile(text, &Environment { variable: &|_| None, directory: Path::new(".") });
    reading.config.unwrap_or_else(|| panic!("{:?}\n{text}", reading.diagnostics))
}

fn by_name(config: &Config) -> BTreeMap<String, Plan> {
    config.apis.iter().map(|plan| (plan.name.clone(), Plan::clone(plan))).collect()
}

#[test]
fn the_steps_from_any_config_to_any_other_lead_to_the_other_and_touch_nothing_else() {
    let one = (0..8_u8, 0..3_u8, prop::bool::ANY).prop_map(|(name, path, is_slow)| {
        entry(&format!("n{name}"), &format!("p{path}"), if is_slow { "1h" } else { "5" })
    });
    let some = prop::collection::vec(one, 1..10).prop_map(|mut entries| {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        entries
    });
    let token = prop_oneof![3 => Just("one"), 1 => Just("two")];
    proptest!(|(before in (some.clone(), token.clone()), after in (some, token))| {
        let text = |(entries, token): &(Vec<Entry>, &str)| config_of("http://127.0.0.1:2", "http://127.0.0.1:1", token, entries);
        let (old, new) = (compiled(&text(&before)), compiled(&text(&after)));
        let diff = Diff::between(&old, &new);
        let mut running = by_name(&old);
        for (name, step) in &diff.steps {
            match step {
                DiffStep::Start(plan) => prop_assert!(running.insert(name.clone(), Plan::clone(plan)).is_none(), "{name} starts twice"),
                DiffStep::Change(plan) => prop_assert!(running.insert(name.clone(), Plan::clone(plan)).is_some(), "{name} doesn't run"),
                DiffStep::End => prop_assert!(running.remove(name).is_some(), "{name} doesn't run"),
            }
        }
        prop_assert_eq!(&running, &by_name(&new));
        prop_assert_eq!(diff.is_everything, before.1 != after.1);
        let unchanged = by_name(&new).into_iter().filter(|(name, plan)| by_name(&old).get(name) == Some(plan));
        for (name, _) in unchanged {
            prop_assert_eq!(diff.steps.contains_key(&name), diff.is_everything, "{} noticed", name);
        }
        for (was, is) in &diff.renamed {
            let same = Plan { name: is.clone(), ..by_name(&old)[was].clone() };
            prop_assert_eq!(&same, &by_name(&new)[is]);
        }
    });
}
