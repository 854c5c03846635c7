//! `undelivered.ndjson`: records that can't be delivered, kept so that nothing vanishes.
//!
//! One JSON object a line: `{"time":…,"output":…,"api":…,"reason":…,"taken":…,"record":…}`. The record is last and stands as
//! it would have been shipped. `taken` is `no`, or `in part` where the listener took some lines of the batch and doesn't say
//! which: to send those again may double them.
//!
//! An API gets 16 MiB of records. What comes beyond them is a line without the record:
//! `{"time":…,"output":…,"api":…,"reason":…,"taken":…,"id":…,"date":…,"sha256":…}`. The id is the one by which the record is
//! known again, the date its event date (or null), and the hash that of the line that would have been shipped.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use serde::Deserialize;

use crate::record::{RecordKey, date};

/// The file's name, beside the config.
pub const FILE_NAME: &str = "undelivered.ndjson";
/// How much of the file an API's records may take, in bytes: 16 of the largest batches, and far more than anybody reads.
pub const API_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How much of a file is read, once, to know how much each API has in it: that takes a second or two. In a larger file,
/// which takes 64 APIs at their limit, every API is at its limit.
const COUNTED_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How far into a line its API is looked for: a name may be long.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How much of the file is in memory while it is counted.
const CHUNK_BYTES: usize = 64 * 1024;
/// Records are for their owner's eyes alone.
const MODE: u32 = 0o600;

/// The file, shared by all APIs.
#[derive(Clone, Debug)]
pub struct DeadLetterFile(Arc<Files>);

#[derive(Debug)]
struct Files {
    /// Nothing where they are only counted.
    directory: Option<PathBuf>,
    api_bytes_max: u64,
    /// Held while lines are written, so that those of two APIs don't mix.
    known: Mutex<FileExtent>,
}

/// What is known of the file.
#[derive(Debug, Default)]
struct FileExtent {
    /// How long the file was when it was counted or written last.
    bytes: Option<u64>,
    /// The bytes of each API's lines.
    of_apis: HashMap<String, u64>,
    /// Whether the file is too large to be counted.
    is_uncounted: bool,
    /// Whether its last line lacks its end: somebody else wrote it, or a crash cut it.
    is_line_open: bool,
    /// Whether the file's name is known to be on the disk.
    is_folder_synced: bool,
}

/// Whose lines are kept, and why.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetterReason<'c> {
    /// The output that didn't get them.
    pub output: &'c str,
    /// The API that they are from.
    pub api: &'c str,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// Why.
    pub reason: &'c str,
    /// Whether the listener took some of them, and doesn't say which.
    pub is_taken_in_part: bool,
}

/// What became of lines that were to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// All of them.
    pub records: u64,
    /// Those of which only id, date and hash were kept, as the API is at its limit.
    pub without_record: u64,
}

impl DeadLetterFile {
    /// In a directory. The file itself is made when it is needed.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self::with_limit(directory, API_BYTES_MAX)
    }

    /// The same with another limit for each API.
    #[must_use]
    pub fn with_limit(directory: &Path, api_bytes_max: u64) -> Self {
        Self(Arc::new(Files { directory: Some(directory.to_owned()), api_bytes_max, known: Mutex::default() }))
    }

    /// No file: what can't be delivered is counted, and gone.
    #[must_use]
    pub fn nowhere() -> Self {
        Self(Arc::new(Files { directory: None, api_bytes_max: API_BYTES_MAX, known: Mutex::default() }))
    }

    /// Keeps lines of one API, and makes sure that they are on the disk.
    ///
    /// # Errors
    /// Where they can't be written; then they aren't set aside and the iteration must not go on.
    pub async fn keep(
        &self,
        cause: DeadLetterReason<'_>,
        lines: impl Iterator<Item = (&[u8], RecordKey)>,
    ) -> io::Result<Appended> {
        let lines: Vec<_> = lines.map(|(line, identity)| (line.to_vec(), identity)).collect();
        let (head, api) = (head(cause), cause.api.to_owned());
        let files = Arc::clone(&self.0);
        // A disk may hang, and others must go on.
        tokio::task::spawn_blocking(move || files.append(&api, &head, &lines)).await?
    }
}

/// How each line begins.
fn head(cause: DeadLetterReason<'_>) -> String {
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let taken = if cause.is_taken_in_part { "in part" } else { "no" };
    format!(
        r#"{{"time":"{}","output":{},"api":{},"reason":{},"taken":"{taken}","#,
        date::format(cause.time),
        json(cause.output),
        json(cause.api),
        json(cause.reason)
    )
}

/// What is kept of a record for which there is no room.
fn without_record(line: &[u8], identity: RecordKey) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let date = identity.date.map_or_else(|| "null".to_owned(), |date| format!("\"{}\"", date::format(date)));
    let (id, hash) = (hex(identity.fingerprint.bytes()), hex(digest(&SHA256, line).as_ref()));
    format!(r#""id":"{id}","date":{date},"sha256":"{hash}"}}"#)
}

impl Files {
    fn append(&self, api: &str, head: &str, lines: &[(Vec<u8>, RecordKey)]) -> io::Result<Appended> {
        let Some(directory) = &self.directory else {
            return Ok(Appended { records: lines.len() as u64, without_record: 0 });
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = open(directory)?;
        if !known.is_folder_synced {
            sync_folder(directory)?;
            known.is_folder_synced = true;
        }
        let before = file.metadata()?.len();
        if known.bytes != Some(before) {
            known.count(&mut file, before)?;
        }
        let (mut text, mut kept) = (Vec::new(), Appended::default());
        if known.is_line_open {
            text.push(b'\n');
        }
        let mut of_api = known.of_apis.get(api).copied().unwrap_or_default();
        for (line, identity) in lines {
            let start = text.len();
            text.extend_from_slice(head.as_bytes());
            let room = self.api_bytes_max.saturating_sub(of_api);
            let bytes = (head.len() + r#""record":"#.len() + line.len() + "}\n".len()) as u64;
            if bytes <= room && !known.is_uncounted {
                text.extend_from_slice(b"\"record\":");
                text.extend_from_slice(line);
                text.push(b'}');
            } else {
                text.extend_from_slice(without_record(line, *identity).as_bytes());
                kept.without_record += 1;
            }
            text.push(b'\n');
            kept.records += 1;
            of_api += (text.len() - start) as u64;
        }
        if let Err(error) = file.write_all(&text).and_then(|()| file.sync_data()) {
            let _ = file.set_len(before);
            return Err(error);
        }
        known.of_apis.insert(api.to_owned(), of_api);
        known.bytes = Some(before + text.len() as u64);
        known.is_line_open = false;
        Ok(kept)
    }
}

/// The file, for its owner alone.
fn open(directory: &Path) -> io::Result<File> {
    let path = directory.join(FILE_NAME);
    let file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
    let rights = file.metadata()?.permissions().mode() & 0o777;
    // A file of an earlier version may be open to others. Where its rights can't be changed, they are its owner's wish.
    if rights & !MODE != 0
        && let Err(cause) = file.set_permissions(Permissions::from_mode(rights & MODE))
    {
        tracing::warn!(%cause, "others may read {FILE_NAME}, and its rights can't be changed");
    }
    Ok(file)
}

/// Makes sure that a new file's name is on the disk.
fn sync_folder(directory: &Path) -> io::Result<()> {
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        // Some file systems have no such thing.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

impl FileExtent {
    /// Counts what each API has in the file, in one pass and in little memory.
    fn count(&mut self, file: &mut File, bytes: u64) -> io::Result<()> {
        *self = Self { is_folder_synced: self.is_folder_synced, ..Self::default() };
        self.is_uncounted = bytes > COUNTED_BYTES_MAX;
        if self.is_uncounted {
            file.seek(SeekFrom::End(-1))?;
        } else {
            file.seek(SeekFrom::Start(0))?;
        }
        let (mut chunk, mut head, mut line_bytes) = (vec![0; CHUNK_BYTES], Vec::new(), 0_u64);
        loop {
            let read = file.read(&mut chunk)?;
            let Some(text) = chunk.get(..read).filter(|text| !text.is_empty()) else { break };
            for piece in text.split_inclusive(|byte| *byte == b'\n') {
                line_bytes += piece.len() as u64;
                let room = HEAD_BYTES_MAX.saturating_sub(head.len());
                head.extend_from_slice(piece.get(..room).unwrap_or(piece));
                if piece.ends_with(b"\n") {
                    self.add(&head, line_bytes);
                    (line_bytes, _) = (0, head.clear());
                }
            }
        }
        self.add(&head, line_bytes);
        self.is_line_open = line_bytes > 0;
        self.bytes = Some(bytes);
        Ok(())
    }

    /// Counts a line by its beginning. What isn't a line of this file is nobody's.
    fn add(&mut self, head: &[u8], bytes: u64) {
        if let Some(api) = api_of(head) {
            *self.of_apis.entry(api).or_default() += bytes;
        }
    }
}

/// The API that a line is of.
fn api_of(head: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Of {
        api: String,
    }
    // Inside of a JSON text its quotes would be escaped.
    let end = head.windows(REASON.len()).position(|part| part == REASON)?;
    let mut object = head.get(..end)?.to_vec();
    object.push(b'}');
    serde_json::from_slice::<Of>(&object).ok().map(|of| of.api)
}

/// What follows the API in a line.
const REASON: &[u8] = br#","reason":"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Fingerprint;

    fn identity(number: usize) -> RecordKey {
        RecordKey { fingerprint: Fingerprint::of(&[&number.to_le_bytes()]), date: Some(DateTime::default()) }
    }

    async fn keep(undelivered: &DeadLetterFile, api: &str, numbers: std::ops::Range<usize>) -> Appended {
        let lines: Vec<(Vec<u8>, RecordKey)> =
            numbers.map(|number| (format!(r#"{{"n":{number}}}"#).into_bytes(), identity(number))).collect();
        let (time, reason) = (DateTime::default(), "too \"long\"");
        let cause = DeadLetterReason { output: "logzio", api, time, reason, is_taken_in_part: false };
        let lines = lines.iter().map(|(line, identity)| (line.as_slice(), *identity));
        undelivered.keep(cause, lines).await.expect("it is written")
    }

    fn read(directory: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(directory.join(FILE_NAME)).expect("the file is there");
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    #[tokio::test]
    async fn a_line_says_what_is_kept_and_why() {
        let directory = tempfile::tempdir().expect("a directory");
        keep(&DeadLetterFile::new(directory.path()), "a \"b\"", 5..6).await;
        let text = std::fs::read_to_string(directory.path().join(FILE_NAME)).expect("the file is there");
        let expected = r#"{"time":"1970-01-01T00:00:00Z","output":"logzio","api":"a \"b\"","reason":"too \"long\"","taken":"no","record":{"n":5}}"#;
        assert_eq!(text, format!("{expected}\n"));
    }

    #[tokio::test]
    async fn an_api_at_its_limit_gets_lines_without_records_also_after_a_restart_and_others_go_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let undelivered = DeadLetterFile::with_limit(directory.path(), 300);
        assert_eq!(keep(&undelivered, "a", 0..6).await, Appended { records: 6, without_record: 4 });
        let again = DeadLetterFile::with_limit(directory.path(), 300);
        assert_eq!(keep(&again, "a", 6..7).await, Appended { records: 1, without_record: 1 });
        assert_eq!(keep(&again, "b\",\"reason\":", 7..8).await, Appended { records: 1, without_record: 0 });
        let lines = read(directory.path());
        assert_eq!(
            (lines.len(), lines[1]["record"]["n"].as_u64(), lines[7]["record"]["n"].as_u64()),
            (8, Some(1), Some(7))
        );
        let short = &lines[6];
        assert!(short.get("record").is_none() && short["reason"] == "too \"long\"" && short["api"] == "a");
        assert_eq!(short["date"], "1970-01-01T00:00:00Z");
        assert_eq!((short["id"].as_str().map(str::len), short["sha256"].as_str().map(str::len)), (Some(32), Some(64)));
    }

    #[tokio::test]
    async fn what_others_do_to_the_file_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE_NAME);
        let undelivered = DeadLetterFile::with_limit(directory.path(), 300);
        assert_eq!(keep(&undelivered, "a", 0..3).await.without_record, 1);
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(keep(&undelivered, "a", 0..1).await.without_record, 0, "there is room again");
        std::fs::write(&path, r#"{"by":"hand"}"#).expect("it is written");
        assert_eq!(keep(&undelivered, "a", 1..2).await.without_record, 0);
        assert_eq!(read(directory.path()).len(), 2, "a line that lacks its end gets one");
        let mut file = OpenOptions::new().append(true).open(&path).expect("it is there");
        file.write_all(&vec![b'x'; 3 * CHUNK_BYTES]).expect("it is written");
        assert_eq!(keep(&undelivered, "a", 2..3).await.without_record, 0, "what isn't ours is nobody's");
    }

    #[tokio::test]
    async fn nobody_else_may_read_it_also_where_an_earlier_version_let_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE_NAME);
        let undelivered = DeadLetterFile::new(directory.path());
        let mode = || std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        keep(&undelivered, "a", 0..1).await;
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("its rights can be changed");
        keep(&undelivered, "a", 1..2).await;
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn lines_of_earlier_versions_are_counted() {
        let line = br#"{"time":"1970-01-01T00:00:00Z","api":"a \"b\"","reason":"too long","record":{"api":"c"}}"#;
        assert_eq!(api_of(line).as_deref(), Some("a \"b\""));
        assert_eq!(api_of(br#"{"api":"a"}"#), None);
    }
}
