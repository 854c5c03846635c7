//! Batches in the order in which they are sent; the next ones are compressed meanwhile.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::batch::Batch;
use super::gzip::{CompressionPool, Packed};

/// How many batches of an API are compressed, or being compressed, before it is their turn to be sent: one per core of a
/// small machine.
const AHEAD_MAX: usize = 2;

/// A batch that is being compressed.
#[derive(Debug)]
pub struct PackedSoon(JoinHandle<io::Result<Packed>>);

impl PackedSoon {
    /// Waits until it is.
    ///
    /// # Errors
    /// Where it can't be compressed.
    pub async fn end(self) -> io::Result<Packed> {
        self.0.await?
    }
}

/// The full batches of one iteration.
#[derive(Debug)]
pub struct CompressQueue {
    compression: Arc<CompressionPool>,
    ahead: VecDeque<PackedSoon>,
    waiting: VecDeque<Batch>,
}

impl CompressQueue {
    /// An empty one.
    #[must_use]
    pub fn new(compression: Arc<CompressionPool>) -> Self {
        Self { compression, ahead: VecDeque::new(), waiting: VecDeque::new() }
    }

    /// How many batches are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ahead.len() + self.waiting.len()
    }

    /// Whether no batch is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a batch behind the others.
    pub fn push(&mut self, batch: Batch) {
        self.waiting.push_back(batch);
        self.go_ahead();
    }

    /// Takes the batch out whose turn it is, as soon as it is compressed; where there is none, it waits for ever. To give
    /// up the wait loses nothing.
    ///
    /// # Errors
    /// Where it can't be compressed.
    pub async fn next(&mut self) -> io::Result<Packed> {
        let Some(first) = self.ahead.front_mut() else { return std::future::pending().await };
        let packed = (&mut first.0).await;
        self.ahead.pop_front();
        self.go_ahead();
        packed?
    }

    /// Takes the batch out whose turn it is; it may still be being compressed.
    pub fn take_next(&mut self) -> Option<PackedSoon> {
        let first = self.ahead.pop_front()?;
        self.go_ahead();
        Some(first)
    }

    fn go_ahead(&mut self) {
        while self.ahead.len() < AHEAD_MAX {
            let Some(batch) = self.waiting.pop_front() else { return };
            self.ahead.push_back(PackedSoon(tokio::spawn(Arc::clone(&self.compression).pack(batch))));
        }
    }
}
