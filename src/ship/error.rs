//! Why a batch wasn't delivered, and what can be done about it.

use reqwest::StatusCode;

use super::waiting::OUTPUT_BYTES_MAX;
use crate::cluster::UnwrittenError;
use crate::http::unreachable_advice;

/// Why a batch wasn't delivered. The checkpoint stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// No answer, for as long as it is tried.
    #[error("the listener {url} gave no answer: {cause}")]
    Unreachable {
        /// Without the token.
        url: String,
        /// The innermost cause.
        cause: String,
    },
    /// The token is refused.
    #[error(
        "the listener {url} refuses the token ({status}{error_body}); check logzio.token, that logzio.url is the one of your region, \
         and firewalls before it"
    )]
    Token {
        /// Without the token.
        url: String,
        /// 401 or 403.
        status: StatusCode,
        /// What it says, scrubbed.
        error_body: String,
    },
    /// A success or a redirect that no listener sends.
    #[error(
        "{url} answered {status}{error_body}, which is no listener's answer, so nothing counts as delivered until a listener \
         answers; check logzio.url (where a relay answers so, set `logzio.acknowledge: 2xx`)"
    )]
    Foreign {
        /// Without the token.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// What came, scrubbed.
        error_body: String,
    },
    /// Another member of the cluster has the API now.
    #[error("another member of the cluster has taken the API over; it goes on there")]
    Replaced,
    /// What was delivered, or the checkpoint, isn't known to be in the cluster's state.
    #[error(transparent)]
    Unwritten(UnwrittenError),
    /// The cluster's engine didn't answer in time, so that another member may have taken the API over.
    #[error("the cluster's engine has not renewed the lease in time; nothing is sent until it has")]
    Suspended,
    /// Any other answer.
    #[error("the listener {url} answered {status}{error_body}")]
    Status {
        /// Without the token.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// What it says, scrubbed.
        error_body: String,
    },
    /// There is no more room on the disk for what the output doesn't take.
    #[error("{} MiB of batches wait on the disk for the output {output}, as much as may, so the API isn't asked", OUTPUT_BYTES_MAX >> 20)]
    QueueFull {
        /// Its name.
        output: String,
    },
    /// A batch can't be compressed, or a record can't be set aside.
    #[error("{what}: {cause}")]
    Local {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        cause: std::io::Error,
    },
    /// The API was called back, as its checkpoint is to change.
    #[error("called back at a batch border, as the checkpoint is to change")]
    Recalled,
    /// The grace window is over.
    #[error("stopped before the listener had everything")]
    Stopped,
}

impl ShipError {
    /// What whoever is on call can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { cause, .. } => unreachable_advice(cause, "logzio.url")
                .unwrap_or("check that this machine reaches the listener: logzio.url, firewall (port 8071), proxy"),
            Self::Token { .. } => {
                "put a shipping token of your account into logzio.token, and the URL of its region into logzio.url"
            }
            Self::Foreign { .. } => {
                "put the URL of the listener of your region into logzio.url, like https://listener.logz.io:8071"
            }
            Self::Status { status, .. } if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS => {
                "nothing, if it passes: what isn't delivered is sent again; else ask the listener's owner"
            }
            Self::Status { .. } => "check logzio.url: what answers there may not be the listener",
            Self::QueueFull { .. } => {
                "look at the output's listener: what waits is shipped as soon as it takes anything"
            }
            Self::Local { .. } => "make room on the disk, or fix the permissions of the config's directory",
            Self::Unwritten(error) => error.hint(),
            Self::Replaced => "nothing; the member that has it goes on from what was delivered",
            Self::Suspended => "look at the cluster's engine: `cluster status`, its log, and the network to it",
            Self::Recalled => "nothing; the next iteration begins at the new checkpoint",
            Self::Stopped => "nothing; the next start goes on from the checkpoint",
        }
    }
}

impl ShipError {
    /// Whether the output took not all, and it may be otherwise another time.
    #[must_use]
    pub fn is_of_output(&self) -> bool {
        let is_ours = matches!(self, Self::Recalled | Self::Stopped | Self::Local { .. });
        !(is_ours || matches!(self, Self::Replaced | Self::Unwritten(_) | Self::Suspended))
    }

    /// The anchor of its entry in docs/troubleshooting.md.
    #[must_use]
    pub fn anchor(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "listener-unreachable",
            Self::Token { .. } => "token-refused",
            Self::Foreign { .. } => "listener-foreign-answer",
            Self::Status { .. } => "listener-status",
            Self::QueueFull { .. } => "output-queue-full",
            Self::Local { .. } => "disk-full",
            Self::Replaced => "cluster-replaced",
            Self::Unwritten(error) => error.anchor(),
            Self::Suspended => "cluster-suspended",
            Self::Recalled => "recalled",
            Self::Stopped => "stopped",
        }
    }
}
