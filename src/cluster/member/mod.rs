//! This process as a member of a cluster: it joins, keeps its lease, watches the others, takes slots and gives them up.
//!
//! What is decided is decided by [`ClusterView`]; here is what has to be asked for it. Two tasks: one renews the lease and does
//! nothing else, the other does all the rest. What becomes of slots is told as [`SlotEvent`]s, in their order.

mod handle;
mod heard;
mod layout;
mod own_key;
mod pauses;
mod renewal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until, timeout};

use handle::MemberCommand;
use heard::Unwatched;
use pauses::HEARD_MAX;
use renewal::Renewal;

pub use handle::{AboutMember, ClusterSummary, JoinError, MemberEntries, MemberHandle, SlotEvent};
pub(super) use heard::{about, owner_of};
pub use pauses::tell_pauses;

use crate::cluster::claim::{self, SLOTS_AT_ONCE, SeenSlot, TakenSlot};
use crate::cluster::client::{Engine, EngineWatch};
use crate::cluster::counters::ClusterCounters;
use crate::cluster::engine::{ABSENT, EngineChange, EngineError, LeaseId, Transaction, TransactionOutcome};
use crate::cluster::forms::OtherForms;
use crate::cluster::keys::ClusterKeys;
use crate::cluster::lease::LeaseClock;
use crate::cluster::leave::since_boot;
use crate::cluster::moves::Decision;
use crate::cluster::ownership::Ownership;
use crate::cluster::pause::ToldPause;
use crate::cluster::reach::ReachClock;
use crate::cluster::restless::{Joins, Standing};
use crate::cluster::slot::{MemberId, Slot};
use crate::cluster::view::ClusterView;

/// The pause before something is asked again that wasn't answered.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How many transactions claim slots at the same time.
const CLAIMS_AT_ONCE: usize = 4;
/// How long more changes are waited for after some: many come at the same time, and all of them are one reason to decide.
const GATHERED_FOR: Duration = Duration::from_millis(5);
/// So often at most.
const GATHERED_MAX: usize = 20;
/// How long nothing is decided where nothing is heard.
const LOOK_AFTER: Duration = Duration::from_secs(5);
/// How long a leaving member tries to say so and to end its lease; else it ends by itself.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Who a process is, and what it is a member of.
#[derive(Clone, Debug)]
pub struct Membership {
    /// What holds the state.
    pub engine: Engine,
    /// Under which keys.
    pub keys: ClusterKeys,
    /// The member's name, and this process.
    pub me: MemberId,
    /// What it says of itself.
    pub about: AboutMember,
    /// What it has of the config.
    pub entries: MemberEntries,
    /// What is counted of the engine's answers.
    pub counters: ClusterCounters,
}

/// A member that has joined.
#[derive(Debug)]
pub struct Joined {
    /// The way to it.
    pub handle: MemberHandle,
    /// What becomes of its slots.
    pub events: mpsc::UnboundedReceiver<SlotEvent>,
    /// How long it may send.
    pub clock: watch::Receiver<LeaseClock>,
    /// What hosts asked members for. It ends when this one has left.
    pub pauses: mpsc::Receiver<ToldPause>,
}

impl Membership {
    /// Joins, and goes on as a member.
    ///
    /// # Errors
    /// [`JoinError`]
    pub async fn join(self, ownership: Ownership) -> Result<Joined, JoinError> {
        self.require_layout().await?;
        let (clock_sender, clock) = watch::channel(LeaseClock::default());
        let (lease_sender, lease_of_renewal) = watch::channel(None);
        let (gone_sender, gone) = mpsc::channel(1);
        let (event_sender, events) = mpsc::unbounded_channel();
        let (command_sender, commands) = mpsc::unbounded_channel();
        let (summary_sender, view) = watch::channel(ClusterSummary::default());
        let (others_sender, others) = watch::channel(OtherForms::default());
        let (pause_sender, pauses) = mpsc::channel(HEARD_MAX);
        let me = self.me.clone();
        let mut work = MemberWork {
            of: self,
            view: ClusterView::new(me, since_boot()),
            joins: Joins::default(),
            reach: ReachClock::default(),
            lease: None,
            heard_to: ABSENT,
            read_to: ABSENT,
            put_at: ABSENT,
            clock: clock_sender,
            lease_of_renewal: lease_sender,
            ownership,
            events: event_sender,
            summary: summary_sender,
            others: others_sender,
            pauses: pause_sender,
            handing_over: BTreeSet::new(),
            is_leaving: false,
            is_unsaid: false,
            join_number: fastrand::u64(..),
        };
        let begun = work.register().await?;
        work.begin_to_send(begun);
        let watch = work.read().await?;
        let renewal = Renewal {
            engine: work.of.engine.clone(),
            counters: work.of.counters.clone(),
            lease: lease_of_renewal,
            clock: work.clock.clone(),
            gone: gone_sender,
        };
        let engine = renewal.engine.clone();
        engine.spawn(renewal.go_on());
        engine.spawn(work.go_on(watch, gone, commands));
        Ok(Joined { handle: MemberHandle { commands: command_sender, view, others }, events, clock, pauses })
    }
}

/// The member's task.
struct MemberWork {
    of: Membership,
    view: ClusterView,
    joins: Joins,
    reach: ReachClock,
    lease: Option<LeaseId>,
    /// Up to which revision it has heard of everything.
    heard_to: i64,
    /// At which revision it has read everything: what the watch tells of before is no news.
    read_to: i64,
    /// When its key was put: what the watch tells of it before is no news.
    put_at: i64,
    clock: watch::Sender<LeaseClock>,
    lease_of_renewal: watch::Sender<Option<LeaseId>>,
    ownership: Ownership,
    events: mpsc::UnboundedSender<SlotEvent>,
    summary: watch::Sender<ClusterSummary>,
    others: watch::Sender<OtherForms>,
    pauses: mpsc::Sender<ToldPause>,
    /// Slots whose APIs are about to end.
    handing_over: BTreeSet<Slot>,
    is_leaving: bool,
    /// Whether its keys don't have yet what it has to say.
    is_unsaid: bool,
    /// Under which number its last join is counted, however often that was tried.
    join_number: u64,
}

impl MemberWork {
    async fn go_on(
        mut self,
        watch: EngineWatch,
        mut gone: mpsc::Receiver<LeaseId>,
        mut commands: mpsc::UnboundedReceiver<MemberCommand>,
    ) {
        let (mut watch, mut unwatched) = (Some(watch), Unwatched::default());
        loop {
            // By what was heard last nothing is decided while nothing can be read.
            let look = if unwatched.is_stale() { AGAIN_AFTER } else { self.step().await };
            if self.is_leaving && self.ownership.count() == 0 {
                return self.part().await;
            }
            tokio::select! {
                changes = changes_of(&mut watch) => {
                    if let Some(open) = &mut watch
                        && let Err(cause) = self.see_all(changes, open).await
                    {
                        tracing::debug!(%cause, "the cluster is read again");
                        watch = None;
                        self.read_again(&mut unwatched).await;
                    }
                },
                () = sleep_until(unwatched.again_at()), if watch.is_none() => self.read_again(&mut unwatched).await,
                opened = unwatched.opened() => watch = Some(opened),
                Some(lease) = gone.recv() => self.register_again(Some(lease)).await,
                command = commands.recv() => {
                    let Some(command) = command else { return self.part().await };
                    // Many come at the same time.
                    let more = std::iter::from_fn(|| commands.try_recv().ok());
                    self.obey(std::iter::once(command).chain(more).collect()).await;
                },
                () = sleep(look) => {}
            }
        }
    }

    async fn obey(&mut self, commands: Vec<MemberCommand>) {
        let mut released = Vec::new();
        for command in commands {
            match command {
                MemberCommand::Release(slot) => released.push(slot),
                MemberCommand::Describe(entries) => self.describe(entries).await,
                MemberCommand::Decline(slots, waiting) => {
                    self.view.member_declines(&self.of.me.clone(), slots.clone());
                    (self.of.about.declined, self.of.about.waiting) = (slots, waiting);
                    self.say().await;
                }
                MemberCommand::Reach(reach) => {
                    self.reach.found(reach, since_boot());
                    self.view.member_reaches(&self.of.me.clone(), reach);
                    if std::mem::replace(&mut self.of.about.reach, reach) != reach {
                        self.say().await;
                    }
                }
                MemberCommand::Leave => self.begin_to_leave().await,
            }
        }
        self.release(&released).await;
    }

    /// Decides, and does what was decided. Gives when to look again.
    async fn step(&mut self) -> Duration {
        self.reconcile();
        let now = since_boot();
        let has_ceded = self.reach.has_ceded();
        if self.reach.cedes(self.view.is_reached_by_another(), now) != has_ceded {
            tracing::warn!(
                "this member of the cluster has not reached an output for a minute, and another one does; its APIs go on there \
                 until it reaches it again"
            );
        }
        self.view.cede(self.reach.has_ceded());
        let standing = self.standing(now);
        if self.of.about.standing != standing {
            self.of.about.standing = standing;
            self.say().await;
        } else if self.is_unsaid {
            self.say_all().await;
        }
        let decision = self.view.decide(now);
        self.view.decided(&decision, now);
        let Decision { take, hand_over, next_look } = decision;
        for slot in hand_over {
            if self.handing_over.insert(slot) {
                self.tell(if self.reach.has_ceded() { SlotEvent::Cede(slot) } else { SlotEvent::HandOver(slot) });
            }
        }
        if !take.is_empty() {
            self.take(take).await;
        }
        self.reconcile();
        self.summary.send_if_modified(|before| {
            let after = ClusterSummary {
                members: self.view.members().keys().cloned().collect(),
                held: self.ownership.count(),
                orphaned: self.view.orphaned(),
                is_anybody_cut: self.view.is_anybody_cut(),
            };
            let has_changed = *before != after;
            *before = after;
            has_changed
        });
        let others = self.view.others();
        self.others.send_if_modified(|before| std::mem::replace(before, OtherForms::clone(&others)) != others);
        next_look.map_or(LOOK_AFTER, |look| look.saturating_sub(since_boot())).min(LOOK_AFTER)
    }

    /// Tells of slots that became ours, or are no longer.
    fn reconcile(&mut self) {
        let mine: BTreeMap<Slot, i64> = self.view.mine().collect();
        let owned = self.ownership.tokens();
        for (slot, token) in &owned {
            let slot = *slot;
            if mine.get(&slot) != Some(token) {
                self.ownership.give_up(slot);
                self.handing_over.remove(&slot);
                self.tell(SlotEvent::Lost(slot));
            }
        }
        for (slot, token) in mine {
            if owned.get(&slot) != Some(&token) {
                self.ownership.take(slot, token);
                self.tell(SlotEvent::Taken(slot));
            }
        }
    }

    /// Whoever listens is gone only when everything ends.
    fn tell(&self, event: SlotEvent) {
        self.events.send(event).ok();
    }

    /// Claims slots: those of the config's APIs first, many in one transaction, and a few transactions at a time.
    async fn take(&mut self, mut seen: Vec<SeenSlot>) {
        seen.sort_by_key(|seen| !self.of.entries.slots.contains(&seen.slot));
        let groups: Vec<Vec<SeenSlot>> = seen.chunks(SLOTS_AT_ONCE).map(<[SeenSlot]>::to_vec).collect();
        let contested = self.take_groups(groups).await;
        // One of several that somebody else has keeps all of them from being ours.
        self.take_groups(contested.into_iter().map(|seen| vec![seen]).collect()).await;
    }

    /// Gives those that aren't ours, of groups with several.
    async fn take_groups(&mut self, groups: Vec<Vec<SeenSlot>>) -> Vec<SeenSlot> {
        let Some(lease) = self.lease else { return Vec::new() };
        let (mut claims, mut waiting, mut contested) = (FuturesUnordered::new(), groups.into_iter(), Vec::new());
        loop {
            while claims.len() < CLAIMS_AT_ONCE
                && let Some(group) = waiting.next()
            {
                let transaction = claim::take(&self.of.keys, &group, &self.of.me, lease);
                let engine = self.of.engine.clone();
                claims.push(async move { (group, engine.commit(&transaction).await) });
            }
            let Some((group, claimed)) = claims.next().await else { return contested };
            let outcome = match claimed {
                Ok(outcome) => outcome,
                // Should it have got through, the watch tells that.
                Err(cause) => {
                    tracing::debug!(%cause, "slots can't be claimed");
                    continue;
                }
            };
            let is_alone = group.len() == 1;
            for (seen, taken) in group.iter().zip(claim::taken(&outcome, group.len(), &self.of.me)) {
                match taken {
                    TakenSlot::Ours { token } => {
                        self.view.slot_taken(seen.slot, self.of.me.clone(), token, since_boot());
                    }
                    // The watch tells who has it.
                    TakenSlot::Not if is_alone => {}
                    TakenSlot::Not => contested.push(seen.clone()),
                }
            }
            self.reconcile();
        }
    }

    /// Gives slots back whose APIs have ended.
    async fn release(&mut self, slots: &[Slot]) {
        let own = slots.iter().filter(|slot| self.handing_over.contains(slot));
        let own: Vec<(Slot, i64)> = own.filter_map(|slot| Some((*slot, self.ownership.token(*slot)?))).collect();
        for group in own.chunks(SLOTS_AT_ONCE) {
            let outcome = self.ask(&claim::release(&self.of.keys, group)).await;
            for (slot, token) in group {
                let revision = match outcome.held {
                    true => Some(outcome.revision),
                    // One of them was taken, so each is given back by itself.
                    false => {
                        let alone = self.ask(&claim::release(&self.of.keys, &[(*slot, *token)])).await;
                        alone.held.then_some(alone.revision)
                    }
                };
                self.ownership.give_up(*slot);
                self.handing_over.remove(slot);
                match revision {
                    Some(revision) => self.view.slot_freed(*slot, revision),
                    // Given back by a try whose answer came too late, or taken by another one.
                    None => self.view.slot_lost(*slot, *token),
                }
            }
        }
    }

    /// Takes over what has changed, and what comes right behind it.
    async fn see_all(
        &mut self,
        mut changes: Result<Vec<EngineChange>, EngineError>,
        watch: &mut EngineWatch,
    ) -> Result<(), EngineError> {
        for _ in 0..GATHERED_MAX {
            self.see(changes?).await;
            match timeout(GATHERED_FOR, watch.next()).await {
                Ok(more) => changes = more,
                Err(_) => return Ok(()),
            }
        }
        self.see(changes?).await;
        Ok(())
    }

    /// Takes over what has changed.
    async fn see(&mut self, changes: Vec<EngineChange>) {
        let now = since_boot();
        let own = self.of.keys.member(&self.of.me);
        let (mut is_gone, read_to) = (false, self.read_to);
        for change in changes.into_iter().filter(|change| change.revision() > read_to) {
            self.heard_to = self.heard_to.max(change.revision());
            match change {
                EngineChange::Put(entry) => {
                    is_gone &= entry.key != own || entry.lease != self.lease;
                    // An earlier word of ours that came through late.
                    self.is_unsaid |= entry.key == own && self.is_of_before(&entry);
                    if let Some(lane) = self.of.keys.bell_in(&entry.key) {
                        self.tell(SlotEvent::Edited(lane));
                    }
                    self.see_entry(&entry, now);
                }
                EngineChange::Deleted { key, revision } => {
                    if let Some(slot) = self.of.keys.slot_in(&key) {
                        self.view.slot_freed(slot, revision);
                    } else if key == own {
                        is_gone |= revision > self.put_at;
                    } else if let Some(member) = self.of.keys.member_in(&key) {
                        self.view.member_left(&member, now);
                    } else if let Some(member) = self.of.keys.forms_in(&key) {
                        self.view.forms_left(&member);
                    } else if let Some(host) = self.of.keys.pause_in(&key) {
                        self.hear_pause(ToldPause { host, wait: None });
                    }
                }
            }
        }
        if is_gone {
            self.register_again(None).await;
        }
    }

    /// Asks until it is answered.
    async fn ask(&self, transaction: &Transaction) -> TransactionOutcome {
        loop {
            match self.of.engine.commit(transaction).await {
                Ok(outcome) => return outcome,
                Err(cause) => tracing::debug!(%cause, "the cluster's engine is asked again"),
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    /// The key says so before the first slot is free, or the others would leave it to this process.
    async fn begin_to_leave(&mut self) {
        self.is_leaving = true;
        self.of.about.standing = Standing::Leaving;
        // Until it is known to have been said.
        self.is_unsaid = true;
        drop(timeout(LEAVE_WITHIN, self.say()).await);
        self.view.leave();
    }

    /// Ends the lease, and with it the membership.
    async fn part(self) {
        let Some(lease) = self.lease else { return };
        self.lease_of_renewal.send_replace(None);
        drop(timeout(LEAVE_WITHIN, self.of.engine.revoke(lease)).await);
    }
}

/// The next changes; none where there is no watch.
async fn changes_of(watch: &mut Option<EngineWatch>) -> Result<Vec<EngineChange>, EngineError> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}
