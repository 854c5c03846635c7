//! What is remembered across restarts and crashes, and what is not.

use chrono::{DateTime, TimeDelta, Utc};
use logzio_api_fetcher::record::json::RawJson;
use logzio_api_fetcher::record::path::JsonPath;
use logzio_api_fetcher::record::{Paths, Record, date};
use logzio_api_fetcher::state::{ApiState, StoreFile, StoreWrite};

use crate::harness::{Fetcher, MockListener, MockServer, Outcome, Reply, decoded, general, minutes_ago, page, record};

const CHECKPOINTS: &str = "last_start_dates.txt";
const STORE: &str = ".logzio-api-fetcher.store";

/// A record of more than a third of a batch.
fn large(id: u64, date: &str) -> String {
    format!(r#"{{"id":{id},"date":"{date}","text":"{}"}}"#, "x".repeat(400_000))
}

/// More than a batch on the first page, and a second page that hangs the first time.
fn interrupted() -> MockServer {
    let date = minutes_ago(10);
    MockServer::start(move |asked, before| match (asked.raw_field("p"), before) {
        (None, _) => page(&[&large(1, &date), &large(2, &date), &large(3, &date)], Some("?p=2")),
        (_, 1) => Reply::Hang,
        _ => page(&[&record(4, &date)], None),
    })
}

fn again(outcome: Outcome) -> Outcome {
    Fetcher::again(outcome).once().assert_code(0)
}

#[test]
fn records_of_the_edge_and_inside_the_overlap_are_known_after_a_restart() {
    let dates = [minutes_ago(18), minutes_ago(10), minutes_ago(10)];
    let late = minutes_ago(15);
    let api = MockServer::start(move |_, before| {
        let mut records: Vec<String> = dates.iter().zip(1..).map(|(date, id)| record(id, date)).collect();
        if before > 0 {
            records.push(record(4, &late));
        }
        page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None)
    });
    let listener = MockListener::start();
    let config =
        general(api.url(), listener.url(), "").replace("days_back_fetch: 5", "days_back_fetch: 5, overlap: 10");
    let outcome = again(again(Fetcher::new(&config).once().assert_code(0)));
    assert_eq!(listener.ids(), [1, 2, 3, 4], "{}", outcome.stderr);
}

#[test]
fn what_was_acknowledged_before_a_kill_is_not_shipped_again() {
    let (api, listener) = (interrupted(), MockListener::start());
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).arguments(&["--level", "DEBUG"]).start();
    api.wait_for_requests(2);
    running.wait_for_log("a batch is delivered and remembered", 1);
    let outcome = running.kill();
    assert_eq!(outcome.read(CHECKPOINTS), "");
    again(outcome);
    assert_eq!(listener.ids(), [1, 2, 3, 4]);
}

/// Nothing is known of the API but its start date, so nothing of it was on the disk before.
#[test]
fn a_first_iteration_from_a_start_date_or_a_line_is_remembered_from_its_first_batch_on() {
    let line = |date: &str| (String::new(), format!("events: {date}\n"));
    let filter = |date: &str| (format!("    filters: {{since: '{date}'}}\n"), String::new());
    for (more, text) in [filter(&minutes_ago(60)), line(&minutes_ago(60))] {
        let (api, listener) = (interrupted(), MockListener::start());
        let fetcher = Fetcher::new(&general(api.url(), listener.url(), &more)).file(CHECKPOINTS, &text);
        let running = fetcher.arguments(&["--level", "DEBUG"]).start();
        api.wait_for_requests(2);
        running.wait_for_log("a batch is delivered and remembered", 1);
        again(running.kill());
        assert_eq!(listener.ids(), [1, 2, 3, 4]);
    }
}

#[test]
fn a_deleted_store_costs_duplicates_and_no_record() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |_, before| {
        let records = [record(1, &date), record(2, &date), record(3, &date)];
        page(&records.iter().take(before + 1).map(String::as_str).collect::<Vec<_>>(), None)
    });
    let listener = MockListener::start();
    let outcome = again(Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0));
    assert_eq!(listener.ids(), [1, 2]);
    outcome.remove(STORE);
    again(outcome);
    assert_eq!(listener.ids(), [1, 1, 2, 2, 3]);
}

#[test]
fn a_damaged_store_is_set_aside_and_the_fetcher_goes_on() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let mut outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    let whole = std::fs::read(outcome.path().join(STORE)).unwrap();
    let halved = whole[..whole.len() / 2].to_vec();
    let (zeroed, scribbled) = (vec![0; 5_000], b"# mine\n".repeat(1_000));
    let mut flipped = whole.clone();
    // Every page but the header, so that whatever is in use is hit.
    flipped[4096..].iter_mut().step_by(64).for_each(|byte| *byte ^= 0x55);
    for damaged in [halved, zeroed, scribbled, flipped, b"x".to_vec()] {
        std::fs::write(outcome.path().join(STORE), &damaged).unwrap();
        outcome = again(outcome).assert_says("is damaged; it is set aside");
        assert_eq!(std::fs::read(outcome.path().join(".logzio-api-fetcher.store.damaged")).unwrap(), damaged);
        outcome = again(outcome);
        assert!(!outcome.stderr.contains("damaged"), "{}", outcome.stderr);
    }
    assert_eq!(listener.ids().len(), 6, "once more for each store that was lost");
}

#[test]
fn a_store_that_cannot_be_opened_stops_no_fetcher() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let fetcher = Fetcher::new(&general(api.url(), listener.url(), ""));
    let store = fetcher.path().join(STORE);
    std::fs::create_dir(&store).unwrap();
    let running = fetcher.start();
    running.wait_for_log("iteration done", 3);
    let outcome = running.stop().assert_code(0).assert_says("remembered in memory until it can");
    assert_eq!(listener.ids(), [1], "remembered while it lives");
    std::fs::remove_dir(&store).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&store).status().unwrap().success());
    again(outcome).assert_says("it is not a regular file");
}

/// The text file and the store after a crash between the two writes, in either order.
#[test]
fn a_crash_between_the_store_and_the_file_is_no_edit() {
    let (first, second) = (minutes_ago(20), minutes_ago(10));
    let dates = [first.clone(), second.clone()];
    let api = MockServer::start(move |_, _| page(&[&record(1, &dates[0]), &record(2, &dates[1])], None));
    let listener = MockListener::start();
    let mut outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    for (in_store, written) in [(&first, &first), (&first, &second)] {
        let mut store = StoreFile::open(&outcome.path().join(STORE)).unwrap();
        let account = store.accounts().unwrap()["events"].clone();
        let account =
            ApiState { checkpoint: date::parse(in_store), prepared_checkpoint: date::parse(&second), ..account };
        let text = record(1, &first);
        let path = |text| JsonPath::parse(text).unwrap();
        let paths = Paths::new(path("data"), path("date"));
        let identities = vec![Record::read(RawJson::parse(&text).unwrap(), &paths).identity()];
        let remember = StoreWrite::Remember { ledger: account.ledger, iteration: 1, identities };
        let save = StoreWrite::Save { name: "events".to_owned(), account: Box::new(account) };
        store.write(1, [remember, save].iter()).unwrap();
        drop(store);
        outcome.write(CHECKPOINTS, &format!("events: {written}\n"));
        outcome = again(outcome);
        assert!(!outcome.stderr.contains("edited"), "{}", outcome.stderr);
        assert_eq!(outcome.read(CHECKPOINTS).lines().last().unwrap(), format!("events: {second}"));
    }
    assert_eq!(listener.ids(), [1, 2]);
}

#[test]
fn an_edit_to_a_later_date_leaves_out_what_lies_between_and_says_so() {
    let (first, second, later) = (minutes_ago(50), minutes_ago(10), minutes_ago(30));
    let shown = later.clone();
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[&record(1, &first)], None),
        _ => page(&[&record(2, &minutes_ago(40)), &record(3, &second)], None),
    });
    let listener = MockListener::start();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    outcome.write(CHECKPOINTS, &format!("events: {later}"));
    let outcome = again(outcome).assert_says("if it was edited, what lies between is left out").assert_says(&shown);
    let since = date::parse(&decoded(api.asked()[1].raw_field("since").unwrap())).unwrap();
    assert_eq!(date::parse(&shown).unwrap() - since, TimeDelta::seconds(1), "what lies before it is left out");
    assert_eq!(listener.ids(), [1, 3], "{}", outcome.stderr);
}

#[test]
fn a_slip_in_a_date_begins_nothing_anew() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    outcome.write(CHECKPOINTS, "events: yesterday\n");
    again(outcome).assert_says("is kept and ignored");
    assert_eq!(listener.ids(), [1]);
}

#[test]
fn a_line_that_is_put_back_as_it_was_is_no_wish_to_ship_again() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    let before = outcome.read(CHECKPOINTS);
    outcome.write(CHECKPOINTS, "");
    let outcome = Fetcher::again(outcome).run("state").assert_code(0);
    outcome.write(CHECKPOINTS, &before);
    again(outcome);
    assert_eq!(listener.ids(), [1]);
}

#[test]
fn a_first_window_is_the_same_after_a_crash() {
    let api = MockServer::start(|_, _| Reply::Hang);
    let listener = MockListener::start().may_be_idle();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).start();
    api.wait_for_requests(1);
    let running = Fetcher::again(running.kill()).start();
    api.wait_for_requests(2);
    running.kill();
    let starts: Vec<String> = api.asked().iter().map(|asked| asked.query.clone()).collect();
    assert_eq!(starts[0], starts[1]);
}

#[test]
fn the_floor_of_a_first_run_is_the_same_after_a_crash() {
    let api = MockServer::start(|asked, before| match (asked.raw_field("p"), before) {
        (Some(_), 1) => Reply::Hang,
        (Some(_), _) => page(&[&record(3, "2022-03-10T00:00:00Z")], None),
        // Meanwhile something newer has come.
        (None, 0) => page(&[&record(1, "2022-03-14T00:00:00Z")], Some("?p=2")),
        (None, _) => page(&[&record(2, "2022-03-18T00:00:00Z"), &record(1, "2022-03-14T00:00:00Z")], Some("?p=2")),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&general(api.url(), listener.url(), "")).arguments(&["--level", "DEBUG"]).start();
    api.wait_for_requests(2);
    running.wait_for_log("a batch is delivered and remembered", 1);
    again(running.kill());
    assert_eq!(listener.ids(), [1, 2, 3], "five days before the newest of the first try, not of the second");
}

#[test]
fn a_start_date_that_is_taken_out_of_the_filters_leaves_no_floor_behind() {
    let (old, new) = (minutes_ago(60 * 24 * 3), minutes_ago(10));
    let api = MockServer::start(move |asked, before| match (asked.raw_field("p"), before) {
        (Some(_), 1) => Reply::status(410, ""),
        (Some(_), _) => page(&[&record(2, &old)], None),
        _ => page(&[&record(1, &new)], Some("?p=2")),
    });
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "");
    let filter = format!("{config}    filters: {{since: '{}'}}\n", minutes_ago(60));
    let outcome = Fetcher::new(&filter).once().assert_code(1);
    outcome.write("config.yaml", &config);
    again(outcome);
    assert_eq!(listener.ids(), [1, 2]);
}

#[test]
fn a_record_without_a_date_is_known_as_long_as_it_comes() {
    let date = minutes_ago(10);
    let api = MockServer::start(move |_, before| match before {
        3 => page(&[&record(1, &date)], None),
        _ => page(&[&record(1, &date), r#"{"id":2}"#], None),
    });
    let listener = MockListener::start();
    let fetcher = Fetcher::new(&general(api.url(), listener.url(), ""));
    let outcome = again(again(fetcher.once().assert_code(0)));
    assert_eq!(listener.ids(), [1, 2]);
    again(again(outcome));
    assert_eq!(listener.ids(), [1, 2, 2], "once it was gone it is another one");
}

#[test]
fn a_measured_overlap_follows_the_records_and_doubles_none() {
    const LATE: u64 = 1_100;
    let (newest, late) = (minutes_ago(10), minutes_ago(50));
    let checkpoint = newest.clone();
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[&record(1, &newest)], None),
        _ => {
            let records: Vec<String> = (2..LATE + 2).map(|id| record(id, &late)).collect();
            page(
                &[&record(1, &newest)]
                    .into_iter()
                    .map(String::as_str)
                    .chain(records.iter().map(String::as_str))
                    .collect::<Vec<_>>(),
                None,
            )
        }
    });
    let listener = MockListener::start();
    let config =
        general(api.url(), listener.url(), "").replace("days_back_fetch: 5", "days_back_fetch: 5, overlap: auto");
    let outcome = Fetcher::new(&config).once().assert_code(0);
    // As if the first iteration had been two hours ago.
    let mut store = StoreFile::open(&outcome.path().join(STORE)).unwrap();
    let (name, account) = store.accounts().unwrap().pop_first().unwrap();
    let first_iteration = Some(Utc::now() - TimeDelta::hours(2));
    let account = Box::new(ApiState { first_iteration, ..account });
    store.write(1, [StoreWrite::Save { name, account }].iter()).unwrap();
    drop(store);
    let outcome = again(again(outcome));
    assert_eq!(listener.ids().len() as u64, LATE + 1, "{}", outcome.stderr);
    let since = |number: usize| -> DateTime<Utc> {
        date::parse(&decoded(api.asked()[number].raw_field("since").unwrap())).unwrap()
    };
    let checkpoint = date::parse(&checkpoint).unwrap();
    let wide = checkpoint - since(1);
    assert_eq!(wide, TimeDelta::hours(6) + TimeDelta::seconds(1), "every three hours, as far as memory can reach");
    let overlap = (checkpoint - since(2)).num_minutes();
    assert!((40..=48).contains(&overlap), "{overlap} minutes");
    let shown = Fetcher::again(outcome).run("state").assert_code(0);
    assert!(shown.stdout.contains("delay       p50 4") && shown.stdout.contains("of 1100 records"), "{}", shown.stdout);
}
