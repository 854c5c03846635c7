//! One thread that keeps the store and the text file, in the order in which they must change.
//!
//! Enters: what iterations of all APIs delivered, and where their checkpoints move. What waits at the same time is written
//! at the same time, so that a thousand APIs cost a few commits. What always holds: a checkpoint's move is announced in
//! the store before it is in the text file, and what it covers is forgotten after that. While the store can't be written,
//! what was delivered is kept in memory and written as soon as it can be; no iteration fails for that.

mod work;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{timeout, timeout_at};

use super::account::{ApiState, LedgerId};
use super::checkpoint_text::Checkpoint;
use super::checkpoints::CheckpointFile;
use super::configured::Configured;
use super::line::{PendingDates, SharedLine};
use super::pending_write::PendingWrite;
use super::pulse::Pulse;
use super::store::{StoreFile, Write};
use crate::record::RecordKey;
use work::Work;

pub(super) use work::open_or_set_aside;

/// How many requests may wait; whoever comes then waits to ask.
const REQUESTS_MAX: usize = 1024;

/// How long anybody waits for the thread: a disk that hangs holds up no iteration for longer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// The way to the thread. When the last one goes, the thread ends.
#[derive(Clone, Debug)]
pub(super) struct StateWriter {
    requests: mpsc::Sender<WriterCommand>,
    pulse: Arc<Pulse>,
    answered_within: Duration,
}

/// Something is on its way to the disk.
#[derive(Debug)]
pub struct Durable(DurableState);

#[derive(Debug)]
enum DurableState {
    Over,
    /// Until then the answer is waited for.
    Open(oneshot::Receiver<()>, Instant),
    /// There was no room to ask for it.
    Closed,
    /// On its way to what several replicas share, in this order.
    Shared(Vec<PendingWrite>),
    /// It can't get there.
    Failed(io::Error),
}

impl Durable {
    /// On its way to what several replicas share.
    pub(super) fn shared(written: Vec<PendingWrite>) -> Self {
        Self(DurableState::Shared(written))
    }

    /// It can't get there.
    pub(super) fn failed(cause: io::Error) -> Self {
        Self(DurableState::Failed(cause))
    }

    /// Waits until it is there, or can't get there. To give up the wait loses nothing.
    ///
    /// # Errors
    /// Where the disk hangs, or several replicas share the state and don't get it there. It may get there later.
    pub async fn end(&mut self) -> io::Result<()> {
        let is_heard = match &mut self.0 {
            DurableState::Shared(written) => {
                while let Some(first) = written.first_mut() {
                    if let Err(lost) = first.end().await {
                        // Who asks again hears the same.
                        self.0 = DurableState::Failed(lost.into());
                        return Err(lost.into());
                    }
                    written.remove(0);
                }
                true
            }
            DurableState::Failed(cause) => return Err(io::Error::new(cause.kind(), cause.to_string())),
            DurableState::Over => true,
            DurableState::Open(answer, until) => timeout_at((*until).into(), answer).await.is_ok(),
            DurableState::Closed => false,
        };
        self.0 = DurableState::Over;
        if is_heard { Ok(()) } else { Err(hangs()) }
    }
}

/// What the thread is asked.
#[derive(Debug)]
enum WriterCommand {
    Counts { ledger: LedgerId, identities: Vec<RecordKey>, reply: oneshot::Sender<Vec<u32>> },
    Remember { ledger: LedgerId, iteration: u32, identities: Vec<RecordKey>, reply: oneshot::Sender<()> },
    RememberWith { name: String, account: Box<ApiState>, identities: Vec<RecordKey>, reply: oneshot::Sender<()> },
    SeeAgain { ledger: LedgerId, iteration: u32, identities: Vec<RecordKey>, reply: oneshot::Sender<()> },
    Save { name: String, account: Box<ApiState>, reply: oneshot::Sender<()> },
    Settle { commit: Box<Commit>, reply: oneshot::Sender<io::Result<ApiState>> },
    Remembered { ledger: LedgerId, reply: oneshot::Sender<u64> },
    ForgetUnused { configured: Configured, now: DateTime<Utc>, reply: oneshot::Sender<Vec<String>> },
    Work(Job),
    Close { reply: oneshot::Sender<()> },
}

/// Something that the thread does with its files when everything before it is written.
struct Job(Box<OnFiles>);

type OnFiles = dyn FnOnce(&mut CheckpointFile, Option<&mut StoreFile>) + Send;

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// The end of a complete iteration.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The key of the state: the API, and perhaps the output.
    pub name: String,
    /// Its account, with the checkpoint that is in the text file.
    pub account: ApiState,
    /// The checkpoint that is to be in the text file.
    pub checkpoint: Option<DateTime<Utc>>,
    /// What lies before can't come again.
    pub remembered_since: DateTime<Utc>,
    /// The API's line in the text file, where several outputs have a part in it.
    pub line: Option<Arc<SharedLine>>,
}

impl Commit {
    /// The line that it writes, where it isn't what the text file says. `pending` has the dates of the commits before it,
    /// and gets its own.
    fn line<'c>(&'c self, said: Option<&Checkpoint>, pending: &mut PendingDates<'c>) -> Option<Checkpoint> {
        if let Some(line) = &self.line {
            pending.insert(&self.name, self.reached());
            let line = line.with(pending, self.account.captured.clone());
            return Some(line).filter(|line| !line.is_empty() && said != Some(line));
        }
        let moves = self.checkpoint.is_some() && self.checkpoint != self.account.checkpoint;
        let moves_values = said.map_or(!self.account.captured.is_empty(), |said| said.values != self.account.captured);
        let date = self.reached();
        (moves || moves_values).then(|| Checkpoint { date, values: self.account.captured.clone() })
    }

    /// The checkpoint after it.
    fn reached(&self) -> Option<DateTime<Utc>> {
        self.checkpoint.or(self.account.checkpoint)
    }

    /// Before the text file changes: it is about to.
    fn announced(&self) -> Write {
        let account = ApiState { prepared_checkpoint: self.checkpoint, ..self.account.clone() };
        Write::Save { name: self.name.clone(), account: Box::new(account) }
    }

    /// After it.
    pub(super) fn done(&self) -> ApiState {
        ApiState {
            checkpoint: self.reached(),
            prepared_checkpoint: None,
            remembered_since: Some(self.remembered_since),
            ..self.account.clone()
        }
    }
}

impl StateWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(super) fn start(
        directory: &Path,
        store: Option<StoreFile>,
        copy: Option<StoreFile>,
        checkpoints: CheckpointFile,
    ) -> io::Result<Self> {
        let (requests, received) = mpsc::channel(REQUESTS_MAX);
        let pulse = Arc::new(Pulse::default());
        let mut work = Work::new(directory, store, copy, checkpoints, Arc::clone(&pulse));
        std::thread::Builder::new().name("state".to_owned()).spawn(move || work.go_on(received))?;
        Ok(Self { requests, pulse, answered_within: ANSWERED_WITHIN })
    }

    /// Whether the thread gets on.
    pub(super) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    pub(super) async fn counts(&self, ledger: LedgerId, identities: Vec<RecordKey>) -> io::Result<Vec<u32>> {
        self.ask(|reply| WriterCommand::Counts { ledger, identities, reply }).await
    }

    pub(super) async fn remember(&self, ledger: LedgerId, iteration: u32, identities: Vec<RecordKey>) -> Durable {
        self.begin(|reply| WriterCommand::Remember { ledger, iteration, identities, reply }).await
    }

    pub(super) async fn remember_with(&self, name: &str, account: ApiState, identities: Vec<RecordKey>) -> Durable {
        let (name, account) = (name.to_owned(), Box::new(account));
        self.begin(|reply| WriterCommand::RememberWith { name, account, identities, reply }).await
    }

    pub(super) async fn save_soon(&self, name: &str, account: ApiState) -> Durable {
        let (name, account) = (name.to_owned(), Box::new(account));
        self.begin(|reply| WriterCommand::Save { name, account, reply }).await
    }

    /// Asks for something to be written, and lets somebody else wait for it.
    async fn begin(&self, request: impl FnOnce(oneshot::Sender<()>) -> WriterCommand) -> Durable {
        let (reply, answer) = oneshot::channel();
        let until = Instant::now() + self.answered_within;
        let sent = self.requests.send(request(reply));
        Durable(match timeout_at(until.into(), sent).await {
            Ok(Ok(())) => DurableState::Open(answer, until),
            // The thread is gone, and whoever asks it next hears of it.
            Ok(Err(_)) => DurableState::Over,
            Err(_) => DurableState::Closed,
        })
    }

    pub(super) async fn see_again(&self, ledger: LedgerId, iteration: u32, identities: Vec<RecordKey>) {
        // Not to know of it costs duplicates.
        self.ask(|reply| WriterCommand::SeeAgain { ledger, iteration, identities, reply }).await.ok();
    }

    pub(super) async fn save(&self, name: &str, account: ApiState) {
        let (name, account) = (name.to_owned(), Box::new(account));
        // Not to have it costs duplicates and figures.
        self.ask(|reply| WriterCommand::Save { name, account, reply }).await.ok();
    }

    pub(super) async fn commit(&self, commit: Commit) -> io::Result<ApiState> {
        let commit = Box::new(commit);
        self.ask(|reply| WriterCommand::Settle { commit, reply }).await?
    }

    pub(super) async fn remembered(&self, ledger: LedgerId) -> u64 {
        self.ask(|reply| WriterCommand::Remembered { ledger, reply }).await.unwrap_or_default()
    }

    pub(super) async fn forget_unused(&self, configured: Configured, now: DateTime<Utc>) -> Vec<String> {
        self.ask(|reply| WriterCommand::ForgetUnused { configured, now, reply }).await.unwrap_or_default()
    }

    /// Has the thread do something with its files, once everything that was asked for before is written.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut CheckpointFile, Option<&mut StoreFile>) -> T + Send + 'static,
    ) -> io::Result<T> {
        self.ask(|reply| {
            WriterCommand::Work(Job(Box::new(move |checkpoints, store| drop(reply.send(work(checkpoints, store))))))
        })
        .await
    }

    /// Ends the thread's work; the store is closed afterwards.
    pub(super) async fn close(&self) {
        self.ask(|reply| WriterCommand::Close { reply }).await.ok();
    }

    /// Asks, and waits for the answer. Whoever gave up is no longer answered: what only then would be done isn't.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> WriterCommand) -> io::Result<T> {
        if self.pulse.still_for(Instant::now()).is_some_and(|still| still >= self.answered_within) {
            return Err(hangs());
        }
        let (reply, answer) = oneshot::channel();
        let answered = async {
            self.requests.send(request(reply)).await.ok()?;
            answer.await.ok()
        };
        timeout(self.answered_within, answered).await.map_err(|_| hangs())?.ok_or_else(closed)
    }
}

/// The thread doesn't get on.
fn hangs() -> io::Error {
    let what = "the disk with the config's directory does not answer; the checkpoint is not known to have moved";
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// The thread is gone.
fn closed() -> io::Error {
    io::Error::other("the state is closed")
}
