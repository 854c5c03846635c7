//! Something on its way to where several replicas share it.

use std::io;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

/// How long an iteration waits for one write. Then it ends, and the write is asked on.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// Why something isn't written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnwrittenError {
    /// Another member owns the API.
    #[error("another member of the cluster has taken the API over; it goes on there")]
    Lost,
    /// Its state was edited.
    #[error(
        "the API's state in the cluster is not what this member knows any more, as `state` changed it or a write was given up; it is read again"
    )]
    Edited,
    /// It is larger than the engine takes.
    #[error("the API's state is larger than the cluster's engine takes")]
    TooLarge,
    /// The engine doesn't answer.
    #[error("the cluster's engine does not answer; the checkpoint is not known to have moved")]
    Unanswered,
    /// The process ends.
    #[error("the state is closed")]
    Closed,
}

impl From<UnwrittenError> for io::Error {
    fn from(error: UnwrittenError) -> Self {
        Self::other(error)
    }
}

/// What whoever asked is told.
pub(super) type WriteAnswer = Result<(), UnwrittenError>;

/// Something that will be written.
#[derive(Debug)]
pub(super) struct PendingWrite {
    answer: oneshot::Receiver<WriteAnswer>,
    until: Instant,
}

impl PendingWrite {
    /// To be waited for until then.
    pub(super) fn new(answer: oneshot::Receiver<WriteAnswer>, until: Instant) -> Self {
        Self { answer, until }
    }

    /// Waits until it is there, or surely isn't. To give up the wait loses nothing.
    ///
    /// # Errors
    /// [`UnwrittenError`]; where it isn't answered it may get there later.
    pub(super) async fn end(&mut self) -> WriteAnswer {
        match timeout_at(self.until.into(), &mut self.answer).await {
            Ok(answered) => answered.unwrap_or(Err(UnwrittenError::Closed)),
            Err(_) => {
                // Whoever writes it sees that nobody waits any more.
                self.answer.close();
                // But for an answer that has just come.
                self.answer.try_recv().unwrap_or(Err(UnwrittenError::Unanswered))
            }
        }
    }
}
