//! A directory that can't be written: with `apis` alone the state is in a temporary one and the log says what that costs, with
//! our own lists it is an error, before anything is asked.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::harness::{Fetcher, MockListener, MockServer, Outcome, Reply, general, minutes_ago, record, wait_until};

const STANDS_IN: &str = "the directory of the config can't be written, so the state is kept in a temporary one: after the \
                         next start all of it is fetched and shipped again";

/// An API with a date as its cursor, and three records.
fn api() -> MockServer {
    let dates: Vec<String> = (0..3).map(|number| minutes_ago(60 - number)).collect();
    MockServer::start(move |asked, _| {
        let since = asked.raw_field("since").expect("a start");
        let listed =
            dates.iter().zip(1..).filter(|(date, _)| date.as_str() >= since).map(|(date, id)| record(id, date));
        Reply::json(&format!(r#"{{"items":[{}]}}"#, listed.collect::<Vec<_>>().join(",")))
    })
}

fn config(api: &str, listener: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\napis:\n  - {{name: events, type: general, scrape_interval: \
         1s, response_data_path: items, url: '{api}/events?since=2026-01-01T00:00:00Z', next_url: \
         '{api}/events?since={{res.items.[-1].date}}'}}\n"
    )
}

/// The names of a directory's files, but for what the harness puts there.
fn files(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("a file").file_name());
    let names = names.map(|name| name.to_str().expect("a name").to_owned());
    let mut names: Vec<String> = names.filter(|name| !["config.yaml", "stdout", "stderr"].contains(&&**name)).collect();
    names.sort();
    names
}

/// The one directory within another one.
fn inner(directory: &Path) -> std::path::PathBuf {
    let names = files(directory);
    let [name] = names.as_slice() else { panic!("one directory should be there: {names:?}") };
    directory.join(name)
}

#[test]
fn on_a_read_only_mount_files_with_apis_run_and_say_what_it_costs() {
    let (api, listener, temporary) = (api(), MockListener::start(), tempfile::tempdir().expect("a directory"));
    let read_only =
        |fetcher: Fetcher| fetcher.read_only().variable("TMPDIR", temporary.path().to_str().expect("a path"));
    let first =
        read_only(Fetcher::new(&config(api.url(), listener.url()))).once().assert_code(0).assert_says(STANDS_IN);
    let place = inner(temporary.path());
    let first = first.assert_says(place.to_str().expect("a path")).assert_says("name a directory as `state.directory`");
    assert_eq!(listener.ids(), [1, 2, 3], "{}", first.stderr);
    assert_eq!(files(first.path()), [""; 0], "{}", first.stderr);
    assert_eq!(std::fs::metadata(&place).expect("it is there").permissions().mode() & 0o777, 0o700);

    // As long as the temporary directory is there, nothing comes twice.
    let again = read_only(Fetcher::again(first)).once().assert_code(0).assert_says(STANDS_IN);
    assert_eq!(listener.ids(), [1, 2, 3], "{}", again.stderr);
    let again = read_only(Fetcher::again(again)).run("state").assert_code(0).assert_says("events");
    assert!(again.stdout.contains("3 records"), "{}", again.stdout);
    let edited = read_only(Fetcher::again(again)).arguments(&["forget", "events", "--yes"]).run("state").assert_code(0);
    let edited = read_only(Fetcher::again(edited)).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 1, 2, 2, 3, 3], "{}", edited.stderr);
    // Nothing of it is told where the directory can be written.
    let own = Fetcher::again(edited).once().assert_code(0);
    assert!(!own.stderr.contains("temporary"), "{}", own.stderr);
    assert!(files(own.path()).contains(&"last_start_dates.txt".to_owned()), "{:?}", files(own.path()));
}

#[test]
fn a_fetcher_on_a_read_only_mount_is_asked_for_its_health_and_loses_nothing_by_a_kill() {
    let (api, listener, temporary) = (api(), MockListener::start(), tempfile::tempdir().expect("a directory"));
    let read_only = |fetcher: Fetcher| fetcher.variable("TMPDIR", temporary.path().to_str().expect("a path"));
    let running = read_only(Fetcher::new(&config(api.url(), listener.url())).read_only()).start();
    listener.wait_for_lines(3);
    let health = || {
        let asking = Fetcher::new("").read_only_at(&running.directory());
        read_only(asking).arguments(&["--config", &running.config_path()]).run_bare("health")
    };
    wait_until("a healthy fetcher", || health().code == Some(0));
    running.wait_for_log("iteration done", 1);
    let outcome = running.kill();
    let outcome = read_only(Fetcher::again(outcome).read_only()).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 2, 3], "{}", outcome.stderr);
}

/// As in a container whose user isn't root: the directory is another one's, or can't be written by its owner.
#[test]
fn where_its_owner_may_not_write_a_temporary_directory_does_and_health_finds_it() {
    const OWNER: u32 = 12_345;
    let (api, listener, temporary) = (api(), MockListener::start(), tempfile::tempdir().expect("a directory"));
    let fetcher = Fetcher::new(&config(api.url(), listener.url()));
    for directory in [fetcher.path(), temporary.path()] {
        chown(directory, Some(OWNER), Some(OWNER)).expect("only root can give a directory away: run this as root");
    }
    std::fs::set_permissions(fetcher.path(), PermissionsExt::from_mode(0o555)).expect("its rights");
    let with_place = |fetcher: Fetcher| fetcher.variable("TMPDIR", temporary.path().to_str().expect("a path"));
    let running = with_place(fetcher).start();
    listener.wait_for_lines(3);
    running.wait_for_log(STANDS_IN, 1);
    let health = || with_place(Fetcher::new("")).arguments(&["--config", &running.config_path()]).run_bare("health");
    wait_until("a healthy fetcher", || health().code == Some(0));
    let outcome = running.stop().assert_code(0);
    assert_eq!(std::fs::metadata(inner(temporary.path())).expect("it is there").uid(), OWNER);
    assert_eq!(files(outcome.path()), [""; 0], "{}", outcome.stderr);
    assert_eq!(listener.ids(), [1, 2, 3], "{}", outcome.stderr);
}

/// Whatever takes no state is told at once, with exit code 2, and nothing is fetched that could not be remembered.
#[test]
fn where_no_directory_takes_the_state_nothing_is_asked() {
    let (api, listener) = (api().may_be_idle(), MockListener::start().may_be_idle());
    let (apis, own) = (config(api.url(), listener.url()), general(api.url(), listener.url(), ""));
    let both = format!("{own}{}", apis.split_once('\n').expect("lines").1);
    let in_file = |text: &str| format!("state: {{directory: file/state}}\n{text}");
    let refused = |outcome: Outcome, texts: &[&str]| {
        let outcome = outcome.assert_code(2).assert_says("can't start");
        let outcome = texts.iter().fold(outcome, |outcome, text| outcome.assert_says(text));
        assert_eq!(files(outcome.path()), ["file"], "{}", outcome.stderr);
    };
    let fetcher = |text: &str| Fetcher::new(text).file("file", "");
    let read_only = ["Read-only file system", "the fetcher must be able to write in this directory"];
    refused(fetcher(&own).read_only().once(), &read_only);
    refused(fetcher(&own).read_only().run("run"), &read_only);
    refused(fetcher(&both).read_only().once(), &read_only);
    for text in [&apis, &own] {
        refused(fetcher(&in_file(text)).once(), &["file/state", "Not a directory"]);
    }
    let nowhere = fetcher(&apis).read_only();
    let within_a_file = nowhere.path().join("file").to_str().expect("a path").to_owned();
    refused(nowhere.variable("TMPDIR", &within_a_file).once(), &["logzio-api-fetcher-", "Not a directory"]);
    assert!(api.asked().is_empty() && listener.asked().is_empty());
}

/// Its name can be guessed, and everybody may write beside it.
#[test]
fn a_temporary_directory_that_somebody_else_made_is_refused() {
    const OTHER: u32 = 12_345;
    let (api, listener, temporary) = (api(), MockListener::start(), tempfile::tempdir().expect("a directory"));
    let once =
        |fetcher: Fetcher| fetcher.read_only().variable("TMPDIR", temporary.path().to_str().expect("a path")).once();
    let outcome = once(Fetcher::new(&config(api.url(), listener.url()))).assert_code(0);
    let (place, asked) = (inner(temporary.path()), api.asked().len());
    chown(&place, Some(OTHER), Some(OTHER)).expect("only root can give a directory away: run this as root");
    let outcome = once(Fetcher::again(outcome)).assert_code(2).assert_says("can't start: the temporary directory");
    let outcome = outcome.assert_says("it belongs to somebody else");
    let elsewhere = tempfile::tempdir().expect("a directory");
    std::fs::rename(&place, elsewhere.path().join("moved")).expect("it is moved");
    std::os::unix::fs::symlink(elsewhere.path(), &place).expect("a link");
    let outcome = once(Fetcher::again(outcome)).assert_code(2).assert_says("it belongs to somebody else");
    assert_eq!((api.asked().len(), files(elsewhere.path())), (asked, vec!["moved".to_owned()]), "{}", outcome.stderr);
}
