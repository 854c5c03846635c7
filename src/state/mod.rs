//! What outlives the process, in the config's own folder.
//!
//! [`Folder::open`] takes the folder for this process alone (a lock that the kernel drops with the process, however it
//! ends) and reads the checkpoints. The file of checkpoints is the user's: an edit is obeyed at the next start.

mod checkpoints;

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use crate::privileges::Identity;

pub use checkpoints::{CheckpointFile, Checkpoints, FILE_NAME as CHECKPOINTS_FILE_NAME};

/// The lock file's name, beside the config.
pub const LOCK_FILE_NAME: &str = ".logzio-api-fetcher.lock";

/// Why the folder can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another fetcher has it.
    #[error("another fetcher{holder} runs on {folder}; stop it first, or give this one a folder of its own", folder = .folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// ` (process 123)`, where it can be told.
        holder: String,
    },
    /// A file in it can't be used.
    #[error(
        "{file} can't be {verb}: {cause}; the fetcher must be able to write in this folder, as user {own}{owner}",
        file = .file.display(), own = Identity::own()
    )]
    File {
        /// ` (it belongs to 1000:1000)`, where it belongs to somebody else.
        owner: String,
        /// Which.
        file: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// The system's word.
        cause: io::Error,
    },
}

impl StateError {
    fn file(folder: &Path, file: PathBuf, verb: &'static str, cause: io::Error) -> Self {
        let owner = Identity::owner_of(folder).filter(|owner| *owner != Identity::own());
        let owner = owner.map(|owner| format!(" (it belongs to {owner})")).unwrap_or_default();
        Self::File { file, verb, cause, owner }
    }
}

/// The folder with the state, taken by this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    checkpoints: Arc<Mutex<CheckpointFile>>,
    /// Held until the process ends.
    lock: File,
}

/// What was found in the folder.
#[derive(Debug, Default)]
pub struct Found {
    /// The checkpoint of each API that has one.
    pub checkpoints: HashMap<String, DateTime<Utc>>,
    /// Lines that were not understood, and stay.
    pub unreadable: Vec<String>,
}

impl Folder {
    /// Takes the folder and reads what is in it.
    ///
    /// # Errors
    /// Where another fetcher has it, or its files can't be read and written.
    pub fn open(path: &Path) -> Result<(Self, Found), StateError> {
        let lock = lock(path)?;
        let file = path.join(CHECKPOINTS_FILE_NAME);
        let (file, checkpoints) =
            CheckpointFile::open(path).map_err(|cause| StateError::file(path, file, "read and written", cause))?;
        let unreadable = checkpoints.unreadable().map(str::to_owned).collect();
        let found = Found { checkpoints: checkpoints.by_name(), unreadable };
        Ok((Self { path: path.to_owned(), checkpoints: Arc::new(Mutex::new(file)), lock }, found))
    }

    /// Writes into the lock file where the daemon can be asked how it is.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn publish(&self, health: SocketAddr) -> io::Result<()> {
        (&self.lock).write_all(format!("{health}\n").as_bytes())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an API's checkpoint to the disk.
    ///
    /// # Errors
    /// Where it can't be written.
    pub async fn save_checkpoint(&self, name: &str, date: DateTime<Utc>) -> io::Result<()> {
        let (file, name) = (Arc::clone(&self.checkpoints), name.to_owned());
        // A disk may hang, and others must go on.
        let saved = tokio::task::spawn_blocking(move || {
            file.lock().unwrap_or_else(PoisonError::into_inner).append(&name, date)
        });
        saved.await?
    }
}

/// Where the fetcher that has the folder can be asked how it is.
#[must_use]
pub fn health_address(folder: &Path) -> Option<SocketAddr> {
    std::fs::read_to_string(folder.join(LOCK_FILE_NAME)).ok()?.lines().nth(1)?.parse().ok()
}

/// The lock file: the number of the process, and the address of its health.
fn lock(folder: &Path) -> Result<File, StateError> {
    let path = folder.join(LOCK_FILE_NAME);
    let wrong = |verb| {
        let file = path.clone();
        move |cause| StateError::file(folder, file, verb, cause)
    };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(wrong("opened"))?;
    match file.try_lock() {
        Ok(()) => {
            // Only a help for whoever looks who has the lock.
            let id = format!("{}\n", std::process::id());
            let _ = file.set_len(0).and_then(|()| file.write_all(id.as_bytes()));
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = (&mut file).take(100).read_to_string(&mut holder);
            let number = holder
                .lines()
                .next()
                .unwrap_or_default()
                .parse::<u32>()
                .map(|id| format!(" (process {id})"))
                .unwrap_or_default();
            Err(StateError::Taken { folder: folder.to_owned(), holder: number })
        }
        Err(TryLockError::Error(cause)) => Err(wrong("locked")(cause)),
    }
}
