//! Reading `undelivered.ndjson` again: what is in it, and what of it can be sent.
//!
//! It is read line by line, as it may be as large as 16 MiB per API, and written anew as a whole: what stays goes to a file
//! beside it, which takes its place once it is on the disk.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::undelivered::FILE_NAME;
use crate::record::Fingerprint;
use crate::record::json::RawJson;

/// The longest line that is read: that of a record as large as a page.
const LINE_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Where the file is written anew.
const NEW_FILE_NAME: &str = ".undelivered.ndjson.new";

/// Whether the listener may have a record already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayHaveRecord {
    /// It never took it.
    No,
    /// It took some lines of the record's batch, and doesn't say which.
    InPart,
}

/// A line of the file.
#[derive(Clone, Debug)]
pub struct KeptLine<'l> {
    /// Tells it from the others.
    pub place: Fingerprint,
    /// When it was kept, as it is written there.
    pub time: String,
    /// The output that didn't get it.
    pub output: String,
    /// The API that it is of.
    pub api: String,
    /// Why it could not be delivered.
    pub reason: String,
    /// Whether the listener may have it.
    pub taken: MayHaveRecord,
    /// The line that would have been shipped; nothing where only id, date and hash were kept.
    pub record: Option<&'l str>,
    /// The length of the line in bytes, its line break not counted.
    pub bytes: usize,
}

impl<'l> KeptLine<'l> {
    /// Nothing where the line isn't one of this file.
    fn read(number: u64, line: &'l str) -> Option<Self> {
        let root = RawJson::parse(line).ok()?;
        let text = |key: &str| root.member(key).and_then(RawJson::scalar).map(|text| text.into_owned());
        Some(Self {
            place: Fingerprint::of(&[&number.to_le_bytes()]),
            time: text("time")?,
            output: text("output").unwrap_or_default(),
            api: text("api")?,
            reason: text("reason")?,
            taken: if text("taken").as_deref() == Some("in part") { MayHaveRecord::InPart } else { MayHaveRecord::No },
            record: root.member("record").map(RawJson::text),
            bytes: line.len(),
        })
    }
}

/// Reads the lines of the file in a directory, one after the other; there are none where there is no file. `see` gets the
/// line as it stands, and what it says, where it is one of this file.
///
/// # Errors
/// Where it can't be read, isn't UTF-8, or has a line of more than 128 MiB; and those of `see`.
pub fn read_kept(
    directory: &Path,
    mut see: impl FnMut(&str, Option<KeptLine<'_>>) -> io::Result<()>,
) -> io::Result<()> {
    let file = match File::open(directory.join(FILE_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut lines = BufReader::new(file);
    let mut line = String::new();
    for number in 0_u64.. {
        line.clear();
        let read = lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
        if read == 0 {
            break;
        }
        if read as u64 == LINE_BYTES_MAX && !line.ends_with('\n') {
            return Err(io::Error::other(format!("line {} is longer than {LINE_BYTES_MAX} bytes", number + 1)));
        }
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.trim().is_empty() {
            see(line, KeptLine::read(number, line))?;
        }
    }
    Ok(())
}

/// How many records of each API are in the file; what can't be read counts as none.
#[must_use]
pub fn count_kept(directory: &Path) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let counted = read_kept(directory, |_, kept| {
        if let Some(kept) = kept {
            *counts.entry(kept.api).or_default() += 1;
        }
        Ok(())
    });
    if let Err(cause) = counted {
        tracing::warn!(%cause, "{FILE_NAME} can't be read");
    }
    counts
}

/// Writes the file anew with the lines that stay, and those that come from another directory's file.
///
/// # Errors
/// Where it can't be read or written; then it is as it was.
pub fn rewrite_kept(directory: &Path, stays: impl Fn(&KeptLine<'_>) -> bool, more_of: Option<&Path>) -> io::Result<()> {
    let path = directory.join(NEW_FILE_NAME);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let mut new = BufWriter::new(file);
    let mut lines = 0_u64;
    let mut write = |line: &str| {
        lines += 1;
        new.write_all(line.as_bytes()).and_then(|()| new.write_all(b"\n"))
    };
    read_kept(directory, |line, kept| if kept.is_none_or(|kept| stays(&kept)) { write(line) } else { Ok(()) })?;
    if let Some(other) = more_of {
        read_kept(other, |line, _| write(line))?;
    }
    new.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    if lines == 0 {
        // Nothing is undelivered: no file says it best.
        std::fs::remove_file(&path)?;
        match std::fs::remove_file(directory.join(FILE_NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    } else {
        std::fs::rename(&path, directory.join(FILE_NAME))?;
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"time":"2026-01-01T00:00:00Z","output":"logzio","api":"a","reason":"too long","taken":"no","record":{"n": 1}}"#,
        "\n",
        "something that somebody wrote here\n\n",
        r#"{"time":"2026-01-02T00:00:00Z","output":"logzio","api":"b","reason":"r","taken":"in part","record":{"n":2.50}}"#,
        "\r\n",
        r#"{"time":"2026-01-03T00:00:00Z","output":"logzio","api":"a","reason":"r","taken":"no","id":"x","date":null}"#,
    );

    fn apis(directory: &Path) -> Vec<String> {
        let mut seen = Vec::new();
        read_kept(directory, |line, kept| {
            seen.push(kept.map_or_else(|| line.to_owned(), |kept| kept.api));
            Ok(())
        })
        .expect("it is read");
        seen
    }

    #[test]
    fn lines_are_read_as_they_were_kept_and_others_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(apis(directory.path()).is_empty(), "no file is no line");
        std::fs::write(directory.path().join(FILE_NAME), LINES).expect("it is written");
        let mut seen = Vec::new();
        read_kept(directory.path(), |_, kept| {
            seen.extend(kept.map(|kept| (kept.api, kept.taken, kept.record.map(str::to_owned))));
            Ok(())
        })
        .expect("it is read");
        let record = |text: &str| Some(text.to_owned());
        assert_eq!(
            seen,
            [
                ("a".to_owned(), MayHaveRecord::No, record(r#"{"n": 1}"#)),
                ("b".to_owned(), MayHaveRecord::InPart, record(r#"{"n":2.50}"#)),
                ("a".to_owned(), MayHaveRecord::No, None),
            ]
        );
        rewrite_kept(directory.path(), |kept| kept.api != "a", None).expect("it is written");
        assert_eq!(apis(directory.path()), ["something that somebody wrote here", "b"]);
        std::fs::write(directory.path().join(FILE_NAME), LINES.lines().next().expect("a line")).expect("it is written");
        rewrite_kept(directory.path(), |_| false, None).expect("it is written");
        assert!(!directory.path().join(FILE_NAME).exists() && !directory.path().join(NEW_FILE_NAME).exists());
    }
}
