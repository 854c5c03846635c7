//! The lock file: it keeps a second fetcher off the directory, and tells `health` whom to ask.
//!
//! It can go while the daemon runs (a cleaner, a restore), and it can't always be written (a full disk), so the daemon looks
//! after it. It can be copied with its directory, so whoever asks says which directory is meant.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{OWNER_ONLY, StateError};

/// The lock file's name, beside the config.
pub const LOCK_FILE_NAME: &str = ".logzio-api-fetcher.lock";
/// How much of it is read.
const LOCK_BYTES_MAX: u64 = 1024;

/// The lock, held by this process for as long as this is there.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of a directory. The file holds the number of the process, and later the address of its health.
    pub(super) fn take(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(LOCK_FILE_NAME);
        let wrong = |verb| {
            let file = path.clone();
            move |cause| StateError::file(directory, file, verb, cause)
        };
        let mut file = open(&path).map_err(wrong("opened"))?;
        match file.try_lock() {
            Ok(()) => {
                // Only a help for whoever looks who has the lock.
                let _ = write(&mut file, &own_id());
                Ok(Self { file })
            }
            Err(TryLockError::WouldBlock) => {
                let first = read(&mut file).unwrap_or_default().lines().next().map(str::parse::<u32>);
                let holder = first.and_then(Result::ok).map(|id| format!(" (process {id})")).unwrap_or_default();
                Err(StateError::Taken { directory: directory.to_owned(), holder })
            }
            Err(TryLockError::Error(cause)) => Err(wrong("locked")(cause)),
        }
    }

    /// See [`super::StateDir::publish`].
    pub(super) fn publish(&mut self, directory: &Path, health: SocketAddr) -> io::Result<()> {
        let path = directory.join(LOCK_FILE_NAME);
        let is_there =
            std::fs::metadata(&path).is_ok_and(|there| self.file.metadata().is_ok_and(|own| is_same(&there, &own)));
        if !is_there {
            let file = open(&path)?;
            file.try_lock()
                .map_err(|_| io::Error::other("another process has locked the lock file since it was removed"))?;
            self.file = file;
        }
        let text = format!("{}{health}\n", own_id());
        if read(&mut self.file)? == text { Ok(()) } else { write(&mut self.file, &text) }
    }
}

fn own_id() -> String {
    format!("{}\n", std::process::id())
}

fn open(path: &Path) -> io::Result<File> {
    // For the owner alone: who can't open it can't lock it.
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).open(path)
}

fn read(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(LOCK_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn write(file: &mut File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whom to ask how the fetcher on a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Where it answers.
    pub address: SocketAddr,
    /// Which directory is meant.
    pub whereabouts: Whereabouts,
}

/// Whom to ask about a directory, as its lock file says; nothing where no fetcher ever ran there, or none of this version.
/// It waits for the disk.
#[must_use]
pub fn health_of(directory: &Path) -> Option<Health> {
    let mut file = File::open(directory.join(LOCK_FILE_NAME)).ok()?;
    let address = read(&mut file).ok()?.lines().nth(1)?.parse().ok()?;
    Some(Health { address, whereabouts: Whereabouts::of(directory).ok()? })
}

/// Which directory it is, told from its copies: by its path and by its number on the disk. Either may look different to
/// another process, by another mount or on a disk of the network, both don't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    path: PathBuf,
    number: (u64, u64),
}

impl Whereabouts {
    /// Of a directory.
    ///
    /// # Errors
    /// Where it can't be looked at.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let about = std::fs::metadata(directory)?;
        Ok(Self { path: directory.canonicalize()?, number: (about.dev(), about.ino()) })
    }

    /// Of a directory that isn't there.
    pub(super) fn nowhere(path: &Path) -> Self {
        Self { path: path.to_owned(), number: (0, 0) }
    }

    /// As a query.
    #[must_use]
    pub fn to_query(&self) -> String {
        let path = utf8_percent_encode(&self.path.to_string_lossy(), NON_ALPHANUMERIC).to_string();
        format!("path={path}&number={}.{}", self.number.0, self.number.1)
    }

    /// Whether a query means the same directory; one that says nothing may.
    #[must_use]
    pub fn is_meant_by(&self, query: &str) -> bool {
        if query.is_empty() {
            return true;
        }
        let field = |name| query.split('&').filter_map(|field| field.split_once('=')).find(|(known, _)| *known == name);
        let path = field("path").map(|(_, path)| percent_decode_str(path).decode_utf8_lossy());
        let number = format!("{}.{}", self.number.0, self.number.1);
        path.is_some_and(|path| path == self.path.to_string_lossy())
            || field("number").is_some_and(|(_, it)| it == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_known_by_path_or_number_and_its_copy_is_not() {
        let directories = tempfile::tempdir().expect("a directory");
        let [one, two] = ["one", "two &="].map(|name| directories.path().join(name));
        std::fs::create_dir(&one).expect("a directory");
        std::fs::create_dir(&two).expect("a directory");
        let [at_one, at_two] = [&one, &two].map(|directory| Whereabouts::of(directory).expect("it is there"));
        assert!(
            at_one.is_meant_by(&at_one.to_query()) && at_two.is_meant_by(&at_two.to_query()) && at_one.is_meant_by("")
        );
        assert!(
            !at_one.is_meant_by(&at_two.to_query()) && !at_one.is_meant_by("x") && !at_one.is_meant_by("path=&number=")
        );
        let moved = directories.path().join("three");
        std::fs::rename(&one, &moved).expect("it moves");
        assert!(at_one.is_meant_by(&Whereabouts::of(&moved).expect("it is there").to_query()), "by its number");
        std::fs::create_dir(&one).expect("a directory");
        assert!(at_one.is_meant_by(&Whereabouts::of(&one).expect("it is there").to_query()), "by its path");
    }

    #[test]
    fn the_lock_file_is_made_and_locked_anew_where_it_is_gone_and_left_alone_where_another_has_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, address) = (directory.path().join(LOCK_FILE_NAME), SocketAddr::from(([127, 0, 0, 1], 80)));
        let mut lock = Lock::take(directory.path()).expect("it is free");
        lock.publish(directory.path(), address).expect("it is written");
        assert_eq!(health_of(directory.path()).map(|health| health.address), Some(address));
        std::fs::remove_file(&path).expect("it was there");
        lock.publish(directory.path(), address).expect("it is written");
        assert_eq!(health_of(directory.path()).map(|health| health.address), Some(address));
        assert!(matches!(Lock::take(directory.path()), Err(StateError::Taken { .. })));
        std::fs::write(&path, "").expect("it is emptied");
        lock.publish(directory.path(), address).expect("it is written");
        assert_eq!(health_of(directory.path()).map(|health| health.address), Some(address));
        std::fs::remove_file(&path).expect("it was there");
        let _other = Lock::take(directory.path()).expect("it is free");
        assert!(lock.publish(directory.path(), address).is_err());
    }
}
