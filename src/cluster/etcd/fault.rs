//! What a failure says about what was asked.

use std::error::Error as _;

use etcd_client::Error;

use crate::cluster::engine::EngineError;

/// What a failure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// It is done, or will be, or not.
    Unclear,
    /// Nothing answered in time, or what was sent to prove who asks is old: this connection is of no use any more.
    Unusable,
    /// It was not done, and won't be however often it is asked.
    Refused,
    /// The same, as there is no such lease.
    LeaseGone,
    /// The same, as the revision is compacted.
    Compacted,
    /// It was answered by more than is taken.
    TooLong,
    /// The node belongs to another etcd.
    Foreign {
        /// Than this one.
        known: u64,
        /// To this one.
        found: u64,
    },
}

/// A failure.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// What it says.
    pub(super) kind: FaultKind,
    /// Its words.
    pub(super) cause: String,
}

/// What a part of etcd's word means, whatever its code is.
const WORDS: &[(&str, FaultKind)] = &[
    ("required revision has been compacted", FaultKind::Compacted),
    ("lease not found", FaultKind::LeaseGone),
    ("message length too large", FaultKind::TooLong),
    ("invalid auth token", FaultKind::Unusable),
    ("revision of auth store is old", FaultKind::Unusable),
    // Another node, or the same one later, may do it.
    ("too many requests", FaultKind::Unclear),
    ("not leader", FaultKind::Unclear),
];

/// The [codes of gRPC](https://grpc.io/docs/guides/status-codes/) by which a server says that it did nothing.
const REFUSING_CODES: &[i32] = &[
    3,  // INVALID_ARGUMENT: too large, too many operations, a wrong password
    5,  // NOT_FOUND
    6,  // ALREADY_EXISTS
    7,  // PERMISSION_DENIED
    8,  // RESOURCE_EXHAUSTED: no space
    9,  // FAILED_PRECONDITION
    11, // OUT_OF_RANGE
    12, // UNIMPLEMENTED: this is no etcd
    15, // DATA_LOSS: etcd has found its nodes to differ, and writes no more
];

/// etcd's word for what a user has no right to.
const DENIED: &str = "permission denied";

/// Who asks is not known (any more).
const UNAUTHENTICATED: i32 = 16;

impl Fault {
    /// A failure in etcd's words, of which the kind follows; or [`FaultKind::Unclear`].
    pub(super) fn said(code: Option<i32>, cause: &str) -> Self {
        let word = WORDS.iter().find(|(word, _)| cause.contains(word));
        let kind = match (word, code) {
            (Some((_, kind)), _) => *kind,
            (None, Some(UNAUTHENTICATED)) => FaultKind::Unusable,
            (None, Some(code)) if REFUSING_CODES.contains(&code) => FaultKind::Refused,
            (None, _) => FaultKind::Unclear,
        };
        let cause = if cause.is_empty() { "no reason given" } else { cause };
        Self { kind, cause: cause.to_owned() }
    }

    /// A failure of the connection.
    pub(super) fn unusable(cause: impl Into<String>) -> Self {
        Self { kind: FaultKind::Unusable, cause: cause.into() }
    }

    /// What can't work, however often it is tried.
    pub(super) fn refused(cause: impl Into<String>) -> Self {
        Self { kind: FaultKind::Refused, cause: cause.into() }
    }

    /// What another etcd said.
    pub(super) fn foreign(known: u64, found: u64) -> Self {
        Self { kind: FaultKind::Foreign { known, found }, cause: "it belongs to another etcd".to_owned() }
    }

    /// Whether whoever asks may not ask that.
    pub(super) fn is_denied(&self) -> bool {
        self.kind == FaultKind::Refused && self.cause.contains(DENIED)
    }

    /// Whether another try may tell more, or another node.
    pub(super) fn is_open(&self) -> bool {
        use FaultKind::{Foreign, TooLong, Unclear, Unusable};
        matches!(self.kind, Unclear | Unusable | TooLong | Foreign { .. })
    }

    /// The same for those who asked.
    pub(super) fn at(self, endpoint: &str) -> EngineError {
        let (endpoint, cause) = (endpoint.to_owned(), self.cause);
        match self.kind {
            FaultKind::Unclear | FaultKind::Unusable | FaultKind::TooLong => EngineError::InDoubt { endpoint, cause },
            FaultKind::Refused | FaultKind::LeaseGone => EngineError::Refused { endpoint, cause },
            FaultKind::Compacted => EngineError::Compacted { endpoint },
            FaultKind::Foreign { known, found } => EngineError::Foreign { endpoint, known, found },
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            // With a source it is the client's own, about a connection that broke: the code then isn't etcd's word.
            Error::GRpcStatus(status) if status.source().is_some() => Self::unusable(innermost(&status)),
            Error::GRpcStatus(status) => Self::said(Some(i32::from(status.code())), status.message()),
            Error::LeaseKeepAliveError(cause) => Self::said(None, &cause),
            Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::InvalidMetadataValue(_) => {
                Self::refused(innermost(&error))
            }
            other => Self::unusable(innermost(&other)),
        }
    }
}

/// The last of the causes: those before it say only that something failed.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_was_not_done_counts_as_refused() {
        let cases = [
            (8, "etcdserver: mvcc: database space exceeded", FaultKind::Refused),
            (8, "etcdserver: too many requests", FaultKind::Unclear),
            (3, "etcdserver: request is too large", FaultKind::Refused),
            (3, "etcdserver: authentication failed, invalid user ID or password", FaultKind::Refused),
            (3, "etcdserver: revision of auth store is old", FaultKind::Unusable),
            (16, "etcdserver: invalid auth token", FaultKind::Unusable),
            (7, "etcdserver: permission denied", FaultKind::Refused),
            (9, "etcdserver: not leader", FaultKind::Unclear),
            (14, "etcdserver: leader changed", FaultKind::Unclear),
            (14, "etcdserver: request timed out", FaultKind::Unclear),
            (4, "", FaultKind::Unclear),
            (2, "something else", FaultKind::Unclear),
            (5, "etcdserver: requested lease not found", FaultKind::LeaseGone),
            (11, "etcdserver: mvcc: required revision has been compacted", FaultKind::Compacted),
            (11, "Error, decoded message length too large: found 9 bytes", FaultKind::TooLong),
        ];
        for (code, text, kind) in cases {
            assert_eq!(Fault::said(Some(code), text).kind, kind, "{code} {text}");
        }
    }
}
