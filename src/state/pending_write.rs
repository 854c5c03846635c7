//! Something on its way to where several replicas share it.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::cluster::UnwrittenError;

/// How long an iteration waits for one write. Then it ends, and the write is asked on.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

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
