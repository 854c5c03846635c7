//! What a cluster asks of the engine that holds its state, in the engine's terms; no call is made here.
//!
//! These are etcd's words ([API guarantees](https://etcd.io/docs/v3.5/learning/api_guarantees/)): a revision counts the
//! writes of the whole store, a key has the revision of its first and of its last write, and a transaction compares such
//! figures and then does one list of operations or the other, at one instant for everybody.

/// The revision of a key that isn't there.
pub const ABSENT: i64 = 0;

/// A lease: keys that were put with it go when it ends.
pub type LeaseId = i64;

/// ClusterKeys from one on, up to another one that is no longer meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first.
    pub from: String,
    /// The first that no longer belongs to it.
    pub to: String,
}

/// What is left to read of a range: one that is too large to be read at once is read page by page, as it was when the first page
/// was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangePages {
    /// The keys that are left.
    pub range: KeyRange,
    /// The revision of the first page; none before it.
    pub revision: Option<i64>,
}

impl RangePages {
    /// A whole range.
    #[must_use]
    pub fn of(range: KeyRange) -> Self {
        Self { range, revision: None }
    }

    /// What is left behind a page that ends with a key, and was read at a revision.
    #[must_use]
    pub fn behind(self, last: &str, revision: i64) -> Self {
        let range = KeyRange { from: format!("{last}\0"), to: self.range.to };
        Self { range, revision: self.revision.or(Some(revision)) }
    }
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key's last write has this revision; [`ABSENT`] where it must not be there.
    WrittenAt {
        /// Which key.
        key: String,
        /// Its revision.
        revision: i64,
    },
    /// The key hangs on this lease.
    Leased {
        /// Which key.
        key: String,
        /// Its lease.
        lease: LeaseId,
    },
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writes a key.
    Put {
        /// Which key.
        key: String,
        /// All of it.
        value: Vec<u8>,
        /// What it hangs on, if it does.
        lease: Option<LeaseId>,
    },
    /// Removes a key, where it is there.
    Delete {
        /// Which key.
        key: String,
    },
    /// Removes all keys of a range.
    DeleteRange(KeyRange),
    /// Reads a key.
    Get {
        /// Which key.
        key: String,
    },
}

/// What is done at once, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All of these must hold.
    pub compare: Vec<Compare>,
    /// What is done then.
    pub then: Vec<Operation>,
    /// What is done else.
    pub otherwise: Vec<Operation>,
}

/// A key as the engine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEntry {
    /// Its name.
    pub key: String,
    /// What it holds.
    pub value: Vec<u8>,
    /// The revision of its last write.
    pub written_at: i64,
    /// What it hangs on, if it does.
    pub lease: Option<LeaseId>,
}

/// Keys of a range, in their order, as they were at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryPage {
    /// The keys.
    pub entries: Vec<EngineEntry>,
    /// Whether the range has more of them: those behind the last one here.
    pub has_more: bool,
    /// The store's revision when it was read. The next page is asked as of this one.
    pub revision: i64,
}

/// What became of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionOutcome {
    /// Whether all conditions held.
    pub held: bool,
    /// The store's revision after it: that of everything that it wrote.
    pub revision: i64,
    /// What it read, an element for each [`Operation::Get`], in their order.
    pub read: Vec<Option<EngineEntry>>,
}

/// Why there is no [`TransactionOutcome`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Nobody answered in time, or the connection broke: it may be done, or be done later. The same bytes are asked again.
    #[error("{endpoint} does not answer: {cause}")]
    InDoubt {
        /// Who was asked.
        endpoint: String,
        /// The client's word.
        cause: String,
    },
    /// The engine says that it was not done, and why: its room is full, or it is not allowed.
    #[error("{endpoint} refuses: {cause}")]
    Refused {
        /// Who was asked.
        endpoint: String,
        /// The engine's word.
        cause: String,
    },
    /// It is another engine than the one that this process knows: what it says is nothing to us.
    #[error(
        "{endpoint} belongs to another etcd ({found:016x}) than the one that this replica knows ({known:016x}): either \
         `cluster.etcd` names two, and one has to go; or etcd was put back from a backup, and all replicas have to be restarted"
    )]
    Foreign {
        /// Who was asked.
        endpoint: String,
        /// Which one counts.
        known: u64,
        /// Which one it belongs to.
        found: u64,
    },
    /// What was at this revision is no longer known: all must be read anew.
    #[error("{endpoint} no longer knows what was asked for")]
    Compacted {
        /// Who was asked.
        endpoint: String,
    },
}

/// What has changed in the engine, in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineChange {
    /// A key was written.
    Put(EngineEntry),
    /// A key is gone.
    Deleted {
        /// Which.
        key: String,
        /// When.
        revision: i64,
    },
}

impl EngineChange {
    /// When it was.
    #[must_use]
    pub fn revision(&self) -> i64 {
        match self {
            Self::Put(entry) => entry.written_at,
            Self::Deleted { revision, .. } => *revision,
        }
    }
}

/// How much room the engine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineRoom {
    /// How large its database is, at the node where it is largest.
    pub database_bytes: u64,
    /// How much of that is in use; the rest is used again.
    pub used_bytes: u64,
    /// How large it may become, where the engine says so.
    pub quota_bytes: Option<u64>,
    /// Whether it is full: then it takes nothing.
    pub is_full: bool,
}

/// How much of its database an engine may have taken before somebody is told, in per cent.
const ROOM_TIGHT_PERCENT: u64 = 70;
/// What a database may have where the engine doesn't say: etcd's default.
const ROOM_DEFAULT_BYTES: u64 = 2 * 1024 * 1024 * 1024;

impl EngineRoom {
    /// Whether somebody should see to it.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.database_bytes > self.quota_bytes.unwrap_or(ROOM_DEFAULT_BYTES) / 100 * ROOM_TIGHT_PERCENT
    }

    /// Of two nodes the one that has less of it left: the first that is full keeps all of them from writing.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let quota = self.quota_bytes.into_iter().chain(other.quota_bytes).min();
        Self {
            database_bytes: self.database_bytes.max(other.database_bytes),
            used_bytes: self.used_bytes.max(other.used_bytes),
            quota_bytes: quota,
            is_full: self.is_full || other.is_full,
        }
    }
}

/// What a node of the engine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineNode {
    /// How the config writes it.
    pub endpoint: String,
    /// Its version.
    pub version: String,
    /// Whether it leads.
    pub is_leader: bool,
    /// How much room it has; nothing where it doesn't tell whoever asks.
    pub room: Option<EngineRoom>,
    /// What it complains of, in its words.
    pub alarms: Vec<String>,
    /// What speaks against its version, if anything does.
    pub advice: Option<&'static str>,
}

impl EngineNode {
    /// Whether the engine is full, as this node says, be it with its room or with an alarm alone.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.room.is_some_and(|room| room.is_full) || self.alarms.iter().any(|alarm| alarm.contains("NOSPACE"))
    }
}

/// What a lease is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It goes on for its whole time, from when it was asked.
    Alive,
    /// The engine doesn't know it (any more).
    Gone,
}
