//! Stopping: from the first signal to the last moment.
//!
//! A [`Stop`] is handed to everything that waits. From the signal on no wait lasts; what is under way goes on until the
//! *drain deadline*, shortly before the grace window ends; what is on the wire then may still be answered until the *I/O deadline*. So the
//! process is gone before somebody kills it.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// How long before the end of the grace window nothing new is begun; a quarter of a short window.
const CUT_BEFORE_END: Duration = Duration::from_secs(5);
/// How long before the end of the grace window what is on the wire is given up; a tenth of a short window.
const END_BEFORE_KILL: Duration = Duration::from_millis(2000);
/// How long before the end of the grace window the process goes, whatever still hangs; a twentieth of a short window.
const GONE_BEFORE_KILL: Duration = Duration::from_millis(1000);

/// Starts the stop.
#[derive(Debug)]
pub struct StopTrigger(watch::Sender<Option<Deadlines>>);

/// Tells everybody when to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Option<Deadlines>>);

#[derive(Clone, Copy, Debug)]
struct Deadlines {
    drain_deadline: Instant,
    io_deadline: Instant,
    exit_deadline: Instant,
    kill: Instant,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The time is over.
    Whole,
    /// A stop came.
    Stopped,
    /// Who waits is called back, as what it does is to be done otherwise.
    Recalled,
}

/// Calls one API back from what it waits for: its entry was edited or removed, or its checkpoint moved.
#[derive(Debug)]
pub struct RecallTrigger(watch::Sender<Urgency>);

/// How urgently an iteration is called back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// Not at all.
    None,
    /// From its waits.
    Waits,
    /// At the next batch border.
    Now,
    /// The same, as the iterations of the other outputs are over.
    Behind,
}

/// Tells one API's iteration that it is called back: no wait lasts, what is under way goes on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recall(watch::Receiver<Urgency>);

/// A recall that hasn't come yet.
#[must_use]
pub fn recall() -> (RecallTrigger, Recall) {
    let (sender, receiver) = watch::channel(Urgency::None);
    (RecallTrigger(sender), Recall(receiver))
}

impl RecallTrigger {
    /// Ends every wait.
    pub fn recall(&self) {
        self.0.send_if_modified(|call| std::mem::replace(call, Urgency::Waits.max(*call)) < Urgency::Waits);
    }

    /// Ends the iteration at the next batch border, and every wait.
    pub fn halt(&self) {
        self.0.send_replace(Urgency::Now);
    }

    /// The same, as those of the other outputs are over.
    pub fn leave_behind(&self) {
        self.0.send_if_modified(|call| std::mem::replace(call, Urgency::Behind.max(*call)) < Urgency::Behind);
    }
}

impl Recall {
    /// For whoever is never called back.
    #[must_use]
    pub fn never() -> Self {
        recall().1
    }

    /// Whether it came.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() >= Urgency::Waits
    }

    /// Whether the iteration is to end at the next batch border.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        *self.0.borrow() >= Urgency::Now
    }

    /// Whether it is to end as the iterations of the other outputs are over.
    #[must_use]
    pub fn is_left_behind(&self) -> bool {
        *self.0.borrow() == Urgency::Behind
    }

    /// Returns when the iteration is to end at the next batch border.
    pub async fn halted(&self) {
        self.reached(Urgency::Now).await;
    }

    /// Returns when it comes.
    pub async fn requested(&self) {
        self.reached(Urgency::Waits).await;
    }

    async fn reached(&self, wanted: Urgency) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|call| *call >= wanted).await.is_err() {
            // Without a trigger it never will.
            std::future::pending::<()>().await;
        }
    }
}

/// A stop that hasn't come yet.
#[must_use]
pub fn channel() -> (StopTrigger, Stop) {
    let (sender, receiver) = watch::channel(None);
    (StopTrigger(sender), Stop(receiver))
}

impl StopTrigger {
    /// Starts the stop: the grace window begins now.
    pub fn stop(&self, grace: Duration) {
        let now = Instant::now();
        let io_deadline = grace.saturating_sub(END_BEFORE_KILL.min(grace / 10));
        let drain_deadline = grace.saturating_sub(CUT_BEFORE_END.min(grace / 4));
        let exit_deadline = grace.saturating_sub(GONE_BEFORE_KILL.min(grace / 20));
        self.0.send_replace(Some(Deadlines {
            drain_deadline: now + drain_deadline,
            io_deadline: now + io_deadline,
            exit_deadline: now + exit_deadline,
            kill: now + grace,
        }));
    }
}

impl Stop {
    /// Whether the stop has come.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Whether nothing new may be begun.
    #[must_use]
    pub fn is_draining_over(&self) -> bool {
        self.0.borrow().is_some_and(|deadlines| Instant::now() >= deadlines.drain_deadline)
    }

    /// How much of the grace window is left, once the stop has come.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.0.borrow().map(|deadlines| deadlines.kill.saturating_duration_since(Instant::now()))
    }

    /// Returns when the stop comes.
    pub async fn requested(&self) {
        self.deadlines().await;
    }

    /// Returns when nothing new may be begun.
    pub async fn drain_deadline(&self) {
        sleep_until(self.deadlines().await.drain_deadline).await;
    }

    /// Returns when everything must be over.
    pub async fn io_deadline(&self) {
        sleep_until(self.deadlines().await.io_deadline).await;
    }

    /// Waits, unless the stop comes or is there already.
    pub async fn wait(&self, span: Duration) -> Waited {
        tokio::select! {
            biased;
            () = self.requested() => Waited::Stopped,
            () = sleep(span) => Waited::Whole,
        }
    }

    /// What the work gives, unless it isn't done at the cut.
    pub async fn until_cut<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.drain_deadline() => None,
        }
    }

    /// What the work gives, unless it isn't done at the end.
    pub async fn until_end<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.io_deadline() => None,
        }
    }

    /// What the work gives, unless it isn't done when the process must go.
    pub async fn until_gone<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let exit_deadline = async { sleep_until(self.deadlines().await.exit_deadline).await };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = exit_deadline => None,
        }
    }

    async fn deadlines(&self) -> Deadlines {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await.map(|deadlines| *deadlines) {
            Ok(Some(deadlines)) => deadlines,
            // Without a trigger no stop will ever come.
            _ => std::future::pending().await,
        }
    }
}
