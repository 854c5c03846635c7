//! Several outputs: what is kept of each, and shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{TimeDelta, Utc};
use logzio_api_fetcher::record::date;

use super::{GrowingApi, config, numbers, unsteady};
use crate::harness::{Fetcher, MockListener, minutes_ago};

const CHECKPOINTS: &str = "last_start_dates.txt";

#[test]
fn the_line_is_the_earliest_checkpoint_and_each_output_goes_on_where_it_was() {
    let (api, is_down) = (GrowingApi::start(2), Arc::new(AtomicBool::new(false)));
    let (one, other) = (MockListener::start(), unsteady(&is_down, 401));
    let text = config(api.server.url(), &[("one", one.url(), ""), ("other", other.url(), "")]);
    let outcome = Fetcher::new(&text).once().assert_code(0);
    let both = outcome.read(CHECKPOINTS);
    is_down.store(true, Ordering::SeqCst);
    api.grow_to(4);
    let outcome = Fetcher::again(outcome).once().assert_code(1);
    assert_eq!(outcome.read(CHECKPOINTS), both, "the other one is still there: {}", outcome.stderr);
    let shown = Fetcher::again(outcome).run("state").assert_code(0);
    let shown = shown.assert_says("events → one").assert_says("events → other");
    assert_eq!((one.ids(), other.ids()), (numbers(4), numbers(2)), "{}", shown.stdout);
    is_down.store(false, Ordering::SeqCst);
    let outcome = Fetcher::again(shown).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(4), numbers(4)), "{}", outcome.stderr);
    let line = outcome.read(CHECKPOINTS);
    let said = |text: &str| date::parse(text.lines().last().unwrap().strip_prefix("events: ").unwrap()).unwrap();
    assert!(said(&line) > said(&both), "{line}");
}

#[test]
fn a_rewind_moves_every_output_back_and_an_undo_takes_it_back() {
    let api = GrowingApi::start(2);
    let (one, other) = (MockListener::start(), MockListener::start());
    let text = config(api.server.url(), &[("one", one.url(), ""), ("other", other.url(), "")]);
    let outcome = Fetcher::new(&text).once().assert_code(0);
    let before = outcome.read(CHECKPOINTS);
    let state = |outcome, arguments: &[&str]| Fetcher::again(outcome).arguments(arguments).run("state").assert_code(0);
    let outcome = state(outcome, &["rewind", "events", "2024-01-01"]);
    assert_eq!(outcome.read(CHECKPOINTS), "events: 2024-01-01T00:00:00Z\n");
    let outcome = state(outcome, &["undo"]);
    assert_eq!(outcome.read(CHECKPOINTS).lines().last(), before.lines().last());
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(2), numbers(2)), "{}", outcome.stderr);
    outcome.write(CHECKPOINTS, &format!("events: {}\n", minutes_ago(1_000)));
    let outcome = Fetcher::again(outcome).once().assert_code(0).assert_says("was edited");
    assert_eq!((one.ids(), other.ids()), (vec![1, 1, 2, 2], vec![1, 1, 2, 2]), "{}", outcome.stderr);
}

#[test]
fn one_output_keeps_its_state_in_a_list_by_its_name_and_a_new_one_begins_at_its_own_start() {
    let api = GrowingApi::start(2);
    let (one, other) = (MockListener::start(), MockListener::start());
    let list = config(api.server.url(), &[("logzio", one.url(), "")]);
    let (_, apis) = list.split_once("auth_apis:").unwrap();
    let single = format!("logzio: {{url: '{}', token: shipping-token-1}}\nauth_apis:{apis}", one.url());
    let outcome = Fetcher::new(&single).once().assert_code(0);
    assert_eq!(one.ids(), numbers(2));
    outcome.write("config.yaml", &list);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(one.ids(), numbers(2), "{}", outcome.stderr);
    let outputs = [("logzio", one.url(), ""), ("new", other.url(), "")];
    outcome.write("config.yaml", &config(api.server.url(), &outputs));
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(2), numbers(2)), "{}", outcome.stderr);
    outcome.write("config.yaml", &single);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(one.ids(), numbers(2), "{}", outcome.stderr);
    outcome.write("config.yaml", &config(api.server.url(), &outputs));
    Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(2), numbers(2)), "what it had is known");
}

/// The state of an output that is no longer in the config has no part in the line.
#[test]
fn an_edited_line_counts_for_the_outputs_that_there_are() {
    let api = GrowingApi::start(2);
    let (one, other) = (MockListener::start(), MockListener::start());
    let single = config(api.server.url(), &[("gone", one.url(), "")]);
    let outcome = Fetcher::new(&single).once().assert_code(0);
    let early = outcome.read(CHECKPOINTS);
    api.grow_to(4);
    outcome.write("config.yaml", &config(api.server.url(), &[("other", other.url(), "")]));
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(other.ids(), numbers(4), "{}", outcome.stderr);
    assert_ne!(outcome.read(CHECKPOINTS), early, "the line is of the output that there is");
    outcome.write(CHECKPOINTS, &early);
    let outcome = Fetcher::again(outcome).once().assert_code(0).assert_says("was edited");
    assert_eq!(other.ids().iter().filter(|id| **id == 4).count(), 2, "shipped again: {}", outcome.stderr);
    assert_eq!(one.ids(), numbers(2));
}

#[test]
fn without_a_store_every_output_begins_at_the_line() {
    let api = GrowingApi::start(4);
    let (one, other) = (MockListener::start(), MockListener::start());
    let fetcher = Fetcher::new(&config(api.server.url(), &[("one", one.url(), ""), ("other", other.url(), "")]));
    // A minute before it, as far as the overlap reaches, lies between the second record and the third.
    let begin = Utc::now() - TimeDelta::seconds(236 * 60 + 30);
    std::fs::write(fetcher.path().join(CHECKPOINTS), format!("events: {}\n", date::format(begin))).unwrap();
    let outcome = fetcher.once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (vec![3, 4], vec![3, 4]), "{}", outcome.stderr);
}

#[test]
fn a_span_is_shipped_again_to_one_output_alone() {
    let api = GrowingApi::start(2);
    let (one, other) = (MockListener::start(), MockListener::start());
    let text = config(api.server.url(), &[("one", one.url(), ""), ("other", other.url(), "")]);
    let outcome = Fetcher::new(&text).once().assert_code(0);
    let from = minutes_ago(1_000);
    let outcome = Fetcher::again(outcome).arguments(&["--from", &from, "--output", "other"]).once().assert_code(0);
    assert_eq!((one.ids(), other.ids()), (numbers(2), vec![1, 1, 2, 2]), "{}", outcome.stderr);
    let outcome = Fetcher::again(outcome).arguments(&["--from", &from, "--output", "third"]).once().assert_code(2);
    outcome.assert_says("unknown output `third`; configured: one, other");
}
