//! The directory of a config, and the one that the state is kept in.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Uid, access};
use ring::digest;

use crate::config;

/// The mode of a temporary directory: for its owner alone.
const OWNER_ONLY: u32 = 0o700;
/// How many bytes of a digest tell temporary directories apart.
const DIGEST_BYTES: usize = 8;
/// What container runtimes leave in a container.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];
/// The variable that every container of Kubernetes has.
const KUBERNETES_VARIABLE: &str = "KUBERNETES_SERVICE_HOST";

/// The directory of the config.
#[must_use]
pub fn folder_of(config: &Path) -> PathBuf {
    match config.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Where the state is kept, and whether it outlives what runs here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFolder {
    /// The directory.
    pub path: PathBuf,
    /// Whether it stands in for one that can't be written.
    pub is_temporary: bool,
}

impl StateFolder {
    /// That of a config: `state.directory`, else the config's own. Where that can't be written, a temporary one will do for a
    /// file with `apis` alone.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let own = folder_of(path);
        let place = config::read_file(path).map(|text| config::state_place(&text, &own)).unwrap_or_default();
        match place.directory {
            Some(directory) => Self { path: directory, is_temporary: false },
            None if place.may_be_temporary && access(&own, AccessFlags::W_OK).is_err() => {
                Self { path: temporary(path), is_temporary: true }
            }
            None => Self { path: own, is_temporary: false },
        }
    }

    /// Makes it, where it may be made.
    ///
    /// # Errors
    /// Where it can't be; or where it stands in for another one, in a place where everybody may write, and isn't our own.
    pub fn make(&self) -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(&self.path)?;
        let about = std::fs::symlink_metadata(&self.path)?;
        let is_own = about.is_dir() && about.uid() == Uid::effective().as_raw();
        match is_own || !self.is_temporary {
            true => Ok(()),
            false => Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, "it belongs to somebody else")),
        }
    }

    /// Says what it costs where the state doesn't outlive the container or the machine's next start.
    pub fn tell(&self) {
        let cost = "after the next start all of it is fetched and shipped again";
        if self.is_temporary {
            tracing::warn!(
                directory = %self.path.display(),
                "the directory of the config can't be written, so the state is kept in a temporary one: {cost}; mount a \
                 volume, or name a directory as `state.directory`"
            );
        } else if is_in_container() && is_of_container(&self.path) {
            tracing::warn!(
                directory = %self.path.display(),
                "the state is kept in the container itself, and goes with it: {cost}; mount a volume there, or name \
                 another directory as `state.directory`"
            );
        }
    }
}

/// A directory that is the same at each start of the same config.
fn temporary(config: &Path) -> PathBuf {
    let whole = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let digest = digest::digest(&digest::SHA256, whole.as_os_str().as_encoded_bytes());
    let name: String = digest.as_ref().iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect();
    std::env::temp_dir().join(format!("logzio-api-fetcher-{name}"))
}

fn is_in_container() -> bool {
    CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists()) || std::env::var_os(KUBERNETES_VARIABLE).is_some()
}

/// Whether a directory lies on the container's own file system and on no volume.
fn is_of_container(directory: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|about| about.dev());
    device(directory).is_some_and(|own| Some(own) == device(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_directory_is_the_same_at_each_start() {
        let of = |path: &str| temporary(Path::new(path));
        assert_eq!(of("/a/config.yaml"), of("/a/config.yaml"));
        assert_ne!(of("/a/config.yaml"), of("/b/config.yaml"));
    }

    #[test]
    fn the_state_stands_beside_the_config_or_where_it_says() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("config.yaml");
        let of = |text: &str| {
            std::fs::write(&config, text).expect("a config");
            StateFolder::of(&config).path
        };
        assert_eq!(of("apis: [{}]"), directory.path());
        assert_eq!(of("state: {directory: there}"), directory.path().join("there"));
    }
}
