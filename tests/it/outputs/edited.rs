//! Outputs that are added, taken out and renamed while the fetcher runs.

use serde_json::Value;

use super::{GrowingApi, config, numbers, wait_for_each_once};
use crate::harness::{Fetcher, MockListener, Running, wait_until};
use crate::status::{get, page_of};

fn edit(running: &Running, text: &str) {
    let new = running.directory().join("config.yaml.new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, running.config_path()).unwrap();
    running.signal("HUP");
}

fn with_page(text: &str) -> String {
    format!("status: {{listen: '127.0.0.1:0'}}\n{text}")
}

/// The names that are shown.
fn shown(url: &str) -> Vec<String> {
    let status: Value = serde_json::from_str(&get(&format!("{url}/status.json")).text).unwrap();
    let apis = status["apis"].as_array().unwrap().iter();
    apis.map(|api| api["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_that_is_added_gets_everything_and_one_that_is_taken_out_nothing_more() {
    let api = GrowingApi::start(4);
    let (one, other) = (MockListener::start(), MockListener::start());
    let text = |outputs: &[&str]| {
        let url = |name: &&str| if *name == "one" { one.url() } else { other.url() };
        let outputs: Vec<(&str, &str, &str)> = outputs.iter().map(|name| (*name, url(name), "")).collect();
        with_page(&config(api.server.url(), &outputs))
    };
    let running = Fetcher::new(&text(&["one"])).start();
    let url = page_of(&running, 1);
    wait_for_each_once(&one, 4, &running);
    assert_eq!(shown(&url), ["events"]);

    edit(&running, &text(&["one", "other"]));
    wait_for_each_once(&other, 4, &running);
    wait_until("both to be shown", || shown(&url) == ["events → one", "events → other"]);
    api.grow_to(6);
    wait_for_each_once(&one, 6, &running);
    wait_for_each_once(&other, 6, &running);

    edit(&running, &text(&["other"]));
    wait_until("the one to be gone", || shown(&url) == ["events"]);
    api.grow_to(8);
    wait_for_each_once(&other, 8, &running);
    assert_eq!(one.ids(), numbers(6), "it gets nothing any more: {}", running.log());

    // Back again it goes on where it was.
    edit(&running, &text(&["other", "one"]));
    wait_for_each_once(&one, 8, &running);
    let outcome = running.stop().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(8), numbers(8)), "{}", outcome.stderr);
    let again = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(8), numbers(8)), "{}", again.stderr);
}

#[test]
fn one_that_is_renamed_is_another_one_and_its_state_waits_under_the_old_name() {
    let api = GrowingApi::start(4);
    let (one, other) = (MockListener::start(), MockListener::start());
    let text = |name: &str| with_page(&config(api.server.url(), &[("one", one.url(), ""), (name, other.url(), "")]));
    let running = Fetcher::new(&text("old")).start();
    let url = page_of(&running, 1);
    wait_for_each_once(&one, 4, &running);
    wait_for_each_once(&other, 4, &running);

    edit(&running, &text("new"));
    wait_until("the new name", || shown(&url) == ["events → new", "events → one"]);
    other.wait_for_lines(8);
    assert_eq!(other.ids(), [1, 1, 2, 2, 3, 3, 4, 4], "it begins at its own start: {}", running.log());
    api.grow_to(6);
    wait_for_each_once(&one, 6, &running);
    other.wait_for_lines(10);

    edit(&running, &text("old"));
    other.wait_for_lines(12);
    wait_until("the old name", || shown(&url) == ["events → old", "events → one"]);
    api.grow_to(7);
    wait_for_each_once(&one, 7, &running);
    other.wait_for_lines(13);
    let outcome = running.stop().assert_code(0);
    let expected = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7];
    assert_eq!((one.ids(), other.ids()), (numbers(7), expected.to_vec()), "{}", outcome.stderr);
}
