//! `last_start_dates.txt`: where each API goes on.
//!
//! Text in, text out: [`Checkpoints::parse`] understands every file that users and the original left behind,
//! [`Checkpoints::compacted`] writes one line per API and keeps what it doesn't understand. The file itself is handled by
//! [`CheckpointFile`]: lines are appended, and it is rewritten only at the start and when it has grown.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;

use super::in_place::{self, WriteStep};
use super::sync_names;
use crate::record::date;

/// The file's name, beside the config.
pub const FILE_NAME: &str = "last_start_dates.txt";
/// The largest file that is read; 100,000 APIs need less than 16 MiB.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How far the file may grow before it is compacted: beyond what an editor opens with ease.
const GROWN_BYTES_MIN: u64 = 256 * 1024;
/// A grown file is compacted when it is this many times as large as it was when it was compact.
const GROWN_TIMES: u64 = 4;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoints {
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// `NAME: DATE`
    Checkpoint(String, DateTime<Utc>),
    /// A line that isn't understood, kept as it is.
    Other(String),
}

impl Checkpoints {
    /// Understands a file's text: any line ends, blank lines, percent-encoded dates, names with `: ` in them.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = in_place::read(text.trim_start_matches('\u{feff}'));
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self { lines: lines.map(Line::parse).collect() }
    }

    /// The checkpoint of each API: its last line.
    #[must_use]
    pub fn by_name(&self) -> HashMap<String, DateTime<Utc>> {
        let known = self.lines.iter().filter_map(|line| match line {
            Line::Checkpoint(name, date) => Some((name.clone(), *date)),
            Line::Other(_) => None,
        });
        known.collect()
    }

    /// The lines that aren't understood.
    pub fn unreadable(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| match line {
            Line::Checkpoint(..) => None,
            Line::Other(text) => Some(text.as_str()),
        })
    }

    /// One line per API, where its last line stood, and every line that isn't understood.
    #[must_use]
    pub fn compacted(&self) -> String {
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (at, line) in self.lines.iter().enumerate() {
            if let Line::Checkpoint(name, _) = line {
                last.insert(name, at);
            }
        }
        let kept = self.lines.iter().enumerate().filter_map(|(at, line)| match line {
            Line::Checkpoint(name, date) => {
                (last.get(name.as_str()) == Some(&at)).then(|| checkpoint_line(name, *date))
            }
            Line::Other(text) => Some(format!("{text}\n")),
        });
        kept.collect()
    }
}

impl Line {
    fn parse(line: &str) -> Self {
        let last_colon_blank = line.rsplit_once(": ");
        let any_colon = line.match_indices(':').map(|(at, _)| (line.get(..at), line.get(at + 1..)));
        let ways = last_colon_blank.into_iter().chain(any_colon.filter_map(|(name, date)| name.zip(date)));
        for (name, text) in ways {
            let decoded = percent_decode_str(text).decode_utf8_lossy();
            if let (Some(date), false) = (date::parse_written(&decoded), name.trim().is_empty()) {
                return Self::Checkpoint(name.trim().to_owned(), date);
            }
        }
        Self::Other(line.to_owned())
    }
}

fn checkpoint_line(name: &str, date: DateTime<Utc>) -> String {
    format!("{name}: {}\n", date::format(date))
}

/// The file beside the config.
#[derive(Debug)]
pub struct CheckpointFile {
    path: PathBuf,
    /// Its size when it was compact.
    compact_bytes: u64,
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
        let mut file = Self { path, compact_bytes: 0 };
        let checkpoints = file.compact()?;
        Ok((file, checkpoints))
    }

    /// Appends checkpoints of APIs and makes sure that they are on the disk.
    ///
    /// # Errors
    /// Where they can't be written; the file says what it said before.
    pub fn append(&mut self, checkpoints: &[(&str, DateTime<Utc>)]) -> io::Result<()> {
        let lines: String = checkpoints.iter().map(|(name, date)| checkpoint_line(name, *date)).collect();
        let bytes = append_lines(&self.path, &lines)?;
        let has_grown = bytes > GROWN_BYTES_MIN && bytes > self.compact_bytes.saturating_mul(GROWN_TIMES);
        let compacted = if has_grown { self.compact().map(drop) } else { Ok(()) };
        if let Err(error) = compacted {
            // A large file is as good as a small one; it is tried again when it has grown further.
            tracing::warn!(cause = %error, "{FILE_NAME} can't be compacted");
            self.compact_bytes = bytes;
        }
        Ok(())
    }

    /// Puts one API's checkpoint in the place of what the file says of it, or takes it out.
    ///
    /// # Errors
    /// Where the file can't be written; it says what it said before.
    pub fn set(&mut self, name: &str, date: Option<DateTime<Utc>>) -> io::Result<()> {
        let mut checkpoints = Checkpoints::parse(&read(&self.path)?);
        checkpoints.lines.retain(|line| !matches!(line, Line::Checkpoint(of, _) if of == name));
        checkpoints.lines.extend(date.map(|date| Line::Checkpoint(name.to_owned(), date)));
        replace(&self.path, &checkpoints.compacted())
    }

    /// Rewrites the file as it is on the disk now, where that makes it smaller.
    fn compact(&mut self) -> io::Result<Checkpoints> {
        let text = read(&self.path)?;
        let checkpoints = Checkpoints::parse(&text);
        let compacted = checkpoints.compacted();
        if compacted.len() < text.len() {
            replace(&self.path, &compacted)?;
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
    use super::*;
    use proptest::prelude::*;

    fn date(text: &str) -> DateTime<Utc> {
        date::parse(text).expect("a date")
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)], unreadable: &[&str]) {
        let checkpoints = Checkpoints::parse(text);
        let expected: HashMap<_, _> = expected.iter().map(|(name, at)| ((*name).to_owned(), date(at))).collect();
        assert_eq!(checkpoints.by_name(), expected, "{text:?}");
        assert_eq!(checkpoints.unreadable().collect::<Vec<_>>(), unreadable, "{text:?}");
    }

    #[test]
    fn understands_every_file_that_may_be_there() {
        check("", &[], &[]);
        check(
            "a: 2024-05-28T13:08:54Z\nb: 2024-05-28T13:08:55Z\n",
            &[("a", "2024-05-28T13:08:54Z"), ("b", "2024-05-28T13:08:55Z")],
            &[],
        );
        check("a: 2024-05-28T13:08:54Z\na: 2024-05-27T00:00:00Z", &[("a", "2024-05-27T00:00:00Z")], &[]);
        check("\r\na: 2024-05-28T13:08:54Z\r\n\r\n", &[("a", "2024-05-28T13:08:54Z")], &[]);
        check("cisco: 2021-10-05T10%3A10%3A10%2B00%3A00\n", &[("cisco", "2021-10-05T10:10:10Z")], &[]);
        check("my: own: api: 2021-10-05T10:10:10+02:00\n", &[("my: own: api", "2021-10-05T08:10:10Z")], &[]);
        check("a:2021-10-05T10:10:10Z", &[("a", "2021-10-05T10:10:10Z")], &[]);
        check("a: 2024-05-28T13:08:54Z\na: 2024-05-2", &[("a", "2024-05-28T13:08:54Z")], &["a: 2024-05-2"]);
        check("a: None\n# mine\n: 2024-05-28\n", &[], &["a: None", "# mine", ": 2024-05-28"]);
        check(
            "# at 12:30\ndisk:5\na: 2024-05-28\na: 2024",
            &[("a", "2024-05-28")],
            &["# at 12:30", "disk:5", "a: 2024"],
        );
    }

    #[test]
    fn keeps_all_that_counts_when_it_compacts() {
        let text = "a: 2024-01-01\nold: 2020-01-01\n# mine\na: 2024-01-02\n";
        let compacted = Checkpoints::parse(text).compacted();
        assert_eq!(compacted, "old: 2020-01-01T00:00:00Z\n# mine\na: 2024-01-02T00:00:00Z\n");
    }

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
                let date = DateTime::from_timestamp(seconds, nanoseconds).unwrap_or_default();
                file.append(&[(&name, date)]).map_err(|e| TestCaseError::fail(e.to_string()))?;
                expected.insert(name, date);
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
        file.append(&[("a", date("2024-05-29T00:00:00Z"))]).expect("it appends");
        let text = std::fs::read_to_string(directory.path().join(FILE_NAME)).expect("it reads");
        assert!(text.ends_with("b: 2024-0\na: 2024-05-29T00:00:00Z\n"), "{text}");
    }
}
