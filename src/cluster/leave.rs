//! The leave to send: an owner has it as long as its lease can't have ended.
//!
//! The listener knows no fences, so whoever may have been replaced must not send. It is looked at before each try. What is on
//! the wire when it ends may have been taken already: its answer is waited for a moment longer, as to send it again would
//! double it though nobody has taken the lane over.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::lease::{LEASE_TTL, LeaseClock, SEND_UNTIL};
use super::ownership::Ownership;
use super::slot::Slot;

/// How much longer is waited than the deadline says, so that it is over then.
const ROUNDED_UP: Duration = Duration::from_millis(1);

/// How long it is since the machine booted. Unlike other clocks it goes on while the machine sleeps.
#[must_use]
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// How much longer an answer is waited for: it is over before anybody can have taken the lane. A process that stood still for
/// longer finds an answer that came meanwhile.
const ANSWERED_AFTER: Duration = Duration::from_secs(1);
const _: () = assert!(SEND_UNTIL.as_millis() + ANSWERED_AFTER.as_millis() < LEASE_TTL.as_millis());

/// The leave to send. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SendLeave(Option<LeasedLane>);

#[derive(Clone, Debug)]
struct LeasedLane {
    clock: watch::Receiver<LeaseClock>,
    ownership: Ownership,
    slot: Slot,
    api: Arc<str>,
    lane: Arc<str>,
}

impl SendLeave {
    /// Of a single fetcher, which is never replaced.
    #[must_use]
    pub fn always() -> Self {
        Self(None)
    }

    /// Of an API's lane, as long as a lease goes on and the lane is ours.
    #[must_use]
    pub fn of_lane(clock: watch::Receiver<LeaseClock>, ownership: Ownership, (api, lane): (&str, &str)) -> Self {
        Self(Some(LeasedLane { clock, ownership, slot: Slot::of(api), api: api.into(), lane: lane.into() }))
    }

    /// Waits until it is there. Gives whether it is: it never comes again where somebody else owns the lane.
    pub async fn given(&self) -> bool {
        let Some(LeasedLane { clock, ownership, slot, api, lane }) = &self.0 else { return true };
        let mut clock = clock.clone();
        // Whoever renews the lease is gone only when everything ends.
        clock.wait_for(|clock| clock.may_send(since_boot())).await.is_ok() && ownership.may_work(*slot, api, lane)
    }

    /// Sends, as long as it is there. Gives what came of it; nothing where it isn't known.
    pub async fn while_there<T>(&self, send: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(send);
        tokio::select! {
            sent = &mut send => return Some(sent),
            () = self.ended() => {}
        }
        timeout(ANSWERED_AFTER, send).await.ok()
    }

    /// Returns when it is no longer there.
    pub async fn ended(&self) {
        let Some(LeasedLane { clock, .. }) = &self.0 else { return pending().await };
        let mut clock = clock.clone();
        loop {
            let deadline = clock.borrow_and_update().send_deadline();
            let Some(left) = deadline.and_then(|deadline| deadline.checked_sub(since_boot())) else { return };
            tokio::select! {
                () = sleep(left.saturating_add(ROUNDED_UP)) => {}
                changed = clock.changed() => if changed.is_err() { return },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_single_fetcher_may_always_send() {
        let leave = SendLeave::always();
        assert!(leave.given().await);
        assert!(timeout(Duration::from_millis(5), leave.ended()).await.is_err());
    }

    #[tokio::test]
    async fn a_member_may_send_until_its_renewal_is_too_old_and_again_after_the_next() {
        let (sender, clock) = watch::channel(LeaseClock::default());
        let (ownership, slot) = (Ownership::default(), Slot::of("api"));
        ownership.take(slot, 1);
        assert!(ownership.has_read(slot, "api", 1));
        let leave = SendLeave::of_lane(clock, ownership.clone(), ("api", "api"));
        leave.ended().await;
        let waiting = tokio::spawn({
            let leave = leave.clone();
            async move { leave.given().await }
        });
        sender.send_modify(|clock| clock.renewed(since_boot()));
        assert!(waiting.await.expect("it is given"));
        let ending = tokio::spawn({
            let leave = leave.clone();
            async move { leave.ended().await }
        });
        // What is under way has until the lease would have ended.
        sender.send_modify(|clock| clock.lost(since_boot()));
        assert!(timeout(Duration::from_millis(5), leave.given()).await.is_err(), "nothing more is sent");
        assert!(!ending.is_finished());
        drop(sender);
        ending.await.expect("nobody renews it any more");
        let (sender, clock) = watch::channel(LeaseClock::default());
        sender.send_modify(|clock| clock.renewed(since_boot()));
        let leave = SendLeave::of_lane(clock, ownership.clone(), ("api", "api"));
        assert!(leave.given().await);
        ownership.give_up(slot);
        assert!(!leave.given().await, "somebody else owns it");
        ownership.take(slot, 3);
        assert!(!leave.given().await, "somebody else owned it meanwhile");
    }

    /// A process that stood still finds its leave at an end, and the answer that came meanwhile.
    #[tokio::test]
    async fn an_answer_counts_that_came_about_when_the_leave_ended() {
        let (sender, clock) = watch::channel(LeaseClock::default());
        let leave = SendLeave::of_lane(clock, Ownership::default(), ("api", "api"));
        assert_eq!(leave.while_there(async { 1 }).await, Some(1), "it was there at once");
        let late = async {
            sleep(Duration::from_millis(20)).await;
            2
        };
        assert_eq!(leave.while_there(late).await, Some(2), "it came a moment later");
        assert_eq!(leave.while_there(pending::<u8>()).await, None, "it is waited for a moment alone");
        drop(sender);
    }
}
