//! What a store is to its process.

use std::path::Path;

use super::{OpenError, StoreFile};

/// What a store is to its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// The only place that knows what is in it. A commit is on the disk when it returns.
    Lasting,
    /// What it holds is kept elsewhere, too, and the next process begins with an empty one: nothing waits for the disk.
    Cache,
}

impl StoreKind {
    /// Opens a store of this kind, or makes it.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(self, path: &Path) -> Result<StoreFile, OpenError> {
        match self {
            Self::Lasting => StoreFile::open(path),
            Self::Cache => StoreFile::open_cache(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::record::{Fingerprint, RecordKey};
    use crate::state::store::Write;

    #[test]
    fn a_cache_that_is_opened_again_knows_what_no_account_refers_to() {
        let directory = TempDir::new().expect("a directory");
        let delivered = RecordKey { fingerprint: Fingerprint::of(&[&[1]]), date: None };
        let knows =
            |store: Result<StoreFile, OpenError>| store.expect("it opens").counts(7, &[delivered]).expect("read");
        for (kind, counts) in [(StoreKind::Cache, [1]), (StoreKind::Lasting, [0])] {
            let path = directory.path().join(format!("{kind:?}"));
            let mut store = kind.open(&path).expect("it opens");
            assert_eq!(store.kind(), kind);
            let write = Write::Remember { ledger: 7, iteration: 1, identities: vec![delivered] };
            store.write(1, std::iter::once(&write)).expect("it is written");
            drop(store);
            assert_eq!(knows(StoreFile::open_copy(&path, kind)), counts, "a copy of {kind:?}");
            assert_eq!(knows(kind.open(&path)), counts, "{kind:?}");
        }
    }
}
