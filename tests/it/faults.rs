//! A disk that is full, read-only or broken, a clock that jumps, time zones: by a library that is loaded before the C
//! library and makes the system calls fail.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use logzio_api_fetcher::record::date;

use crate::harness::{
    Fetcher, MockListener, MockServer, Reply, Running, decoded, general, minutes_ago, page, record, wait_until,
};

const CHECKPOINTS: &str = "last_start_dates.txt";
const STORE: &str = ".logzio-api-fetcher.store";
const FAULTS: &str = "faults";
/// Where the library writes which faults calls have met.
const HITS: &str = "faults.hit";
/// `ENOSPC`, `EIO` and `EROFS` of Linux.
const FULL: u32 = 28;
const BROKEN: u32 = 5;
const READ_ONLY: u32 = 30;
/// No error of Linux: the call hangs.
const HANGS: u32 = 999;

/// Built once, with the C compiler that the fetcher itself needs.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}.so", std::process::id()));
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status();
        assert!(built.expect("a C compiler").success(), "{source} can't be built");
        library
    })
}

fn with_faults(fetcher: Fetcher, faults: &str) -> Fetcher {
    let fetcher = fetcher.file(FAULTS, faults);
    let path = fetcher.path().join(FAULTS).to_str().unwrap().to_owned();
    fetcher.variable("LD_PRELOAD", library().to_str().unwrap()).variable("FAULTS", &path)
}

fn set_faults(running: &Running, faults: &str) {
    // In one step: the fetcher may be reading.
    let path = running.directory().join(FAULTS);
    std::fs::write(path.with_extension("new"), faults).unwrap();
    std::fs::rename(path.with_extension("new"), path).unwrap();
}

/// Fails where a fault was set and no call has met it: then the test would say nothing.
#[track_caller]
fn wait_for_fault(running: &Running, fault: &str) {
    wait_until(&format!("a call that `{fault}` makes fail"), || has_met(&running.read(HITS), fault));
}

/// Whether these hits have one of the fault.
fn has_met(hits: &str, fault: &str) -> bool {
    hits.lines().any(|hit| hit == fault.trim())
}

/// An API that has one record more at each request, ten at most, all of them from the start date on.
fn growing() -> MockServer {
    let dates: Vec<String> = (0..10).map(|number| minutes_ago(30 - number)).collect();
    MockServer::start(move |asked, before| {
        let since = date::parse(&decoded(asked.raw_field("since").unwrap())).unwrap();
        let there = dates.iter().zip(1..).take(before + 1).filter(|(date, _)| date::parse(date).unwrap() >= since);
        let records: Vec<String> = there.map(|(date, id)| record(id, date)).collect();
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
    })
}

fn quick(api: &MockServer, listener: &MockListener) -> String {
    general(api.url(), listener.url(), "").replace("time_interval: 1s", "time_interval: 0.05s")
}

#[track_caller]
fn assert_each_once(listener: &MockListener, count: u64) {
    assert_eq!(listener.ids(), (1..=count).collect::<Vec<_>>());
}

#[test]
fn a_store_that_cannot_be_written_costs_a_warning_and_no_record() {
    for fault in [format!("write {STORE} {FULL}"), format!("sync {STORE} {BROKEN}")] {
        let (api, listener) = (growing(), MockListener::start());
        let running = with_faults(Fetcher::new(&quick(&api, &listener)), "").start();
        running.wait_for_log("iteration done", 2);
        set_faults(&running, &fault);
        listener.wait_for_lines(10);
        running.wait_for_log("iteration done", 12);
        wait_for_fault(&running, &fault);
        set_faults(&running, "");
        running.wait_for_log("remembered in memory until it can", 1);
        running.wait_for_log("can be written again, and has everything", 1);
        let outcome = running.stop().assert_code(0);
        assert!(outcome.stderr.matches("WARN").count() <= 1, "{fault}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("iteration failed"), "{fault}: {}", outcome.stderr);
        Fetcher::again(outcome).once().assert_code(0);
        assert_each_once(&listener, 10);
    }
}

#[test]
fn a_kill_while_the_store_is_broken_loses_nothing() {
    let (api, listener) = (growing(), MockListener::start());
    let mut fetcher = Fetcher::new(&quick(&api, &listener));
    for call in ["write", "sync"] {
        let running = with_faults(fetcher, "").start();
        running.wait_for_log("iteration done", 1);
        set_faults(&running, &format!("{call} {STORE} {BROKEN}"));
        running.wait_for_log("iteration done", 4);
        assert!(running.log().contains("remembered in memory"), "{call} did not fail");
        fetcher = Fetcher::again(running.kill());
    }
    let running = fetcher.start();
    // Some may come twice after a kill.
    wait_until("each record at least once", || {
        let mut ids = listener.ids();
        ids.dedup();
        ids == (1..=10).collect::<Vec<_>>()
    });
    running.stop().assert_code(0);
}

/// The file grows only for many records: so that many are there once it can't.
#[test]
fn a_store_that_cannot_grow_costs_a_warning_and_no_record_even_when_it_is_killed_then() {
    const MANY: u64 = 60_000;
    for is_killed in [false, true] {
        let are_there = Arc::new(AtomicBool::new(false));
        let (has_many, date) = (Arc::clone(&are_there), minutes_ago(10));
        let api = MockServer::start(move |_, _| {
            let count = if has_many.load(Ordering::SeqCst) { MANY } else { 1 };
            let records: Vec<String> = (1..=count).map(|id| record(id, &date)).collect();
            page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
        });
        let listener = MockListener::start();
        let running = with_faults(Fetcher::new(&quick(&api, &listener)), "").start();
        running.wait_for_log("iteration done", 1);
        let fault = format!("truncate {STORE} {FULL}");
        set_faults(&running, &fault);
        are_there.store(true, Ordering::SeqCst);
        wait_for_fault(&running, &fault);
        running.wait_for_log("remembered in memory until it can", 1);
        let outcome = if is_killed {
            running.kill()
        } else {
            listener.wait_for_lines(MANY as usize);
            set_faults(&running, "");
            running.wait_for_log("can be written again, and has everything", 1);
            running.stop().assert_code(0)
        };
        Fetcher::again(outcome).once().assert_code(0);
        let mut ids = listener.ids();
        if is_killed {
            ids.dedup();
        }
        assert!(ids == (1..=MANY).collect::<Vec<_>>(), "{} records, killed: {is_killed}", ids.len());
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_tried_again_and_doubles_nothing() {
    for fault in [
        format!("write {CHECKPOINTS} {FULL}"),
        format!("sync {CHECKPOINTS} {BROKEN}"),
        format!("open {CHECKPOINTS} {READ_ONLY}"),
    ] {
        let (api, listener) = (growing(), MockListener::start());
        let running = with_faults(Fetcher::new(&quick(&api, &listener)), "").start();
        running.wait_for_log("iteration done", 1);
        set_faults(&running, &fault);
        running.wait_for_log("the checkpoint can't be saved", 3);
        let whole = running.read(CHECKPOINTS);
        assert!(whole.lines().all(|line| line.starts_with("events: 20") && line.ends_with('Z')), "{fault}: {whole}");
        set_faults(&running, "");
        listener.wait_for_lines(10);
        let done = running.log().matches("iteration done").count();
        running.wait_for_log("iteration done", done + 2);
        let outcome = running.stop().assert_code(0);
        assert_eq!(
            outcome.read(CHECKPOINTS).lines().last().unwrap(),
            format!("events: {}", checkpoint_of(&outcome.stderr))
        );
        Fetcher::again(outcome).once().assert_code(0);
        assert_each_once(&listener, 10);
    }
}

/// The last checkpoint in a log.
fn checkpoint_of(log: &str) -> String {
    let (_, last) = log.rsplit_once(" checkpoint=").expect("a checkpoint in the log");
    last.trim_start_matches('"').split(['"', ' ', '\n']).next().unwrap_or_default().to_owned()
}

#[test]
fn a_crash_while_no_checkpoint_can_be_written_doubles_one_batch_at_most() {
    let (api, listener) = (growing(), MockListener::start());
    let running = with_faults(Fetcher::new(&quick(&api, &listener)), &format!("write {CHECKPOINTS} {FULL}")).start();
    running.wait_for_log("the checkpoint can't be saved", 4);
    let outcome = running.kill();
    assert_eq!(outcome.read(CHECKPOINTS), "");
    let running = Fetcher::again(outcome).start();
    listener.wait_for_lines(10);
    running.wait_for_log("iteration done", 3);
    running.stop().assert_code(0);
    let ids = listener.ids();
    let mut each = ids.clone();
    each.dedup();
    assert_eq!(each, (1..=10).collect::<Vec<_>>());
    assert!(ids.len() <= 11, "one batch, of one record, may come twice after a kill: {ids:?}");
}

#[test]
fn a_record_that_cannot_be_set_aside_is_tried_again_until_it_is() {
    let date = minutes_ago(10);
    let long = format!(r#"{{"id":2,"date":"{date}","text":"{}"}}"#, "x".repeat(500_001));
    let api = MockServer::start(move |_, _| page(&[&record(1, &date), &long], None));
    let listener = MockListener::start();
    let running = with_faults(Fetcher::new(&quick(&api, &listener)), &format!("write undelivered {FULL}")).start();
    running.wait_for_log("can't be kept in undelivered.ndjson", 2);
    assert_eq!((running.read(CHECKPOINTS), running.read("undelivered.ndjson")), (String::new(), String::new()));
    set_faults(&running, "");
    running.wait_for_log("iteration done", 2);
    let outcome = running.stop().assert_code(0);
    assert_eq!(outcome.read("undelivered.ndjson").lines().count(), 1);
    assert_eq!(listener.ids(), [1]);
}

#[test]
fn lines_that_are_refused_and_cannot_be_set_aside_are_when_they_can_be_and_not_sent_again() {
    let api = growing();
    let counts = r#"{"malformedLines":1,"successfulLines":0,"oversizedLines":0,"emptyLogLines":0}"#;
    let listener = MockListener::answering(move |text, _| match text.contains(r#""id":2,"#) {
        true => Reply::status(400, counts),
        false => Reply::status(200, ""),
    });
    let running = with_faults(Fetcher::new(&quick(&api, &listener)), &format!("write undelivered {FULL}")).start();
    running.wait_for_log("can't be kept in undelivered.ndjson", 3);
    set_faults(&running, "");
    listener.wait_for_lines(10);
    let outcome = running.stop().assert_code(0);
    assert_eq!(outcome.read("undelivered.ndjson").lines().filter(|line| line.contains(r#""id":2,"#)).count(), 1);
    assert_each_once(&listener, 10);
}

#[test]
fn a_folder_that_is_read_only_is_refused_at_the_start_with_its_reason() {
    let config = general("http://127.0.0.1:1", "http://127.0.0.1:1", "");
    for file in [CHECKPOINTS, ".lock"] {
        let outcome = with_faults(Fetcher::new(&config), &format!("open {file} {READ_ONLY}")).run("run");
        outcome
            .assert_code(2)
            .assert_says("Read-only file system")
            .assert_says("must be able to write in this directory");
    }
}

#[test]
fn a_file_that_cannot_be_replaced_is_rewritten_in_its_place() {
    let api = MockServer::start(|_, _| page(&[], None));
    let listener = MockListener::start().may_be_idle();
    for fault in
        [format!("rename {CHECKPOINTS} {BROKEN}"), format!("write txt.tmp {FULL}"), format!("open txt.tmp {READ_ONLY}")]
    {
        let fetcher = Fetcher::new(&general(api.url(), listener.url(), ""))
            .file(CHECKPOINTS, "events: 2026-01-01T00:00:00Z\nevents: 2026-01-02T00:00:00Z\n");
        let outcome = with_faults(fetcher, &fault).once().assert_code(0);
        assert_eq!(outcome.read(CHECKPOINTS), "events: 2026-01-02T00:00:00Z\n", "{fault}");
        assert_eq!(outcome.read("last_start_dates.txt.tmp"), "", "{fault}");
        assert!(has_met(&outcome.read(HITS), &fault), "no call met `{fault}`: this says nothing");
    }
}

#[test]
fn a_clock_that_jumps_a_day_loses_and_doubles_nothing() {
    const DAY: i64 = 86_400;
    let begun = Utc::now();
    let (api, listener) = (growing(), MockListener::start());
    let running = with_faults(Fetcher::new(&quick(&api, &listener)), "").start();
    for jump in [DAY, 0, -DAY, 0, DAY, -DAY] {
        let done = running.log().matches("iteration done").count();
        set_faults(&running, &format!("clock {jump}\n"));
        running.wait_for_log("iteration done", done + 2);
    }
    listener.wait_for_lines(10);
    let outcome = running.stop().assert_code(0);
    assert!(!outcome.stderr.contains("iteration failed"), "{}", outcome.stderr);
    for jump in [-DAY, 0, DAY] {
        // Around midnight it may have been either day.
        let day = |now: DateTime<Utc>| (now + TimeDelta::seconds(jump)).format("%Y-%m-%dT").to_string();
        let was_there = outcome.stderr.contains(&day(begun)) || outcome.stderr.contains(&day(Utc::now()));
        assert!(was_there, "the clock did not jump by {jump} s: {}", outcome.stderr);
    }
    let outcome = with_faults(Fetcher::again(outcome), &format!("clock {DAY}\n")).once().assert_code(0);
    assert_each_once(&listener, 10);
    // The clock was a day slow for a while: events looked like the future, and their dates moved no checkpoint then.
    let last = outcome.read(CHECKPOINTS);
    let checkpoint = date::parse(last.trim().rsplit_once(": ").unwrap().1).unwrap();
    assert!(Utc::now() - checkpoint < TimeDelta::hours(1) && checkpoint < Utc::now(), "{last}");
}

#[test]
fn the_time_zone_and_its_summer_time_change_nothing() {
    // The hour that New York and Berlin skip, and the one that they have twice.
    let dates = ["2026-03-08 02:30:00", "2026-03-29T02:30:00", "2026-10-25T02:30:00", "2026-11-01T01:30:00"];
    for zone in ["America/New_York", "Europe/Berlin", "Pacific/Apia", "UTC"] {
        let api = MockServer::start(move |_, _| {
            let records: Vec<String> = dates.iter().zip(1..).map(|(date, id)| record(id, date)).collect();
            page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
        });
        let listener = MockListener::start();
        let config = general(api.url(), listener.url(), "    filters: {since: '2026-03-08T02:00:00'}\n");
        let outcome = Fetcher::new(&config).variable("TZ", zone).once().assert_code(0);
        assert_each_once(&listener, 4);
        assert_eq!(outcome.read(CHECKPOINTS), "events: 2026-11-01T01:30:00Z\n", "{zone}");
        assert!(decoded(&api.asked()[0].query).starts_with("since=2026-03-08T02:00:00"), "{}", api.asked()[0].query);
    }
}

/// Whatever hangs on the disk: who asks how the fetcher is hears of it, and a stop ends it in time.
#[test]
fn a_disk_that_hangs_is_unhealthy_and_keeps_nobody_from_stopping() {
    const GRACE: Duration = Duration::from_secs(4);
    let (api, listener) = (growing(), MockListener::start());
    let running = with_faults(Fetcher::new(&quick(&api, &listener)), "").arguments(&["--grace", "4s"]).start();
    running.wait_for_log("iteration done", 2);
    let config = running.config_path();
    let health = || Fetcher::new("").arguments(&["--config", &config]).run_bare("health");
    wait_until("a healthy fetcher", || health().code == Some(0));
    set_faults(&running, &format!("sync {STORE} {HANGS}"));
    wait_until("an unhealthy fetcher", || health().code == Some(1));
    health().assert_says("the disk with the config's directory has not answered for");
    // Nothing else ends it: the disk hangs until the test is over.
    running.stop().assert_within(GRACE);
}

/// A single mounted file can't be replaced, so it is written in place.
#[test]
fn a_kill_while_the_file_is_rewritten_in_place_costs_no_checkpoint() {
    let api = MockServer::start(|_, _| page(&[], None));
    let text = "other: 2026-01-01T00:00:00Z\nevents: 2026-01-01T00:00:00Z\nevents: 2026-01-02T00:00:00Z\n";
    for hanging in ["sync", "truncate"] {
        let fetcher = Fetcher::new(&general(api.url(), "http://127.0.0.1:1", "")).file(CHECKPOINTS, text);
        let in_place = format!("open txt.tmp {READ_ONLY}\n");
        let faults = format!("{in_place}{hanging} {CHECKPOINTS} {HANGS}\n");
        let running = with_faults(fetcher, &faults).start();
        // It hangs at its first step, or at its last.
        wait_until("a file that is being rewritten", || running.read(CHECKPOINTS).len() > text.len());
        let killed = running.kill();
        let fetcher = with_faults(Fetcher::again(killed), &in_place);
        let outcome = fetcher.once().assert_code(0);
        assert_eq!(outcome.read(CHECKPOINTS), "other: 2026-01-01T00:00:00Z\nevents: 2026-01-02T00:00:00Z\n");
    }
}
