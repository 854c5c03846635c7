//! Which etcd it is: several endpoints are one engine only where they belong to one.
//!
//! What another etcd holds is another state, with other owners: a replica that took its answers would run what others run. So
//! a connection counts only when the node has said which etcd it belongs to, and so do answers. That of the first connection
//! counts for the process: an etcd that was put back from a backup, and so has a new id, is another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fault::Fault;

/// No etcd has this id.
const NONE: u64 = 0;

/// The etcd that counts, as soon as one was reached. A clone is the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct EtcdIdentity(Arc<AtomicU64>);

impl EtcdIdentity {
    /// Takes over which etcd a node belongs to, or finds that it is the one that counts.
    pub(super) fn require(&self, found: u64) -> Result<(), Fault> {
        let known = self.0.compare_exchange(NONE, found, Ordering::AcqRel, Ordering::Acquire);
        match known {
            Err(known) if known != found => Err(Fault::foreign(known, found)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::EngineError;

    #[test]
    fn the_first_etcd_counts_and_no_other() {
        let identity = EtcdIdentity::default();
        assert!(identity.require(7).is_ok() && identity.clone().require(7).is_ok());
        let error = identity.require(8).expect_err("another one").at("http://n1:2379");
        assert!(matches!(error, EngineError::Foreign { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("http://n1:2379 belongs to another etcd") && text.contains("0000000000000008"), "{text}");
        assert!(identity.require(7).is_ok());
    }
}
