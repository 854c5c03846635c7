//! What the writer does for who gave up.

use super::super::*;
use super::*;
use crate::state::checkpoint_text::Checkpoints;

const LEDGER: u64 = 7;

fn record(ledger: u64) -> RecordKey {
    RecordKey { fingerprint: crate::record::Fingerprint::of(&[&ledger.to_le_bytes()]), date: None }
}

fn commit(checkpoint: i64) -> Box<Commit> {
    Box::new(Commit {
        name: "a".to_owned(),
        account: ApiState { ledger: LEDGER, iteration: 1, ..ApiState::default() },
        checkpoint: DateTime::from_timestamp(checkpoint, 0),
        remembered_since: DateTime::default(),
        line: None,
    })
}

fn work(directory: &Path) -> Work {
    let (checkpoints, _) = CheckpointFile::open(directory).expect("a file");
    Work {
        path: directory.join(FILE_NAME),
        kind: StoreKind::Lasting,
        store: StoreFile::open(&directory.join(FILE_NAME)).ok(),
        copy: None,
        tried: Instant::now(),
        is_failing: false,
        checkpoints,
        unsaved: Unsaved::default(),
        uncertain: None,
        cursors_fail: false,
        pulse: Arc::default(),
    }
}

/// Of a thread that takes requests and does nothing.
fn hanging() -> (StateWriter, mpsc::Receiver<WriterCommand>) {
    let (requests, received) = mpsc::channel(1);
    (StateWriter { requests, pulse: Arc::default(), answered_within: Duration::from_secs(20) }, received)
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_disk_that_hangs() {
    let (mut writer, mut received) = hanging();
    let is_late = |error: io::Error| error.kind() == io::ErrorKind::TimedOut;
    assert!(writer.counts(LEDGER, vec![record(1)]).await.is_err_and(is_late));
    // By now there is no room for a request, and that is no other matter.
    assert!(writer.remember(LEDGER, 1, vec![record(1)]).await.end().await.is_err_and(is_late));
    assert!(writer.commit(*commit(1)).await.is_err_and(is_late));
    writer.save("a", ApiState::default()).await;
    writer.see_again(LEDGER, 1, vec![record(1)]).await;
    assert_eq!(writer.remembered(LEDGER).await, 0);
    writer.close().await;
    while received.try_recv().is_ok() {}
    // It is at a piece of work for longer than anybody waits.
    writer.pulse.beat();
    writer.answered_within = Duration::ZERO;
    assert!(writer.counts(LEDGER, vec![record(1)]).await.is_err_and(is_late));
    assert!(received.try_recv().is_err(), "it is known that it hangs: nothing is asked for");
}

#[test]
fn a_checkpoint_that_is_no_longer_waited_for_does_not_move() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut work = work(directory.path());
    let (reply, answer) = oneshot::channel();
    drop(answer);
    work.handle(vec![WriterCommand::Settle { commit: commit(1_700_000_000), reply }]);
    let text = || std::fs::read_to_string(directory.path().join(CHECKPOINTS_FILE_NAME)).expect("a file");
    assert_eq!(text(), "");
    let (reply, mut answer) = oneshot::channel();
    work.handle(vec![WriterCommand::Settle { commit: commit(1_700_000_000), reply }]);
    let account = answer.try_recv().expect("an answer").expect("it moved");
    assert_eq!(Checkpoints::parse(&text()).by_name().get("a"), Some(&account.line()));
}

/// It gave up while the line was being written.
#[test]
fn what_was_delivered_stays_known_where_nobody_heard_that_the_checkpoint_moved() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut work = work(directory.path());
    let old = RecordKey { date: DateTime::from_timestamp(1_600_000_000, 0), ..record(1) };
    let (reply, _heard) = oneshot::channel();
    work.handle(vec![WriterCommand::Remember { ledger: LEDGER, iteration: 1, identities: vec![old], reply }]);
    let mut settled = commit(1_700_000_000);
    settled.remembered_since = DateTime::from_timestamp(1_650_000_000, 0).expect("a date");
    let (reply, answer) = oneshot::channel();
    drop(answer);
    let given_up = vec![(settled.clone(), reply)];
    let lines = work.lines_of(&given_up);
    work.commit(given_up, lines);
    assert_eq!(work.counts(LEDGER, &[old]), [1]);
    let (reply, _heard) = oneshot::channel();
    let waiting = vec![(settled, reply)];
    let lines = work.lines_of(&waiting);
    work.commit(waiting, lines);
    assert_eq!(work.counts(LEDGER, &[old]), [0], "covered by the checkpoint");
}

#[test]
fn an_empty_store_in_the_place_of_one_that_was_in_use_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut work = work(directory.path());
    let path = directory.path().join(FILE_NAME);
    let mut emptied = |meanwhile: &dyn Fn()| {
        work.fail("an error of the disk");
        meanwhile();
        work.tried = Instant::now().checked_sub(REOPEN_AFTER).expect("the machine runs for longer");
        work.reopen();
        assert!(work.store.is_some(), "it can be used again");
        work.pulse.emptied()
    };
    assert_eq!(emptied(&|| {}), 0, "the same store");
    assert_eq!(emptied(&|| std::fs::write(&path, [7; 9_000]).expect("it can be written")), 1, "it was damaged");
    assert_eq!(emptied(&|| std::fs::remove_file(&path).expect("it is there")), 2, "it was gone");
    assert_eq!(emptied(&|| {}), 2);
}
