//! `demo`: what it shows, what it counts, and what it leaves behind.

use std::path::Path;

use crate::harness::{Fetcher, Running, wait_until};

/// A demo that keeps its temporary directory within this one.
fn demo(temporary: &Path) -> Fetcher {
    Fetcher::new("").variable("TMPDIR", temporary.to_str().unwrap())
}

/// The processes that run with something in this directory.
fn processes_of(temporary: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(temporary.to_str().unwrap())).count()
}

#[track_caller]
fn assert_nothing_is_left(temporary: &Path) {
    assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0, "the directory is left");
    assert_eq!(processes_of(temporary), 0, "the child is left");
}

#[test]
fn a_kill_in_the_middle_loses_nothing_and_doubles_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let outcome = demo(temporary.path()).run("demo").assert_code(0);
    let outcome = outcome.assert_says("KILLED (kill -9) in the middle: ").assert_says(" of 600 had arrived");
    let outcome =
        outcome.assert_says("503 Service Unavailable, retrying in").assert_says("goes on where it was killed");
    let outcome = outcome.assert_says("duplicates came again, left out").assert_says("two of them 30 s late");
    let outcome = outcome.assert_says("606 of 606 events: 0 missing, 0 duplicates").assert_says("What to do next");
    for line in outcome.stdout.lines() {
        assert!(line.chars().count() < 80, "it wraps: {line}");
        assert!(!line.contains('\u{1b}'), "it is no terminal: {line}");
    }
    assert_nothing_is_left(temporary.path());
}

/// Waits until the child has begun to do something, and a bit of it was told.
fn wait_for_stdout(running: &Running, text: &str) {
    wait_until(text, || running.read("stdout").contains(text));
}

#[test]
fn a_stop_ends_the_child_and_removes_the_directory() {
    for (signal, moment) in [("INT", "the fetcher is started (process"), ("TERM", "the fetcher is started again")] {
        let temporary = tempfile::tempdir().unwrap();
        let running = demo(temporary.path()).start_command(Some("demo"));
        wait_for_stdout(&running, moment);
        assert_eq!(processes_of(temporary.path()), 1, "there is a child");
        running.signal(signal);
        running.wait().assert_code(1);
        assert_nothing_is_left(temporary.path());
    }
}

#[test]
fn a_demo_that_serves_keeps_running_with_a_page_and_loses_nothing() {
    let running = Fetcher::new("").arguments(&["--serve"]).start_command(Some("demo"));
    let url = crate::status::page_of(&running, 1);
    running.wait_for_log("iteration done api=\"cisco\" records=3", 1);
    let page = crate::status::get(&url).text;
    assert!(page.contains("cisco") && page.contains("azure sign-ins"), "{page}");
    let outcome = running.stop().assert_code(0);
    outcome.assert_says("events had arrived when it was stopped, 0 duplicates");
}
