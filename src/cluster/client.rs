//! The kinds of engines, which are told apart here and nowhere else.
//!
//! Another one (PostgreSQL, say) is a variant of [`Engine`] with these operations: a transaction that compares revisions, a
//! read of a range at one instant, a lease that is granted, kept alive and revoked, and a watch of what changes; and, for
//! whoever looks at it, whether it is one engine and how much room it has. What a member has done by [`Engine::spawn`] goes on
//! where the answers come in. The protocol takes of each that
//!
//! - a transaction is done as a whole or not at all, and its revision is that of every key that it wrote; one that puts a key with a
//!   lease that is gone is not done;
//! - revisions grow, also when another node answers, and never go back;
//! - a watch goes on behind the revision that it is given without leaving out a change, or fails;
//! - the end of a lease deletes its keys, and the watch tells that with a revision;
//! - [`EngineError::InDoubt`] means that it may be done later, too, and [`EngineError::Refused`] that it never is.

use super::engine::{
    EngineChange, EngineEntry, EngineError, EngineNode, KeyRange, LeaseId, LeaseState, RangePages, Transaction,
    TransactionOutcome,
};
#[cfg(feature = "cluster")]
use super::etcd::{EtcdEngine, EtcdOptions, EtcdWatch};
use super::memory::{MemoryEngine, MemoryStore, MemoryWatch};
use crate::plan::ClusterPlan;

/// Why a build can't be a member.
#[cfg(not(feature = "cluster"))]
const NOT_BUILT: &str = "this build can't be a member of a cluster; build with `--features cluster`";

/// What holds the cluster's state.
#[derive(Clone, Debug)]
pub enum Engine {
    /// This process's memory.
    Memory(MemoryEngine),
    /// etcd.
    #[cfg(feature = "cluster")]
    Etcd(EtcdEngine),
}

/// Who is told of changes.
#[derive(Debug)]
pub enum EngineWatch {
    /// Of this process's memory.
    Memory(MemoryWatch),
    /// Of etcd.
    #[cfg(feature = "cluster")]
    Etcd(EtcdWatch),
}

impl Engine {
    /// The engine that a plan names, which is reached as soon as it is asked something.
    ///
    /// # Errors
    /// Where this build has none of that kind, or the plan can't be used.
    #[cfg(feature = "cluster")]
    pub fn connect(plan: &ClusterPlan) -> Result<Self, EngineError> {
        EtcdEngine::new(EtcdOptions::of(plan)).map(Self::Etcd)
    }

    /// This build knows no engine.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "cluster"))]
    pub fn connect(plan: &ClusterPlan) -> Result<Self, EngineError> {
        let endpoint = plan.endpoints.first().cloned().unwrap_or_default();
        Err(EngineError::Refused { endpoint, cause: NOT_BUILT.to_owned() })
    }

    /// Has something done where answers of the engine wait for nobody else.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Memory(_) => drop(tokio::spawn(work)),
            #[cfg(feature = "cluster")]
            Self::Etcd(engine) => engine.spawn(work),
        }
    }

    /// Refuses where it is several, each with a state of its own.
    ///
    /// # Errors
    /// [`EngineError::Foreign`]
    pub async fn require_one(&self) -> Result<(), EngineError> {
        match self {
            Self::Memory(_) => Ok(()),
            #[cfg(feature = "cluster")]
            Self::Etcd(engine) => engine.require_one().await,
        }
    }

    /// Does a transaction, at whoever answers; the same one may be asked again.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn commit(&self, transaction: &Transaction) -> Result<TransactionOutcome, EngineError> {
        match self {
            Self::Memory(engine) => engine.commit(transaction).await,
            #[cfg(feature = "cluster")]
            Self::Etcd(engine) => engine.commit(transaction).await,
        }
    }

    /// The keys of a range as they are now, and the revision of that.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn read(&self, range: &KeyRange) -> Result<(Vec<EngineEntry>, i64), EngineError> {
        match self {
            Self::Memory(engine) => Ok(engine.read_later(range).await),
            #[cfg(feature = "cluster")]
            Self::Etcd(engine) => engine.read(range).await,
        }
    }

    /// The next page of a range whose values are large, and what is left of it.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn read_page(&self, pages: RangePages) -> Result<(Vec<EngineEntry>, Option<RangePages>), EngineError> {
        match self {
            Self::Memory(engine) => Ok((engine.read_later(&pages.range).await.0, None)),
            #[cfg(feature = "cluster")]
            Self::Etcd(engine) => engine.read_page(pages).await,
        }
    }

    /// A lease that ends so many seconds after it was last kept alive.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn grant(&self, seconds: u32) -> Result<LeaseId, EngineError> {
        match self {
            Self::Memory(engine) => {
                let _ = seconds; // this engine has no clock: its leases end when a test says so
                Ok(engine.with(MemoryStore::grant))
            }
            #[cfg(feature = "cluster")]
            Self::Etcd(engine) => engine.grant(seconds).await,
        }
    }

    /// Keeps a lease alive, once.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn keep_alive(&self, lease: LeaseId) -> Result<LeaseState, EngineError> {
        match self {
            Self::Memory(engine) => Ok(engine.keep_alive(lease)),
            #[cfg(feature = "cluster")]
            Self::Etcd(engine) => engine.keep_alive(lease).await,
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
            #[cfg(feature = "cluster")]
            Self::Etcd(engine) => engine.revoke(lease).await,
        }
    }

    /// What each of its nodes says of itself; those that don't answer say why.
    pub async fn nodes(&self) -> Vec<(String, Result<EngineNode, EngineError>)> {
        match self {
            Self::Memory(_) => Vec::new(),
            #[cfg(feature = "cluster")]
            Self::Etcd(engine) => engine.nodes().await,
        }
    }

    /// What changes in a range after a revision.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn watch(&self, range: KeyRange, after: i64) -> Result<EngineWatch, EngineError> {
        match self {
            Self::Memory(engine) => engine.watch(range, after).map(EngineWatch::Memory),
            #[cfg(feature = "cluster")]
            Self::Etcd(engine) => engine.watch(&range, after.saturating_add(1)).await.map(EngineWatch::Etcd),
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
            #[cfg(feature = "cluster")]
            Self::Etcd(watch) => watch.next().await,
        }
    }
}
