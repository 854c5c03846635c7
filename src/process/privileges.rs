//! Root is given up for the owner of the config's directory, before anything is read from a file or sent.
//!
//! A container starts as root, since nobody tells it whose directory is mounted. The owner can write in it, and what the
//! fetcher writes belongs to the owner, on the host, too.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, getegid, geteuid, setgid, setgroups, setuid};

/// A user and a group, as the system numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    uid: u32,
    gid: u32,
}

impl Identity {
    /// Who this process is.
    #[must_use]
    pub fn own() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// Who owns a directory, if it is there.
    #[must_use]
    pub fn owner_of(directory: &Path) -> Option<Self> {
        std::fs::metadata(directory).ok().map(|about| Self { uid: about.uid(), gid: about.gid() })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// Whether root was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// This process is the owner now.
    To(Identity),
    /// There is nothing to give up: this process isn't root, or root is the owner, or there is no such directory.
    NotNeeded,
    /// The system does not let it, as it has taken the capabilities away.
    Refused(Identity, Errno),
}

/// Becomes the owner of the directory, where this process is root and the owner isn't.
///
/// To be called while the process has one thread.
#[must_use]
pub fn drop_to_owner_of(directory: &Path) -> Dropped {
    let owner = Identity::owner_of(directory).filter(|owner| owner.uid != 0 && Identity::own().uid == 0);
    let Some(owner) = owner else { return Dropped::NotNeeded };
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    // The groups first: once the user is gone, they can't be changed.
    match setgroups(&[gid]).and_then(|()| setgid(gid)).and_then(|()| setuid(uid)) {
        Ok(()) => Dropped::To(owner),
        Err(errno) => Dropped::Refused(owner, errno),
    }
}
