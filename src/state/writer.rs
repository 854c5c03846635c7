//! One thread that keeps the store and the text file, in the order in which they must change.
//!
//! Enters: what iterations of all APIs delivered, and where their checkpoints move. What waits at the same time is written
//! at the same time, so that a thousand APIs cost a few commits. What always holds: a checkpoint's move is announced in
//! the store before it is in the text file, and what it covers is forgotten after that. While the store can't be written,
//! what was delivered is kept in memory and written as soon as it can be; no iteration fails for that.

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{timeout, timeout_at};

use super::account::ApiState;
use super::account::LedgerId;
use super::checkpoints::CheckpointFile;
use super::pulse::Pulse;
use super::store::{DAMAGED_FILE_NAME, FILE_NAME, OpenError, REMEMBERED_MAX, Store, Write};
use super::unsaved::Unsaved;
use crate::record::{FingerprintMap, RecordKey, date};

/// How many requests may wait; whoever comes then waits to ask.
const REQUESTS_MAX: usize = 1024;
/// How long a store that can't be used is left alone.
const REOPEN_AFTER: Duration = Duration::from_secs(5);

/// How long anybody waits for the thread: a disk that hangs holds up no iteration for longer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// The way to the thread. When the last one goes, the thread ends.
#[derive(Clone, Debug)]
pub(super) struct StateWriter {
    requests: mpsc::Sender<Request>,
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
}

impl Durable {
    /// Waits until it is there, or can't get there. To give up the wait loses nothing.
    ///
    /// # Errors
    /// Where the disk hangs. It may get there later.
    pub async fn end(&mut self) -> io::Result<()> {
        let is_heard = match &mut self.0 {
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
enum Request {
    Counts { ledger: LedgerId, identities: Vec<RecordKey>, reply: oneshot::Sender<Vec<u32>> },
    Remember { ledger: LedgerId, iteration: u32, identities: Vec<RecordKey>, reply: oneshot::Sender<()> },
    RememberWith { name: String, account: Box<ApiState>, identities: Vec<RecordKey>, reply: oneshot::Sender<()> },
    SeeAgain { ledger: LedgerId, iteration: u32, identities: Vec<RecordKey>, reply: oneshot::Sender<()> },
    Save { name: String, account: Box<ApiState>, reply: oneshot::Sender<()> },
    Settle { commit: Box<Commit>, reply: oneshot::Sender<io::Result<ApiState>> },
    Remembered { ledger: LedgerId, reply: oneshot::Sender<u64> },
    ForgetUnused { configured: HashSet<String>, now: DateTime<Utc>, reply: oneshot::Sender<Vec<String>> },
    Work(Job),
    Close { reply: oneshot::Sender<()> },
}

/// Something that the thread does with its files when everything before it is written.
struct Job(Box<OnFiles>);

type OnFiles = dyn FnOnce(&mut CheckpointFile, Option<&mut Store>) + Send;

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// The end of a complete iteration.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The API.
    pub name: String,
    /// Its account, with the checkpoint that is in the text file.
    pub account: ApiState,
    /// The checkpoint that is to be in the text file.
    pub checkpoint: Option<DateTime<Utc>>,
    /// What lies before can't come again.
    pub remembered_since: DateTime<Utc>,
}

/// What the thread works on.
struct Work {
    path: PathBuf,
    /// Nothing while it can't be used.
    store: Option<Store>,
    /// What the store knew when it could be used last, to be read until it can again.
    copy: Option<Store>,
    tried: Instant,
    is_failing: bool,
    checkpoints: CheckpointFile,
    /// What waits for a store that can be written.
    unsaved: Unsaved,
    /// What was perhaps written when the store failed: it is, if the mark is there.
    uncertain: Option<(u64, Unsaved)>,
    pulse: Arc<Pulse>,
}

impl StateWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(super) fn start(
        directory: &Path,
        store: Option<Store>,
        copy: Option<Store>,
        checkpoints: CheckpointFile,
    ) -> io::Result<Self> {
        let (requests, received) = mpsc::channel(REQUESTS_MAX);
        let pulse = Arc::new(Pulse::default());
        let mut work = Work {
            path: directory.join(FILE_NAME),
            is_failing: store.is_none(),
            store,
            copy,
            tried: Instant::now(),
            checkpoints,
            unsaved: Unsaved::default(),
            uncertain: None,
            pulse: Arc::clone(&pulse),
        };
        std::thread::Builder::new().name("state".to_owned()).spawn(move || work.go_on(received))?;
        Ok(Self { requests, pulse, answered_within: ANSWERED_WITHIN })
    }

    /// Whether the thread gets on.
    pub(super) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    pub(super) async fn counts(&self, ledger: LedgerId, identities: Vec<RecordKey>) -> io::Result<Vec<u32>> {
        self.ask(|reply| Request::Counts { ledger, identities, reply }).await
    }

    pub(super) async fn remember(&self, ledger: LedgerId, iteration: u32, identities: Vec<RecordKey>) -> Durable {
        self.begin(|reply| Request::Remember { ledger, iteration, identities, reply }).await
    }

    pub(super) async fn remember_with(&self, name: &str, account: ApiState, identities: Vec<RecordKey>) -> Durable {
        let (name, account) = (name.to_owned(), Box::new(account));
        self.begin(|reply| Request::RememberWith { name, account, identities, reply }).await
    }

    pub(super) async fn save_soon(&self, name: &str, account: ApiState) -> Durable {
        let (name, account) = (name.to_owned(), Box::new(account));
        self.begin(|reply| Request::Save { name, account, reply }).await
    }

    /// Asks for something to be written, and lets somebody else wait for it.
    async fn begin(&self, request: impl FnOnce(oneshot::Sender<()>) -> Request) -> Durable {
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
        self.ask(|reply| Request::SeeAgain { ledger, iteration, identities, reply }).await.ok();
    }

    pub(super) async fn save(&self, name: &str, account: ApiState) {
        let (name, account) = (name.to_owned(), Box::new(account));
        // Not to have it costs duplicates and figures.
        self.ask(|reply| Request::Save { name, account, reply }).await.ok();
    }

    pub(super) async fn commit(&self, commit: Commit) -> io::Result<ApiState> {
        let commit = Box::new(commit);
        self.ask(|reply| Request::Settle { commit, reply }).await?
    }

    pub(super) async fn remembered(&self, ledger: LedgerId) -> u64 {
        self.ask(|reply| Request::Remembered { ledger, reply }).await.unwrap_or_default()
    }

    pub(super) async fn forget_unused(&self, configured: HashSet<String>, now: DateTime<Utc>) -> Vec<String> {
        self.ask(|reply| Request::ForgetUnused { configured, now, reply }).await.unwrap_or_default()
    }

    /// Has the thread do something with its files, once everything that was asked for before is written.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut CheckpointFile, Option<&mut Store>) -> T + Send + 'static,
    ) -> io::Result<T> {
        self.ask(|reply| {
            Request::Work(Job(Box::new(move |checkpoints, store| drop(reply.send(work(checkpoints, store))))))
        })
        .await
    }

    /// Ends the thread's work; the store is closed afterwards.
    pub(super) async fn close(&self) {
        self.ask(|reply| Request::Close { reply }).await.ok();
    }

    /// Asks, and waits for the answer. Whoever gave up is no longer answered: what only then would be done isn't.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> io::Result<T> {
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

/// Adds what came before the question, and is written after it.
fn add_waiting(writes: &[Write], ledger: LedgerId, identities: &[RecordKey], counts: &mut [u32]) {
    let mut waiting = FingerprintMap::<u32>::default();
    for write in writes {
        if let Write::Remember { ledger: of, identities, .. } = write
            && *of == ledger
        {
            identities.iter().for_each(|identity| *waiting.entry(identity.fingerprint).or_default() += 1);
        }
    }
    if waiting.is_empty() {
        return;
    }
    for (count, identity) in counts.iter_mut().zip(identities) {
        *count = count.saturating_add(waiting.get(&identity.fingerprint).copied().unwrap_or_default());
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

impl Work {
    fn go_on(&mut self, mut requests: mpsc::Receiver<Request>) {
        let mut waiting = Vec::new();
        while requests.blocking_recv_many(&mut waiting, REQUESTS_MAX) > 0 {
            self.pulse.beat();
            if self.handle(std::mem::take(&mut waiting)) {
                self.pulse.rest();
                break;
            }
            self.pulse.beat();
            // When nobody waits for it.
            if requests.is_empty()
                && let Some(Err(cause)) = self.store.as_mut().map(|store| guarded(|| store.compact()))
            {
                self.fail(&cause);
            }
            self.pulse.rest();
        }
    }

    /// Does what was asked for. Gives whether that was the last.
    fn handle(&mut self, requests: Vec<Request>) -> bool {
        let (mut writes, mut commits, mut later, mut is_last) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut jobs = Vec::new();
        for request in requests {
            self.pulse.beat();
            match request {
                Request::Counts { ledger, identities, reply } => {
                    let mut counts = self.counts(ledger, &identities);
                    add_waiting(&writes, ledger, &identities, &mut counts);
                    let _ = reply.send(counts);
                }
                Request::Remembered { ledger, reply } => {
                    let _ = reply.send(self.remembered(ledger));
                }
                Request::Remember { ledger, iteration, identities, reply } => {
                    writes.push(Write::Remember { ledger, iteration, identities });
                    later.push(reply);
                }
                Request::RememberWith { name, account, identities, reply } => {
                    let (ledger, iteration) = (account.ledger, account.iteration);
                    writes.push(Write::Remember { ledger, iteration, identities });
                    writes.push(Write::Save { name, account });
                    later.push(reply);
                }
                Request::SeeAgain { ledger, iteration, identities, reply } => {
                    writes.push(Write::SeeAgain { ledger, iteration, identities });
                    later.push(reply);
                }
                Request::Save { name, account, reply } => {
                    writes.push(Write::Save { name, account });
                    later.push(reply);
                }
                // Who asked has given up, and goes on from the checkpoint before.
                Request::Settle { reply, .. } if reply.is_closed() => {}
                Request::Settle { commit, reply } => commits.push((commit, reply)),
                Request::ForgetUnused { configured, now, reply } => {
                    let forget =
                        |store: &mut Store| guarded(|| store.forget_unused(|name| configured.contains(name), now));
                    let forgotten = self.store.as_mut().map(forget).unwrap_or(Ok(Vec::new()));
                    let _ = reply.send(forgotten.unwrap_or_else(|cause| {
                        self.fail(&cause);
                        Vec::new()
                    }));
                }
                Request::Work(job) => jobs.push(job),
                Request::Close { reply } => is_last.push(reply),
            }
        }
        let moves = commits.iter().map(|(commit, _)| commit).filter(|commit| commit.moves());
        writes.extend(moves.map(|commit| commit.announced()));
        self.write(writes);
        answer_all(later);
        self.commit(commits);
        for Job(job) in jobs {
            self.pulse.beat();
            let (checkpoints, store) = (&mut self.checkpoints, self.store.as_mut());
            // Whoever waits for it hears that it ended.
            drop(catch_unwind(AssertUnwindSafe(|| job(checkpoints, store))));
        }
        if is_last.is_empty() {
            return false;
        }
        close(&mut self.store);
        answer_all(is_last);
        true
    }

    /// Writes the checkpoints into the text file, then into the store.
    fn commit(&mut self, commits: Vec<(Box<Commit>, oneshot::Sender<io::Result<ApiState>>)>) {
        if commits.is_empty() {
            return;
        }
        let moved = commits.iter().filter(|(commit, _)| commit.moves());
        let lines: Vec<_> = moved.filter_map(|(of, _)| Some((of.name.as_str(), of.checkpoint?))).collect();
        self.pulse.beat();
        let failed = if lines.is_empty() { None } else { self.checkpoints.append(&lines).err() };
        let (mut writes, mut replies) = (Vec::new(), Vec::new());
        for (mut commit, reply) in commits {
            self.tell_thinned(&mut commit);
            match &failed {
                Some(cause) if commit.moves() => {
                    replies.push((reply, Err(io::Error::new(cause.kind(), cause.to_string()))));
                }
                // It moved, but who asked goes on from the checkpoint before: what was delivered since stays known.
                _ if reply.is_closed() => {}
                _ => {
                    let account = commit.done();
                    writes.push(Write::Save { name: commit.name.clone(), account: Box::new(account.clone()) });
                    writes.push(Write::Forget {
                        ledger: account.ledger,
                        before: commit.remembered_since,
                        iteration: account.iteration,
                    });
                    replies.push((reply, Ok(account)));
                }
            }
        }
        self.write(writes);
        replies.into_iter().for_each(|(reply, result)| drop(reply.send(result)));
    }

    fn counts(&mut self, ledger: LedgerId, identities: &[RecordKey]) -> Vec<u32> {
        self.reopen();
        let read = |store: &Store| guarded(|| store.counts(ledger, identities));
        let counts = match self.store.as_ref().map(read) {
            Some(Ok(counts)) => Some(counts),
            Some(Err(cause)) => {
                self.fail(&cause);
                self.copy.as_ref().and_then(|copy| read(copy).ok())
            }
            None => self.copy.as_ref().and_then(|copy| read(copy).ok()),
        };
        let mut counts = counts.unwrap_or_else(|| vec![0; identities.len()]);
        let uncertain = self.uncertain.as_ref().map(|(_, uncertain)| uncertain);
        for waiting in uncertain.into_iter().chain([&self.unsaved]).filter(|waiting| !waiting.delivered.is_empty()) {
            for (count, identity) in counts.iter_mut().zip(identities) {
                let unsaved = waiting.delivered.get(&(ledger, identity.fingerprint));
                *count = count.saturating_add(unsaved.map_or(0, |(_, times, _)| *times));
            }
        }
        counts
    }

    /// Where more lies inside the overlap than is remembered, the next window begins where memory does.
    fn tell_thinned(&mut self, commit: &mut Commit) {
        let ledger = commit.account.ledger;
        let Some(since) = self.store.as_mut().and_then(|store| store.take_thinned(ledger)) else { return };
        if since > commit.remembered_since {
            commit.remembered_since = since;
            tracing::warn!(
                api = commit.name,
                since = date::format(since),
                "more records lie inside the overlap than the {REMEMBERED_MAX} that are remembered; it is cut to what is; \
                 set settings.overlap shorter"
            );
        }
    }

    fn remembered(&mut self, ledger: LedgerId) -> u64 {
        let unsaved = self.unsaved.delivered.keys().filter(|(of, _)| *of == ledger).count() as u64;
        let readable = self.store.as_ref().or(self.copy.as_ref());
        let saved = readable.and_then(|store| guarded(|| store.remembered(ledger)).ok());
        saved.unwrap_or_default().saturating_add(unsaved)
    }

    /// Writes what is new and what had to wait. What can't be written waits.
    fn write(&mut self, writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        self.reopen();
        self.pulse.beat();
        let mark = fastrand::u64(..);
        let written = self.store.as_mut().map(|store| {
            let waiting = self.unsaved.writes();
            guarded(|| store.write(mark, waiting.iter().chain(&writes)))
        });
        match written {
            Some(Ok(())) => {
                self.unsaved = Unsaved::default();
                if std::mem::replace(&mut self.is_failing, false) {
                    tracing::info!("{FILE_NAME} can be written again, and has everything");
                }
                return;
            }
            Some(Err(cause)) => {
                self.fail(&cause);
                // It may have been written all the same, and twice would be wrong.
                match self.copy.as_ref().map(|copy| has_mark(copy, mark)) {
                    Some(true) => {
                        self.unsaved = Unsaved::default();
                        return;
                    }
                    Some(false) => {}
                    None => {
                        let mut uncertain = std::mem::take(&mut self.unsaved);
                        uncertain.take(writes);
                        self.uncertain = Some((mark, uncertain));
                        return;
                    }
                }
            }
            None => {}
        }
        if !self.unsaved.take(writes) {
            tracing::warn!(
                "{FILE_NAME} can't be written for so long that deliveries are no longer remembered; they may be shipped again"
            );
        }
    }

    /// Leaves the store alone for a while; redb wants a store that failed to be opened again.
    fn fail(&mut self, cause: &str) {
        close(&mut self.store);
        self.copy = Store::open_copy(&self.path).ok();
        self.tried = Instant::now();
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(
                cause,
                "{FILE_NAME} can't be written; what is delivered is remembered in memory until it can, and a crash now \
                 would ship it again"
            );
        }
    }

    fn reopen(&mut self) {
        if self.store.is_none() && self.tried.elapsed() >= REOPEN_AFTER {
            self.tried = Instant::now();
            self.store = open_or_set_aside(&self.path).ok();
            let Some(store) = &self.store else { return };
            self.copy = None;
            if let Some((mark, uncertain)) = self.uncertain.take()
                && !has_mark(store, mark)
            {
                let later = std::mem::replace(&mut self.unsaved, uncertain);
                self.unsaved.take(later.writes());
            }
        }
    }
}

impl Commit {
    fn moves(&self) -> bool {
        self.checkpoint.is_some() && self.checkpoint != self.account.checkpoint
    }

    /// Before the text file changes: it is about to.
    fn announced(&self) -> Write {
        let account = ApiState { prepared_checkpoint: self.checkpoint, ..self.account.clone() };
        Write::Save { name: self.name.clone(), account: Box::new(account) }
    }

    /// After it.
    fn done(&self) -> ApiState {
        ApiState {
            checkpoint: self.checkpoint.or(self.account.checkpoint),
            prepared_checkpoint: None,
            remembered_since: Some(self.remembered_since),
            ..self.account.clone()
        }
    }
}

/// Whoever no longer waits for an answer doesn't need it.
fn answer_all(replies: Vec<oneshot::Sender<()>>) {
    for reply in replies {
        let _ = reply.send(());
    }
}

/// What the store does, even where what it finds in its file makes it panic.
fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("it can't be understood".to_owned()),
    }
}

/// Closes the store, even where its file makes it panic.
fn close(store: &mut Option<Store>) {
    let store = store.take();
    let _ = catch_unwind(AssertUnwindSafe(|| drop(store)));
}

fn has_mark(store: &Store, mark: u64) -> bool {
    guarded(|| store.last_mark()).is_ok_and(|last| last == Some(mark))
}

/// Opens the store. A damaged one is set aside, with a warning, and a new one begun.
pub(super) fn open_or_set_aside(path: &Path) -> Result<Store, OpenError> {
    let cause = match Store::open(path) {
        Err(OpenError::Damaged(cause)) => cause,
        opened => return opened,
    };
    let aside = path.with_file_name(DAMAGED_FILE_NAME);
    let moved = std::fs::rename(path, &aside).or_else(|_| std::fs::remove_file(path));
    tracing::warn!(
        cause,
        "{FILE_NAME} is damaged; it is set aside as {DAMAGED_FILE_NAME}, and records of the last checkpoints may be \
         shipped again"
    );
    match moved {
        Ok(()) => Store::open(path),
        Err(error) => Err(OpenError::Unusable(Box::new(error.into()))),
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
