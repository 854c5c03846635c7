//! What the daemon does where it is one of several: it runs the APIs of the slots that are its own.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep_until};

use super::Daemon;
use super::reach::look_around;
use super::seat::{ClusterSeat, SeatOrder, SeatStart, due_in};
use super::task::{TaskCommand, start_delay};
use crate::cluster::Slot;
use crate::plan::Plan;

/// How long a process that stops, and runs nothing any more, waits until more of its slots are given back. Its lease would have
/// ended then by itself, and others take them.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(5);

impl Daemon {
    /// As a member of a cluster, where it runs what is its own; or alone, where there is no seat.
    #[must_use]
    pub fn seated(self, seat: Option<ClusterSeat>) -> Self {
        Self { seat, ..self }
    }

    /// Does what its seat wants.
    pub(super) fn obey_seat(&mut self, order: SeatOrder) {
        match order {
            SeatOrder::Admit(slot) => {
                let of_slot = self.config.apis.iter().filter(|plan| Slot::of(&plan.name) == slot);
                for plan in of_slot {
                    if let Some(seat) = self.seat.as_mut().filter(|seat| seat.admits(&plan.name)) {
                        seat.read(&plan.name, SeatStart::WhenDue);
                    }
                }
            }
            SeatOrder::Start(api, accounts, start) => {
                let of_config = self.config.apis.iter().position(|plan| plan.name == api);
                if let Some(plan) = of_config.and_then(|at| self.config.apis.get(at)).map(Arc::clone) {
                    let own = plan.form();
                    let former = accounts.values().filter_map(|account| account.form).find(|form| *form != own);
                    if self.seat.as_mut().is_some_and(|seat| seat.holds(&api, former)) {
                        return;
                    }
                    let due = match start {
                        SeatStart::AtOnce => Duration::ZERO,
                        SeatStart::WhenDue => due_in(&accounts, plan.interval, Utc::now()),
                    };
                    self.rest.replace(&api, accounts);
                    self.begin(plan, due.max(start_delay(of_config.unwrap_or_default())));
                }
            }
            SeatOrder::LookAround => {
                let services = Arc::clone(&self.services);
                if let Some(seat) = &mut self.seat {
                    seat.looking = Some(tokio::spawn(look_around(services, seat.member.clone())));
                }
            }
            SeatOrder::End(slot) => self.tell_slot(slot, &TaskCommand::End),
            SeatOrder::Halt(slot) => self.tell_slot(slot, &TaskCommand::Halt),
            SeatOrder::Reread(api) => match self.commands.get(&api) {
                Some(commands) => drop(commands.send_replace(TaskCommand::Halt)),
                None => {
                    if let Some(plan) = self.config.apis.iter().find(|plan| plan.name == api).map(Arc::clone) {
                        self.start(plan, Duration::ZERO);
                    }
                }
            },
        }
    }

    /// Tells the APIs of a slot to end.
    fn tell_slot(&mut self, slot: Slot, command: &TaskCommand) {
        let of_slot = self.commands.iter().filter(|(name, _)| Slot::of(name) == slot);
        of_slot.for_each(|(_, commands)| drop(commands.send_replace(command.clone())));
        self.look_whether_idle(slot);
    }

    fn look_whether_idle(&mut self, slot: Slot) {
        let is_idle = !self.commands.keys().any(|name| Slot::of(name) == slot);
        if let Some(seat) = self.seat.as_mut().filter(|_| is_idle) {
            seat.is_idle(slot);
        }
    }

    /// An API is back. What is known of it is the cluster's: should it begin here again, it is read.
    pub(super) fn reap_of_cluster(&mut self, plan: &Arc<Plan>, last: Option<TaskCommand>) {
        let slot = Slot::of(&plan.name);
        if self.seat.as_ref().is_some_and(|seat| seat.ends(slot)) {
            self.services.registry.remove(&plan.name);
            tracing::info!(api = plan.name, "the API goes on in another member of the cluster");
            return self.look_whether_idle(slot);
        }
        match last {
            Some(TaskCommand::Work(plan, ..)) => self.start(plan, Duration::ZERO),
            Some(TaskCommand::Halt) if !self.services.stop.is_requested() => {
                self.start(Arc::clone(plan), Duration::ZERO)
            }
            Some(TaskCommand::End) if let Some(plan) = self.planned(&plan.name) => self.start(plan, Duration::ZERO),
            _ => {
                self.services.registry.remove(&plan.name);
                tracing::info!(api = plan.name, "the API is no longer in the config, or is not enabled, and has ended");
            }
        }
    }

    /// The plan of an API of the config.
    fn planned(&self, name: &str) -> Option<Arc<Plan>> {
        self.config.apis.iter().find(|plan| plan.name == name).map(Arc::clone)
    }

    /// Whether an API that runs is to be looked at anew before it goes on by a plan: others may have the form in which it runs.
    /// Then its task ends.
    pub(super) fn ends_for_form(&self, plan: &Plan) -> bool {
        let Some(seat) = &self.seat else { return false };
        let Some(commands) = self.commands.get(&plan.name) else { return false };
        let is_other = match &*commands.borrow() {
            TaskCommand::Work(running, ..) => running.form() != plan.form(),
            // It is about to end, and begins anew if it is to.
            TaskCommand::End | TaskCommand::Halt => true,
        };
        if is_other && !seat.ends(Slot::of(&plan.name)) {
            commands.send_if_modified(|command| {
                let works = matches!(command, TaskCommand::Work(..));
                if works {
                    *command = TaskCommand::End;
                }
                works
            });
        }
        is_other
    }

    /// Waits until every API has ended, and gives back what the cluster shall run elsewhere.
    pub(super) async fn end_all(&mut self) {
        let Some(seat) = &self.seat else {
            while self.tasks.join_next().await.is_some() {}
            return;
        };
        let (member, state) = (seat.member.clone(), Arc::clone(&seat.state));
        member.leave();
        let (mut held, mut given_up_at) = (usize::MAX, Instant::now());
        loop {
            let still_held = state.ownership().count();
            if !self.tasks.is_empty() || still_held != held {
                (held, given_up_at) = (still_held, Instant::now() + GIVEN_BACK_WITHIN);
            } else if given_up_at <= Instant::now() {
                return tracing::warn!(
                    "the cluster's engine doesn't answer, so the slots aren't given back; others take them when the lease has ended"
                );
            }
            tokio::select! {
                biased;
                () = sleep_until(given_up_at), if self.tasks.is_empty() => {}
                Some(done) = self.tasks.join_next() => if let Ok(api) = done {
                    let plan = Arc::clone(&api.plan);
                    given_up_at = Instant::now() + GIVEN_BACK_WITHIN;
                    self.commands.remove(&plan.name);
                    self.look_whether_idle(Slot::of(&plan.name));
                },
                order = super::seat::next_of(&mut self.seat) => self.obey_seat(order),
                // What still runs ends at a batch border, also where all slots are lost.
                () = member.has_left(), if self.tasks.is_empty() => return,
            }
        }
    }
}
