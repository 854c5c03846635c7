//! `undelivered`: what could not be delivered is looked at, sent again, discarded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Fetcher, MockListener, MockServer, Outcome, Reply, general, minutes_ago, page, record};

const FILE: &str = "undelivered.ndjson";

fn run(outcome: Outcome, arguments: &[&str]) -> Outcome {
    Fetcher::again(outcome).arguments(arguments).run("undelivered")
}

/// A firewall that dislikes record 2 until it is told otherwise, and a fetcher that has set that one aside.
fn refused() -> (MockListener, Arc<AtomicBool>, Outcome) {
    let date = minutes_ago(10);
    let api = MockServer::start(move |_, _| {
        let records: Vec<String> = (1..=4).map(|id| record(id, &date)).collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
    });
    let is_strict = Arc::new(AtomicBool::new(true));
    let strict = Arc::clone(&is_strict);
    let listener = MockListener::answering(move |lines, _| {
        let dislikes = strict.load(Ordering::SeqCst) && lines.contains(r#""id":2,"#);
        if dislikes { Reply::status(403, "not with me") } else { Reply::status(200, "") }
    });
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!(outcome.read(FILE).lines().count(), 1, "{}", outcome.stderr);
    (listener, is_strict, outcome)
}

#[test]
fn what_was_refused_is_shown_and_sent_again_once_it_is_taken() {
    let (listener, is_strict, outcome) = refused();
    let outcome =
        run(outcome, &[]).assert_code(0).assert_says("events\n  records     1 (").assert_says("403 Forbidden");
    let outcome = run(outcome, &["show", "events"]).assert_code(0).assert_says(r#""id":2,"#);
    let outcome = run(outcome, &["show", "nobody"]).assert_code(2).assert_says("there_are=\"events\"");
    let before = listener.ids();
    let outcome = run(outcome, &["resend"]).assert_code(1).assert_says("Sent 0 records; 1 still undelivered");
    assert_eq!((listener.ids(), outcome.read(FILE).lines().count()), (before.clone(), 1), "it is still refused");
    is_strict.store(false, Ordering::SeqCst);
    let outcome = run(outcome, &["resend", "events"]).assert_code(0).assert_says("Sent 1 record; 0 still undelivered");
    let mut ids = listener.ids();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4], "each once");
    assert!(!outcome.path().join(FILE).exists(), "nothing is left");
    run(outcome, &["resend"]).assert_code(0).assert_says("Sent 0 records");
}

#[test]
fn what_a_listener_took_in_part_is_sent_again_only_when_that_is_asked_for() {
    let (listener, is_strict, outcome) = refused();
    is_strict.store(false, Ordering::SeqCst);
    outcome.write(FILE, &outcome.read(FILE).replace(r#""taken":"no""#, r#""taken":"in part""#));
    let outcome = run(outcome, &["show"]).assert_code(0).assert_says("took in part; `resend --all`");
    let sent = listener.ids().len();
    let outcome = run(outcome, &["resend"]).assert_code(1).assert_says("with --all");
    assert_eq!(listener.ids().len(), sent);
    run(outcome, &["resend", "--all"]).assert_code(0).assert_says("Sent 1 record");
    assert_eq!(listener.ids().len(), sent + 1);
}

#[test]
fn nothing_is_discarded_without_a_word_and_nothing_is_touched_while_a_fetcher_runs() {
    let (_listener, _, outcome) = refused();
    let outcome = run(outcome, &["drop"]).assert_code(1).assert_says("Nothing was discarded");
    assert_eq!(outcome.read(FILE).lines().count(), 1);
    let config = outcome.read("config.yaml").replace("time_interval: 1s", "time_interval: 1h");
    outcome.write("config.yaml", &config);
    let path = outcome.path().join("config.yaml").to_str().unwrap().to_owned();
    let running = Fetcher::again(outcome).start();
    running.wait_for_log("iteration done", 1);
    for command in ["drop", "resend"] {
        let refused = Fetcher::new("").arguments(&[command, "--config", &path]).run_bare("undelivered").assert_code(1);
        refused.assert_says("another fetcher");
    }
    Fetcher::new("")
        .arguments(&["--config", &path])
        .run_bare("undelivered")
        .assert_code(0)
        .assert_says("records     1");
    let state = Fetcher::new("").arguments(&["--config", &path]).run_bare("state").assert_code(0);
    state.assert_says("undelivered 1 record in");
    let outcome = running.stop().assert_code(0);
    let outcome = run(outcome, &["drop", "nobody", "--yes"]).assert_code(2);
    let outcome = run(outcome, &["drop", "--yes"]).assert_code(0).assert_says("Discarded 1 record.");
    assert!(!outcome.path().join(FILE).exists());
}
