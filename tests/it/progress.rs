//! Iterations that are cut, and go on where they were.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record};

const CHECKPOINTS: &str = "last_start_dates.txt";

/// The date of a record, always the same: dates belong to what tells records apart.
fn date_of(number: i64) -> String {
    static BEGUN: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);
    (*BEGUN - TimeDelta::minutes(10 + number)).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Page `p` of so many, one record each, newest first.
fn of(asked: &Asked, pages: usize) -> Reply {
    let number: usize = asked.raw_field("p").map_or(1, |p| p.parse().unwrap());
    let date = date_of(number as i64);
    let next = (number < pages).then(|| format!("?p={}", number + 1));
    page(&[&record(number as u64, &date)], next.as_deref())
}

/// How often each page was asked for and given.
fn times(asked: &[Asked]) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for one in asked {
        *times.entry(one.raw_field("p").unwrap_or("1").to_owned()).or_insert(0) += 1;
    }
    times
}

#[test]
fn a_quota_smaller_than_the_backlog_is_worked_off_in_the_fewest_windows() {
    const PAGES: usize = 12;
    const QUOTA: usize = 5;
    /// So many requests too many, each after a wait that is longer, and the next window begins.
    const REFUSED: usize = 2;
    let window = Mutex::new(0_usize);
    let (windows, given) = (Arc::new(AtomicUsize::new(1)), Arc::new(Mutex::new(Vec::new())));
    let (counted, kept) = (Arc::clone(&windows), Arc::clone(&given));
    let api = MockServer::start(move |asked, _| {
        let mut window = window.lock().unwrap();
        if *window == QUOTA + REFUSED {
            *window = 0;
            counted.fetch_add(1, Ordering::SeqCst);
        }
        *window += 1;
        if *window > QUOTA {
            return Reply::status(429, "too many");
        }
        kept.lock().unwrap().push(asked.clone());
        of(asked, PAGES)
    });
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "").replace("time_interval: 1s", "time_interval: 0.1s");
    let running = Fetcher::new(&config).start();
    running.wait_for_log("iteration done", 1);
    assert_eq!(listener.ids(), (1..=PAGES as u64).collect::<Vec<_>>());
    let windows = windows.load(Ordering::SeqCst);
    assert!(windows <= 5, "{windows} windows of {QUOTA} requests for {PAGES} pages; each may ask for one page again");
    let times = times(&given.lock().unwrap());
    assert!(times.values().all(|times| *times <= 2), "{times:?}");
}

#[test]
fn a_kill_half_way_asks_for_no_page_twice_but_the_last_one_and_those_under_way() {
    const PAGES: usize = 60;
    let is_hung = Arc::new(AtomicBool::new(true));
    let hangs = Arc::clone(&is_hung);
    let api = MockServer::start(move |asked, _| match asked.raw_field("p") {
        Some("30") if hangs.load(Ordering::SeqCst) => Reply::Hang,
        _ => of(asked, PAGES),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).arguments(&["--level", "DEBUG"]).start();
    // Nine and twenty pages, each of them a batch.
    running.wait_for_log("a batch is delivered and remembered", 29);
    let outcome = running.kill();
    is_hung.store(false, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(listener.ids(), (1..=PAGES as u64).collect::<Vec<_>>(), "{}", outcome.stderr);
    let twice: Vec<String> =
        times(&api.asked()).into_iter().filter(|(_, times)| *times > 1).map(|(page, _)| page).collect();
    assert_eq!(twice, ["29", "30"], "the last delivered one, and the one under way");
    assert!(outcome.read(CHECKPOINTS).starts_with("events: "));
}

/// Three pages; the third fails once. What the API then answers to the link of page 2 is up to the test.
fn resumed(stale: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (Vec<u64>, Vec<Asked>) {
    let has_failed = AtomicBool::new(false);
    let api = MockServer::start(move |asked, _| match (asked.raw_field("p"), has_failed.load(Ordering::SeqCst)) {
        (Some("3"), false) => {
            has_failed.store(true, Ordering::SeqCst);
            Reply::status(422, "no")
        }
        (Some("2"), true) => stale(asked),
        _ => of(asked, 4),
    });
    let listener = MockListener::start();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    Fetcher::again(outcome).once().assert_code(0);
    (listener.ids(), api.asked())
}

#[test]
fn a_link_that_is_refused_voids_the_place() {
    let (ids, asked) = resumed(|asked| of(asked, 4));
    assert_eq!(ids, [1, 2, 3, 4]);
    assert!(asked[3].raw_field("since").is_some(), "the window begins again: {:?}", asked[3].query);
}

/// The same with a passing failure of the third page, so that the place stays.
fn cut(stale: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (Vec<u64>, Vec<Asked>, String) {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let api = MockServer::start(move |asked, _| match (asked.raw_field("p"), down.load(Ordering::SeqCst)) {
        (Some("3"), true) => Reply::status(503, ""),
        (Some("2"), false) => stale(asked),
        _ => of(asked, 4),
    });
    let listener = MockListener::start();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    is_down.store(false, Ordering::SeqCst);
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    let asked = api.asked().into_iter().skip(7).collect();
    (listener.ids(), asked, outcome.stderr)
}

#[test]
fn a_restart_goes_on_behind_the_last_page_that_proves_itself() {
    let (ids, asked, _) = cut(|asked| of(asked, 4));
    assert_eq!(ids, [1, 2, 3, 4]);
    let pages: Vec<Option<&str>> = asked.iter().map(|asked| asked.raw_field("p")).collect();
    assert_eq!(pages, [Some("2"), Some("3"), Some("4")]);
}

#[test]
fn a_stale_link_that_is_answered_otherwise_costs_the_window_and_no_record() {
    type Answer = fn(&Asked) -> Reply;
    let answers: [(&str, Answer); 4] = [
        ("by page 1", |_| page(&[&record(1, &date_of(1))], Some("?p=2"))),
        ("by nothing", |_| page(&[], None)),
        ("by a list that has moved on by a page", |_| page(&[&record(3, &date_of(3))], Some("?p=4"))),
        ("by a refusal", |_| Reply::status(400, "Invalid Skip Token")),
    ];
    for (what, answer) in answers {
        let answered = AtomicBool::new(false);
        let (ids, asked, log) = cut(move |asked| match answered.swap(true, Ordering::SeqCst) {
            false => answer(asked),
            true => of(asked, 4),
        });
        assert_eq!(ids, [1, 2, 3, 4], "{what}: {log}");
        assert!(asked[1].raw_field("since").is_some(), "{what}: the window begins again");
    }
}

#[test]
fn an_edited_entry_and_an_edited_checkpoint_void_the_place() {
    for is_entry in [true, false] {
        let is_down = Arc::new(AtomicBool::new(true));
        let down = Arc::clone(&is_down);
        let api = MockServer::start(move |asked, _| match (asked.raw_field("p"), down.load(Ordering::SeqCst)) {
            (Some("3"), true) => Reply::status(503, ""),
            _ => of(asked, 4),
        });
        let listener = MockListener::start();
        let config = general(api.url(), listener.url(), "");
        let outcome = Fetcher::new(&config).once().assert_code(1);
        is_down.store(false, Ordering::SeqCst);
        match is_entry {
            true => outcome.write("config.yaml", &format!("{config}    filters: {{kind: a}}\n")),
            false => outcome.write(CHECKPOINTS, &format!("events: {}\n", minutes_ago(600))),
        }
        let asked_before = api.asked().len();
        Fetcher::again(outcome).once().assert_code(0);
        assert!(api.asked()[asked_before].raw_field("since").is_some(), "entry edited: {is_entry}");
        assert_eq!(listener.ids(), [1, 2, 3, 4]);
    }
}

#[test]
fn a_link_that_holds_a_secret_is_not_saved() {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let api = MockServer::start(move |asked, _| match (asked.raw_field("p"), down.load(Ordering::SeqCst)) {
        (None, _) => page(&[&record(1, &date_of(1))], Some("?p=2&key=the-basic-key")),
        (Some(_), true) => Reply::status(503, ""),
        _ => page(&[&record(2, &date_of(2))], None),
    });
    let listener = MockListener::start();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    assert!(!outcome.everything().contains("the-basic-key"), "it is in a file or in the log");
    is_down.store(false, Ordering::SeqCst);
    Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 2]);
}
