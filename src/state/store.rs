//! The store: what was delivered and isn't covered by a checkpoint yet, and an account of each API.
//!
//! One file of [redb](https://docs.rs/redb): pure Rust, one file without companions, transactions with checksums that
//! survive a power cut, a check of the whole file at each opening, and no memory but a cache whose size is ours to set. It
//! has one writer, which is all that a directory under our lock ever has.
//!
//! What always holds: a commit is on the disk when it returns, but in a cache ([`StoreKind`]). Deleting the file costs
//! duplicates, never records. What stays in it is bounded, by [`REMEMBERED_MAX`] for each API.

mod backend;
mod change;
mod forget;
mod kind;
mod unused;
mod write;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use chrono::{DateTime, Utc};
use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, Error, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::account::ApiState;
use super::account::LedgerId;
use super::checkpoint_text::Checkpoint;
use super::delivered::{self, DELIVERED, DeliveredRecord, Merge};
use crate::record::RecordKey;

use backend::{UnsyncedFile, in_memory};
pub use change::Change;
use forget::{forget, forget_arrived, forget_middle};
pub use forget::{had_arrived_since, is_arrival};
pub use kind::StoreKind;
pub(super) use unused::unused;
pub use write::Write;

/// The file's name, beside the config.
pub const FILE_NAME: &str = ".logzio-api-fetcher.store";
/// What a damaged file is called afterwards.
pub const DAMAGED_FILE_NAME: &str = ".logzio-api-fetcher.store.damaged";
/// How many delivered records of one API are remembered, some 120 MB. Beyond it the middle half by date is forgotten: the
/// ends hold the edge and what was delivered last, in whatever order pages come. What is forgotten may be shipped twice
/// after a crash, never lost; an overlap with more in it is cut.
pub const REMEMBERED_MAX: u64 = 2_000_000;
/// How many changes of checkpoints can be undone.
pub const CHANGES_MAX: u64 = 10;
/// What redb keeps in memory. Records come in the order of their dates, so a few pages are what is asked for: an iteration
/// of a million records takes no longer with it than with four times as much.
const CACHE_BYTES: usize = 4 * 1024 * 1024;
/// After so many forgotten records the file is made smaller: they took some 3 MB.
const COMPACT_AFTER: u64 = 50_000;
/// A file larger than this has room for what was forgotten before it was opened.
const COMPACT_ABOVE_BYTES: u64 = 8 * 1024 * 1024;
/// What a record takes in the file, with the room that it grows by.
const RECORD_BYTES: u64 = 60;
/// The layout of the tables.
const LAYOUT: u64 = 2;
const REMEMBERED: TableDefinition<'_, u64, u64> = TableDefinition::new("remembered");
const ACCOUNTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("accounts");
const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// An open store.
#[derive(Debug)]
pub struct StoreFile {
    kind: StoreKind,
    database: Database,
    remembered_max: u64,
    /// How many records were forgotten since the file was made as small as it can be.
    forgotten: u64,
    /// Of accounts with too many records, the earliest date from which on all are remembered, in microseconds.
    thinned: HashMap<u64, i64>,
}

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What is in the file makes no sense.
    #[error("{0}")]
    Damaged(String),
    /// Another process has it.
    #[error("another process has it open")]
    Taken,
    /// The file can't be read or written.
    #[error("{0}")]
    Unusable(Box<Error>),
}

impl StoreFile {
    /// Opens the store, or makes it. The whole file is checked.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::require_file(path)?;
        let mut store = Self::open_by(StoreKind::Lasting, |builder| Ok(builder.create(path)?))?;
        // As if what the file has room for had been forgotten.
        let bytes = std::fs::metadata(path).map(|file| file.len()).unwrap_or_default();
        store.forgotten = bytes.saturating_sub(COMPACT_ABOVE_BYTES) / RECORD_BYTES;
        Ok(store)
    }

    /// Opens a store, or makes it, that is a cache. Nothing in it is forgotten for want of an account.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open_cache(path: &Path) -> Result<Self, OpenError> {
        Self::require_file(path)?;
        Self::open_by(StoreKind::Cache, |builder| Ok(builder.create_with_backend(UnsyncedFile::open(path)?)?))
    }

    /// What it is to its process.
    #[must_use]
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// A store in memory, which goes with the process.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn in_memory() -> Result<Self, OpenError> {
        Self::open_by(StoreKind::Lasting, |builder| Ok(builder.create_with_backend(InMemoryBackend::new())?))
    }

    /// Makes the file smaller, where that is worth the time: more was forgotten than is left.
    ///
    /// # Errors
    /// Where the file can't be written; then the store must be opened again.
    pub fn compact(&mut self) -> Result<(), Error> {
        if self.forgotten < COMPACT_AFTER {
            return Ok(());
        }
        let table = self.database.begin_read()?.open_table(REMEMBERED)?;
        let left = table.iter()?.try_fold(0, |sum, entry| entry.map(|(_, count)| sum + count.value()))?;
        drop(table);
        if self.forgotten > left {
            self.database.compact()?;
        }
        self.forgotten = 0;
        Ok(())
    }

    /// Since when everything of an account is remembered, if some of it had to be forgotten; told once.
    pub fn take_thinned(&mut self, ledger: LedgerId) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.thinned.remove(&ledger)?)
    }

    /// A copy in memory of the last commit in a file that can't be written: what was delivered is known all the same.
    ///
    /// # Errors
    /// [`OpenError`]; a file that is too large for it can't be used either.
    pub fn open_copy(path: &Path, kind: StoreKind) -> Result<Self, OpenError> {
        Self::require_file(path)?;
        Self::open_by(kind, |builder| Ok(builder.create_with_backend(in_memory(path)?)?))
    }

    /// A pipe would be waited for, and a directory is none.
    fn require_file(path: &Path) -> Result<(), OpenError> {
        match std::fs::metadata(path) {
            Ok(about) if !about.is_file() => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
                Err(OpenError::Unusable(Box::new(error.into())))
            }
            _ => Ok(()),
        }
    }

    fn open_by(kind: StoreKind, open: impl FnOnce(&mut Builder) -> Result<Database, Error>) -> Result<Self, OpenError> {
        let open = || {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
            let store = Self {
                kind,
                database: open(&mut builder)?,
                remembered_max: REMEMBERED_MAX,
                forgotten: 0,
                thinned: HashMap::new(),
            };
            store.prepare()?;
            Ok(store)
        };
        // What redb doesn't expect in a file may make it panic, and a store isn't worth a fetcher.
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(store)) => Ok(store),
            Ok(Err(Error::DatabaseAlreadyOpen)) => Err(OpenError::Taken),
            Ok(Err(error)) if is_damage(&error) => Err(OpenError::Damaged(error.to_string())),
            Ok(Err(error)) => Err(OpenError::Unusable(Box::new(error))),
            Err(_) => Err(OpenError::Damaged("it can't be understood".to_owned())),
        }
    }

    /// The same with another bound for what is remembered.
    #[must_use]
    pub fn remembering(self, remembered_max: u64) -> Self {
        Self { remembered_max, ..self }
    }

    /// Makes the tables, and forgets what no account refers to.
    fn prepare(&self) -> Result<(), Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut about = transaction.open_table(ABOUT)?;
            let layout = about.get("layout")?.map(|layout| layout.value());
            if layout.is_some_and(|layout| layout != LAYOUT) {
                return Err(Error::Corrupted("it was written by another version".to_owned()));
            }
            if layout.is_none() {
                about.insert("layout", LAYOUT)?;
            }
            transaction.open_table(DELIVERED)?;
            let accounts = read_accounts(&transaction.open_table(ACCOUNTS)?)?;
            let changes = read_changes(&transaction.open_table(CHANGES)?)?;
            if self.kind == StoreKind::Cache {
                transaction.open_table(REMEMBERED)?;
                drop((about, accounts, changes));
                return Ok(transaction.commit()?);
            }
            let referred: HashSet<u64> = accounts
                .values()
                .chain(changes.values().flat_map(Change::befores).map(|(_, before)| before))
                .map(|account| account.ledger)
                .collect();
            let mut remembered = transaction.open_table(REMEMBERED)?;
            let orphans = remembered.iter()?.map(|entry| entry.map(|(ledger, _)| ledger.value()));
            let orphans: Vec<u64> = orphans
                .filter(|ledger| ledger.as_ref().map_or(true, |ledger| !referred.contains(ledger)))
                .collect::<Result<_, _>>()?;
            let mut delivered = transaction.open_table(DELIVERED)?;
            delivered::check(&delivered)?;
            for ledger in orphans {
                remove_account(ledger, &mut delivered, &mut remembered)?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Every account.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn accounts(&self) -> Result<BTreeMap<String, ApiState>, Error> {
        read_accounts(&self.database.begin_read()?.open_table(ACCOUNTS)?)
    }

    /// The changes that can be undone, oldest first.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn changes(&self) -> Result<Vec<Change>, Error> {
        Ok(read_changes(&self.database.begin_read()?.open_table(CHANGES)?)?.into_values().collect())
    }

    /// How many different records of an account are remembered.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn remembered(&self, ledger: LedgerId) -> Result<u64, Error> {
        let table = self.database.begin_read()?.open_table(REMEMBERED)?;
        Ok(table.get(ledger)?.map(|count| count.value()).unwrap_or_default())
    }

    /// How often each record was delivered.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn counts(&self, ledger: LedgerId, identities: &[RecordKey]) -> Result<Vec<u32>, Error> {
        let transaction = self.database.begin_read()?;
        let remembered = transaction.open_table(REMEMBERED)?.get(ledger)?.map(|count| count.value());
        if remembered.unwrap_or_default() == 0 {
            return Ok(vec![0; identities.len()]);
        }
        delivered::counts(ledger, identities, &transaction.open_table(DELIVERED)?)
    }

    /// The mark of the last write, by which one whose end is uncertain can be looked up.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn last_mark(&self) -> Result<Option<u64>, Error> {
        Ok(self.database.begin_read()?.open_table(ABOUT)?.get("mark")?.map(|mark| mark.value()))
    }

    /// Writes all of it, or nothing, and a mark. It is on the disk afterwards.
    ///
    /// # Errors
    /// Where the file can't be written; then the store must be opened again, and only the mark tells whether it was.
    pub fn write<'w>(&mut self, mark: u64, writes: impl Iterator<Item = &'w Write>) -> Result<(), Error> {
        let transaction = self.database.begin_write()?;
        {
            transaction.open_table(ABOUT)?.insert("mark", mark)?;
            let mut delivered = transaction.open_table(DELIVERED)?;
            let mut remembered = transaction.open_table(REMEMBERED)?;
            let mut accounts = transaction.open_table(ACCOUNTS)?;
            for write in writes {
                match write {
                    Write::Remember { ledger, iteration, identities } => {
                        let seen =
                            identities.iter().map(|identity| DeliveredRecord::once(identity, *iteration)).collect();
                        let added = delivered::add(*ledger, seen, Merge::Deliver, &mut delivered)?;
                        let count = add(*ledger, i128::from(added), &mut remembered)?;
                        if count > self.remembered_max {
                            let (forgotten, since) = forget_middle(*ledger, count, &mut delivered)?;
                            self.thinned.insert(*ledger, since);
                            self.forgotten += forgotten;
                            add(*ledger, -i128::from(forgotten), &mut remembered)?;
                        }
                    }
                    Write::SeeAgain { ledger, iteration, identities } => {
                        let seen =
                            identities.iter().map(|identity| DeliveredRecord::once(identity, *iteration)).collect();
                        delivered::add(*ledger, seen, Merge::SeeAgain, &mut delivered)?;
                    }
                    Write::Forget { ledger, before, iteration } => {
                        let forgotten = forget(*ledger, *before, *iteration, &mut delivered)?;
                        self.forgotten += forgotten;
                        add(*ledger, -i128::from(forgotten), &mut remembered)?;
                    }
                    Write::ForgetArrived { ledger, before } => {
                        let forgotten = forget_arrived(*ledger, *before, &mut delivered)?;
                        self.forgotten += forgotten;
                        add(*ledger, -i128::from(forgotten), &mut remembered)?;
                    }
                    Write::Save { name, account } => {
                        accounts.insert(name.as_str(), to_json(account)?.as_slice())?;
                    }
                }
            }
        }
        Ok(transaction.commit()?)
    }

    /// Gives each record of a ledger, how often it was delivered, and what was remembered with it.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn each_delivered(&self, ledger: LedgerId, mut take: impl FnMut(RecordKey, u32, u32)) -> Result<(), Error> {
        let table = self.database.begin_read()?.open_table(DELIVERED)?;
        delivered::each(ledger, &table, |record| take(record.record_key(), record.times, record.iteration))
    }

    /// Forgets everything of a ledger.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn forget_ledger(&self, ledger: LedgerId) -> Result<(), Error> {
        let transaction = self.database.begin_write()?;
        remove_account(ledger, &mut transaction.open_table(DELIVERED)?, &mut transaction.open_table(REMEMBERED)?)?;
        Ok(transaction.commit()?)
    }

    /// Puts new accounts in the place of others, and keeps the others among the changes, the oldest of which go.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn change(&self, changes: &[(Change, BTreeMap<String, ApiState>)]) -> Result<(), Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut accounts = transaction.open_table(ACCOUNTS)?;
            let mut kept = transaction.open_table(CHANGES)?;
            for (change, afters) in changes {
                for (key, after) in afters {
                    accounts.insert(key.as_str(), to_json(after)?.as_slice())?;
                }
                let next = kept.last()?.map_or(0, |(ledger, _)| ledger.value() + 1);
                kept.insert(next, to_json(change)?.as_slice())?;
            }
            while kept.len()? > CHANGES_MAX {
                kept.pop_first()?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Takes the last change back. What was delivered since stays remembered. The checkpoint is announced, and `written`
    /// is what the text file says until it is in there, too.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn undo(&self, written: &Checkpoint) -> Result<Option<Change>, Error> {
        let transaction = self.database.begin_write()?;
        let undone = take_back(&transaction, written)?;
        transaction.commit()?;
        Ok(undone)
    }
}

/// Changes how many records of an account are remembered. Gives the new number.
fn add(ledger: LedgerId, change: i128, remembered: &mut Table<'_, u64, u64>) -> Result<u64, Error> {
    let before = remembered.get(ledger)?.map(|count| count.value()).unwrap_or_default();
    let after = u64::try_from(i128::from(before) + change).unwrap_or_default();
    if after != before {
        remembered.insert(ledger, after)?;
    }
    Ok(after)
}

fn remove_account(
    ledger: LedgerId,
    delivered: &mut delivered::Table<'_>,
    remembered: &mut Table<'_, u64, u64>,
) -> Result<(), Error> {
    delivered::clear(ledger, delivered)?;
    remembered.remove(ledger)?;
    Ok(())
}

fn read_accounts(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<BTreeMap<String, ApiState>, Error> {
    let accounts = table.iter()?.map(|entry| {
        let (name, account) = entry?;
        Ok((name.value().to_owned(), from_json(account.value())?))
    });
    accounts.collect()
}

fn read_changes(table: &impl ReadableTable<u64, &'static [u8]>) -> Result<BTreeMap<u64, Change>, Error> {
    let changes = table.iter()?.map(|entry| {
        let (ledger, change) = entry?;
        Ok((ledger.value(), from_json(change.value())?))
    });
    changes.collect()
}

/// The last change, taken back. Its account gets to know what was delivered since.
fn take_back(transaction: &WriteTransaction, written: &Checkpoint) -> Result<Option<Change>, Error> {
    let mut accounts = transaction.open_table(ACCOUNTS)?;
    let mut changes = transaction.open_table(CHANGES)?;
    let change: Change = match changes.pop_last()? {
        Some((_, change)) => from_json(change.value())?,
        None => return Ok(None),
    };
    for (key, before) in change.befores() {
        let current: Option<ApiState> = accounts.get(key)?.map(|account| from_json(account.value())).transpose()?;
        if let Some(current) = current.filter(|current| current.ledger != before.ledger) {
            let mut delivered = transaction.open_table(DELIVERED)?;
            let mut remembered = transaction.open_table(REMEMBERED)?;
            let mut added = 0;
            delivered::drain(current.ledger, &mut delivered, |moved, delivered| {
                added += delivered::add(before.ledger, moved, Merge::Unite, delivered)?;
                Ok(())
            })?;
            remembered.remove(current.ledger)?;
            add(before.ledger, i128::from(added), &mut remembered)?;
        }
        let announced = ApiState {
            checkpoint: written.date,
            prepared_checkpoint: before.checkpoint,
            written_values: written.values.clone(),
            ..before.clone()
        };
        accounts.insert(key, to_json(&announced)?.as_slice())?;
    }
    Ok(Some(change))
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Corrupted(error.to_string()))
}

fn from_json<T: for<'d> Deserialize<'d>>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Corrupted(error.to_string()))
}

/// Whether the file itself is the trouble, and not the disk or the rights.
fn is_damage(error: &Error) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        Error::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
        Error::Corrupted(_)
        | Error::UpgradeRequired(_)
        | Error::TableTypeMismatch { .. }
        | Error::TableIsMultimap(_)
        | Error::TableDoesNotExist(_)
        | Error::TypeDefinitionChanged { .. } => true,
        _ => false,
    }
}
