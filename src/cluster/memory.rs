//! An engine in this process's memory: what an engine is, in a page of code. The tests of what goes on above it use it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::engine::{
    ABSENT, Compare, EngineChange, EngineEntry, EngineError, KeyRange, LeaseId, LeaseState, Operation, Transaction,
    TransactionOutcome,
};

/// How many changes a watch may lag behind.
pub const LAG_MAX: usize = 1024;

/// What it holds.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    entries: BTreeMap<String, EngineEntry>,
    leases: BTreeSet<LeaseId>,
    granted: LeaseId,
    revision: i64,
    /// What has changed, since somebody took it.
    changes: Vec<EngineChange>,
}

impl MemoryStore {
    /// Does a transaction.
    pub fn commit(&mut self, transaction: &Transaction) -> TransactionOutcome {
        let held = transaction.compare.iter().all(|compare| self.holds(compare));
        let operations = if held { &transaction.then } else { &transaction.otherwise };
        if operations.iter().any(|operation| !matches!(operation, Operation::Get { .. })) {
            self.revision += 1;
        }
        let mut read = Vec::new();
        for operation in operations {
            match operation {
                Operation::Put { key, value, lease } => self.put(key, value, *lease),
                Operation::Delete { key } => self.remove_where(|entry| entry.key == *key),
                Operation::DeleteRange(KeyRange { from, to }) => {
                    self.remove_where(|entry| entry.key >= *from && entry.key < *to);
                }
                Operation::Get { key } => read.push(self.entries.get(key).cloned()),
            }
        }
        TransactionOutcome { held, revision: self.revision, read }
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::WrittenAt { key, revision } => {
                self.entries.get(key).map_or(ABSENT, |entry| entry.written_at) == *revision
            }
            Compare::Leased { key, lease } => self.entries.get(key).is_some_and(|entry| entry.lease == Some(*lease)),
        }
    }

    fn put(&mut self, key: &str, value: &[u8], lease: Option<LeaseId>) {
        // As etcd, but that there the whole transaction isn't done.
        if lease.is_some_and(|lease| !self.leases.contains(&lease)) {
            return;
        }
        let entry = EngineEntry { key: key.to_owned(), value: value.to_vec(), written_at: self.revision, lease };
        self.changes.push(EngineChange::Put(entry.clone()));
        self.entries.insert(key.to_owned(), entry);
    }

    fn remove_where(&mut self, is_gone: impl Fn(&EngineEntry) -> bool) {
        let gone: Vec<String> =
            self.entries.values().filter(|entry| is_gone(entry)).map(|entry| entry.key.clone()).collect();
        for key in gone {
            self.entries.remove(&key);
            self.changes.push(EngineChange::Deleted { key, revision: self.revision });
        }
    }

    /// One key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&EngineEntry> {
        self.entries.get(key)
    }

    /// The keys of a range, in their order.
    pub fn range<'e>(&'e self, range: &KeyRange) -> impl Iterator<Item = &'e EngineEntry> + use<'e> {
        self.entries.range(range.from.clone()..range.to.clone()).map(|(_, entry)| entry)
    }

    /// A new lease.
    pub fn grant(&mut self) -> LeaseId {
        self.granted += 1;
        self.leases.insert(self.granted);
        self.granted
    }

    /// Whether a lease goes on.
    #[must_use]
    pub fn is_alive(&self, lease: LeaseId) -> bool {
        self.leases.contains(&lease)
    }

    /// Ends a lease, and everything that hangs on it.
    pub fn end_lease(&mut self, lease: LeaseId) {
        if self.leases.remove(&lease) {
            self.revision += 1;
            self.remove_where(|entry| entry.lease == Some(lease));
        }
    }
}

/// The same, for any number of clients.
#[derive(Clone, Debug)]
pub struct MemoryEngine {
    store: Arc<Mutex<MemoryStore>>,
    /// Whether it has no room, and takes no transaction.
    is_full: Arc<AtomicBool>,
    /// Whether it gives no answer to transactions, and does none.
    is_silent: Arc<AtomicBool>,
    /// How long it takes for a transaction.
    takes_seconds: Arc<AtomicU64>,
    /// Whether it opens no watch, and ends those there are.
    is_unwatchable: Arc<AtomicBool>,
    changes: broadcast::Sender<Vec<EngineChange>>,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self {
            store: Arc::default(),
            is_full: Arc::default(),
            is_silent: Arc::default(),
            takes_seconds: Arc::default(),
            is_unwatchable: Arc::default(),
            changes: broadcast::channel(LAG_MAX).0,
        }
    }
}

impl MemoryEngine {
    /// Does a transaction. Others get on meanwhile, as with an engine that is far away.
    ///
    /// # Errors
    /// [`EngineError::InDoubt`] where it is silent, [`EngineError::Refused`] where it is full.
    pub async fn commit(&self, transaction: &Transaction) -> Result<TransactionOutcome, EngineError> {
        yield_now().await;
        let takes_seconds = self.takes_seconds.load(Ordering::Relaxed);
        if takes_seconds > 0 {
            sleep(Duration::from_secs(takes_seconds)).await;
        }
        if self.is_silent.load(Ordering::Relaxed) {
            return Err(in_doubt("it is silent"));
        }
        if self.is_full.load(Ordering::Relaxed) {
            let (endpoint, cause) = ("memory".to_owned(), "it is full".to_owned());
            return Err(EngineError::Refused { endpoint, cause });
        }
        Ok(self.with(|store| store.commit(transaction)))
    }

    /// Takes no transaction from now on, or takes them again.
    pub fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Gives no answer to transactions from now on, or gives them again.
    pub fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Takes so long for each transaction from now on.
    pub fn set_slow(&self, takes_seconds: u64) {
        self.takes_seconds.store(takes_seconds, Ordering::Relaxed);
    }

    /// Opens no watch from now on, and ends those there are at the next change; or opens them again.
    pub fn set_unwatchable(&self, is_unwatchable: bool) {
        self.is_unwatchable.store(is_unwatchable, Ordering::Relaxed);
    }

    /// Does something with all of it, and tells those who watch.
    pub fn with<T>(&self, work: impl FnOnce(&mut MemoryStore) -> T) -> T {
        let mut store = self.store();
        let done = work(&mut store);
        let changes = std::mem::take(&mut store.changes);
        if !changes.is_empty() {
            // Where nobody watches, nobody is told.
            drop(self.changes.send(changes));
        }
        done
    }

    /// The keys of a range, and the revision at which it was so.
    #[must_use]
    pub fn read(&self, range: &KeyRange) -> (Vec<EngineEntry>, i64) {
        let store = self.store();
        (store.range(range).cloned().collect(), store.revision)
    }

    /// The same once others have got on.
    pub async fn read_later(&self, range: &KeyRange) -> (Vec<EngineEntry>, i64) {
        yield_now().await;
        self.read(range)
    }

    /// What a lease is worth.
    #[must_use]
    pub fn keep_alive(&self, lease: LeaseId) -> LeaseState {
        if self.store().is_alive(lease) { LeaseState::Alive } else { LeaseState::Gone }
    }

    /// What changes after a revision, which must be the last one: nothing before is kept.
    ///
    /// # Errors
    /// Where something has changed since: it has to be read again.
    pub fn watch(&self, range: KeyRange, after: i64) -> Result<MemoryWatch, EngineError> {
        // Under the lock nothing changes.
        let store = self.store();
        if self.is_unwatchable.load(Ordering::Relaxed) {
            return Err(in_doubt("it opens no watch"));
        }
        if store.revision != after {
            return Err(in_doubt("it has changed since"));
        }
        let is_unwatchable = Arc::clone(&self.is_unwatchable);
        Ok(MemoryWatch { range, is_unwatchable, changes: self.changes.subscribe() })
    }

    fn store(&self) -> MutexGuard<'_, MemoryStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_doubt(cause: &str) -> EngineError {
    EngineError::InDoubt { endpoint: "memory".to_owned(), cause: cause.to_owned() }
}

/// Who is told of changes.
#[derive(Debug)]
pub struct MemoryWatch {
    range: KeyRange,
    is_unwatchable: Arc<AtomicBool>,
    changes: broadcast::Receiver<Vec<EngineChange>>,
}

impl MemoryWatch {
    /// The next changes.
    ///
    /// # Errors
    /// Where it lags too far behind.
    pub async fn next(&mut self) -> Result<Vec<EngineChange>, EngineError> {
        loop {
            let changes = self.changes.recv().await;
            let changes = changes.map_err(|cause| in_doubt(&cause.to_string()))?;
            if self.is_unwatchable.load(Ordering::Relaxed) {
                return Err(in_doubt("it ends its watches"));
            }
            let is_meant = |change: &EngineChange| {
                let key = match change {
                    EngineChange::Put(entry) => &entry.key,
                    EngineChange::Deleted { key, .. } => key,
                };
                *key >= self.range.from && *key < self.range.to
            };
            let meant: Vec<EngineChange> = changes.into_iter().filter(is_meant).collect();
            if !meant.is_empty() {
                return Ok(meant);
            }
        }
    }
}
