//! What changes, as long as the node that tells it is there.

use std::time::Duration;

use etcd_client::proto::PbWatchResponse;
use etcd_client::{Client, WatchOptions, WatchRequestSender, WatchResponseStream, WatchStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::ANSWER_BYTES_MAX;
use super::fault::Fault;
use super::message::change;
use crate::cluster::engine::{EngineChange, EngineError, KeyRange};
use crate::cluster::thread::EngineThread;

/// How often the node is asked how far it is, so that it has something to say.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long it may say nothing. It was asked three times then; members that are told of a death so late still take over in time.
const SILENCE_MAX: Duration = Duration::from_millis(1_750);
/// How many lists of changes may wait for who takes them.
const WAITING_MAX: usize = 64;

/// Who is told of changes.
#[derive(Debug)]
pub struct EtcdWatch {
    endpoint: String,
    changes: mpsc::Receiver<Result<Vec<EngineChange>, EngineError>>,
}

impl EtcdWatch {
    /// Tells of what comes. It ends when nobody takes it any more.
    pub(super) fn begin(opened: OpenedWatch, endpoint: String, thread: &EngineThread) -> Self {
        let (sender, changes) = mpsc::channel(WAITING_MAX);
        thread.spawn(tell(opened, endpoint.clone(), sender));
        Self { endpoint, changes }
    }

    /// The next changes, in their order: all of a revision, or none of it. So what comes after them is watched from their last
    /// revision and 1 on. It can be dropped before it is done.
    ///
    /// # Errors
    /// [`EngineError::InDoubt`] once nothing more will come: the connection broke, the node says nothing, or has no leader.
    /// [`EngineError::Compacted`] where changes were lost.
    pub async fn next(&mut self) -> Result<Vec<EngineChange>, EngineError> {
        let ended =
            || EngineError::InDoubt { endpoint: self.endpoint.clone(), cause: "the watch has ended".to_owned() };
        self.changes.recv().await.unwrap_or_else(|| Err(ended()))
    }
}

/// A watch that the node has confirmed.
pub(super) struct OpenedWatch {
    requests: WatchRequestSender,
    answers: WatchResponseStream,
    held: Held,
    /// Its connection.
    _client: Client,
}

/// Begins a watch.
pub(super) async fn open(client: Client, range: &KeyRange, from_revision: i64) -> Result<OpenedWatch, Fault> {
    // A large revision may come in parts; else no message could hold it.
    let options = WatchOptions::new().with_range(range.to.as_str()).with_fragment();
    let options = options.with_start_revision(start_of(from_revision));
    let mut watcher = client.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX);
    let mut stream: WatchStream = watcher.watch(range.from.as_str(), Some(options)).await?;
    let confirmed = stream.message().await?.ok_or_else(|| Fault::unusable("the watch was closed"))?.0;
    if confirmed.canceled {
        return Err(canceled(&confirmed.cancel_reason));
    }
    let (requests, answers) = stream.split();
    let held = Held { from_revision, changes: Vec::new() };
    Ok(OpenedWatch { requests, answers, held, _client: client })
}

/// Where a watch has to begin. From 3.5.8 on, a node isn't asked how far it is as long as a watch begins at a revision that isn't
/// there yet: it would be silent until somebody writes. So it begins one before, which is there.
fn start_of(from_revision: i64) -> i64 {
    if from_revision > 1 { from_revision - 1 } else { from_revision.max(0) }
}

/// Takes what comes to who waits for it.
async fn tell(mut opened: OpenedWatch, endpoint: String, sender: mpsc::Sender<Result<Vec<EngineChange>, EngineError>>) {
    let mut ask = interval(ASK_EVERY);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let fault = loop {
        tokio::select! {
            // What has come counts, however late this task runs.
            biased;
            message = opened.answers.message() => {
                let changes = match message {
                    Ok(Some(message)) => opened.held.take(message.0),
                    Ok(None) => Err(Fault::unusable("the watch was closed")),
                    Err(error) => Err(Fault::from(error)),
                };
                match changes {
                    Ok(changes) if changes.is_empty() => {}
                    Ok(changes) => if sender.send(Ok(changes)).await.is_err() { return },
                    Err(fault) => break fault,
                }
                heard = Instant::now();
            }
            () = sender.closed() => return,
            () = sleep_until(heard + SILENCE_MAX) => {
                break Fault::unusable(format!("nothing heard for {} ms", SILENCE_MAX.as_millis()));
            }
            _ = ask.tick() => if let Err(error) = opened.requests.request_progress().await {
                break Fault::from(error);
            },
        }
    };
    // Where nobody waits, nobody is told.
    drop(sender.send(Err(fault.at(&endpoint))).await);
}

/// The changes of a revision that has not come whole.
#[derive(Debug, Default)]
struct Held {
    /// What was before is known.
    from_revision: i64,
    changes: Vec<EngineChange>,
}

impl Held {
    /// What a message makes known, in whole revisions.
    ///
    /// How far a node says that it is, is not used: before 3.4.25 and 3.5.8 it may say so before it tells the changes until there
    /// ([etcd 15220](https://github.com/etcd-io/etcd/issues/15220)).
    fn take(&mut self, message: PbWatchResponse) -> Result<Vec<EngineChange>, Fault> {
        if message.compact_revision > 0 {
            return Err(Fault::said(None, "required revision has been compacted"));
        }
        if message.canceled {
            return Err(canceled(&message.cancel_reason));
        }
        if message.events.is_empty() {
            return Ok(Vec::new());
        }
        for event in message.events {
            let change = change(event)?;
            if change.revision() >= self.from_revision {
                self.changes.push(change);
            }
        }
        if !message.fragment {
            return Ok(std::mem::take(&mut self.changes));
        }
        let last = self.changes.last().map(EngineChange::revision);
        let whole = self.changes.iter().take_while(|change| Some(change.revision()) != last).count();
        Ok(self.changes.drain(..whole).collect())
    }
}

/// Why a watch was ended by etcd, whose word here has no code.
fn canceled(reason: &str) -> Fault {
    if reason.contains("permission denied") {
        return Fault::refused(reason);
    }
    Fault::said(None, if reason.is_empty() { "the watch was ended" } else { reason })
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::{PbEvent, PbKeyValue};

    use super::*;

    fn message(revisions: &[i64], fragment: bool) -> PbWatchResponse {
        let event = |revision: &i64| PbEvent {
            kv: Some(PbKeyValue { key: b"k".to_vec(), mod_revision: *revision, ..PbKeyValue::default() }),
            ..PbEvent::default()
        };
        PbWatchResponse { events: revisions.iter().map(event).collect(), fragment, ..PbWatchResponse::default() }
    }

    #[test]
    fn a_revision_that_comes_in_parts_is_told_whole() {
        let mut held = Held::default();
        let mut told = |message| held.take(message).unwrap().iter().map(EngineChange::revision).collect::<Vec<_>>();
        assert_eq!(told(message(&[1, 2, 3, 3], true)), [1, 2]);
        assert_eq!(told(message(&[], false)), [0; 0]);
        assert_eq!(told(message(&[3], true)), [0; 0]);
        assert_eq!(told(message(&[3, 4], false)), [3, 3, 3, 3, 4]);
        assert_eq!(told(message(&[5], false)), [5]);
    }

    #[test]
    fn a_watch_begins_at_a_revision_that_is_there_and_tells_nothing_of_it() {
        assert_eq!([0, 1, 2, 9].map(start_of), [0, 1, 1, 8]);
        let mut held = Held { from_revision: 9, changes: Vec::new() };
        let mut told = |message| held.take(message).unwrap().iter().map(EngineChange::revision).collect::<Vec<_>>();
        assert_eq!(told(message(&[8], true)), [0; 0]);
        assert_eq!(told(message(&[8, 9, 10], false)), [9, 10]);
    }
}
