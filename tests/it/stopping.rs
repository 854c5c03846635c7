//! Stopping in time, and with nothing lost.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record, wait_until};

/// Longer than any test waits: what ends with it ends by itself.
const LONG_GRACE: &[&str] = &["--grace", "10m"];

#[test]
fn an_idle_fetcher_stops_at_once() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    for signal in ["TERM", "INT"] {
        let config = general(api.url(), listener.url(), "").replace("time_interval: 1s", "time_interval: 1h");
        let running = Fetcher::new(&config).arguments(LONG_GRACE).start();
        running.wait_for_log("iteration done", 1);
        running.signal(signal);
        running.wait().assert_code(0).assert_says(signal).assert_says("fetcher stopped");
    }
}

#[test]
fn an_iteration_under_way_ends_properly() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, before| {
        let next = format!("?p={before}");
        let reply = page(&[&record(before as u64, &date)], (before < 4).then_some(next.as_str()));
        Reply::Late(Duration::from_millis(300), Box::new(reply))
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    api.wait_for_requests(2);
    let outcome = running.stop().assert_code(0).assert_says("iteration done");
    assert_eq!((listener.ids(), api.asked().len()), (vec![0, 1, 2, 3, 4], 5));
    assert!(outcome.read("last_start_dates.txt").starts_with("events: "));
}

#[test]
fn an_api_that_hangs_is_cut_before_the_grace_window_ends() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[&record(1, &date)], Some("?p=2")),
        _ => Reply::Hang,
    });
    let listener = MockListener::start().may_be_idle();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).arguments(&["--grace", "3s"]).start();
    api.wait_for_requests(2);
    let outcome =
        running.stop().assert_code(0).assert_says("cut short by the stop").assert_within(Duration::from_secs(3));
    assert_eq!(outcome.read("last_start_dates.txt"), "", "nothing unshipped is marked");
}

#[test]
fn a_listener_that_hangs_is_cut_too() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::answering(|_, _| Reply::Hang);
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).arguments(&["--grace", "3"]).start();
    crate::harness::wait_until("a batch on the way", || !listener.asked().is_empty());
    let outcome = running.stop().assert_code(0).assert_within(Duration::from_secs(3));
    assert_eq!(outcome.read("last_start_dates.txt"), "");
}

#[test]
fn a_wait_before_another_try_ends_at_once() {
    let api = MockServer::start(|_, _| Reply::status(429, "").with("Retry-After", "200"));
    let listener = MockListener::start().may_be_idle();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).arguments(LONG_GRACE).start();
    running.wait_for_log("retrying in 200", 1);
    running.stop().assert_code(0);
    assert_eq!(api.asked().len(), 1, "nothing is sent any more");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let api = MockServer::start(|_, _| Reply::Hang);
    let listener = MockListener::start().may_be_idle();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).arguments(LONG_GRACE).start();
    api.wait_for_requests(1);
    running.signal("TERM");
    running.wait_for_log("SIGTERM", 1);
    running.signal("TERM");
    running.wait().assert_code(1).assert_says("second signal");
}

#[test]
fn a_secret_that_is_no_file_is_refused_before_it_can_hang() {
    let config = general("http://127.0.0.1:1", "http://127.0.0.1:1", "").replace("the-basic-key", "'${file:pipe}'");
    let fetcher = Fetcher::new(&config);
    let pipe = fetcher.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fetcher.run("run").assert_code(2).assert_says("is not a regular file");
}

#[test]
fn a_hangup_has_the_config_read_again_and_ends_nothing() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    running.wait_for_log("iteration done", 1);
    running.signal("HUP");
    running.wait_for_log("the config is read again; no API has changed", 1);
    let before = api.asked().len();
    api.wait_for_requests(before + 2);
    running.stop().assert_code(0);
}

/// As process 1 of a new PID namespace, where signals have no default action.
#[cfg(target_os = "linux")]
#[test]
fn process_1_hears_signals_too() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    let config = general(api.url(), listener.url(), "");
    let running = Fetcher::new(&config).start_as_process_1();
    running.wait_for_log("iteration done", 1);
    running.signal_child("TERM");
    running.wait().assert_code(0).assert_says("fetcher stopped");
}

/// APIs that log much, and how many requests they made.
fn busy() -> (MockServer, String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let api = MockServer::start(move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        page(&[], None)
    });
    let config = general(api.url(), "http://127.0.0.1:1", "").replace("time_interval: 1s", "time_interval: 0.01s");
    let (top, entry) = config.split_once("auth_apis:\n").unwrap();
    let entries: String =
        (0..20).map(|number| entry.replace("name: events", &format!("name: events-{number}"))).collect();
    let config = format!("{top}auth_apis:\n{entries}");
    (api, config, asked)
}

/// As where a log driver hangs: the pipe is full, and stays so.
#[test]
fn a_stderr_that_nobody_reads_stops_neither_iterations_nor_signals() {
    let (_api, config, asked) = busy();
    let (mut reader, full) = std::io::pipe().unwrap();
    let running = Fetcher::new(&config).arguments(&["--level", "DEBUG"]).arguments(LONG_GRACE).start_with_stderr(full);
    // A pipe holds 64 KiB, which some hundred iterations fill.
    wait_until("many iterations", || asked.load(Ordering::SeqCst) > 3000);
    running.stop().assert_code(0);
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    assert!(log.len() <= 65_536 && log.contains("iteration done"), "{}", log.len());
}

#[test]
fn lines_that_nobody_read_are_counted_where_they_are_missing() {
    let (_api, config, asked) = busy();
    let (reader, full) = std::io::pipe().unwrap();
    let running = Fetcher::new(&config).arguments(&["--level", "DEBUG"]).start_with_stderr(full);
    wait_until("more lines than the queue holds", || asked.load(Ordering::SeqCst) > 6000);
    let told = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    let reading = std::thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map_while(Result::ok);
        let counted = lines.inspect(|line| {
            counter
                .fetch_add(usize::from(line.contains("log lines were dropped: nobody read stderr")), Ordering::SeqCst);
        });
        counted.collect::<Vec<String>>()
    });
    wait_until("a line that counts them", || told.load(Ordering::SeqCst) > 0);
    running.stop().assert_code(0);
    let lines = reading.join().unwrap();
    let told = lines.iter().position(|line| line.contains("log lines were dropped")).unwrap();
    assert!(told > 1000 && lines[told..].iter().any(|line| line.contains("fetcher stopped")), "{told}");
    let dates: Vec<&str> = lines[..told].iter().map(|line| &line[.."2024-05-28T10:00:00".len()]).collect();
    assert!(dates.is_sorted(), "the order stays");
}
