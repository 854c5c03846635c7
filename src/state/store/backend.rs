//! Where a store's bytes are, when it isn't simply a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use redb::StorageBackend;
use redb::backends::{FileBackend, InMemoryBackend};

/// The largest file of which a copy is made in memory.
const COPY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How much of it is read at once.
const COPY_CHUNK_BYTES: usize = 64 * 1024;

/// A file as it is, but that nothing waits until its writes are on the disk. Whoever opens it again finds them; after a power
/// cut it may hold anything.
#[derive(Debug)]
pub struct UnsyncedFile(FileBackend);

impl UnsyncedFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// Where it can't be opened.
    pub fn open(path: &Path) -> Result<Self, redb::Error> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self(FileBackend::new(file)?))
    }
}

impl StorageBackend for UnsyncedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// What a file holds, in memory.
///
/// # Errors
/// Where it can't be read, or is too large.
pub fn in_memory(path: &Path) -> Result<InMemoryBackend, redb::Error> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > COPY_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
    }
    let backend = InMemoryBackend::new();
    backend.set_len(length)?;
    let (mut at, mut chunk) = (0, vec![0; COPY_CHUNK_BYTES]);
    while at < length {
        let left = usize::try_from(length - at).unwrap_or(COPY_CHUNK_BYTES).min(COPY_CHUNK_BYTES);
        let chunk = chunk.get_mut(..left).unwrap_or_default();
        file.read_exact(chunk)?;
        backend.write(at, chunk)?;
        at += left as u64;
    }
    Ok(backend)
}
