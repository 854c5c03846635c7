//! What goes and what comes, kept in memory: written while it is recorded, read while it is replayed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use reqwest::Response;

use super::compare::differences;
use super::{TapeClock, TapedAnswer, TapedExchange, TapedOutcome, TapedRequest, TransportError, refuses_http2};

/// The most requests of a tape: an iteration of more pages shows nothing that these don't.
pub const EXCHANGES_MAX: usize = 1_000;
/// The most bytes of all answers of a tape, decoded: what somebody can still look through.
pub const ANSWERS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is recorded so far. It holds secrets, so nothing of it can be printed.
pub struct Recording {
    clock: Arc<TapeClock>,
    taken: Mutex<RecordingState>,
}

#[derive(Default)]
struct RecordingState {
    exchanges: Vec<TapedExchange>,
    answers_bytes: usize,
    is_full: bool,
}

/// A tape that is replayed.
pub struct Replay {
    clock: Arc<TapeClock>,
    exchanges: Vec<TapedExchange>,
    played: Mutex<ReplayState>,
}

#[derive(Default)]
struct ReplayState {
    made: Vec<TapedRequest>,
    difference: Option<Difference>,
}

/// Where a replay asked for something else than what was recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which request it is, from 1 on.
    pub number: usize,
    /// What was recorded; nothing where there is no further request.
    pub recorded: Option<TapedRequest>,
    /// What was asked.
    pub made: TapedRequest,
}

/// What a tape says of a failure; nothing where no request left, or it is made again by HTTP/1.1 at once.
fn failure(error: &TransportError) -> Option<TapedOutcome> {
    let TransportError::Http(error) = error else { return None };
    let cause = match () {
        () if refuses_http2(error) => return None,
        () if error.is_timeout() => "it took too long",
        () if error.is_connect() => "the connection failed",
        () => "the connection broke",
    };
    Some(TapedOutcome::Failure { cause: cause.to_owned(), is_lost: !error.is_connect() })
}

impl Recording {
    /// An empty tape.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { clock: Arc::new(TapeClock::recording(now)), taken: Mutex::default() }
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<TapeClock> {
        &self.clock
    }

    /// What is on it.
    #[must_use]
    pub fn exchanges(&self) -> Vec<TapedExchange> {
        self.taken().exchanges.clone()
    }

    /// Whether something didn't fit: [`EXCHANGES_MAX`], [`ANSWERS_BYTES_MAX`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.taken().is_full
    }

    /// Keeps a request and what came of it, and gives that back.
    pub(super) async fn take(
        &self,
        request: TapedRequest,
        came: Result<Response, TransportError>,
    ) -> Result<Response, TransportError> {
        let read = match came {
            Ok(response) => self.read(response).await,
            Err(error) => Err(error),
        };
        let outcome = match &read {
            Ok(answer) => TapedOutcome::Answer(answer.clone()),
            Err(error) => match failure(error) {
                Some(failure) => failure,
                None => return read.map(TapedAnswer::into_response),
            },
        };
        // By the time that the next request is made the clock stands elsewhere.
        self.keep(TapedExchange { at: self.clock.now(), request: Some(request), outcome })?;
        read.map(TapedAnswer::into_response)
    }

    fn keep(&self, exchange: TapedExchange) -> Result<(), TransportError> {
        let mut taken = self.taken();
        if let TapedOutcome::Answer(answer) = &exchange.outcome {
            taken.answers_bytes = taken.answers_bytes.saturating_add(answer.body.len());
        }
        if taken.exchanges.len() >= EXCHANGES_MAX || taken.answers_bytes > ANSWERS_BYTES_MAX {
            taken.is_full = true;
            return Err(TransportError::Full);
        }
        taken.exchanges.push(exchange);
        Ok(())
    }

    /// The whole answer.
    async fn read(&self, mut response: Response) -> Result<TapedAnswer, TransportError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let left = ANSWERS_BYTES_MAX.saturating_sub(self.taken().answers_bytes);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > left {
                self.taken().is_full = true;
                return Err(TransportError::Full);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(TapedAnswer { status, headers, body: body.into() })
    }

    fn taken(&self) -> MutexGuard<'_, RecordingState> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replay {
    /// A tape, at its beginning.
    #[must_use]
    pub fn new(now: DateTime<Utc>, exchanges: Vec<TapedExchange>) -> Self {
        Self { clock: Arc::new(TapeClock::replaying(now)), exchanges, played: Mutex::default() }
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<TapeClock> {
        &self.clock
    }

    /// The requests that were made so far, those that found no answer left out.
    #[must_use]
    pub fn made(&self) -> Vec<TapedRequest> {
        self.played().made.clone()
    }

    /// Where something else was asked for than what is recorded: the first such request.
    #[must_use]
    pub fn difference(&self) -> Option<Difference> {
        self.played().difference.clone()
    }

    /// The moment of the next request; the clock moves to it.
    pub(super) fn request_time(&self) -> DateTime<Utc> {
        let next = self.played().made.len();
        match self.exchanges.get(next) {
            Some(exchange) => self.clock.set(exchange.at),
            None => self.clock.now(),
        }
    }

    /// What came of the next request on the tape, where it is this one. Behind a difference nothing is answered any more.
    pub(super) fn answer(&self, request: &TapedRequest) -> Result<Response, TransportError> {
        let mut played = self.played();
        if played.difference.is_some() {
            return Err(TransportError::Different);
        }
        let next = played.made.len();
        let exchange = self.exchanges.get(next);
        let recorded = exchange.and_then(|exchange| exchange.request.as_ref());
        match exchange {
            Some(exchange) if recorded.is_none_or(|recorded| differences(recorded, request).is_empty()) => {
                played.made.push(request.clone());
                match exchange.outcome.clone() {
                    TapedOutcome::Answer(answer) => Ok(answer.into_response()),
                    TapedOutcome::Failure { cause, is_lost } => Err(TransportError::Taped { cause, is_lost }),
                }
            }
            _ => {
                let recorded = recorded.cloned();
                played.difference = Some(Difference { number: next + 1, recorded, made: request.clone() });
                Err(TransportError::Different)
            }
        }
    }

    fn played(&self) -> MutexGuard<'_, ReplayState> {
        self.played.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("exchanges", &self.taken().exchanges.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("exchanges", &self.exchanges.len()).finish_non_exhaustive()
    }
}
