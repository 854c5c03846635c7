//! Answers that several outputs of an API need: asked for once, and given to each.
//!
//! Enters: the requests of each output's iteration, as that output makes them by its own state. Leaves: the answer, which
//! another output's iteration got by the same request or still waits for. What always holds: the answers that are kept for an
//! output that comes later are bounded, and so is the time that others wait for it; one that has fallen behind asks for
//! itself from then on. One that can't, as the server moves on with each request, ends its iteration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Answer, FetchError, RequestTurn};
use crate::memory::{MemoryBudget, Outage};
use crate::record::Fingerprint;

/// How many answers are kept for an output that is behind the others: it is as far behind as one that compresses a batch
/// while it sends another.
const AHEAD_MAX: usize = 4;
/// How long the others wait in one iteration for an output that is further behind.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps the text of an answer for every output that shares it. It is on the disk afterwards.
pub type KeepAnswer = Box<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// How long an output waits for the others where none goes ahead of another: as long as a batch is tried.
const IN_STEP_MAX: Duration = Duration::from_secs(5 * 60);

/// The answers of one iteration of an API.
pub struct SharedAnswers {
    state: Mutex<SharedState>,
    changed: Notify,
    memory: MemoryBudget,
    /// Where the API gives what it gave no more: nothing is asked before every output has what came, or keeps it.
    keeping: Option<KeepAnswer>,
    /// That of no output: pages that several need don't wait for one of them.
    outage: Outage,
}

/// One output's part in them.
#[derive(Clone, Debug)]
pub struct SharedSeat {
    answers: Arc<SharedAnswers>,
    place: usize,
}

/// A request, and how often it was made before.
type SharedKey = (Fingerprint, u32);

#[derive(Debug, Default)]
struct SharedState {
    /// The outputs that share, by their places: how often each made which request.
    seats: BTreeMap<usize, BTreeMap<Fingerprint, u32>>,
    answers: BTreeMap<SharedKey, SharedAnswer>,
    /// Whether no output goes ahead of another.
    is_in_step: bool,
    /// Whether one of them lacks what came, so that nothing else is asked.
    is_held_up: bool,
    /// When each slice of the window began, the same for all.
    begun: BTreeMap<u32, DateTime<Utc>>,
}

/// What is known of a request.
#[derive(Debug)]
enum SharedAnswer {
    /// It is being made.
    Asked,
    /// What came of it, and who still lacks it.
    Came { result: Box<Result<Answer, FetchError>>, lacking: BTreeSet<usize> },
}

/// What an output's request leads to.
#[derive(Debug)]
enum SharedTurn {
    /// Here is what came of it.
    Take(Box<Result<Answer, FetchError>>),
    /// It is to be made, for all.
    Ask,
    /// It is to be made for this output alone.
    AskAlone,
    /// Somebody else is about to make it, or too far behind.
    Wait,
    /// It isn't to be made, as another output lacks what came before.
    HeldUp,
}

impl SharedAnswers {
    /// For outputs at these places. Where the API keeps its position, `keeping` keeps each answer for all of them, and none
    /// goes ahead of another.
    #[must_use]
    pub fn new(
        memory: MemoryBudget,
        places: impl IntoIterator<Item = usize>,
        keeping: Option<KeepAnswer>,
    ) -> Arc<Self> {
        let seats = places.into_iter().map(|place| (place, BTreeMap::new())).collect();
        let is_in_step = keeping.is_some();
        let state = Mutex::new(SharedState { seats, is_in_step, ..SharedState::default() });
        Arc::new(Self { state, changed: Notify::new(), memory, keeping, outage: Outage::default() })
    }

    /// The part of the output at a place.
    #[must_use]
    pub fn seat(self: &Arc<Self>, place: usize) -> SharedSeat {
        SharedSeat { answers: Arc::clone(self), place }
    }

    fn state(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedAnswers").field("state", &self.state).finish_non_exhaustive()
    }
}

impl SharedState {
    /// Counts a request of an output; nothing where it no longer shares.
    fn count(&mut self, place: usize, request: Fingerprint) -> Option<SharedKey> {
        let times = self.seats.get_mut(&place)?.entry(request).or_default();
        *times = times.saturating_add(1);
        Some((request, *times))
    }

    /// How many answers an output lacks that others have.
    fn backlog(&self, place: usize) -> usize {
        let lacks =
            |shared: &&SharedAnswer| matches!(shared, SharedAnswer::Came { lacking, .. } if lacking.contains(&place));
        self.answers.values().filter(lacks).count()
    }

    /// The output other than this one that is too far behind.
    fn straggler(&self, place: usize) -> Option<usize> {
        self.seats.keys().copied().find(|other| *other != place && self.backlog(*other) >= AHEAD_MAX)
    }

    /// What the request of an output leads to.
    fn turn(&mut self, place: usize, key: SharedKey) -> SharedTurn {
        if !self.seats.contains_key(&place) {
            return SharedTurn::AskAlone;
        }
        let has_straggler = !self.is_in_step && self.straggler(place).is_some();
        let has_all =
            !self.is_in_step || self.seats.values().all(|made| made.get(&key.0).is_some_and(|times| *times >= key.1));
        let (taken, is_last) = match self.answers.get_mut(&key) {
            Some(SharedAnswer::Asked) => return SharedTurn::Wait,
            Some(SharedAnswer::Came { result, lacking }) => match lacking.remove(&place) {
                true => ((**result).as_ref().map(Answer::shared).map_err(FetchError::clone), lacking.is_empty()),
                false => return SharedTurn::AskAlone,
            },
            None if self.is_held_up => return SharedTurn::HeldUp,
            None if has_straggler || !has_all => return SharedTurn::Wait,
            None => {
                self.answers.insert(key, SharedAnswer::Asked);
                return SharedTurn::Ask;
            }
        };
        if is_last {
            self.answers.remove(&key);
        }
        SharedTurn::Take(Box::new(taken))
    }

    /// Notes what came of a request that the output at a place made.
    fn come(&mut self, place: usize, key: SharedKey, result: Result<Answer, FetchError>) {
        let lacking: BTreeSet<usize> = self.seats.keys().copied().filter(|other| *other != place).collect();
        match lacking.is_empty() {
            true => drop(self.answers.remove(&key)),
            false => drop(self.answers.insert(key, SharedAnswer::Came { result: Box::new(result), lacking })),
        }
    }

    /// An output no longer shares.
    fn leave(&mut self, place: usize, lacks_output: bool) {
        let was_here = self.seats.remove(&place).is_some();
        self.is_held_up |= self.is_in_step && lacks_output && was_here;
        self.answers.retain(|_, shared| match shared {
            SharedAnswer::Asked => true,
            SharedAnswer::Came { lacking, .. } => {
                lacking.remove(&place);
                !lacking.is_empty()
            }
        });
    }
}

impl SharedSeat {
    /// No longer shares, as the output's iteration is over; with `lacks_output` as the output may lack some of it. Only the first
    /// call counts. The others don't wait for it, and where the API gives nothing twice they ask for nothing else then.
    pub fn leave(&self, lacks_output: bool) {
        self.answers.state().leave(self.place, lacks_output);
        self.answers.changed.notify_waiters();
    }

    /// When a slice of the window begins, where the outputs are to ask for the same: the moment of the first of them.
    #[must_use]
    pub fn slice_begins(&self, slice: u32, now: DateTime<Utc>) -> DateTime<Utc> {
        *self.answers.state().begun.entry(slice).or_insert(now)
    }

    /// What pages for several outputs wait for: for none of them.
    #[must_use]
    pub fn outage(&self) -> &Outage {
        &self.answers.outage
    }

    /// What came of a request, whoever made it.
    ///
    /// # Errors
    /// Those of the request, and [`FetchError::Behind`].
    pub(super) async fn page<F>(
        &self,
        request: Fingerprint,
        turn: RequestTurn,
        ask: impl Fn() -> F,
    ) -> Result<Answer, FetchError>
    where
        F: Future<Output = Result<Answer, FetchError>>,
    {
        let Some(key) = self.answers.state().count(self.place, request) else { return self.alone(turn, ask).await };
        if self.answers.keeping.is_some() {
            self.answers.changed.notify_waiters();
        }
        let (patience, in_step_until) = (Instant::now() + PATIENCE, Instant::now() + IN_STEP_MAX);
        loop {
            let changed = self.answers.changed.notified();
            let next = self.answers.state().turn(self.place, key);
            match next {
                SharedTurn::Take(taken) => {
                    self.answers.changed.notify_waiters();
                    return *taken;
                }
                SharedTurn::Ask => {
                    let asking = SharedRequest { seat: self, key, is_done: false };
                    return asking.end(ask().await);
                }
                SharedTurn::AskAlone => return self.alone(turn, ask).await,
                SharedTurn::HeldUp => return Err(FetchError::HeldUp),
                SharedTurn::Wait if self.answers.keeping.is_some() => {
                    if timeout_at(in_step_until, changed).await.is_err() {
                        return Err(FetchError::HeldUp);
                    }
                }
                SharedTurn::Wait => {
                    if timeout_at(patience, changed).await.is_err() {
                        self.lose_patience(key).await;
                    }
                }
            }
        }
    }

    /// Goes on without the output that is too far behind; where it is another one's request that is waited for, waits on.
    async fn lose_patience(&self, key: SharedKey) {
        let changed = self.answers.changed.notified();
        let (straggler, is_asked) = {
            let mut state = self.answers.state();
            let is_asked = matches!(state.answers.get(&key), Some(SharedAnswer::Asked));
            let straggler = state.straggler(self.place).filter(|_| !is_asked);
            straggler.into_iter().for_each(|straggler| state.leave(straggler, false));
            (straggler, is_asked)
        };
        match straggler {
            Some(_) => self.answers.changed.notify_waiters(),
            // It has caught up meanwhile: the next look says what is to be done.
            None if !is_asked => {}
            None => changed.await,
        }
    }

    /// Asks for this output alone. Where the server moves on with each request it has moved on for the others.
    async fn alone<F>(&self, turn: RequestTurn, ask: impl Fn() -> F) -> Result<Answer, FetchError>
    where
        F: Future<Output = Result<Answer, FetchError>>,
    {
        if turn == RequestTurn::Repeated { Err(FetchError::Behind) } else { ask().await }
    }
}

/// A request that is made for all; where it is given up, another output makes it.
struct SharedRequest<'s> {
    seat: &'s SharedSeat,
    key: SharedKey,
    is_done: bool,
}

impl SharedRequest<'_> {
    fn end(mut self, came: Result<Answer, FetchError>) -> Result<Answer, FetchError> {
        // That this output's iteration is called back or stops says nothing about the others.
        if matches!(came, Err(FetchError::Recalled | FetchError::Stopped)) {
            return came;
        }
        let answers = &self.seat.answers;
        let is_kept = match (&answers.keeping, came.as_ref().ok().and_then(Answer::text)) {
            (Some(keep), Some(text)) => keep(text).is_ok(),
            _ => true,
        };
        // What couldn't be kept is delivered all the same, but nothing else is asked.
        answers.state().is_held_up |= !is_kept;
        let kept = came.as_ref().map(|answer| answer.shared_within(&answers.memory)).map_err(FetchError::clone);
        answers.state().come(self.seat.place, self.key, kept);
        self.is_done = true;
        answers.changed.notify_waiters();
        came
    }
}

impl Drop for SharedRequest<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.seat.answers.state().answers.remove(&self.key);
            self.seat.answers.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use reqwest::Url;
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::text::Redactor;
    use crate::window::Moment;

    fn answer(text: &str) -> Answer {
        Answer {
            text: Some(Arc::new(text.to_owned())),
            as_sent: None,
            was_lossy: false,
            base: Url::parse("https://api.example").expect("a URL"),
            secrets: Redactor::default(),
            moment: Moment::new(DateTime::UNIX_EPOCH, None),
            headers: HeaderMap::new(),
            permit: None,
        }
    }

    fn request(number: u8) -> Fingerprint {
        Fingerprint::of(&[&[number]])
    }

    fn shared(places: usize, keeping: Option<KeepAnswer>) -> Arc<SharedAnswers> {
        SharedAnswers::new(MemoryBudget::default(), 0..places, keeping)
    }

    /// What an output gets for a request, whose answers are counted.
    async fn page(seat: &SharedSeat, number: u8, turn: RequestTurn, made: &AtomicU32) -> Result<String, FetchError> {
        let asked = seat.page(request(number), turn, || async {
            let times = made.fetch_add(1, Ordering::SeqCst);
            Ok(answer(&format!("{number} by request {times}")))
        });
        asked.await.map(|answer| answer.text().unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn a_request_of_several_outputs_is_made_once_and_the_same_request_again_once_more() {
        let (answers, made) = (shared(2, None), AtomicU32::new(0));
        let (one, other) = (answers.seat(0), answers.seat(1));
        let next = |seat| page(seat, 1, RequestTurn::Repeated, &made);
        let (first, second) = tokio::join!(next(&one), next(&other));
        assert_eq!((first.ok(), second.ok()), (Some("1 by request 0".to_owned()), Some("1 by request 0".to_owned())));
        assert_eq!(next(&one).await.ok().as_deref(), Some("1 by request 1"), "the server has moved on");
        assert_eq!(next(&other).await.ok().as_deref(), Some("1 by request 1"));
        assert_eq!(made.load(Ordering::SeqCst), 2);
        assert!(answers.state().answers.is_empty(), "nothing is kept that nobody lacks");
    }

    #[tokio::test(start_paused = true)]
    async fn who_falls_behind_asks_for_itself_or_ends_where_the_server_has_moved_on() {
        let (answers, made) = (shared(2, None), AtomicU32::new(0));
        let (fast, slow) = (answers.seat(0), answers.seat(1));
        let ahead = AHEAD_MAX as u8 + 3;
        for number in 0..ahead {
            page(&fast, number, RequestTurn::Next, &made).await.expect("it isn't held up for long");
        }
        assert!(answers.state().answers.is_empty(), "nothing is kept for who is too far behind");
        assert_eq!(page(&slow, 0, RequestTurn::Next, &made).await.ok().as_deref(), Some("0 by request 7"));
        let lost = page(&slow, 1, RequestTurn::Repeated, &made).await;
        assert!(matches!(lost, Err(FetchError::Behind)), "{lost:?}");
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_is_made_by_another_output() {
        let (answers, made) = (shared(2, None), AtomicU32::new(0));
        let (one, other) = (answers.seat(0), answers.seat(1));
        let never = one.page(request(1), RequestTurn::First, std::future::pending::<Result<Answer, FetchError>>);
        let given_up = tokio::time::timeout(Duration::from_millis(1), never).await;
        assert!(given_up.is_err());
        assert_eq!(page(&other, 1, RequestTurn::First, &made).await.ok().as_deref(), Some("1 by request 0"));
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_given_twice_none_goes_ahead_and_each_answer_is_kept_before() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&kept);
        let keep: KeepAnswer = Box::new(move |text| {
            noted.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
            Ok(())
        });
        let (answers, made) = (shared(2, Some(keep)), AtomicU32::new(0));
        let (one, other) = (answers.seat(0), answers.seat(1));
        let next = |seat| page(seat, 1, RequestTurn::Repeated, &made);
        let (first, second) = tokio::join!(next(&one), next(&other));
        assert_eq!((first.ok(), second.ok()), (Some("1 by request 0".to_owned()), Some("1 by request 0".to_owned())));
        assert_eq!(*kept.lock().expect("a lock"), ["1 by request 0"]);
        let ahead = tokio::time::timeout(Duration::from_secs(60), next(&one)).await;
        assert!(ahead.is_err(), "the other one hasn't asked for it yet: {ahead:?}");
        other.leave(true);
        let held_up = next(&one).await;
        assert!(matches!(held_up, Err(FetchError::HeldUp)), "{held_up:?}");
        assert_eq!(made.load(Ordering::SeqCst), 1, "nothing is asked that one of them would lack");
    }
}
