//! A listener within this process: what is sent there goes nowhere.

use std::io::Read;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::batch::BATCH_BYTES_MAX;

/// The most text that it keeps until somebody takes it.
const KEPT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Keeps the lines of batches, and acknowledges all of them.
#[derive(Debug, Default)]
pub struct BatchSink(Mutex<Vec<u8>>);

impl BatchSink {
    /// The lines that came since this was asked last: NDJSON.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a batch, compressed as it is on its way to a listener.
    ///
    /// # Errors
    /// Where it isn't gzip, or there is no room left.
    pub(super) fn keep(&self, body: &Bytes) -> std::io::Result<()> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A batch is never larger, and a line more ends it.
        let left = KEPT_BYTES_MAX.saturating_sub(kept.len()).min(2 * BATCH_BYTES_MAX);
        let read = MultiGzDecoder::new(body.as_ref()).take(left as u64).read_to_end(&mut kept)?;
        if read >= left { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ship::Compressor;

    #[test]
    fn batches_are_kept_as_lines_until_somebody_takes_them() {
        let (sink, mut compressor) = (BatchSink::default(), Compressor::new().expect("a compressor"));
        for line in ["{\"a\":1}\n", "{\"b\":2}\n"] {
            sink.keep(&compressor.pack(line.as_bytes()).expect("it is packed")).expect("there is room");
        }
        assert_eq!(sink.take(), b"{\"a\":1}\n{\"b\":2}\n");
        assert!(sink.take().is_empty());
        assert!(sink.keep(&Bytes::from_static(b"no gzip")).is_err());
    }
}
