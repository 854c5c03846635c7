//! A config that is edited while the fetcher runs.

mod any_edits;
mod unchanged;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Fetcher, MockListener, MockServer, Reply, Running, minutes_ago, page, record, wait_until};

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
