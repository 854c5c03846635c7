//! The kinds of engines, which are told apart here and nowhere else.
//!
//! Another one (PostgreSQL, say) is a variant with these seven operations: a transaction that compares revisions, a read of
//! a range at one instant, a lease that is granted, kept alive and revoked, and a watch of what changes.

use super::engine::{
    EngineChange, EngineEntry, EngineError, KeyRange, LeaseId, LeaseState, Transaction, TransactionOutcome,
};
use super::memory::{MemoryEngine, MemoryWatch};

/// What holds the cluster's state.
#[derive(Clone, Debug)]
pub enum Engine {
    /// This process's memory.
    Memory(MemoryEngine),
}

/// Who is told of changes.
#[derive(Debug)]
pub enum EngineWatch {
    /// Of this process's memory.
    Memory(MemoryWatch),
}

impl Engine {
    /// Does a transaction, at whoever answers; the same one may be asked again.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn commit(&self, transaction: &Transaction) -> Result<TransactionOutcome, EngineError> {
        match self {
            Self::Memory(engine) => Ok(engine.with(|store| store.commit(transaction))),
        }
    }

    /// The keys of a range as they are now, and the revision of that.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn read(&self, range: &KeyRange) -> Result<(Vec<EngineEntry>, i64), EngineError> {
        match self {
            Self::Memory(engine) => Ok(engine.read(range)),
        }
    }

    /// A lease that ends so many seconds after it was last kept alive.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn grant(&self, seconds: u32) -> Result<LeaseId, EngineError> {
        match self {
            Self::Memory(engine) => Ok(engine.with(|store| if seconds == 0 { 0 } else { store.grant() })),
        }
    }

    /// Keeps a lease alive, once.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn keep_alive(&self, lease: LeaseId) -> Result<LeaseState, EngineError> {
        match self {
            Self::Memory(engine) => Ok(engine.keep_alive(lease)),
        }
    }

    /// Ends a lease.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn revoke(&self, lease: LeaseId) -> Result<(), EngineError> {
        match self {
            Self::Memory(engine) => {
                engine.with(|store| store.end_lease(lease));
                Ok(())
            }
        }
    }

    /// What changes in a range after a revision.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn watch(&self, range: KeyRange, _after: i64) -> Result<EngineWatch, EngineError> {
        match self {
            Self::Memory(engine) => Ok(EngineWatch::Memory(engine.watch(range))),
        }
    }
}

impl EngineWatch {
    /// The next changes, in their order.
    ///
    /// # Errors
    /// Where it can't go on: what was missed is read anew.
    pub async fn next(&mut self) -> Result<Vec<EngineChange>, EngineError> {
        match self {
            Self::Memory(watch) => watch.next().await,
        }
    }
}
