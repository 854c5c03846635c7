//! `undelivered.ndjson`: records that can never be delivered, kept so that nothing vanishes.
//!
//! One line each: `{"time":…,"api":…,"reason":…,"record":…}`. The record is last and stands as it would have been shipped.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use crate::record::date;

/// The file's name, beside the config.
pub const FILE_NAME: &str = "undelivered.ndjson";
/// The name of the file before it, of which there is one.
pub const ROTATED_FILE_NAME: &str = "undelivered.ndjson.1";
/// How large the file gets before it takes the place of the one before.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The file, shared by all APIs.
#[derive(Clone, Debug)]
pub struct Undelivered(Arc<Files>);

#[derive(Debug)]
struct Files {
    folder: PathBuf,
    bytes_max: u64,
    /// Held while lines are written, so that those of two APIs don't mix.
    writing: Mutex<()>,
}

impl Undelivered {
    /// In a folder. The file itself is made when it is needed.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self::with_limit(folder, FILE_BYTES_MAX)
    }

    /// The same with another size.
    #[must_use]
    pub fn with_limit(folder: &Path, bytes_max: u64) -> Self {
        Self(Arc::new(Files { folder: folder.to_owned(), bytes_max, writing: Mutex::new(()) }))
    }

    /// Keeps lines of one API, and makes sure that they are on the disk.
    ///
    /// # Errors
    /// Where they can't be written; then they aren't set aside and the iteration must not go on.
    pub async fn keep(
        &self,
        api: &str,
        now: DateTime<Utc>,
        reason: &str,
        lines: impl Iterator<Item = &[u8]>,
    ) -> io::Result<()> {
        let text = entries(api, now, reason, lines);
        let files = Arc::clone(&self.0);
        // A disk may hang, and others must go on.
        tokio::task::spawn_blocking(move || files.append(&text)).await?
    }
}

/// The lines of the file.
fn entries<'l>(api: &str, now: DateTime<Utc>, reason: &str, lines: impl Iterator<Item = &'l [u8]>) -> Vec<u8> {
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let (time, api, reason) = (json(&date::format(now)), json(api), json(reason));
    let head = format!(r#"{{"time":{time},"api":{api},"reason":{reason},"record":"#);
    let mut text = Vec::new();
    for line in lines {
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(line);
        text.extend_from_slice(b"}\n");
    }
    text
}

impl Files {
    fn append(&self, text: &[u8]) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.open_for(text.len() as u64)?;
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(text).and_then(|()| file.sync_data()) {
            let _ = file.set_len(before);
            return Err(error);
        }
        Ok(())
    }

    fn open_for(&self, more_bytes: u64) -> io::Result<File> {
        let path = self.folder.join(FILE_NAME);
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        let bytes = file.metadata()?.len();
        if bytes == 0 || bytes.saturating_add(more_bytes) <= self.bytes_max {
            return Ok(file);
        }
        std::fs::rename(&path, self.folder.join(ROTATED_FILE_NAME))?;
        OpenOptions::new().append(true).create(true).open(&path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_whole_lines_and_rotates_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let undelivered = Undelivered::with_limit(folder.path(), 300);
        for number in 0..6 {
            let record = format!(r#"{{"n":{number}}}"#);
            undelivered
                .keep("a \"b\"", DateTime::default(), "too long", [record.as_bytes()].into_iter())
                .await
                .expect("it is written");
        }
        let read = |name| std::fs::read_to_string(folder.path().join(name)).expect("the file is there");
        let (new, old) = (read(FILE_NAME), read(ROTATED_FILE_NAME));
        assert!(new.len() <= 300 && old.len() <= 300);
        assert_eq!(
            new.lines().last(),
            Some(r#"{"time":"1970-01-01T00:00:00Z","api":"a \"b\"","reason":"too long","record":{"n":5}}"#)
        );
        let parsed =
            old.lines().chain(new.lines()).filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
        assert_eq!(parsed.count(), (old + &new).lines().count());
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }
}
