//! Which layout the keys of a cluster have.

use super::{JoinError, Membership};
use crate::cluster::engine::{ABSENT, Compare, Operation, Transaction};
use crate::cluster::slot::SLOTS;

/// The layout of the keys; how many slots they have stands behind it.
const LAYOUT: &str = "1";

impl Membership {
    /// Writes the layout, or finds that it is ours.
    pub(super) async fn require_layout(&self) -> Result<(), JoinError> {
        let own = format!("{LAYOUT} {SLOTS}");
        let key = self.keys.layout();
        let transaction = Transaction {
            compare: vec![Compare::WrittenAt { key: key.clone(), revision: ABSENT }],
            then: vec![Operation::Put { key: key.clone(), value: own.clone().into_bytes(), lease: None }],
            otherwise: vec![Operation::Get { key }],
        };
        let outcome = self.engine.commit(&transaction).await?;
        let found = outcome.read.into_iter().flatten().next().map(|entry| entry.value);
        match found {
            Some(found) if found != own.as_bytes() => {
                let found = String::from_utf8_lossy(&found).chars().take(40).collect();
                Err(JoinError::Layout { found, own })
            }
            _ => Ok(()),
        }
    }
}
