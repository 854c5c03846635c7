//! What is known of an output by everybody who ships to it. Pure, but for the lock around it: time is an argument.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::StatusCode;

/// How often an output is asked by an empty request whether a listener answers there by now, after somebody else did.
pub const ASK_EVERY: Duration = Duration::from_secs(60);
/// How long an acknowledgement shows that it is a record, and not the output, for which a batch is refused: as long as
/// two intervals of most APIs.
pub const ACKNOWLEDGED_RECENTLY: Duration = Duration::from_secs(10 * 60);

/// An answer that no listener gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) status: StatusCode,
    /// What came, as it may be shown.
    pub(super) error_body: String,
}

/// What may be done with the next batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// It may be sent.
    Send,
    /// Somebody else than a listener answers there; it isn't time to ask again.
    Wait(Foreign),
    /// The same, and it is time to ask. Nobody else is told so before another [`ASK_EVERY`] has passed.
    Ask(Foreign),
}

/// The output as its answers show it.
#[derive(Debug, Default)]
pub(super) struct Reachability(Mutex<ReachabilityState>);

#[derive(Debug, Default)]
struct ReachabilityState {
    has_answered: bool,
    /// How many batches were acknowledged.
    acknowledged: u64,
    /// When the last one was, until this is used up.
    acknowledged_at: Option<Instant>,
    /// What came in place of a listener's answer, and when to ask again.
    foreign: Option<(Foreign, Instant)>,
}

impl Reachability {
    fn state(&self) -> MutexGuard<'_, ReachabilityState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a batch was acknowledged.
    pub(super) fn acknowledge(&self, now: Instant) {
        let mut state = self.state();
        state.acknowledged += 1;
        state.acknowledged_at = Some(now);
        state.foreign = None;
        state.has_answered = true;
    }

    /// Notes that a listener answered, whatever it said of the batch.
    pub(super) fn hear(&self) {
        let mut state = self.state();
        state.foreign = None;
        state.has_answered = true;
    }

    /// Notes that somebody else answered.
    pub(super) fn hear_foreign(&self, foreign: Foreign, now: Instant) {
        let mut state = self.state();
        state.foreign = Some((foreign, now + ASK_EVERY));
        state.has_answered = true;
    }

    /// Whether anybody ever answered.
    pub(super) fn has_answered(&self) -> bool {
        self.state().has_answered
    }

    /// How many batches were acknowledged so far, by all who ship here.
    pub(super) fn acknowledged(&self) -> u64 {
        self.state().acknowledged
    }

    /// What may be done with the next batch.
    pub(super) fn permission(&self, now: Instant) -> Permission {
        match &mut self.state().foreign {
            None => Permission::Send,
            Some((foreign, ask_at)) if now < *ask_at => Permission::Wait(foreign.clone()),
            Some((foreign, ask_at)) => {
                *ask_at = now + ASK_EVERY;
                Permission::Ask(foreign.clone())
            }
        }
    }

    /// Whether a batch was acknowledged within [`ACKNOWLEDGED_RECENTLY`]. This uses the acknowledgement up: an output that
    /// has begun to refuse everything can't be taken for one that dislikes a record, more than once.
    pub(super) fn use_recent_acknowledgement(&self, now: Instant) -> bool {
        let at = self.state().acknowledged_at.take();
        at.is_some_and(|at| now.saturating_duration_since(at) <= ACKNOWLEDGED_RECENTLY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_foreign_answer_one_asks_a_minute_until_a_listener_answers() {
        let (standing, begin) = (Reachability::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let page = Foreign { status: StatusCode::OK, error_body: "<html>".to_owned() };
        assert_eq!(standing.permission(at(0)), Permission::Send);
        standing.hear_foreign(page.clone(), at(0));
        assert_eq!(standing.permission(at(59)), Permission::Wait(page.clone()));
        assert_eq!(standing.permission(at(60)), Permission::Ask(page.clone()));
        assert_eq!(standing.permission(at(60)), Permission::Wait(page.clone()), "one asks for all");
        assert_eq!(standing.permission(at(120)), Permission::Ask(page));
        standing.hear();
        assert_eq!(standing.permission(at(120)), Permission::Send);
    }

    #[test]
    fn an_acknowledgement_is_used_up_and_gets_old() {
        let (standing, begin) = (Reachability::default(), Instant::now());
        assert!(!standing.use_recent_acknowledgement(begin));
        standing.acknowledge(begin);
        assert!(standing.use_recent_acknowledgement(begin + ACKNOWLEDGED_RECENTLY));
        assert!(!standing.use_recent_acknowledgement(begin), "it is used up");
        standing.acknowledge(begin);
        assert!(!standing.use_recent_acknowledgement(begin + ACKNOWLEDGED_RECENTLY + Duration::from_secs(1)));
        assert_eq!((standing.acknowledged(), standing.has_answered()), (2, true));
    }
}
