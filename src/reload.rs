//! Notices that the config has changed, and reads it again.
//!
//! The content is looked at every few seconds: bind mounts, and editors that put a new file in the old one's place, defeat
//! the system's notifications. The files that the config names, certificates and secrets, count as its content. A change
//! is read when it has stood still for one look, so that a file that is being written isn't taken for whole; SIGHUP has it
//! read at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{self, LoadedConfig};

/// How often the content is looked at: soon enough for somebody who waits for it, and next to no work.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(2);
/// The largest file beside the config that is looked at; secrets and certificates are far smaller.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The content of a config and of the files that it names; told from others, and nothing of it can be read.
#[derive(Clone, Debug)]
pub struct ConfigDigest {
    files: BTreeSet<PathBuf>,
    /// SHA-256.
    hash: Vec<u8>,
    /// The same of what all members of a cluster have alike; nothing where nobody has to be told.
    of_all: Vec<u8>,
}

impl PartialEq for ConfigDigest {
    fn eq(&self, other: &Self) -> bool {
        (&self.files, &self.hash) == (&other.files, &other.hash)
    }
}

impl ConfigDigest {
    fn of(text: Result<&str, &String>, files: BTreeSet<PathBuf>) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut add = |part: Result<&[u8], &str>| {
            let (kind, bytes) = part.map_or_else(|error| (0_u8, error.as_bytes()), |bytes| (1, bytes));
            hash.update(&[kind]);
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(text.map(str::as_bytes).map_err(String::as_str));
        for file in &files {
            let content = read_small(file);
            add(content.as_deref().map_err(String::as_str));
        }
        Self { hash: hash.finish().as_ref().to_vec(), files, of_all: Vec::new() }
    }

    /// The same, which also tells whether members of a cluster have the same config.
    fn telling(self, text: Result<&str, &String>) -> Self {
        let of_all = text.ok().and_then(of_all_members);
        let of_all =
            of_all.map_or_else(|| self.hash.clone(), |alike| digest::digest(&digest::SHA256, &alike).as_ref().to_vec());
        Self { of_all, ..self }
    }

    /// As a text by which members of a cluster with the same config are told; nothing of the config can be read from it. What
    /// each has for itself doesn't count: its name, its proof of who it is, where its page is.
    #[must_use]
    pub fn shown(&self) -> String {
        self.of_all.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The same config, as it is now.
    fn now(&self, path: &Path) -> Self {
        Self::of(config::read_file(path).as_deref(), self.files.clone())
    }
}

/// What of a config all members of a cluster have alike; nothing where it can't be read.
fn of_all_members(text: &str) -> Option<Vec<u8>> {
    let mut config: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    let keys = config.as_mapping_mut()?;
    keys.remove("status");
    if let Some(cluster) = keys.get_mut("cluster").and_then(serde_yaml::Value::as_mapping_mut) {
        cluster.remove("member");
        cluster.remove("tls");
    }
    serde_json::to_vec(&config).ok()
}

fn read_small(file: &Path) -> Result<Vec<u8>, String> {
    match std::fs::metadata(file).map_err(|error| error.to_string())? {
        about if !about.is_file() => Err("no file".to_owned()),
        about if about.len() > FILE_BYTES_MAX => Err(format!("{} bytes", about.len())),
        _ => std::fs::read(file).map_err(|error| error.to_string()),
    }
}

/// Reads the config, and what its content is told by.
#[must_use]
pub fn read(path: &Path) -> (LoadedConfig, ConfigDigest) {
    let text = config::read_file(path);
    let reading = config::compile_file(path, text.as_deref());
    let digest = ConfigDigest::of(text.as_deref(), reading.files.clone()).telling(text.as_deref());
    if reading.files.is_empty() {
        return (reading, digest);
    }
    // Again, now that it is known which files to look at before: one that changes in between is told by the next look.
    (config::compile_file(path, text.as_deref()), digest)
}

/// Sends a reading whenever the config has changed from what `digest` tells, or a hangup came. Ends with its receiver.
pub async fn watch(
    path: PathBuf,
    digest: ConfigDigest,
    hangup: Arc<Notify>,
    updates: mpsc::Sender<(LoadedConfig, ConfigDigest)>,
) {
    let (mut known, mut pending) = (digest, None);
    let mut looks = interval(LOOKED_AT_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_asked = tokio::select! {
            () = hangup.notified() => true,
            _ = looks.tick() => false,
        };
        if is_asked {
            tracing::info!("SIGHUP: the config is read again");
        } else {
            let Some(digest) = off_thread({
                let (known, path) = (known.clone(), path.clone());
                move || known.now(&path)
            })
            .await
            else {
                return;
            };
            if digest == known {
                pending = None;
                continue;
            }
            if pending.as_ref() != Some(&digest) {
                pending = Some(digest);
                continue;
            }
        }
        let path = path.clone();
        let Some((reading, digest)) = off_thread(move || read(&path)).await else { return };
        (known, pending) = (digest.clone(), None);
        if updates.send((reading, digest)).await.is_err() {
            return;
        }
    }
}

/// A file may hang, and nobody else shall.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_with_the_same_config_are_told_whatever_each_has_for_itself() {
        let shown = |text: &str| {
            let text = Ok(text);
            ConfigDigest::of(text, BTreeSet::new()).telling(text).shown()
        };
        let one =
            shown("cluster: {etcd: [a, b], member: one, tls: {cert_file: one.pem}}\nstatus: {listen: '1'}\nx: 1\n");
        assert_eq!(one.len(), 64);
        let cases = [
            ("# mine\ncluster: {etcd: [a, b], member: two}\nx: 1\n", true),
            ("cluster: {etcd: [a, c], member: one}\nx: 1\n", false),
            ("cluster: {etcd: [a, b], member: one}\nx: 2\n", false),
            ("cluster: {etcd: [a, b], member: one}\nx: [\n", false),
        ];
        for (text, is_same) in cases {
            assert_eq!(shown(text) == one, is_same, "{text}");
        }
    }
}
