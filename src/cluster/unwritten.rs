//! Why something isn't known to be in the cluster's state.

use std::io;

/// Why something isn't written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnwrittenError {
    /// Another member owns the API.
    #[error("another member of the cluster has taken the API over; it goes on there")]
    Lost,
    /// Its state was edited.
    #[error(
        "the API's state in the cluster is not what this member knows any more, as `state` changed it or a write was given up; it is read again"
    )]
    Edited,
    /// It is larger than the engine takes.
    #[error("the API's state is larger than the cluster's engine takes")]
    TooLarge,
    /// The engine doesn't answer.
    #[error("the cluster's engine does not answer; the checkpoint is not known to have moved")]
    Unanswered,
    /// The process ends.
    #[error("the state is closed")]
    Closed,
}

impl UnwrittenError {
    /// The one behind an error of the state, where it is kept in a cluster.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// What whoever is on call can do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Lost => "nothing; the member that has it goes on from what was delivered",
            Self::Edited => "nothing; the API is read again, and goes on from what was delivered",
            Self::TooLarge => "raise the engine's limit for one request, which is `--max-request-bytes` of etcd",
            Self::Unanswered => "look at the cluster's engine: `cluster status`, its log, and the network to it",
            Self::Closed => "nothing; the next start goes on from the checkpoint",
        }
    }

    /// The anchor of its entry in docs/troubleshooting.md.
    #[must_use]
    pub fn anchor(self) -> &'static str {
        match self {
            Self::Lost | Self::Edited => "cluster-replaced",
            Self::TooLarge | Self::Unanswered => "cluster-unwritten",
            Self::Closed => "stopped",
        }
    }
}

impl From<UnwrittenError> for io::Error {
    fn from(error: UnwrittenError) -> Self {
        Self::other(error)
    }
}
