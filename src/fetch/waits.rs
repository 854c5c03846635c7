//! The waits of one iteration: bounded, ended by a stop or a recall, and seen by whoever has something in hand meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::FetchError;
use super::error::moment;
use crate::cluster::SendLeave;
use crate::process::stop::{Recall, Stop, Waited};
use crate::transport::Clock;

/// A longer wait is worth shipping everything before it.
const LONG: Duration = Duration::from_secs(1);

/// How an iteration waits. Its clones are those of requests that are made at the same time.
#[derive(Clone, Debug)]
pub struct Waits {
    stop: Stop,
    recall: Recall,
    /// The longest wait within the iteration; a longer one ends it.
    longest: Duration,
    clock: Clock,
    /// Without it no request is made.
    leave: SendLeave,
    /// How many long waits are under way.
    long_waits: Arc<watch::Sender<usize>>,
}

/// Counts a long wait while it lasts, also where it is given up from outside.
struct LongWait<'a>(&'a watch::Sender<usize>);

impl<'a> LongWait<'a> {
    fn begin(waits: &'a watch::Sender<usize>) -> Self {
        waits.send_modify(|count| *count = count.saturating_add(1));
        Self(waits)
    }
}

impl Drop for LongWait<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Waits {
    /// Until a stop or a recall, and for so long within the iteration, by this clock.
    #[must_use]
    pub fn new(stop: Stop, recall: Recall, longest: Duration, clock: Clock) -> Self {
        Self { stop, recall, longest, clock, leave: SendLeave::always(), long_waits: Arc::new(watch::Sender::new(0)) }
    }

    /// The same where requests need a leave: one of several replicas makes none while it may have been replaced.
    #[must_use]
    pub fn with_leave(self, leave: SendLeave) -> Self {
        Self { leave, ..self }
    }

    /// Waits for the leave to make a request.
    pub(super) async fn for_leave(&self) -> Result<(), FetchError> {
        // Where it never comes, another replica has the API.
        if self.for_room(self.leave.given()).await? { Ok(()) } else { Err(FetchError::Recalled) }
    }

    /// Ends everything in the end.
    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Returns when a wait begins, or is under way, that is longer than a second: then everything in hand is to be shipped.
    pub async fn long_one(&self) {
        // The sender is this one's own, so there is no end before.
        let _ = self.long_waits.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Returns when the iteration is to end at the next batch border.
    pub async fn halted(&self) {
        self.recall.halted().await;
    }

    /// Whether it is to end there.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.recall.is_halted()
    }

    /// Waits.
    ///
    /// # Errors
    /// [`FetchError::Stopped`] and [`FetchError::Recalled`], at once: then nothing more is to be sent.
    pub(crate) async fn wait(&self, span: Duration) -> Result<(), FetchError> {
        self.during(span, self.clock.sleep(span)).await
    }

    /// What the work gives, whatever comes meanwhile. Where it takes longer than a second it counts as a wait.
    pub(super) async fn counted<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        match tokio::time::timeout(LONG, work.as_mut()).await {
            Ok(done) => done,
            Err(_) => {
                let _long = LongWait::begin(&self.long_waits);
                work.await
            }
        }
    }

    /// What the work gives. Where it takes longer than a second it counts as a wait.
    pub(super) async fn for_others<T>(&self, work: impl Future<Output = T>) -> Result<T, FetchError> {
        let mut work = std::pin::pin!(work);
        match tokio::time::timeout(LONG, self.during(Duration::ZERO, work.as_mut())).await {
            Ok(done) => done,
            Err(_) => self.during(Duration::MAX, work).await,
        }
    }

    /// What the work gives. Unless that is there at once it counts as a wait: what others need isn't held meanwhile.
    pub(super) async fn for_room<T>(&self, work: impl Future<Output = T>) -> Result<T, FetchError> {
        let mut work = std::pin::pin!(work);
        if let Some(done) = futures_util::FutureExt::now_or_never(work.as_mut()) {
            return Ok(done);
        }
        self.during(Duration::MAX, work).await
    }

    async fn during<T>(&self, span: Duration, work: impl Future<Output = T>) -> Result<T, FetchError> {
        let _long = (span > LONG).then(|| LongWait::begin(&self.long_waits));
        let ended = tokio::select! {
            biased;
            () = self.stop.requested() => Waited::Stopped,
            () = self.recall.requested() => Waited::Recalled,
            done = work => return Ok(done),
        };
        Err(if ended == Waited::Recalled { FetchError::Recalled } else { FetchError::Stopped })
    }

    /// What time it is.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The longest wait within the iteration.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// Why a host isn't asked, as that would have to wait too long.
    pub(super) fn held(&self, wait: Duration, host: &str) -> FetchError {
        FetchError::Held { host: host.to_owned(), until: moment(wait, self.clock.now()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeDelta, Utc};

    use crate::cluster::{LeaseClock, Ownership, Slot, since_boot};
    use crate::process::stop;

    fn waits(longest: Duration) -> (Waits, stop::StopTrigger, stop::RecallTrigger) {
        let ((stopping, stop), (calling, recall)) = (stop::channel(), stop::recall());
        (Waits::new(stop, recall, longest, Clock::System), stopping, calling)
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_asks_nothing_while_it_may_have_been_replaced() {
        let (waits, stopping, _calling) = waits(Duration::from_secs(60));
        waits.for_leave().await.expect("a single fetcher always may");
        let (renewing, clock) = watch::channel(LeaseClock::default());
        let (ownership, slot) = (Ownership::default(), Slot::of("api"));
        ownership.take(slot, 1);
        assert!(ownership.has_read(slot, "api", 1));
        let waits = waits.with_leave(SendLeave::of_lane(clock, ownership.clone(), ("api", "api")));
        let waiting = tokio::spawn({
            let waits = waits.clone();
            async move { waits.for_leave().await }
        });
        waits.long_one().await;
        assert!(!waiting.is_finished(), "nothing has renewed its lease");
        renewing.send_modify(|clock| clock.renewed(since_boot()));
        waiting.await.expect("it ends").expect("it may");
        ownership.give_up(slot);
        assert!(matches!(waits.for_leave().await, Err(FetchError::Recalled)), "another replica has it");
        renewing.send_modify(|clock| clock.lost(since_boot()));
        stopping.stop(Duration::from_secs(1));
        assert!(matches!(waits.for_leave().await, Err(FetchError::Stopped)));
    }

    #[tokio::test]
    async fn a_stop_and_a_recall_end_a_wait_at_once() {
        let (waits, stopping, calling) = waits(Duration::from_secs(300));
        let long = || waits.wait(Duration::from_secs(200));
        let (ended, ()) = tokio::join!(long(), async { calling.recall() });
        assert!(matches!(ended, Err(FetchError::Recalled)), "{ended:?}");
        stopping.stop(Duration::from_secs(30));
        assert!(matches!(long().await, Err(FetchError::Stopped)));
    }

    #[tokio::test]
    async fn only_a_long_wait_is_seen_and_only_while_it_lasts() {
        let (waits, ..) = waits(Duration::from_secs(300));
        let seen = async |span| {
            tokio::select! {
                biased;
                () = waits.long_one() => true,
                done = waits.wait(span) => done.is_err(),
            }
        };
        assert!(!seen(Duration::from_millis(20)).await);
        assert!(seen(Duration::from_secs(2)).await);
        assert!(!seen(Duration::from_millis(20)).await, "a wait that was given up is none any more");
    }

    #[tokio::test]
    async fn a_long_wait_is_seen_as_long_as_one_of_several_lasts() {
        let (waits, ..) = waits(Duration::from_secs(300));
        let other = waits.clone();
        tokio::select! {
            biased;
            _ = async { tokio::join!(other.wait(Duration::from_secs(100)), async {
                tokio::select! {
                    biased;
                    _ = waits.wait(Duration::from_secs(2)) => {}
                    () = tokio::task::yield_now() => {}
                }
            }) } => panic!("it waits"),
            () = async {
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                waits.long_one().await;
            } => {}
        }
    }

    #[test]
    fn who_is_not_asked_says_until_when() {
        let (waits, ..) = waits(Duration::from_millis(20));
        let before = Utc::now();
        let until = waits.held(Duration::from_secs(7200), "https://api.example").until().expect("until when");
        assert!(until >= before + TimeDelta::hours(2) && until < before + TimeDelta::hours(3), "{until}");
    }
}
