//! A config that is edited while the fetcher runs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use logzio_api_fetcher::config::{self, Environment};
use logzio_api_fetcher::daemon::{Diff, DiffStep};
use logzio_api_fetcher::plan::{Config, Plan};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, Running, minutes_ago, page, record, wait_until};

/// An entry as these tests need it: what is asked, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    path: String,
    interval: &'static str,
}

fn entry(name: &str, path: &str, interval: &'static str) -> Entry {
    Entry { name: name.to_owned(), path: path.to_owned(), interval }
}

fn config_of(api: &str, listener: &str, token: &str, entries: &[Entry]) -> String {
    let entry = |entry: &Entry| {
        let Entry { name, path, interval } = entry;
        format!(
            "- {{type: general, name: '{name}', credentials: {{id: the-id, key: the-basic-key}}, start_date_name: since, \
             settings: {{time_interval: {interval}, days_back_fetch: 5}}, http_request: {{url: '{api}/{path}'}}, \
             json_paths: {{next_url: next, data: data, data_date: date}}}}\n"
        )
    };
    let entries: String = entries.iter().map(entry).collect();
    format!("logzio: {{url: '{listener}', token: {token}}}\nauth_apis:\n{entries}")
}

fn edit(running: &Running, text: &str) {
    // As careful editors do: a new file in the old one's place.
    let (new, path) = (running.directory().join("config.yaml.new"), running.config_path());
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// The same, and a signal to read it at once.
fn edit_and_tell(running: &Running, text: &str) {
    edit(running, text);
    running.signal("HUP");
}

fn asked_of(api: &MockServer, path: &str) -> usize {
    api.asked().iter().filter(|asked| asked.path == format!("/{path}")).count()
}

#[test]
fn an_api_that_is_added_starts_and_one_that_is_removed_ends_and_the_rest_notice_nothing() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let text = |entries: &[Entry]| config_of(api.url(), listener.url(), "shipping-token-1", entries);
    let (stays, goes) = (entry("stays", "stays", "1h"), entry("goes", "goes", "0.05s"));
    let running = Fetcher::new(&text(&[stays.clone(), goes])).start();
    running.wait_for_log("iteration done", 2);
    // Noticed without a signal.
    edit(&running, &text(&[stays.clone(), entry("comes", "comes", "1h")]));
    running.wait_for_log("config reloaded: new comes; removed goes; running iterations end first", 1);
    running.wait_for_log("the API is no longer in the config, or is not enabled, and has ended", 1);
    wait_until("a request for the API that was added", || asked_of(&api, "comes") == 1);
    let asked = asked_of(&api, "goes");
    // It would have been asked again and again in the time of another change.
    edit_and_tell(&running, &text(&[stays]));
    running.wait_for_log("has ended", 2);
    assert_eq!(asked_of(&api, "goes"), asked);
    assert_eq!(asked_of(&api, "stays"), 1, "it keeps its schedule");
    running.stop().assert_code(0);
}

#[test]
fn an_edit_and_a_removal_end_a_wait_at_once_and_send_nothing_more() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/busy" | "/goes" => Reply::status(429, "").with("Retry-After", "200"),
        _ => page(&[], None),
    });
    let listener = MockListener::start().may_be_idle();
    let text = |entries: &[Entry]| config_of(api.url(), listener.url(), "shipping-token-1", entries);
    let both = text(&[entry("a", "busy", "1h"), entry("b", "goes", "1h")]);
    let running = Fetcher::new(&both.replacen("the-basic-key", "the-first-key", 1)).start();
    running.wait_for_log("retrying in 200", 2);
    // With another login: the wait that was asked for is one for the old one.
    edit_and_tell(&running, &text(&[entry("a", "free", "1h")]).replace("the-basic-key", "another-key"));
    running.wait_for_log("the API is no longer in the config, or is not enabled, and has ended", 1);
    running.wait_for_log("iteration done", 1);
    assert_eq!(running.log().matches("iteration ended early").count(), 2);
    assert_eq!((asked_of(&api, "busy"), asked_of(&api, "goes"), asked_of(&api, "free")), (1, 1, 1));
    running.stop().assert_code(0);
}

#[test]
fn a_faulty_config_changes_nothing_and_tells_every_fault_once() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let good = config_of(api.url(), listener.url(), "shipping-token-1", &[entry("a", "a", "1h")]);
    let running = Fetcher::new(&good).start();
    running.wait_for_log("iteration done", 1);
    let faulty = config_of(api.url(), listener.url(), "''", &[entry("b", "b", "-1"), entry("b", "c", "1h")]);
    edit(&running, &faulty);
    running.wait_for_log("the config is invalid; still running the previous version faults=3", 1);
    for fault in ["logzio.token: it is empty", "settings.time_interval", "the name is taken already"] {
        assert!(running.log().contains(fault), "`{fault}` is missing in:\n{}", running.log());
    }
    // Back to what runs: said, and nothing else.
    edit(&running, &good);
    running.wait_for_log("the config is read again; no API has changed", 1);
    assert_eq!(running.log().matches("the config is invalid").count(), 1);
    assert_eq!((asked_of(&api, "a"), asked_of(&api, "b"), asked_of(&api, "c")), (1, 0, 0));
    std::fs::remove_file(running.config_path()).unwrap();
    running.wait_for_log("can't be read", 1);
    running.stop().assert_code(0);
}

#[test]
fn a_changed_api_ends_its_iteration_first_and_goes_on_from_its_checkpoint_at_once() {
    let date = minutes_ago(30);
    let (held, hold) = (std::sync::mpsc::channel::<()>(), std::sync::Mutex::new(()));
    let gate = std::sync::Mutex::new(held.1);
    let shown = date.clone();
    let api = MockServer::start(move |asked, _| {
        let _one_at_a_time = hold.lock();
        if asked.path == "/before" {
            gate.lock().unwrap().recv().unwrap();
            return page(&[&record(1, &shown)], None);
        }
        page(&[&record(1, &shown), &record(2, &shown)], None)
    });
    let listener = MockListener::start();
    let text = |path: &str| config_of(api.url(), listener.url(), "shipping-token-1", &[entry("a", path, "1h")]);
    let running = Fetcher::new(&text("before")).start();
    wait_until("the first request", || asked_of(&api, "before") == 1);
    edit_and_tell(&running, &text("after"));
    running.wait_for_log("config reloaded: changed a;", 1);
    assert_eq!(asked_of(&api, "after"), 0, "the iteration under way ends first");
    held.0.send(()).unwrap();
    running.wait_for_log("iteration done", 2);
    assert_eq!(listener.ids(), [1, 2], "what was shipped before the change is known after it");
    running.stop().assert_code(0);
}

#[test]
fn a_change_of_the_listener_changes_all() {
    let date = minutes_ago(30);
    let api = MockServer::start(move |asked, _| page(&[&record(asked.path.len() as u64, &date)], None));
    let (first, second) = (MockListener::start(), MockListener::start());
    let entries = [entry("a", "a", "1h"), entry("bb", "bb", "1h")];
    let running = Fetcher::new(&config_of(api.url(), first.url(), "shipping-token-1", &entries)).start();
    running.wait_for_log("iteration done", 2);
    let mut more = entries.to_vec();
    more.push(entry("ccc", "ccc", "1h"));
    edit_and_tell(&running, &config_of(api.url(), second.url(), "shipping-token-1", &more));
    running.wait_for_log("config reloaded, for all APIs", 1);
    running.wait_for_log("iteration done", 5);
    assert_eq!((first.ids(), second.ids()), (vec![2, 3], vec![4]), "known records stay known");
    running.stop().assert_code(0);
}

#[test]
fn a_rename_is_a_removal_and_an_addition_and_says_so() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let text = |name: &str| config_of(api.url(), listener.url(), "shipping-token-1", &[entry(name, "x", "1h")]);
    let running = Fetcher::new(&text("old")).start();
    running.wait_for_log("iteration done", 1);
    edit_and_tell(&running, &text("new"));
    running.wait_for_log("the API looks like one that was renamed", 1);
    running.wait_for_log("has ended api=\"old\"", 1);
    running.wait_for_log("iteration done", 2);
    let log = running.stop().assert_code(0).stderr;
    assert!(log.contains("api=\"new\" was=\"old\""), "{log}");
}

#[test]
fn an_api_that_is_removed_and_added_again_goes_on_where_it_was() {
    let date = minutes_ago(30);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let text = |entries: &[Entry]| config_of(api.url(), listener.url(), "shipping-token-1", entries);
    let (a, b) = (entry("a", "a", "1h"), entry("b", "b", "1h"));
    let running = Fetcher::new(&text(&[a.clone(), b.clone()])).start();
    running.wait_for_log("iteration done", 2);
    edit_and_tell(&running, &text(std::slice::from_ref(&b)));
    running.wait_for_log("has ended", 1);
    edit_and_tell(&running, &text(&[a, b]));
    running.wait_for_log("iteration done", 3);
    assert_eq!(listener.ids(), [1, 1], "one of each API, and none twice");
    running.stop().assert_code(0);
}

/// The race that a supervisor must win: its API is wanted again before it has ended.
#[test]
fn an_api_that_is_wanted_again_while_it_ends_never_has_two_iterations() {
    let date = minutes_ago(30);
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let under_way = AtomicUsize::new(0);
    let api = MockServer::start(move |asked, before| {
        assert_eq!(under_way.fetch_add(1, Ordering::SeqCst), 0, "two requests at once: {}", asked.path);
        if before == 0 {
            gate.lock().unwrap().recv().unwrap();
        }
        under_way.fetch_sub(1, Ordering::SeqCst);
        page(&[&record(1, &date)], None)
    });
    let other = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start();
    let wanted = config_of(api.url(), listener.url(), "shipping-token-1", &[entry("a", "before", "1h")]);
    let again = config_of(api.url(), listener.url(), "shipping-token-1", &[entry("a", "after", "1h")]);
    let without = config_of(other.url(), listener.url(), "shipping-token-1", &[entry("b", "b", "1h")]);
    let running = Fetcher::new(&wanted).start();
    wait_until("the first request", || asked_of(&api, "before") == 1);
    for (round, text) in [&without, &again, &without, &again].into_iter().enumerate() {
        edit_and_tell(&running, text);
        running.wait_for_log("config reloaded", round + 1);
    }
    assert_eq!(asked_of(&api, "after"), 0, "its iteration is still under way");
    go_on.send(()).unwrap();
    wait_until("the iteration that is wanted", || asked_of(&api, "after") == 1);
    running.wait_for_log("iteration done api=\"a\"", 2);
    assert_eq!(listener.ids(), [1]);
    running.stop().assert_code(0);
}

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

#[test]
fn an_unchanged_api_keeps_its_token() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/token" => Reply::json(r#"{"access_token":"the-access-token","expires_in":3600}"#),
        _ => page(&[], None),
    });
    let text = |more: &str| {
        format!(
            "logzio: {{url: 'http://127.0.0.1:1', token: t}}\noauth_apis:\n- {{type: general, name: a, credentials: {{id: i, key: \
             the-secret}}, token_http_request: {{url: '{0}/token'}}, http_request: {{url: '{0}/a'}}, start_date_name: since, \
             settings: {{time_interval: 0.1s}}, json_paths: {{data: data, data_date: date, next_url: next}}}}\n{more}",
            api.url()
        )
    };
    let other = format!(
        "auth_apis:\n- {{type: general, name: b, credentials: {{id: i, key: k}}, http_request: {{url: '{}/b'}}, \
         start_date_name: since, settings: {{time_interval: 1h}}, json_paths: {{data: data, data_date: date, next_url: next}}}}\n",
        api.url()
    );
    let running = Fetcher::new(&text("")).start();
    wait_until("some requests", || asked_of(&api, "a") >= 2);
    edit_and_tell(&running, &text(&other));
    wait_until("the new API", || asked_of(&api, "b") == 1);
    let before = asked_of(&api, "a");
    wait_until("more requests", || asked_of(&api, "a") >= before + 2);
    assert_eq!(asked_of(&api, "token"), 1);
    running.stop().assert_code(0);
}

/// A server that keeps its connections, as real ones do. Gives its URL, how many connections came, and how many requests.
fn keeping_server() -> (String, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let counts = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (connections, requests) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            connections.fetch_add(1, Ordering::SeqCst);
            let requests = Arc::clone(&requests);
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                // A GET request ends with an empty line.
                while lines.by_ref().map_while(Result::ok).any(|line| line.is_empty()) {
                    requests.fetch_add(1, Ordering::SeqCst);
                    let body = r#"{"data":[],"next":null}"#;
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    (&stream).write_all(format!("{head}{body}").as_bytes()).unwrap();
                }
            });
        }
    });
    (url, counts.0, counts.1)
}

#[test]
fn an_unchanged_api_keeps_its_connection() {
    let (url, connections, requests) = keeping_server();
    let other = MockServer::start(|_, _| page(&[], None));
    let kept = entry("a", "a", "0.05s");
    let both = |more: &str| config_of(&url, "http://127.0.0.1:1", "t", std::slice::from_ref(&kept)) + more;
    let added = config_of(other.url(), "", "t", &[entry("b", "b", "1h")]);
    let added = added.split_once("auth_apis:\n").unwrap().1;
    let running = Fetcher::new(&both("")).start();
    wait_until("some requests", || requests.load(Ordering::SeqCst) >= 2);
    edit_and_tell(&running, &both(added));
    wait_until("the new API", || asked_of(&other, "b") == 1);
    let before = requests.load(Ordering::SeqCst);
    wait_until("more requests", || requests.load(Ordering::SeqCst) >= before + 3);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    running.stop().assert_code(0);
}

#[test]
fn a_secret_file_that_is_changed_counts_as_a_change() {
    let api = MockServer::start(|_, _| page(&[], None));
    let text = config_of(api.url(), "http://127.0.0.1:1", "t", &[entry("a", "a", "1h")])
        .replace("the-basic-key", "'${file:secrets/key}'");
    let fetcher = Fetcher::new(&text);
    std::fs::create_dir(fetcher.path().join("secrets")).unwrap();
    let running = fetcher.file("secrets/key", "the-first-key\n").start();
    running.wait_for_log("iteration done", 1);
    std::fs::write(running.directory().join("secrets/key"), "the-second-key\n").unwrap();
    running.wait_for_log("iteration done", 2);
    let keys: Vec<String> = api.asked().iter().map(|asked| asked.header("authorization").unwrap().to_owned()).collect();
    assert_ne!(keys[0], keys[1], "the key in the file is used");
    let said = running.stop().assert_code(0).everything();
    assert!(!said.contains("second-key"), "{said}");
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

#[test]
fn an_entry_that_rests_is_not_asked_and_goes_on_where_it_was() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |asked, before| match asked.path.as_str() {
        "/a" if before > 3 => page(&[&record(1, &date), &record(2, &date)], None),
        "/a" => page(&[&record(1, &date)], None),
        _ => page(&[], None),
    });
    let listener = MockListener::start();
    let config = |enabled: &str| {
        let entries = [entry("resting", "a", "1s"), entry("other", "b", "1s")];
        let text = config_of(api.url(), listener.url(), "shipping-token-1", &entries);
        text.replace("name: 'resting'", &format!("name: 'resting', enabled: {enabled}"))
    };
    let running = Fetcher::new(&config("true")).start();
    listener.wait_for_lines(1);
    running.wait_for_log("iteration done api=\"resting\"", 1);
    edit_and_tell(&running, &config("false"));
    running.wait_for_log("the API is no longer in the config, or is not enabled, and has ended", 1);
    let (asked, other) = (asked_of(&api, "a"), asked_of(&api, "b"));
    wait_until("the other API to go on", || asked_of(&api, "b") >= other + 2);
    assert_eq!(asked_of(&api, "a"), asked, "it rests");
    let outcome = running.stop().assert_code(0);
    assert!(outcome.read("last_start_dates.txt").contains("resting: "), "its line stays");
    outcome.write("config.yaml", &config("maybe"));
    let outcome = Fetcher::again(outcome).run("check").assert_code(2).assert_says("it should be true or false");
    outcome.write("config.yaml", &config("true"));
    Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 2], "what was delivered before it rested is known");
}
