//! The store by itself: what it remembers, what it forgets, how large it gets.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use logzio_api_fetcher::plan::OutputName;
use logzio_api_fetcher::record::{Fingerprint, RecordKey};
use logzio_api_fetcher::state::{
    ApiState, CHECKPOINTS_FILE_NAME, Change, Checkpoint, Configured, IterationSummary, LockedStateDir, OpenError,
    STORE_FILE_NAME, Store, StoreFile, StoreWrite,
};

use crate::harness::{Fetcher, MockServer, general, page};

const ONE: u64 = 1;
const OTHER: u64 = 2;

fn identity(number: u64) -> RecordKey {
    let date = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(number as i64);
    RecordKey { fingerprint: Fingerprint::of(&[&number.to_le_bytes()]), date: Some(date) }
}

fn undated(number: u64) -> RecordKey {
    RecordKey { date: None, ..identity(number) }
}

fn remember(ledger: u64, identities: impl IntoIterator<Item = RecordKey>) -> StoreWrite {
    StoreWrite::Remember { ledger, iteration: 1, identities: identities.into_iter().collect() }
}

fn write(store: &mut StoreFile, writes: &[StoreWrite]) {
    store.write(7, writes.iter()).expect("it is written");
}

#[test]
fn counts_each_account_for_itself_and_survives_being_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = StoreFile::open(&path).unwrap();
    let save = |name: &str, ledger| StoreWrite::Save {
        name: name.to_owned(),
        account: Box::new(ApiState { ledger, ..ApiState::default() }),
    };
    write(&mut store, &[save("one", ONE), save("other", OTHER)]);
    write(&mut store, &[remember(ONE, [identity(1), identity(1), identity(2)]), remember(OTHER, [identity(2)])]);
    drop(store);
    let store = StoreFile::open(&path).unwrap();
    let all = [identity(1), identity(2), identity(3), undated(1)];
    assert_eq!(store.counts(ONE, &all).unwrap(), [2, 1, 0, 0]);
    assert_eq!(store.counts(OTHER, &all).unwrap(), [0, 1, 0, 0]);
    assert_eq!((store.remembered(ONE).unwrap(), store.remembered(3).unwrap()), (2, 0));
    assert_eq!(store.last_mark().unwrap(), Some(7));
}

#[test]
fn forgets_what_lies_before_a_date_and_what_no_longer_comes() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = StoreFile::open(&directory.path().join("store")).unwrap();
    write(
        &mut store,
        &[remember(ONE, (1..=4).map(identity).chain([undated(1), undated(2)])), remember(OTHER, [identity(1)])],
    );
    let before = identity(3).date.unwrap();
    let again = StoreWrite::SeeAgain { ledger: ONE, iteration: 2, identities: vec![undated(2), undated(9)] };
    write(&mut store, &[again, StoreWrite::Forget { ledger: ONE, before, iteration: 2 }]);
    let counts = store.counts(ONE, &[identity(2), identity(3), identity(4), undated(1), undated(2), undated(9)]);
    assert_eq!(counts.unwrap(), [0, 1, 1, 0, 1, 0]);
    assert_eq!((store.remembered(ONE).unwrap(), store.remembered(OTHER).unwrap()), (3, 1));
}

#[test]
fn what_is_remembered_is_bounded_and_keeps_both_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = StoreFile::open(&directory.path().join("store")).unwrap().remembering(1_000);
    for batch in 0..20 {
        write(&mut store, &[remember(ONE, (batch * 100..(batch + 1) * 100).map(identity))]);
        assert!(store.remembered(ONE).unwrap() <= 1_000);
    }
    let ends = [identity(0), identity(1_999), identity(1_900)];
    assert_eq!(store.counts(ONE, &ends).unwrap(), [1, 1, 1]);
}

#[test]
fn the_file_gets_small_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let size = || std::fs::metadata(&path).unwrap().len();
    let mut store = StoreFile::open(&path).unwrap();
    for batch in 0..10 {
        write(&mut store, &[remember(ONE, (batch * 10_000..(batch + 1) * 10_000).map(identity))]);
    }
    assert!(size() > 4_000_000, "{}", size());
    write(&mut store, &[StoreWrite::Forget { ledger: ONE, before: Utc::now(), iteration: 2 }]);
    store.compact().unwrap();
    assert!(size() < 500_000, "{}", size());
}

/// What no write of ours leaves behind, under sound checksums.
#[test]
fn records_that_cannot_be_read_are_damage_when_it_is_opened() {
    let table: redb::TableDefinition<'_, (u64, i64, &[u8; 16]), &[u8]> = redb::TableDefinition::new("delivered chunks");
    for packed in [[7_u8; 33].as_slice(), &[]] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        write(&mut StoreFile::open(&path).unwrap(), &[remember(ONE, [identity(1)])]);
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(table).unwrap().insert((OTHER, 0, &[0; 16]), packed).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let opened = StoreFile::open(&path).map(drop);
        assert!(matches!(opened, Err(OpenError::Damaged(_))), "{} bytes: {opened:?}", packed.len());
    }
}

#[test]
fn what_no_account_refers_to_goes_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = StoreFile::open(&path).unwrap();
    write(&mut store, &[remember(ONE, [identity(1)])]);
    drop(store);
    assert_eq!(StoreFile::open(&path).unwrap().remembered(ONE).unwrap(), 0);
}

#[test]
fn an_undo_brings_back_what_was_known_and_adds_what_came_since() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = StoreFile::open(&directory.path().join("store")).unwrap();
    let before = ApiState { ledger: ONE, ..ApiState::default() };
    let after = ApiState { ledger: OTHER, ..ApiState::default() };
    write(&mut store, &[remember(ONE, [identity(1), identity(1)]), remember(OTHER, [identity(1), identity(2)])]);
    let change =
        Change::of(Utc::now(), "rewind".to_owned(), "one", [("one".to_owned(), before.clone())].into()).unwrap();
    store.change(&[(change.clone(), [("one".to_owned(), after)].into())]).unwrap();
    assert_eq!(store.undo(&Checkpoint::default()).unwrap(), Some(change));
    assert_eq!(store.accounts().unwrap()["one"], before);
    assert_eq!(store.counts(ONE, &[identity(1), identity(2)]).unwrap(), [2, 1]);
    assert_eq!((store.remembered(ONE).unwrap(), store.remembered(OTHER).unwrap()), (2, 0));
    assert_eq!(store.undo(&Checkpoint::default()).unwrap(), None);
}

#[test]
fn counts_a_page_as_record_by_record() {
    use proptest::prelude::*;
    let numbers = || prop::collection::vec((0_u64..60, any::<bool>()), 0..40);
    let identities = |numbers: &[(u64, bool)]| -> Vec<RecordKey> {
        numbers.iter().map(|&(number, is_dated)| if is_dated { identity(number) } else { undated(number) }).collect()
    };
    proptest!(ProptestConfig::with_cases(64), |(delivered in numbers(), more in 0_u64..200, page in numbers())| {
        let directory = tempfile::tempdir().unwrap();
        let mut store = StoreFile::open(&directory.path().join("store")).unwrap();
        // Of the same seconds, so that a page's span may hold far more than the page.
        let others = (0..more).map(|other| RecordKey { fingerprint: Fingerprint::of(&[b"other", &[other as u8]]), ..identity(other % 60) });
        let (delivered, page) = (identities(&delivered), identities(&page));
        write(&mut store, &[remember(ONE, delivered.iter().copied().chain(others)), remember(OTHER, page.iter().copied())]);
        let one_by_one: Vec<u32> =
            page.iter().map(|identity| delivered.iter().filter(|known| *known == identity).count() as u32).collect();
        prop_assert_eq!(store.counts(ONE, &page).unwrap(), one_by_one);
    });
}

/// By `once`, and by the daemon at its start.
#[test]
fn what_is_known_of_an_api_that_left_the_config_long_ago_is_forgotten_but_its_line() {
    let api = MockServer::start(|_, _| page(&[], None));
    for command in ["once", "run"] {
        let text = "old: 2026-01-01T00:00:00Z\nnew: 2026-01-01T00:00:00Z\n";
        let fetcher = Fetcher::new(&general(api.url(), "http://127.0.0.1:1", "")).file(CHECKPOINTS_FILE_NAME, text);
        let mut store = StoreFile::open(&fetcher.path().join(STORE_FILE_NAME)).unwrap();
        let saved = [("old", 91), ("new", 89), ("events", 91)].map(|(name, days)| {
            let at = Utc::now() - TimeDelta::days(days);
            let checkpoint = (name != "events").then(|| "2026-01-01T00:00:00Z".parse().unwrap());
            let past = IterationSummary { at, seconds: 1.0, records: 1, pages: 1, error: None };
            let account = ApiState { checkpoint, past: [past].into(), ..ApiState::blank() };
            StoreWrite::Save { name: name.to_owned(), account: Box::new(account) }
        });
        store.write(1, saved.iter()).unwrap();
        drop(store);
        let outcome = match command {
            "once" => fetcher.once(),
            _ => {
                let running = fetcher.start();
                running.wait_for_log("APIs that have long not been in the config is forgotten", 1);
                running.wait_for_log("iteration done", 1);
                running.stop()
            }
        };
        let outcome = outcome.assert_code(0).assert_says("forgotten; their lines in last_start_dates.txt stay apis=1");
        let store = StoreFile::open(&outcome.path().join(STORE_FILE_NAME)).unwrap();
        assert_eq!(store.accounts().unwrap().keys().collect::<Vec<_>>(), ["events", "new"]);
        assert_eq!(outcome.read(CHECKPOINTS_FILE_NAME), text);
    }
}

/// Whoever asks need not have waited for the disk.
#[tokio::test]
async fn what_is_on_its_way_to_the_disk_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let (taken, _) = LockedStateDir::open(directory.path(), &Configured::default(), Utc::now()).unwrap();
    let store = Store::Local(Arc::new(taken.keep().unwrap()));
    let claim = store.claim("events", &OutputName::default());
    for number in 0..200 {
        let mut remembering = claim.remember(ONE, 1, vec![identity(number)]).await;
        assert_eq!(claim.counts(ONE, vec![identity(number)]).await.unwrap(), [1], "record {number}");
        remembering.end().await.unwrap();
    }
    store.close().await;
}
