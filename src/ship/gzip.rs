//! Compression of batches, beside the threads that talk to the network.
//!
//! Of all that is done with a record this costs most, so the means was chosen by measuring: 100,000 records of the bench
//! (135.6 MB) in batches of 1 MiB, one thread, memory used again, the best of three runs, on a virtual machine with two
//! cores of a recent AMD server:
//!
//! | means, level | CPU s | MB on the wire | to build it |
//! |---|---|---|---|
//! | igzip (ISA-L) 0 / 1 / 3 | 0.16 / 0.17 / 0.44 | 43.2 / 32.0 / 32.1 | autotools, nasm |
//! | zlib-ng 1 / 2 / 3 / 6 | 0.37 / 0.53 / 0.72 / 1.19 | 44.1 / 31.6 / 30.5 / 29.1 | cmake |
//! | zlib-rs 1 / 2 / 3 / 6 | 0.40 / 0.64 / 0.81 / 1.16 | 44.1 / 31.6 / 30.5 / 29.1 | nothing but Rust |
//! | libdeflate 1 / 3 / 5 / 6 | 0.46 / 0.63 / 0.69 / 0.88 | 32.2 / 30.4 / 28.7 / 28.2 | a C compiler |
//!
//! libdeflate at level 1 it is: about what zlib needs 0.53 s and more for, by a library that is maintained, with nothing
//! to install. Level 5 would save a tenth of the bytes for half as much CPU again. igzip needs a third of it, but the one
//! crate for it was released last in October 2024 and asks for tools that few machines have; it is to be looked at again
//! when that changes.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use libdeflater::CompressionLvl;
use tokio::sync::Semaphore;

use super::batch::Batch;

/// libdeflate's level, as the table above has it.
const LEVEL: i32 = 1;
/// A batch up to this size is compressed where it is, in a quarter of a millisecond (a full batch takes 4 ms); for a larger
/// one the way to another thread pays.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// How many batches are compressed at the same time where nobody knows how many cores there are.
const TURNS_DEFAULT: usize = 2;

/// Compresses one batch after the other, in the same memory.
pub struct Compressor {
    compressor: libdeflater::Compressor,
    room: Vec<u8>,
}

impl Compressor {
    /// With its memory.
    ///
    /// # Errors
    /// Where libdeflate doesn't know the level.
    pub fn new() -> io::Result<Self> {
        let level = CompressionLvl::new(LEVEL).map_err(|_| io::Error::other("libdeflate has no such level"))?;
        Ok(Self { compressor: libdeflater::Compressor::new(level), room: Vec::new() })
    }

    /// Text as one gzip member (RFC 1952).
    ///
    /// # Errors
    /// Where libdeflate needs more room than it says.
    pub fn pack(&mut self, text: &[u8]) -> io::Result<Bytes> {
        let bound = self.compressor.gzip_compress_bound(text.len());
        if self.room.len() < bound {
            self.room.resize(bound, 0);
        }
        let size = self.compressor.gzip_compress(text, &mut self.room).map_err(io::Error::other)?;
        Ok(Bytes::copy_from_slice(self.room.get(..size).unwrap_or_default()))
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").field("room_bytes", &self.room.len()).finish_non_exhaustive()
    }
}

/// A batch that is ready to be sent.
#[derive(Debug)]
pub struct Packed {
    /// The batch.
    pub batch: Batch,
    /// The same as one gzip member.
    pub body: Bytes,
}

/// Compresses the batches of all APIs, as many at a time as there are cores.
#[derive(Debug)]
pub struct CompressionPool {
    turns: Semaphore,
    turns_max: usize,
    /// Whoever compresses takes one out; at most as many as there are turns stay.
    idle: Mutex<Vec<Compressor>>,
}

impl Default for CompressionPool {
    fn default() -> Self {
        let turns_max = std::thread::available_parallelism().map_or(TURNS_DEFAULT, usize::from);
        Self { turns: Semaphore::new(turns_max), turns_max, idle: Mutex::default() }
    }
}

impl CompressionPool {
    /// Compresses a batch.
    ///
    /// # Errors
    /// Where it can't be compressed, or the process ends.
    pub async fn pack(self: Arc<Self>, batch: Batch) -> io::Result<Packed> {
        if batch.text().len() <= INLINE_BYTES_MAX {
            return self.pack_here(batch);
        }
        let compression = Arc::clone(&self);
        let _turn = compression.turns.acquire().await.map_err(io::Error::other)?;
        tokio::task::spawn_blocking(move || self.pack_here(batch)).await?
    }

    fn pack_here(&self, batch: Batch) -> io::Result<Packed> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut packer = taken.map_or_else(Compressor::new, Ok)?;
        let body = packer.pack(batch.text())?;
        let mut idle = idle();
        if idle.len() < self.turns_max {
            idle.push(packer);
        }
        Ok(Packed { batch, body })
    }
}
