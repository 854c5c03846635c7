//! What is counted of the engine's answers, for whoever watches.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::engine::EngineError;

/// The upper ends of the spans that answers are counted in. The last ones are where a try is given up, and where a send is.
pub const ANSWER_BOUNDS: [Duration; 8] = [
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(700),
    Duration::from_millis(1_500),
    Duration::from_millis(3_500),
];

/// What the engine is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineOperation {
    /// To write a group of what lanes have done.
    Write,
    /// To keep this member's lease alive.
    Renew,
    /// To tell what it holds of an API that begins here.
    Read,
}

impl EngineOperation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Write, Self::Renew, Self::Read];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Renew => "renew",
            Self::Read => "read",
        }
    }
}

/// Counts since the process began. Cheap to clone; the clones are one.
#[derive(Clone, Debug, Default)]
pub struct ClusterCounters(Arc<SharedCounters>);

#[derive(Debug, Default)]
struct SharedCounters {
    fenced_writes: AtomicU64,
    in_doubt: AtomicU64,
    remembered_bytes: AtomicU64,
    /// By endpoint: there are as many as the config names.
    errors: Mutex<BTreeMap<String, u64>>,
    answers: Mutex<BTreeMap<EngineOperation, AnswerTimes>>,
}

/// How long something took until it was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerTimes {
    /// How many took no longer than each of [`ANSWER_BOUNDS`].
    pub within: [u64; ANSWER_BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// How long all of them took.
    pub sum: Duration,
}

/// What was counted until now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterTotals {
    /// Writes that were refused, as somebody else owns the slot.
    pub fenced_writes: u64,
    /// Writes that nobody answered: they were asked again.
    pub in_doubt: u64,
    /// Answers that didn't come or were none, by endpoint.
    pub errors: BTreeMap<String, u64>,
    /// How long answers took.
    pub answers: BTreeMap<EngineOperation, AnswerTimes>,
    /// How many bytes of what was delivered are in the engine, of the lanes that are written here.
    pub remembered_bytes: u64,
}

impl ClusterCounters {
    /// A write was refused, as somebody else owns the slot.
    pub fn fenced(&self) {
        self.0.fenced_writes.fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes of what was delivered are in the engine, of the lanes that are written here.
    pub fn remembers(&self, bytes: u64) {
        self.0.remembered_bytes.store(bytes, Ordering::Relaxed);
    }

    /// How many bytes of what was delivered are in the engine, of the lanes that are written here.
    #[must_use]
    pub fn remembered_bytes(&self) -> u64 {
        self.0.remembered_bytes.load(Ordering::Relaxed)
    }

    /// Something was answered.
    pub fn answered(&self, operation: EngineOperation, took: Duration) {
        let mut all = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = all.entry(operation).or_default();
        answers.count += 1;
        answers.sum = answers.sum.saturating_add(took);
        let within = answers.within.iter_mut().zip(ANSWER_BOUNDS);
        within.filter(|(_, bound)| took <= *bound).for_each(|(count, _)| *count += 1);
    }

    /// A write was not answered, or refused by the engine itself.
    pub fn failed(&self, cause: &EngineError) {
        if matches!(cause, EngineError::InDoubt { .. }) {
            self.0.in_doubt.fetch_add(1, Ordering::Relaxed);
        }
        let mut errors = self.0.errors.lock().unwrap_or_else(PoisonError::into_inner);
        *errors.entry(endpoint_of(cause).to_owned()).or_default() += 1;
    }

    /// What was counted until now.
    #[must_use]
    pub fn totals(&self) -> ClusterTotals {
        ClusterTotals {
            fenced_writes: self.0.fenced_writes.load(Ordering::Relaxed),
            in_doubt: self.0.in_doubt.load(Ordering::Relaxed),
            errors: self.0.errors.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            answers: self.0.answers.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            remembered_bytes: self.remembered_bytes(),
        }
    }
}

fn endpoint_of(cause: &EngineError) -> &str {
    match cause {
        EngineError::InDoubt { endpoint, .. }
        | EngineError::Refused { endpoint, .. }
        | EngineError::Foreign { endpoint, .. }
        | EngineError::Compacted { endpoint } => endpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_in_every_span_that_they_are_within() {
        let counters = ClusterCounters::default();
        [1, 5, 60, 9_000].iter().for_each(|ms| counters.answered(EngineOperation::Write, Duration::from_millis(*ms)));
        counters.answered(EngineOperation::Renew, Duration::from_millis(3));
        let in_doubt = EngineError::InDoubt { endpoint: "a".to_owned(), cause: "silence".to_owned() };
        let refused = EngineError::Refused { endpoint: "a".to_owned(), cause: "full".to_owned() };
        [in_doubt, refused].iter().for_each(|cause| counters.failed(cause));
        counters.fenced();
        let totals = counters.totals();
        let answers = |operation| totals.answers.get(&operation).cloned().unwrap_or_default();
        let writes = answers(EngineOperation::Write);
        assert_eq!(writes.within, [1, 2, 2, 2, 3, 3, 3, 3]);
        assert_eq!((writes.count, writes.sum), (4, Duration::from_millis(9_066)));
        assert_eq!(answers(EngineOperation::Renew).within, [0, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(answers(EngineOperation::Read), AnswerTimes::default());
        assert_eq!((totals.fenced_writes, totals.in_doubt, totals.errors.get("a")), (1, 1, Some(&2)));
    }
}
