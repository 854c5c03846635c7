//! The answer under way of an API that keeps the position itself: on the disk before anything of it is shipped.
//!
//! One file beside the store for each such API, of one page at most, readable for its owner only. It is there from before
//! the first record is shipped until the last one is acknowledged and remembered; who finds it at the start ships it first.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::record::Fingerprint;
use crate::runtime::beside_the_runtime;

/// What the files' names begin with.
const FILE_NAME: &str = ".logzio-api-fetcher.answer";
/// The largest file that is read: a page has 64 MiB at most, and some bytes of it may have been replaced by longer ones.
const FILE_BYTES_MAX: u64 = 3 * 64 * 1024 * 1024;
/// For its owner only.
const OWNER_ONLY: u32 = 0o600;

/// Where an API's answer is kept.
#[derive(Debug)]
pub(super) struct AnswerFile(PathBuf);

impl AnswerFile {
    /// That of an API, whose name may hold what no file name can.
    pub(super) fn of(directory: &Path, api: &str) -> Self {
        let name: String =
            Fingerprint::of(&[api.as_bytes()]).bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Self(directory.join(format!("{FILE_NAME}-{name}")))
    }

    /// The answer that waits there, if one does.
    pub(super) fn read(&self) -> io::Result<Option<String>> {
        let file = match File::open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let bytes = file.metadata()?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut text = String::new();
        beside_the_runtime(usize::try_from(bytes).unwrap_or(usize::MAX), || {
            file.take(FILE_BYTES_MAX).read_to_string(&mut text)
        })?;
        Ok(Some(text))
    }

    /// Keeps an answer. It is on the disk afterwards, whole.
    pub(super) fn keep(&self, text: &str) -> io::Result<()> {
        // Disks are slow, whatever the size.
        beside_the_runtime(usize::MAX, || {
            // Each has its own: others are kept at the same time.
            let mut beside = self.0.clone().into_os_string();
            beside.push(".new");
            let beside = PathBuf::from(beside);
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.0)?;
            self.0.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        })
    }

    /// Lets go of it, as everything in it is delivered.
    pub(super) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_answer_is_kept_whole_for_its_owner_until_it_is_let_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let (one, other) = (AnswerFile::of(directory.path(), "a/b: c"), AnswerFile::of(directory.path(), "d"));
        assert_eq!(one.read().expect("nothing there"), None);
        one.keep("first").expect("it is kept");
        one.keep("{}").expect("it is kept");
        assert_eq!(one.read().expect("it reads").as_deref(), Some("{}"));
        assert_eq!(other.read().expect("another API's"), None);
        let rights = std::fs::metadata(&one.0).expect("a file").permissions().mode();
        assert_eq!(rights & 0o777, OWNER_ONLY);
        one.remove().expect("it goes");
        one.remove().expect("it is gone");
        assert_eq!(one.read().expect("nothing there"), None);
    }
}
