//! `credentials.json`: the refresh tokens that token servers gave in the place of those of the config.
//!
//! A server may take a refresh token once only, so the next one is on the disk before anything else is done with the answer
//! that holds it. Who has the directory has the file: nobody else asks with what is in it. It is the one file with secrets
//! in it, and for its owner alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::record::Fingerprint;
use crate::text::Secret;

/// The name of the file in the config's directory.
pub const FILE_NAME: &str = "credentials.json";
/// The largest file that is read: room for more tokens than there may be APIs.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// A token that nobody has used for so long is forgotten: its API was removed, or its first refresh token was replaced.
const UNUSED_MAX: TimeDelta = TimeDelta::days(400);

/// Why a refresh token can't be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{place} can't be {verb}: {cause}")]
pub struct CredentialError {
    place: String,
    verb: &'static str,
    cause: String,
    is_shared: bool,
}

impl CredentialError {
    fn of_file(path: &Path, verb: &'static str, cause: String) -> Self {
        Self { place: shown(path), verb, cause, is_shared: false }
    }

    /// Of what a cluster's engine keeps.
    pub(super) fn of_engine(verb: &'static str, cause: String) -> Self {
        Self { place: "the refresh token in the cluster's engine".to_owned(), verb, cause, is_shared: true }
    }

    /// Where the process ends before it is known.
    pub(super) fn cut_off(cause: &impl ToString) -> Self {
        Self { place: FILE_NAME.to_owned(), verb: "used", cause: cause.to_string(), is_shared: false }
    }

    /// Whether it is a cluster's engine that has it, and no file.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }
}

/// The file, and what is in it.
#[derive(Debug, Default)]
pub struct CredentialFile {
    /// Nothing where tokens are kept in memory alone.
    path: Option<PathBuf>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    is_read: bool,
    /// Whether it holds what isn't in the file yet.
    is_ahead: bool,
    tokens: BTreeMap<String, SavedToken>,
    /// The sources that were asked for since the process began.
    used: BTreeSet<String>,
}

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    /// What it is, for whoever opens it.
    #[serde(default)]
    about: String,
    /// By the fingerprint of the token URL and of the config's refresh token.
    #[serde(default)]
    refresh_tokens: BTreeMap<String, SavedToken>,
}

/// A refresh token that a server gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedToken {
    #[serde(with = "exposed")]
    pub(super) token: Secret,
    pub(super) saved: DateTime<Utc>,
}

/// Into the two places where secrets may stand: the file, and a cluster's engine.
mod exposed {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::text::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

const ABOUT: &str = "Refresh tokens of logzio-api-fetcher, each given by a token server in the place of the config's. \
                     Keep this file: without it the config's refresh token is used, which the server may refuse.";

impl CredentialFile {
    /// The file in a directory that this process has taken. It is read when the first token is asked for.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self { path: Some(directory.join(FILE_NAME)), kept: Mutex::default() }
    }

    /// The refresh token that counts for a source; nothing where that is still the config's.
    ///
    /// # Errors
    /// Where the file can't be read, or holds no JSON; and where it lacks a token that came, and can't be written.
    pub fn refresh_token(&self, source: &Fingerprint, now: DateTime<Utc>) -> Result<Option<Secret>, CredentialError> {
        let mut kept = self.read()?;
        if kept.is_ahead {
            self.write(&mut kept, now)?;
        }
        let key = key_of(source);
        let token = kept.tokens.get(&key).map(|saved| saved.token.clone());
        kept.used.insert(key);
        Ok(token)
    }

    /// Keeps a refresh token that came for a source. When this returns it is on the disk.
    ///
    /// # Errors
    /// Where it can't be written. It counts for this process all the same, and the next call tries again.
    pub fn save(&self, source: &Fingerprint, token: &Secret, now: DateTime<Utc>) -> Result<(), CredentialError> {
        let mut kept = self.read()?;
        let key = key_of(source);
        kept.used.insert(key.clone());
        kept.tokens.insert(key, SavedToken { token: token.clone(), saved: now });
        kept.is_ahead = true;
        self.write(&mut kept, now)
    }

    /// All tokens that it has, by their sources.
    pub(super) fn all(&self) -> Result<BTreeMap<String, SavedToken>, CredentialError> {
        Ok(self.read()?.tokens.clone())
    }

    /// Puts tokens in the place of those of the same sources.
    pub(super) fn take_over(
        &self,
        tokens: BTreeMap<String, SavedToken>,
        now: DateTime<Utc>,
    ) -> Result<(), CredentialError> {
        let mut kept = self.read()?;
        kept.used.extend(tokens.keys().cloned());
        kept.tokens.extend(tokens);
        kept.is_ahead = true;
        self.write(&mut kept, now)
    }

    fn read(&self) -> Result<MutexGuard<'_, Kept>, CredentialError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let (false, Some(path)) = (kept.is_read, &self.path) {
            let unreadable = |cause: String| CredentialError::of_file(path, "read", cause);
            kept.tokens = read(path).map_err(unreadable)?.refresh_tokens;
        }
        kept.is_read = true;
        Ok(kept)
    }

    fn write(&self, kept: &mut Kept, now: DateTime<Utc>) -> Result<(), CredentialError> {
        let Some(path) = &self.path else { return Ok(()) };
        let Kept { tokens, used, .. } = kept;
        tokens.retain(|key, saved| used.contains(key) || now.signed_duration_since(saved.saved) < UNUSED_MAX);
        let contents = Contents { about: ABOUT.to_owned(), refresh_tokens: tokens.clone() };
        let written = serde_json::to_string_pretty(&contents).map_err(io::Error::from);
        let done = written.and_then(|text| replace(path, &text));
        done.map_err(|cause| CredentialError::of_file(path, "written", cause.to_string()))?;
        kept.is_ahead = false;
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What tells the source of refresh tokens from others.
pub(super) fn key_of(source: &Fingerprint) -> String {
    source.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is in the file; nothing where there is none.
fn read(path: &Path) -> Result<Contents, String> {
    let text = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
        Ok(about) if about.len() > FILE_BYTES_MAX => return Err(format!("it is larger than {FILE_BYTES_MAX} bytes")),
        _ => std::fs::read_to_string(path).map_err(|error| error.to_string())?,
    };
    if text.trim().is_empty() {
        return Ok(Contents::default());
    }
    // What the parser says may quote a token.
    serde_json::from_str(&text).map_err(|error| format!("it is not valid JSON (line {})", error.line()))
}

/// Puts new text in the file's place by write, sync and rename.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("json.tmp");
    // One that a crash has left may have other rights.
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    // The rename itself is on the disk once the directory is.
    super::sync_names(path.parent().unwrap_or(Path::new(".")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn source(name: &str) -> Fingerprint {
        Fingerprint::of(&[name.as_bytes()])
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_716_900_000, 0).unwrap_or_default()
    }

    #[track_caller]
    fn token(file: &CredentialFile, name: &str) -> Option<String> {
        let found = file.refresh_token(&source(name), now()).expect("it is read");
        found.map(|token| token.expose().to_owned())
    }

    #[test]
    fn what_was_saved_is_there_after_a_restart_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = CredentialFile::of(directory.path());
        assert_eq!(token(&file, "a"), None);
        for (name, value) in [("a", "a-1"), ("b", "b-1"), ("a", "a-2")] {
            file.save(&source(name), &Secret::new(value), now()).expect("it is saved");
        }
        let again = CredentialFile::of(directory.path());
        assert_eq!((token(&again, "a"), token(&again, "b")), (Some("a-2".to_owned()), Some("b-1".to_owned())));
        assert_eq!(token(&again, "c"), None);
        let rights = std::fs::metadata(directory.path().join(FILE_NAME)).expect("a file").permissions().mode();
        assert_eq!(rights & 0o777, 0o600);
        assert!(!format!("{again:?}").contains("a-2"), "a secret is not printed");
    }

    #[test]
    fn a_file_that_is_no_json_is_neither_believed_nor_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE_NAME);
        std::fs::write(&path, "{\"refresh_tokens\": {\"x\": \"the-secret").expect("a file");
        let file = CredentialFile::of(directory.path());
        let error = file.save(&source("a"), &Secret::new("a-1"), now()).expect_err("refused").to_string();
        assert!(error.contains("can't be read") && !error.contains("the-secret"), "{error}");
        assert!(std::fs::read_to_string(&path).expect("a file").contains("the-secret"));
    }

    #[test]
    fn a_token_that_can_not_be_written_counts_and_is_written_later() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("gone");
        let file = CredentialFile::of(&place);
        assert!(file.save(&source("a"), &Secret::new("a-1"), now()).is_err());
        assert!(file.refresh_token(&source("a"), now()).is_err(), "it is not used before it is written");
        std::fs::create_dir(&place).expect("a directory");
        assert_eq!(token(&file, "a").as_deref(), Some("a-1"));
        assert_eq!(token(&CredentialFile::of(&place), "a").as_deref(), Some("a-1"));
    }

    #[test]
    fn what_nobody_uses_is_forgotten_in_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        CredentialFile::of(directory.path()).save(&source("old"), &Secret::new("x"), now()).expect("it is saved");
        let file = CredentialFile::of(directory.path());
        file.save(&source("new"), &Secret::new("y"), now() + UNUSED_MAX).expect("it is saved");
        assert_eq!(token(&CredentialFile::of(directory.path()), "old"), None);
        assert_eq!(token(&CredentialFile::of(directory.path()), "new").as_deref(), Some("y"));
    }
}
