//! The daemon's seat in a cluster: which of the config's APIs run here, as slots come and go.
//!
//! A slot that is ours is read when the first of its APIs begins. One that goes ends with its APIs: handed over after their
//! iterations, or at the next batch border where they take too long; lost at once. It is given back when none of them is
//! under way any more, so whoever gets it doubles nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};

use super::held::HeldApis;
use super::rates::HostRates;
use crate::cluster::{BORDER_AFTER, EntryForms, MemberEntries, MemberHandle, OtherForms, Slot, SlotEvent};
use crate::plan::Config;
use crate::state::{ApiState, LoadError, ReplicatedState, api_of};

/// The pause before a slot is read again that couldn't be.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How often it is looked whether the outputs are reached.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(5);
/// How many names of APIs that wait a member says.
const WAITING_NAMES_MAX: usize = 10;

/// How many APIs are read at the same time: after a start there are thousands, and renewals go the same way.
const READ_AT_ONCE: usize = 16;

/// What the daemon is to do.
#[derive(Debug)]
pub(super) enum SeatOrder {
    /// Begins with an API whose accounts were read: when it is due, or at once.
    Start(String, BTreeMap<String, ApiState>, SeatStart),
    /// The APIs of a slot may begin when they are due: each is read first.
    Admit(Slot),
    /// Ends the APIs of a slot after their iterations.
    End(Slot),
    /// Ends the APIs of a slot at the next batch border.
    Halt(Slot),
    /// Ends one API at the next batch border; it is read again.
    Reread(String),
    /// Looks whether the outputs are reached.
    LookAround,
}

/// When an API begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SeatStart {
    /// As it was changed or edited here and now.
    AtOnce,
    /// When its interval is over: it was taken over from another member.
    WhenDue,
}

/// What becomes of a slot whose APIs end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It is given back once they have, and their iterations are cut then.
    HandedOver { cut_at: Instant, is_cut: bool },
    /// It is being given back, or was.
    Released,
    /// It is somebody else's already.
    Lost { is_taken_again: bool },
}

impl Ending {
    /// A slot is handed over, of which this is known. One that was to begin again after a loss is given back instead, as soon as
    /// its APIs have ended; else nobody would ever have it.
    fn of_handover(known: Option<Self>, now: Instant) -> Self {
        match known {
            None => Self::HandedOver { cut_at: now + BORDER_AFTER, is_cut: false },
            Some(Self::Lost { is_taken_again: true }) => Self::HandedOver { cut_at: now, is_cut: true },
            Some(known) => known,
        }
    }
}

/// The seat.
pub struct ClusterSeat {
    pub(super) state: Arc<ReplicatedState>,
    pub(super) member: MemberHandle,
    events: mpsc::UnboundedReceiver<SlotEvent>,
    /// Lanes whose state somebody else has changed.
    outdated: mpsc::UnboundedReceiver<String>,
    /// APIs that were read.
    read: mpsc::UnboundedReceiver<(String, BTreeMap<String, ApiState>)>,
    reading: mpsc::UnboundedSender<(String, BTreeMap<String, ApiState>)>,
    ending: BTreeMap<Slot, Ending>,
    /// Slots of which nothing is under way here any more, nor on its way to the engine.
    unloaded: mpsc::UnboundedReceiver<Slot>,
    unloading: mpsc::UnboundedSender<Slot>,
    /// Those of which that is waited for.
    idle: BTreeSet<Slot>,
    /// How many more of them may be read at the same time.
    turns: Arc<Semaphore>,
    /// APIs that are read at this moment, and when they are to begin.
    under_way: BTreeMap<String, SeatStart>,
    orders: VecDeque<SeatOrder>,
    /// The forms in which other members have their entries.
    others: watch::Receiver<OtherForms>,
    /// APIs that are left to them.
    held: HeldApis,
    rates: HostRates,
    looks: Interval,
    /// The last look at the outputs.
    pub(super) looking: Option<JoinHandle<()>>,
}

impl ClusterSeat {
    /// Of a process that has joined. `outdated` are lanes whose state somebody else has changed, as the shared state tells.
    #[must_use]
    pub fn new(
        (state, rates): (Arc<ReplicatedState>, HostRates),
        member: MemberHandle,
        events: mpsc::UnboundedReceiver<SlotEvent>,
        outdated: mpsc::UnboundedReceiver<String>,
    ) -> Self {
        let (reading, read) = mpsc::unbounded_channel();
        let (unloading, unloaded) = mpsc::unbounded_channel();
        let others = member.others();
        let mut looks = interval(LOOK_AROUND_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            others,
            held: HeldApis::default(),
            rates,
            looks,
            looking: None,
            state,
            member,
            events,
            outdated,
            read,
            reading,
            ending: BTreeMap::new(),
            unloaded,
            unloading,
            idle: BTreeSet::new(),
            turns: Arc::new(Semaphore::new(READ_AT_ONCE)),
            under_way: BTreeMap::new(),
            orders: VecDeque::new(),
        }
    }

    /// Whether an API may begin here.
    pub(super) fn admits(&self, api: &str) -> bool {
        let slot = Slot::of(api);
        self.state.ownership().token(slot).is_some() && !self.ending.contains_key(&slot)
    }

    /// Reads an API that is to begin.
    pub(super) fn read(&mut self, api: &str, start: SeatStart) {
        let before = self.under_way.get(api).copied();
        self.under_way.insert(api.to_owned(), before.unwrap_or(start).min(start));
        if before.is_some() {
            return;
        }
        let (state, reading, api) = (Arc::clone(&self.state), self.reading.clone(), api.to_owned());
        let turns = Arc::clone(&self.turns);
        tokio::spawn(async move {
            let accounts = loop {
                // Whoever waits for the engine to take a write takes nobody's turn.
                state.finish_writes(&api).await;
                // It is closed with the process alone.
                let turn = turns.acquire().await;
                let loaded = state.load(&api).await;
                drop(turn);
                match loaded {
                    Ok(accounts) => break accounts,
                    Err(cause @ (LoadError::Damaged { .. } | LoadError::Cache(_))) => {
                        tracing::error!(api, %cause, "the API can't run in this member of the cluster");
                    }
                    Err(cause) => tracing::debug!(api, %cause, "the API's state is asked for again"),
                }
                if state.ownership().token(Slot::of(&api)).is_none() {
                    break BTreeMap::new();
                }
                sleep(READ_AGAIN_AFTER).await;
            };
            drop(reading.send((api, accounts)));
        });
    }

    /// What is to be done next.
    pub(super) async fn next(&mut self) -> SeatOrder {
        loop {
            if let Some(order) = self.orders.pop_front() {
                return order;
            }
            let cut_at = self.ending.values().filter_map(|ending| match ending {
                Ending::HandedOver { cut_at, is_cut: false } => Some(*cut_at),
                _ => None,
            });
            let cut_at = cut_at.min();
            let cut = async {
                match cut_at {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.take(event),
                Some((api, accounts)) = self.read.recv() => {
                    let start = self.under_way.remove(&api).unwrap_or(SeatStart::WhenDue);
                    match self.admits(&api) {
                        true if self.state.ownership().is_read(Slot::of(&api), &api) => {
                            self.orders.push_back(SeatOrder::Start(api, accounts, start));
                        }
                        // The slot went, and came back, since it was read.
                        true => self.read(&api, start),
                        false => {}
                    }
                }
                Some(lane) = self.outdated.recv() => self.reread(&lane),
                Ok(()) = self.others.changed() => self.look_at_held(),
                Some(slot) = self.unloaded.recv() => self.finish(slot),
                () = cut => self.cut(),
                _ = self.looks.tick() => if self.looking.as_ref().is_none_or(JoinHandle::is_finished) {
                    self.orders.push_back(SeatOrder::LookAround);
                },
                else => pending().await,
            }
        }
    }

    fn take(&mut self, event: SlotEvent) {
        match event {
            SlotEvent::Taken(slot) => match self.ending.get_mut(&slot) {
                None | Some(Ending::Released) => {
                    self.ending.remove(&slot);
                    self.orders.push_back(SeatOrder::Admit(slot));
                }
                // Its APIs are still ending from the time before.
                Some(ending) => *ending = Ending::Lost { is_taken_again: true },
            },
            SlotEvent::HandOver(slot) => {
                let ending = Ending::of_handover(self.ending.get(&slot).copied(), Instant::now());
                self.ending.insert(slot, ending);
                self.orders.push_back(SeatOrder::End(slot));
            }
            SlotEvent::Cede(slot) => {
                let ending = Ending::HandedOver { cut_at: Instant::now(), is_cut: true };
                self.ending.insert(slot, ending);
                self.orders.push_back(SeatOrder::Halt(slot));
            }
            SlotEvent::Edited(lane) => self.reread(&lane),
            SlotEvent::Lost(slot) => {
                // Of one that was given back nothing is under way.
                if self.ending.get(&slot) != Some(&Ending::Released) {
                    self.ending.insert(slot, Ending::Lost { is_taken_again: false });
                    self.orders.push_back(SeatOrder::Halt(slot));
                }
            }
        }
    }

    /// Whether an API that is to begin waits, as it ran last in a form that isn't ours and that another member has.
    pub(super) fn holds(&mut self, api: &str, former: Option<u64>) -> bool {
        let (before, is_told) = (self.held.slots(), self.held.has(api));
        let others = OtherForms::clone(&self.others.borrow());
        let holder = self.held.look(api, former, &others);
        if let Some(holder) = holder.filter(|_| !is_told) {
            tracing::info!(
                api,
                member = holder.member,
                "the API ran last by another version of its entry, which that member still has, so it is left to it; it begins \
                 by this one when no member has the other"
            );
        }
        self.tell_declined(&before);
        holder.is_some()
    }

    /// Others have other forms now.
    fn look_at_held(&mut self) {
        let before = self.held.slots();
        let others = OtherForms::clone(&self.others.borrow_and_update());
        for api in self.held.freed(&others) {
            self.reread(&api);
        }
        self.tell_declined(&before);
    }

    /// Entries have changed. Says what this process has now of the config.
    pub(super) fn describe<'c>(&mut self, digest: String, config: &Config, changed: impl Iterator<Item = &'c str>) {
        let before = self.held.slots();
        changed.for_each(|api| self.held.forget(api));
        self.rates.configure(config);
        self.member.describe(entries_of(digest, config));
        self.tell_declined(&before);
    }

    fn tell_declined(&self, before: &BTreeSet<Slot>) {
        let slots = self.held.slots();
        if slots != *before {
            let waiting = self.held.names().take(WAITING_NAMES_MAX).map(str::to_owned).collect();
            self.member.decline(slots, waiting);
        }
    }

    fn reread(&mut self, lane: &str) {
        let api = api_of(lane);
        if self.admits(api) {
            self.orders.push_back(SeatOrder::Reread(api.to_owned()));
        }
    }

    /// Cuts the iterations that took too long.
    fn cut(&mut self) {
        for (slot, ending) in &mut self.ending {
            if let Ending::HandedOver { cut_at, is_cut } = ending
                && !*is_cut
                && *cut_at <= Instant::now()
            {
                *is_cut = true;
                self.orders.push_back(SeatOrder::Halt(*slot));
            }
        }
    }

    /// No API of a slot that ends is under way any more.
    pub(super) fn is_idle(&mut self, slot: Slot) {
        if !self.ends(slot) || !self.idle.insert(slot) {
            return;
        }
        let (state, unloading) = (Arc::clone(&self.state), self.unloading.clone());
        tokio::spawn(async move {
            state.unload(slot).await;
            unloading.send(slot).ok();
        });
    }

    /// Nothing of a slot is on its way to the engine any more.
    fn finish(&mut self, slot: Slot) {
        self.idle.remove(&slot);
        match self.ending.get(&slot) {
            Some(Ending::HandedOver { .. }) => {
                self.ending.insert(slot, Ending::Released);
                self.member.release(slot);
            }
            Some(Ending::Lost { is_taken_again }) => {
                if *is_taken_again {
                    self.orders.push_back(SeatOrder::Admit(slot));
                }
                self.ending.remove(&slot);
            }
            Some(Ending::Released) | None => {}
        }
    }

    /// Whether the APIs of a slot are ending.
    pub(super) fn ends(&self, slot: Slot) -> bool {
        self.ending.contains_key(&slot)
    }
}

/// What a member has of a config.
#[must_use]
pub fn entries_of(digest: String, config: &Config) -> MemberEntries {
    let slots = config.apis.iter().map(|plan| Slot::of(&plan.name)).collect();
    let forms = EntryForms::of(config.apis.iter().map(|plan| (plan.name.as_str(), plan.form())));
    MemberEntries { digest, slots, forms }
}

/// What is to be done next, where there is a seat.
pub(super) async fn next_of(seat: &mut Option<ClusterSeat>) -> SeatOrder {
    match seat {
        Some(seat) => seat.next().await,
        None => pending().await,
    }
}

/// How long an API that was taken over waits for its first iteration here: until its interval is over, and not at all
/// where its last one was cut.
pub(super) fn due_in(accounts: &BTreeMap<String, ApiState>, interval: Duration, now: DateTime<Utc>) -> Duration {
    let wait = |account: &ApiState| {
        let last = account.past.back().filter(|last| last.error.is_none() && account.progress.is_none())?;
        let due = last.at.checked_add_signed(chrono::TimeDelta::from_std(interval).ok()?)?;
        due.signed_duration_since(now).to_std().ok()
    };
    let longest = accounts.values().map(|account| wait(account).unwrap_or_default()).min();
    longest.unwrap_or_default().min(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::IterationSummary;

    #[test]
    fn a_slot_that_is_handed_over_is_given_back_whatever_it_was_ending_from() {
        let now = Instant::now();
        let cut = Ending::HandedOver { cut_at: now, is_cut: true };
        assert!(matches!(Ending::of_handover(None, now), Ending::HandedOver { is_cut: false, .. }));
        assert_eq!(Ending::of_handover(Some(Ending::Lost { is_taken_again: true }), now), cut);
        for known in [cut, Ending::Released, Ending::Lost { is_taken_again: false }] {
            assert_eq!(Ending::of_handover(Some(known), now + BORDER_AFTER), known);
        }
    }

    #[test]
    fn what_was_taken_over_runs_when_it_is_due_and_what_was_cut_at_once() {
        let now = DateTime::from_timestamp(1_716_900_000, 0).unwrap_or_default();
        let (minute, second) = (Duration::from_secs(60), chrono::TimeDelta::seconds(1));
        let account = |seconds_ago: i32, error: Option<&str>| {
            let past = IterationSummary {
                at: now - second * seconds_ago,
                seconds: 1.0,
                records: 1,
                pages: 1,
                error: error.map(str::to_owned),
            };
            ApiState { past: [past].into(), ..ApiState::blank() }
        };
        let due = |accounts: &[ApiState]| {
            let named = accounts.iter().enumerate().map(|(at, account)| (at.to_string(), account.clone())).collect();
            due_in(&named, minute, now).as_secs()
        };
        assert_eq!(due(&[]), 0);
        assert_eq!(due(&[account(20, None)]), 40);
        assert_eq!(due(&[account(90, None)]), 0);
        assert_eq!(due(&[account(20, Some("stopped"))]), 0);
        assert_eq!(due(&[account(20, None), account(50, None)]), 10, "the first that is due");
        assert_eq!(due(&[account(-500, None)]), 60, "a clock that is ahead");
        assert_eq!(due(&[ApiState::blank()]), 0);
    }
}
