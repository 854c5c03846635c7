//! The one task that writes to the engine what the lanes of this process have done.
//!
//! Enters: what iterations want written. Leaves: one transaction after the other ([`WriteQueue`]). A transaction without an
//! answer is asked again, for as long as it takes: until it is known, nothing else of its lanes goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout_at};

use super::chunk::{ChunkSpan, EncodedChunk, Forgetting};
use super::chunks::LaneChunks;
use super::folding::{FOLDS_MAX, Folded, fold};
use super::require;
use crate::cluster::{
    BYTES_MAX, ClusterCounters, ClusterKeys, EndedWrite, Engine, EngineEntry, EngineError, EngineOperation, Fence,
    LaneChange, Ownership, Slot, Ticket, UnwrittenError, WriteEnd, WriteQueue,
};
use crate::state::account::LedgerId;
use crate::state::lane_key::api_of;
use crate::state::pending_write::{ANSWERED_WITHIN, PendingWrite, WriteAnswer};

/// How many requests may wait; whoever comes then waits to ask.
const REQUESTS_MAX: usize = 1024;
/// The pause before a transaction without an answer is asked again: its tries had their own time.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The same where the engine refuses: it is full, or its rights were changed, and somebody has to mend that.
const REFUSED_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often the engine refuses a write, asked alone, or all that it is asked, before nobody waits any more to hear what becomes
/// of it.
const REFUSALS_MAX: u32 = 5;

/// What a lane wants written.
#[derive(Debug, Default)]
pub struct LaneWrite {
    /// The ledger that it has now.
    pub ledger: LedgerId,
    /// Its account, deflated.
    pub account: Option<Vec<u8>>,
    /// What was delivered.
    pub chunk: Option<EncodedChunk>,
    /// What can be forgotten.
    pub forgetting: Option<Forgetting>,
}

/// A lane as it was read.
#[derive(Debug, Default)]
pub struct LaneContents {
    /// The key of its state.
    pub lane: String,
    /// Its head, where it has one.
    pub head: Option<EngineEntry>,
    /// Its ledger.
    pub ledger: LedgerId,
    /// Its chunks, by their numbers.
    pub chunks: Vec<(u64, ChunkSpan)>,
}

/// What the task is asked.
#[derive(Debug)]
enum DeskCommand {
    Open { api: String, token: i64, contents: Vec<LaneContents>, reply: oneshot::Sender<Vec<String>> },
    Close { slot: Slot },
    Write { lane: String, write: LaneWrite, until: Instant, reply: oneshot::Sender<WriteAnswer> },
    Fold(Folded),
    Flush { of: Option<Slot>, waits_for_refused: bool, reply: oneshot::Sender<()> },
}

/// The way to the task. When the last one goes, it ends.
#[derive(Clone, Debug)]
pub struct Desk {
    commands: mpsc::Sender<DeskCommand>,
}

impl Desk {
    /// Starts the task. `outdated` gets the lanes whose state somebody has edited.
    #[must_use]
    pub fn start(
        engine: Engine,
        keys: ClusterKeys,
        ownership: Ownership,
        counters: ClusterCounters,
        outdated: mpsc::UnboundedSender<String>,
    ) -> Self {
        let (commands, received) = mpsc::channel(REQUESTS_MAX);
        let work = DeskWork {
            // It ends with the last one who asks.
            commands: commands.downgrade(),
            workers: Handle::current(),
            engine,
            keys,
            ownership,
            counters,
            outdated,
            queue: WriteQueue::default(),
            lanes: BTreeMap::new(),
            chunks: LaneChunks::default(),
            folding: BTreeSet::new(),
            waiting: BTreeMap::new(),
            refusals: BTreeMap::new(),
            refused_in_a_row: 0,
            flushes: Vec::new(),
            groups: 0,
            next: 0,
            is_told: false,
            is_in_doubt: false,
        };
        let engine = work.engine.clone();
        engine.spawn(work.go_on(received));
        Self { commands }
    }

    /// Begins with the lanes of an API, as they were read since its slot became ours with a token: with all that the engine has of it.
    /// Gives what has to be read again, lanes or the API.
    pub async fn open(&self, api: &str, token: i64, contents: Vec<LaneContents>) -> Vec<String> {
        let (reply, answer) = oneshot::channel();
        drop(self.commands.send(DeskCommand::Open { api: api.to_owned(), token, contents, reply }).await);
        answer.await.unwrap_or_default()
    }

    /// Ends with the lanes of a slot.
    pub async fn close(&self, slot: Slot) {
        drop(self.commands.send(DeskCommand::Close { slot }).await);
    }

    /// Begins to write something of a lane.
    pub async fn write(&self, lane: &str, write: LaneWrite) -> PendingWrite {
        let (reply, answer) = oneshot::channel();
        let until = Instant::now() + ANSWERED_WITHIN;
        let command = DeskCommand::Write { lane: lane.to_owned(), write, until, reply };
        // Whoever finds no room hears that it isn't answered.
        drop(timeout_at(until.into(), self.commands.send(command)).await);
        PendingWrite::new(answer, until)
    }

    /// Waits until everything is done that was asked before of a slot's lanes, however long the engine refuses it.
    pub async fn finish(&self, slot: Slot) {
        self.flush(Some(slot), true).await;
    }

    /// Waits until everything is known that was asked before, of a slot's lanes or of all. What the engine goes on refusing is
    /// not done.
    pub async fn end(&self, slot: Option<Slot>) {
        self.flush(slot, false).await;
    }

    async fn flush(&self, of: Option<Slot>, waits_for_refused: bool) {
        let (reply, answer) = oneshot::channel();
        drop(self.commands.send(DeskCommand::Flush { of, waits_for_refused, reply }).await);
        drop(answer.await);
    }
}

/// A write that isn't known yet.
struct WaitingWrite {
    reply: oneshot::Sender<WriteAnswer>,
    /// How long whoever asked waits for it.
    until: Instant,
    lane: String,
    slot: Slot,
    /// What its chunk spans.
    span: Option<ChunkSpan>,
    /// Whether somebody waits for it: a lane whose writes nobody knows about is read again.
    is_attended: bool,
}

impl WaitingWrite {
    /// Whether it was waited for in vain. Whoever doesn't wait at all counts on it, and lets it take its time.
    fn is_given_up(&self) -> bool {
        self.is_attended && self.reply.is_closed() && tokio::time::Instant::now() >= self.until.into()
    }
}

/// Somebody waits until everything is known that was asked before.
struct WaitingFlush {
    /// Of which lanes; of all where it is none.
    of: Option<Slot>,
    /// Whether what the engine goes on refusing is waited for, too.
    waits_for_refused: bool,
    /// The last of it.
    last: Ticket,
    /// How many groups of writes have ended then: that under way when it was asked holds what was closed before.
    groups: u64,
    reply: oneshot::Sender<()>,
}

struct DeskWork {
    commands: mpsc::WeakSender<DeskCommand>,
    /// Where work is done that takes a processor for a while, as the thread that talks to the engine has none to spare.
    workers: Handle,
    engine: Engine,
    keys: ClusterKeys,
    ownership: Ownership,
    counters: ClusterCounters,
    outdated: mpsc::UnboundedSender<String>,
    queue: WriteQueue,
    /// The lanes that were begun with, by their slots.
    lanes: BTreeMap<Slot, BTreeSet<String>>,
    /// The chunks of each lane.
    chunks: LaneChunks,
    /// The lanes some of whose chunks are being read to become one.
    folding: BTreeSet<String>,
    waiting: BTreeMap<Ticket, WaitingWrite>,
    /// How often those were refused that are, asked alone. They aren't done, and are asked again.
    refusals: BTreeMap<Ticket, u32>,
    /// How often the engine has refused since it did something.
    refused_in_a_row: u32,
    flushes: Vec<WaitingFlush>,
    /// How many groups of writes have ended.
    groups: u64,
    next: Ticket,
    /// Whether the log has that the engine takes nothing.
    is_told: bool,
    /// Whether a try of the group under way wasn't answered.
    is_in_doubt: bool,
}

impl DeskWork {
    async fn go_on(mut self, mut commands: mpsc::Receiver<DeskCommand>) {
        loop {
            while let Ok(command) = commands.try_recv() {
                self.take(command);
            }
            let is_idle = self.queue.transaction().is_none();
            self.answer_flushes(is_idle);
            if !is_idle {
                self.ask().await;
                continue;
            }
            let Some(command) = commands.recv().await else { return };
            self.take(command);
        }
    }

    /// Answers those for whom all is known. Others may go on writing meanwhile, and never come to an end.
    fn answer_flushes(&mut self, is_idle: bool) {
        let is_refused = |ticket: &Ticket| {
            let alone = self.refusals.get(ticket).copied().unwrap_or_default();
            self.refused_in_a_row >= REFUSALS_MAX || alone >= REFUSALS_MAX
        };
        let (known, open) = std::mem::take(&mut self.flushes).into_iter().partition(|flush: &WaitingFlush| {
            let mut asked = self.waiting.range(..=flush.last);
            let is_unknown = |(ticket, waiting): (&Ticket, &WaitingWrite)| {
                flush.of.is_none_or(|slot| slot == waiting.slot) && (flush.waits_for_refused || !is_refused(ticket))
            };
            is_idle || (self.groups >= flush.groups && !asked.any(is_unknown))
        });
        self.flushes = open;
        for flush in known {
            let _: Result<(), ()> = flush.reply.send(());
        }
    }

    fn take(&mut self, command: DeskCommand) {
        match command {
            DeskCommand::Open { api, token, contents, reply } => {
                let again = self.open_api(api, token, contents);
                let _: Result<(), Vec<String>> = reply.send(again);
            }
            DeskCommand::Close { slot } => {
                let lanes = self.lanes.remove(&slot).unwrap_or_default();
                lanes.iter().for_each(|lane| self.close(lane, UnwrittenError::Lost));
            }
            DeskCommand::Write { lane, write, until, reply } => self.begin(&lane, write, until, reply),
            DeskCommand::Fold(folded) => self.write_folded(folded),
            DeskCommand::Flush { of, waits_for_refused, reply } => {
                let is_under_way = self.queue.transaction().is_some();
                let groups = self.groups.saturating_add(u64::from(is_under_way));
                self.flushes.push(WaitingFlush { of, waits_for_refused, last: self.next, groups, reply });
            }
        }
    }

    /// Begins with an API that was read by a token. Gives what has to be read again.
    fn open_api(&mut self, api: String, token: i64, contents: Vec<LaneContents>) -> Vec<String> {
        let slot = Slot::of(&api);
        match self.ownership.token(slot) {
            Some(now) if now == token => {}
            Some(_) => return vec![api],
            // Lost meanwhile: nothing is to be done with it.
            None => return Vec::new(),
        }
        let mut again = self.end_gone(&api, &contents);
        again.extend(contents.into_iter().filter_map(|contents| self.open(contents)));
        if again.is_empty() && !self.ownership.has_read(slot, &api, token) {
            again.push(api);
        }
        again
    }

    /// Ends with the lanes of an API of which the engine has nothing any more, as nobody had used them for long. Gives those that
    /// have to be read again.
    fn end_gone(&mut self, api: &str, contents: &[LaneContents]) -> Vec<String> {
        let slot = Slot::of(api);
        let known = self.lanes.get(&slot).into_iter().flatten();
        let is_gone = |lane: &&String| api_of(lane) == api && contents.iter().all(|read| read.lane != **lane);
        let gone: Vec<String> = known.filter(is_gone).cloned().collect();
        let (under_way, gone): (Vec<String>, _) = gone.into_iter().partition(|lane| self.queue.is_under_way(lane));
        for lane in gone {
            self.close(&lane, UnwrittenError::Edited);
        }
        under_way
    }

    fn close(&mut self, lane: &str, told: UnwrittenError) {
        for ticket in self.queue.close(lane) {
            self.answer(ticket, Err(told));
        }
        self.chunks.close(lane);
        self.counters.remembers(self.chunks.bytes());
    }

    /// Begins with a lane. Gives it back where it has to be read again.
    fn open(&mut self, contents: LaneContents) -> Option<String> {
        let LaneContents { lane, head, ledger, chunks } = contents;
        let slot = Slot::of(api_of(&lane));
        // Lost meanwhile: nothing is to be done with it.
        let token = self.ownership.token(slot)?;
        let fence = Fence::new(self.keys.lane(slot, &lane), self.keys.slot(slot), token, head.as_ref());
        let Some(never) = self.queue.open(&lane, fence) else { return Some(lane) };
        for ticket in never {
            self.answer(ticket, Err(UnwrittenError::Edited));
        }
        self.lanes.entry(slot).or_default().insert(lane.clone());
        self.chunks.open(&lane, ledger, chunks);
        self.counters.remembers(self.chunks.bytes());
        self.begin_to_fold(&lane);
        None
    }

    fn begin(&mut self, lane: &str, write: LaneWrite, until: Instant, reply: oneshot::Sender<WriteAnswer>) {
        let is_attended = write.account.is_some() || write.chunk.as_ref().is_none_or(|chunk| !chunk.is_again);
        match self.put_down(lane, write) {
            Ok(span) => {
                let (lane, slot) = (lane.to_owned(), Slot::of(api_of(lane)));
                self.waiting.insert(self.next, WaitingWrite { reply, until, lane, slot, span, is_attended });
            }
            Err(error) => {
                let _: Result<(), WriteAnswer> = reply.send(Err(error));
            }
        }
    }

    /// Has a write wait for its turn, under the next ticket. Gives what its chunk spans.
    fn put_down(&mut self, lane: &str, write: LaneWrite) -> Result<Option<ChunkSpan>, UnwrittenError> {
        require(&self.ownership, lane)?;
        if !self.queue.has(lane) {
            // A lane that the engine knows nothing of: had it a head, the write would find that.
            let (lane, ledger) = (lane.to_owned(), write.ledger);
            self.open(LaneContents { lane, ledger, ..LaneContents::default() });
        }
        let span = write.chunk.as_ref().map(|chunk| chunk.span);
        let forgotten = self.chunks.forget(lane, write.ledger, write.forgetting.as_ref());
        self.counters.remembers(self.chunks.bytes());
        let change =
            LaneChange { account: write.account, chunk: write.chunk.map(|chunk| chunk.bytes), forgotten, folded: None };
        if change.bytes() > BYTES_MAX {
            return Err(UnwrittenError::TooLarge);
        }
        self.next += 1;
        if self.queue.ask(lane, write.ledger, change, self.next) { Ok(span) } else { Err(UnwrittenError::Lost) }
    }

    /// Asks the transaction whose turn it is, once.
    async fn ask(&mut self) {
        let Some(transaction) = self.queue.transaction() else { return };
        let asked = Instant::now();
        match self.engine.commit(transaction).await {
            Ok(outcome) => {
                self.counters.answered(EngineOperation::Write, asked.elapsed());
                if std::mem::replace(&mut self.is_told, false) {
                    tracing::info!("the cluster's engine takes writes again");
                }
                self.is_in_doubt = false;
                self.refused_in_a_row = 0;
                self.groups = self.groups.saturating_add(1);
                for ended in self.queue.answered(&outcome) {
                    self.take_over(ended);
                }
            }
            Err(cause) => {
                self.counters.failed(&cause);
                self.outdate_given_up();
                let is_refused = matches!(cause, EngineError::Refused { .. });
                self.is_in_doubt |= !is_refused;
                // Else an earlier try may still be done, and its writes are waited for as they are.
                if is_refused && !self.is_in_doubt {
                    self.groups = self.groups.saturating_add(1);
                    self.refused_in_a_row = self.refused_in_a_row.saturating_add(1);
                    if let Some(ticket) = self.queue.refused() {
                        *self.refusals.entry(ticket).or_default() += 1;
                    }
                }
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::warn!(%cause, "the cluster's engine takes no writes; nothing is shipped until it does");
                }
                sleep(if is_refused { REFUSED_AGAIN_AFTER } else { AGAIN_AFTER }).await;
            }
        }
    }

    fn take_over(&mut self, ended: EndedWrite) {
        let EndedWrite { lane, ticket, end } = ended;
        self.refusals.remove(&ticket);
        match end {
            WriteEnd::Done { seq } => {
                if let Some(span) = self.waiting.get(&ticket).and_then(|waiting| waiting.span) {
                    self.chunks.add(&lane, seq, span);
                    self.counters.remembers(self.chunks.bytes());
                    self.begin_to_fold(&lane);
                }
                // It is there after all, and whoever asked goes on as if it weren't.
                let is_unknown = self.waiting.get(&ticket).is_some_and(WaitingWrite::is_given_up);
                self.answer(ticket, Ok(()));
                if is_unknown {
                    self.give_up(&lane);
                    drop(self.outdated.send(lane));
                }
            }
            WriteEnd::Lost => {
                self.counters.fenced();
                self.give_up(&lane);
                self.answer(ticket, Err(UnwrittenError::Lost));
            }
            WriteEnd::Edited => {
                self.give_up(&lane);
                // Whoever has the APIs sees to it; where nobody does any more, nothing runs.
                drop(self.outdated.send(lane));
                self.answer(ticket, Err(UnwrittenError::Edited));
            }
        }
    }

    /// Has chunks of a lane read that are worth being one. Others go on writing meanwhile.
    fn begin_to_fold(&mut self, lane: &str) {
        if self.folding.contains(lane) || self.folding.len() >= FOLDS_MAX {
            return;
        }
        let (Some(order), Some(commands)) = (self.chunks.to_fold(lane), self.commands.upgrade()) else { return };
        let keys = self.keys.lane(Slot::of(api_of(lane)), lane);
        self.folding.insert(lane.to_owned());
        let (engine, lane) = (self.engine.clone(), lane.to_owned());
        self.workers.spawn(async move {
            let folded = fold(&engine, &keys, lane, order).await;
            // Nobody has to know of it any more where the task has ended.
            drop(commands.send(DeskCommand::Fold(folded)).await);
        });
    }

    /// Has the one chunk written, if the lane still has those that it is made of.
    fn write_folded(&mut self, Folded { lane, order, chunk }: Folded) {
        self.folding.remove(&lane);
        let Some(chunk) = chunk else { return };
        if require(&self.ownership, &lane).is_err() || !self.chunks.fold(&lane, &order, chunk.bytes.len()) {
            return;
        }
        let ledger = order.ledger;
        self.counters.remembers(self.chunks.bytes());
        self.next += 1;
        let change = LaneChange { folded: Some(chunk), ..LaneChange::default() };
        // Where it is refused, the lane is given up: it is somebody else's, or read again.
        let _: bool = self.queue.ask(&lane, ledger, change, self.next);
    }

    /// Nothing more is done of lanes whose writes were waited for in vain: what the engine will hold of them is not what is
    /// known here. They are read again, which waits for these writes.
    fn outdate_given_up(&mut self) {
        let given_up = self.waiting.values_mut().filter(|waiting| waiting.is_given_up());
        let lanes: BTreeSet<String> = given_up
            .map(|waiting| {
                waiting.is_attended = false;
                waiting.lane.clone()
            })
            .collect();
        for lane in lanes {
            self.give_up(&lane);
            drop(self.outdated.send(lane));
        }
    }

    /// Does nothing more of a lane before it is read again. Of one that is lost nobody reads it: the member hears that its
    /// slot is somebody else's.
    fn give_up(&mut self, lane: &str) {
        self.chunks.close(lane);
        self.counters.remembers(self.chunks.bytes());
        self.ownership.outdate(Slot::of(api_of(lane)), api_of(lane), lane);
    }

    fn answer(&mut self, ticket: Ticket, result: WriteAnswer) {
        self.refusals.remove(&ticket);
        if let Some(WaitingWrite { reply, .. }) = self.waiting.remove(&ticket) {
            // Whoever no longer waits doesn't need it.
            let _: Result<(), WriteAnswer> = reply.send(result);
        }
    }
}
