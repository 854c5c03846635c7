//! `last_start_dates.txt`: where each API goes on.
//!
//! [`Checkpoints`] says what its text means. [`CheckpointFile`] handles the file itself: lines are appended, and it is
//! rewritten only at the start and when it has grown.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::checkpoint_text::{Checkpoint, Checkpoints, checkpoint_line};
use super::in_place::{self, WriteStep};
use super::sync_names;

/// The file's name, beside the config.
pub const FILE_NAME: &str = "last_start_dates.txt";
/// The largest file that is read; 100,000 APIs need less than 16 MiB.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How far the file may grow before it is compacted: beyond what an editor opens with ease.
const GROWN_BYTES_MIN: u64 = 256 * 1024;
/// A grown file is compacted when it is this many times as large as it was when it was compact.
const GROWN_TIMES: u64 = 4;

/// The file beside the config.
#[derive(Debug)]
pub struct CheckpointFile {
    /// Nothing where it is none: then checkpoints are in the store alone.
    path: Option<PathBuf>,
    /// Its size when it was compact.
    compact_bytes: u64,
    /// What it said of each API when it was opened, and what was written since. What somebody writes into it meanwhile
    /// isn't looked at before the next start.
    said: HashMap<String, Checkpoint>,
}

impl CheckpointFile {
    /// Reads the file, creates it where it is missing, and compacts it.
    ///
    /// # Errors
    /// Where it can't be read or written.
    pub fn open(directory: &Path) -> io::Result<(Self, Checkpoints)> {
        let path = directory.join(FILE_NAME);
        OpenOptions::new().append(true).create(true).open(&path)?;
        // A link is followed once, so that a rewrite replaces the file and not the link.
        let path = path.canonicalize()?;
        let mut file = Self { path: Some(path), compact_bytes: 0, said: HashMap::new() };
        let checkpoints = file.compact()?;
        file.said = checkpoints.by_name();
        Ok((file, checkpoints))
    }

    /// What it says of an API.
    #[must_use]
    pub fn said(&self, name: &str) -> Option<&Checkpoint> {
        self.said.get(name)
    }

    /// No file.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { path: None, compact_bytes: 0, said: HashMap::new() }
    }

    /// Appends checkpoints of APIs and makes sure that they are on the disk.
    ///
    /// # Errors
    /// Where they can't be written; the file says what it said before.
    pub fn append(&mut self, checkpoints: &[(&str, Checkpoint)]) -> io::Result<()> {
        let lines: String = checkpoints.iter().map(|(name, checkpoint)| checkpoint_line(name, checkpoint)).collect();
        let bytes = self.path.as_ref().map_or(Ok(0), |path| append_lines(path, &lines))?;
        self.said.extend(checkpoints.iter().map(|(name, checkpoint)| ((*name).to_owned(), checkpoint.clone())));
        let has_grown = bytes > GROWN_BYTES_MIN && bytes > self.compact_bytes.saturating_mul(GROWN_TIMES);
        let compacted = if has_grown { self.compact().map(drop) } else { Ok(()) };
        if let Err(error) = compacted {
            // A large file is as good as a small one; it is tried again when it has grown further.
            tracing::warn!(cause = %error, "{FILE_NAME} can't be compacted");
            self.compact_bytes = bytes;
        }
        Ok(())
    }

    /// Puts one API's checkpoint in the place of what the file says of it; one that says nothing takes its line out.
    ///
    /// # Errors
    /// Where the file can't be written; it says what it said before.
    pub fn set(&mut self, name: &str, checkpoint: &Checkpoint) -> io::Result<()> {
        if let Some(path) = &self.path {
            let mut checkpoints = Checkpoints::parse(&read(path)?);
            checkpoints.set(name, checkpoint);
            replace(path, &checkpoints.compacted())?;
        }
        self.said.insert(name.to_owned(), checkpoint.clone());
        Ok(())
    }

    /// Rewrites the file as it is on the disk now, where that makes it smaller.
    fn compact(&mut self) -> io::Result<Checkpoints> {
        let Some(path) = &self.path else { return Ok(Checkpoints::default()) };
        let text = read(path)?;
        let checkpoints = Checkpoints::parse(&text);
        let compacted = checkpoints.compacted();
        if compacted.len() < text.len() {
            replace(path, &compacted)?;
        }
        self.compact_bytes = compacted.len() as u64;
        Ok(checkpoints)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Appends lines in one write; what a failed write left is taken back. Gives the file's size.
fn append_lines(path: &Path, text: &str) -> io::Result<u64> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let before = file.seek(SeekFrom::End(0))?;
    let text = if before > 0 && last_byte(&mut file)? != b'\n' { format!("\n{text}") } else { text.to_owned() };
    if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_data()) {
        // Without the half line, the file still says what it said.
        let _ = file.set_len(before);
        return Err(error);
    }
    Ok(before + text.len() as u64)
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Puts new text in the file's place by write, sync and rename; where no rename is possible (the file itself is a mount)
/// into the file as it is.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("txt.tmp");
    let renamed = write_draft(&draft, path, text).and_then(|()| std::fs::rename(&draft, path));
    if renamed.is_ok() {
        // The rename itself is on the disk once the directory is.
        path.parent().map(sync_names);
        return Ok(());
    }
    let _ = std::fs::remove_file(&draft);
    replace_in_place(path, text)
}

/// The same in the file as it is, so that a crash leaves the old text or the new one.
fn replace_in_place(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut old = Vec::new();
    (&mut file).take(FILE_BYTES_MAX).read_to_end(&mut old)?;
    for step in in_place::steps(&old, text) {
        let before = file.seek(SeekFrom::End(0))?;
        let done = match &step {
            WriteStep::Append(bytes) => file.write_all(bytes),
            WriteStep::Overwrite(bytes) => file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(bytes)),
            WriteStep::Cut(length) => file.set_len(*length),
        };
        if let Err(error) = done.and_then(|()| file.sync_all()) {
            if matches!(step, WriteStep::Append(_)) {
                // Without it, as on a full disk, the file says what it said.
                let _ = file.set_len(before);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// The draft gets the owner and the rights of the file that it replaces.
fn write_draft(draft: &Path, original: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let mut file = File::create(draft)?;
    let about = std::fs::metadata(original)?;
    file.set_permissions(about.permissions())?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (about.uid(), about.gid()) {
        chown(draft, Some(about.uid()), Some(about.gid()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::record::date;
    use crate::template::Captured;

    #[test]
    fn round_trips_any_names_and_dates() {
        let name = "[a-zA-Z0-9 :%._é-]{1,20}"
            .prop_map(|name| name.trim().to_owned())
            .prop_filter("a name", |name| !name.is_empty());
        let entry = (name, 0_i64..4_000_000_000, 0_u32..1_000_000_000);
        proptest!(|(entries in prop::collection::vec(entry, 0..20))| {
            let directory = tempfile::tempdir().map_err(|e| TestCaseError::fail(e.to_string()))?;
            let (mut file, _) = CheckpointFile::open(directory.path()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let mut expected = HashMap::new();
            for (name, seconds, nanoseconds) in entries {
                let cursor = (seconds % 2 == 0).then(|| Captured::of_text(&name));
                let checkpoint = Checkpoint::new(DateTime::from_timestamp(seconds, nanoseconds), cursor);
                file.append(&[(&name, checkpoint.clone())]).map_err(|e| TestCaseError::fail(e.to_string()))?;
                prop_assert_eq!(file.said(&name), Some(&checkpoint));
                expected.insert(name, checkpoint);
            }
            let (_, read) = CheckpointFile::open(directory.path()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(read.by_name(), expected);
        });
    }

    #[test]
    fn begins_a_line_of_its_own_after_a_torn_one() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join(FILE_NAME), "a: 2024-05-28T13:08:54Z\nb: 2024-0").expect("a file");
        let (mut file, _) = CheckpointFile::open(directory.path()).expect("it opens");
        file.append(&[("a", Checkpoint::new(date::parse("2024-05-29"), None))]).expect("it appends");
        let text = std::fs::read_to_string(directory.path().join(FILE_NAME)).expect("it reads");
        assert!(text.ends_with("b: 2024-0\na: 2024-05-29T00:00:00Z\n"), "{text}");
    }
}
