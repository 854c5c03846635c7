//! What the thread does with the store and the text file.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::{Commit, Job, REQUESTS_MAX, WriterCommand};
use crate::record::{FingerprintMap, RecordKey, date};
use crate::state::account::{ApiState, LedgerId};
use crate::state::checkpoint_text::Checkpoint;
use crate::state::checkpoints::{CheckpointFile, FILE_NAME as CHECKPOINTS_FILE_NAME};
use crate::state::lane_key::api_of;
use crate::state::line::PendingDates;
use crate::state::pulse::Pulse;
use crate::state::store::{DAMAGED_FILE_NAME, FILE_NAME, OpenError, REMEMBERED_MAX, StoreFile, StoreKind, Write};
use crate::state::unsaved::Unsaved;

/// How long a store that can't be used is left alone.
const REOPEN_AFTER: Duration = Duration::from_secs(5);

/// What the thread works on.
pub(super) struct Work {
    path: PathBuf,
    kind: StoreKind,
    /// Nothing while it can't be used.
    store: Option<StoreFile>,
    /// What the store knew when it could be used last, to be read until it can again.
    copy: Option<StoreFile>,
    tried: Instant,
    is_failing: bool,
    checkpoints: CheckpointFile,
    /// What waits for a store that can be written.
    unsaved: Unsaved,
    /// What was perhaps written when the store failed: it is, if the mark is there.
    uncertain: Option<(u64, Unsaved)>,
    /// Whether cursors couldn't be written into the text file last time.
    cursors_fail: bool,
    pulse: Arc<Pulse>,
}

/// A commit, and where its end is waited for.
type WaitingCommit = (Box<Commit>, oneshot::Sender<io::Result<ApiState>>);

/// What is to be done once all requests are taken.
#[derive(Default)]
struct Orders {
    writes: Vec<Write>,
    commits: Vec<WaitingCommit>,
    /// Answered when everything is written.
    later: Vec<oneshot::Sender<()>>,
    is_last: Vec<oneshot::Sender<()>>,
    jobs: Vec<Job>,
}

impl Work {
    /// Begins with these files; a store that is missing can't be used yet.
    pub(super) fn new(
        directory: &Path,
        store: Option<StoreFile>,
        copy: Option<StoreFile>,
        checkpoints: CheckpointFile,
        pulse: Arc<Pulse>,
    ) -> Self {
        Self {
            path: directory.join(FILE_NAME),
            kind: store.as_ref().map_or(StoreKind::Lasting, StoreFile::kind),
            is_failing: store.is_none(),
            store,
            copy,
            tried: Instant::now(),
            checkpoints,
            unsaved: Unsaved::default(),
            uncertain: None,
            cursors_fail: false,
            pulse,
        }
    }

    pub(super) fn go_on(&mut self, mut requests: mpsc::Receiver<WriterCommand>) {
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
    fn handle(&mut self, requests: Vec<WriterCommand>) -> bool {
        let mut orders = Orders::default();
        for request in requests {
            self.pulse.beat();
            self.take(request, &mut orders);
        }
        let Orders { mut writes, commits, later, is_last, jobs } = orders;
        let moved_cursors = self.moved_cursors(&writes, &commits);
        let lines = self.lines_of(&commits);
        let moves = commits.iter().zip(&lines).filter(|(_, line)| line.is_some());
        writes.extend(moves.map(|((commit, _), _)| commit.announced()));
        self.write(writes);
        answer_all(later);
        self.write_cursors(&moved_cursors);
        self.commit(commits, lines);
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

    /// Answers a question, or notes what is to be done.
    fn take(&mut self, request: WriterCommand, orders: &mut Orders) {
        match request {
            WriterCommand::Counts { ledger, identities, reply } => {
                let mut counts = self.counts(ledger, &identities);
                add_waiting(&orders.writes, ledger, &identities, &mut counts);
                let _ = reply.send(counts);
            }
            WriterCommand::Remembered { ledger, reply } => {
                let _ = reply.send(self.remembered(ledger));
            }
            WriterCommand::Remember { ledger, iteration, identities, reply } => {
                orders.writes.push(Write::Remember { ledger, iteration, identities });
                orders.later.push(reply);
            }
            WriterCommand::RememberWith { name, account, identities, reply } => {
                let (ledger, iteration) = (account.ledger, account.iteration);
                orders.writes.push(Write::Remember { ledger, iteration, identities });
                orders.writes.push(Write::Save { name, account });
                orders.later.push(reply);
            }
            WriterCommand::SeeAgain { ledger, iteration, identities, reply } => {
                orders.writes.push(Write::SeeAgain { ledger, iteration, identities });
                orders.later.push(reply);
            }
            WriterCommand::Save { name, account, reply } => {
                orders.writes.push(Write::Save { name, account });
                orders.later.push(reply);
            }
            // Who asked has given up, and goes on from the checkpoint before.
            WriterCommand::Settle { reply, .. } if reply.is_closed() => {}
            WriterCommand::Settle { commit, reply } => orders.commits.push((commit, reply)),
            WriterCommand::ForgetUnused { configured, now, reply } => {
                let forget = |store: &mut StoreFile| guarded(|| store.forget_unused(|key| configured.has(key), now));
                let forgotten = self.store.as_mut().map(forget).unwrap_or(Ok(Vec::new()));
                let _ = reply.send(forgotten.unwrap_or_else(|cause| {
                    self.fail(&cause);
                    Vec::new()
                }));
            }
            WriterCommand::Work(job) => orders.jobs.push(job),
            WriterCommand::Close { reply } => orders.is_last.push(reply),
        }
    }

    /// The line that each commit writes into the text file, where it isn't there.
    fn lines_of<'c>(&self, commits: &'c [WaitingCommit]) -> Vec<Option<Checkpoint>> {
        let (mut pending, mut saying) = (PendingDates::new(), BTreeMap::new());
        let line = |(commit, _): &'c WaitingCommit| {
            // What the commits before it are about to write counts as said.
            let said = saying.get(api_of(&commit.name)).or(self.said(&commit.name));
            let line = commit.line(said, &mut pending)?;
            saying.insert(api_of(&commit.name), line.clone());
            Some(line)
        };
        commits.iter().map(line).collect()
    }

    /// What the text file says of the API of a key.
    fn said(&self, key: &str) -> Option<&Checkpoint> {
        self.checkpoints.said(api_of(key))
    }

    /// The lines of accounts that are saved with another cursor than the text file says, and aren't committed anyway.
    fn moved_cursors(&self, writes: &[Write], commits: &[WaitingCommit]) -> Vec<(String, Checkpoint)> {
        let mut moved = BTreeMap::new();
        for write in writes {
            let Write::Save { name, account } = write else { continue };
            let said = self.said(name);
            let name = api_of(name);
            if said.map_or(account.captured.is_empty(), |said| said.values == account.captured) {
                moved.remove(name);
            } else if !commits.iter().any(|(commit, _)| api_of(&commit.name) == name) {
                // The date moves by commits alone.
                let date = said.map_or(account.checkpoint, |said| said.date);
                moved.insert(name.to_owned(), Checkpoint { date, values: account.captured.clone() });
            }
        }
        moved.into_iter().collect()
    }

    /// Writes cursors into the text file. The store has them, so that not to write them costs nothing but the sight of them.
    fn write_cursors(&mut self, moved: &[(String, Checkpoint)]) {
        if moved.is_empty() {
            return;
        }
        self.pulse.beat();
        let lines: Vec<_> = moved.iter().map(|(name, line)| (name.as_str(), line.clone())).collect();
        let failed = self.checkpoints.append(&lines).err();
        let was_failing = std::mem::replace(&mut self.cursors_fail, failed.is_some());
        if let Some(cause) = failed.filter(|_| !was_failing) {
            tracing::warn!(%cause, "{CHECKPOINTS_FILE_NAME} can't be written; the cursors of now are in {FILE_NAME} alone");
        }
    }

    /// Writes the checkpoints into the text file, then into the store.
    fn commit(&mut self, commits: Vec<WaitingCommit>, moving: Vec<Option<Checkpoint>>) {
        if commits.is_empty() {
            return;
        }
        let named = commits.iter().zip(&moving);
        let lines: Vec<_> = named.filter_map(|((of, _), line)| Some((api_of(&of.name), line.clone()?))).collect();
        self.pulse.beat();
        let failed = if lines.is_empty() { None } else { self.checkpoints.append(&lines).err() };
        let (mut writes, mut replies) = (Vec::new(), Vec::new());
        for ((mut commit, reply), line) in commits.into_iter().zip(moving) {
            self.tell_thinned(&mut commit);
            match &failed {
                // Of several outputs each may stand behind the line of another.
                Some(cause) if line.is_some() || commit.line.is_some() => {
                    replies.push((reply, Err(io::Error::new(cause.kind(), cause.to_string()))));
                }
                // It moved, but who asked goes on from the checkpoint before: what was delivered since stays known.
                _ if reply.is_closed() => {}
                _ => {
                    let account = commit.done();
                    commit.line.iter().for_each(|line| line.commit(&commit.name, account.checkpoint));
                    writes.push(Write::Save { name: commit.name.clone(), account: Box::new(account.clone()) });
                    let (ledger, before, iteration) = (account.ledger, commit.remembered_since, account.undated_since);
                    writes.push(match account.is_by_arrival {
                        true => Write::ForgetArrived { ledger, before },
                        false => Write::Forget { ledger, before, iteration },
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
        let read = |store: &StoreFile| guarded(|| store.counts(ledger, identities));
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
                api = api_of(&commit.name),
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
    fn write(&mut self, mut writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        for write in &mut writes {
            if let Write::Save { name, account } = write {
                account.written_values =
                    self.checkpoints.said(api_of(name)).map(|said| said.values.clone()).unwrap_or_default();
            }
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
        self.copy = StoreFile::open_copy(&self.path, self.kind).ok();
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
            let was_there = self.path.exists();
            let (opened, is_damaged) = match self.kind.open(&self.path) {
                Err(OpenError::Damaged(cause)) => (begin_anew(&self.path, self.kind, &cause), true),
                opened => (opened, false),
            };
            self.store = opened.ok();
            let Some(store) = &self.store else { return };
            if is_damaged || !was_there {
                self.pulse.tell_emptied();
            }
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
fn close(store: &mut Option<StoreFile>) {
    let store = store.take();
    let _ = catch_unwind(AssertUnwindSafe(|| drop(store)));
}

fn has_mark(store: &StoreFile, mark: u64) -> bool {
    guarded(|| store.last_mark()).is_ok_and(|last| last == Some(mark))
}

/// Opens the store. A damaged one is set aside, with a warning, and a new one begun.
pub(in crate::state) fn open_or_set_aside(path: &Path, kind: StoreKind) -> Result<StoreFile, OpenError> {
    match kind.open(path) {
        Err(OpenError::Damaged(cause)) => begin_anew(path, kind, &cause),
        opened => opened,
    }
}

/// Sets a damaged store aside, with a warning, and begins a new one.
fn begin_anew(path: &Path, kind: StoreKind, cause: &str) -> Result<StoreFile, OpenError> {
    let aside = path.with_file_name(DAMAGED_FILE_NAME);
    let moved = std::fs::rename(path, &aside).or_else(|_| std::fs::remove_file(path));
    match kind {
        StoreKind::Lasting => tracing::warn!(
            cause,
            "{FILE_NAME} is damaged; it is set aside as {DAMAGED_FILE_NAME}, and records of the last checkpoints may be \
             shipped again"
        ),
        StoreKind::Cache => tracing::warn!(
            cause,
            "this member's cache of what was delivered is damaged; it is read again from the cluster's engine"
        ),
    }
    match moved {
        Ok(()) => kind.open(path),
        Err(error) => Err(OpenError::Unusable(Box::new(error.into()))),
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

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
