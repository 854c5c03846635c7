//! Accounts of APIs that are no longer in the config.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use redb::{Error, ReadableDatabase, ReadableTable};

use super::{ACCOUNTS, ApiState, DELIVERED, REMEMBERED, StoreFile, read_accounts, remove_account};

/// How long an account is kept that nothing uses: a season, so that an entry that rests for a while goes on where it was.
const UNUSED_FOR_MAX: TimeDelta = TimeDelta::days(90);
/// How many are kept that nothing uses; names may come out of a template, and never come again.
const UNUSED_MAX: usize = 10_000;

impl StoreFile {
    /// Forgets the accounts that nothing has used for long, and what was delivered for them. Gives their names. It costs
    /// duplicates where such an API comes back; its line in the text file stays.
    ///
    /// # Errors
    /// Where the file can't be written; then the store must be opened again.
    pub fn forget_unused(
        &mut self,
        is_configured: impl Fn(&str) -> bool,
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, Error> {
        let all = read_accounts(&self.database.begin_read()?.open_table(ACCOUNTS)?)?;
        let names = unused(&all, is_configured, now);
        if names.is_empty() {
            return Ok(names);
        }
        let transaction = self.database.begin_write()?;
        {
            let mut accounts = transaction.open_table(ACCOUNTS)?;
            let mut delivered = transaction.open_table(DELIVERED)?;
            let mut remembered = transaction.open_table(REMEMBERED)?;
            for name in &names {
                accounts.remove(name.as_str())?;
                if let Some(account) = all.get(name) {
                    let count = remembered.get(account.ledger)?.map(|count| count.value()).unwrap_or_default();
                    self.forgotten = self.forgotten.saturating_add(count);
                    remove_account(account.ledger, &mut delivered, &mut remembered)?;
                }
            }
        }
        transaction.commit()?;
        Ok(names)
    }
}

/// The accounts that are to be forgotten: those that nothing has used for too long, and of too many the longest unused.
pub(in crate::state) fn unused(
    accounts: &BTreeMap<String, ApiState>,
    is_configured: impl Fn(&str) -> bool,
    now: DateTime<Utc>,
) -> Vec<String> {
    let used = |account: &ApiState| account.past.back().map(|past| past.at);
    let mut unused: Vec<_> =
        accounts.iter().filter(|(name, _)| !is_configured(name)).map(|(name, account)| (used(account), name)).collect();
    // The latest first; those that were never used to their end are the first to go.
    unused.sort_by(|a, b| b.cmp(a));
    let is_old = |at: Option<DateTime<Utc>>| at.is_some_and(|at| now.signed_duration_since(at) > UNUSED_FOR_MAX);
    let forgotten = unused.into_iter().enumerate().filter(|(place, (at, _))| *place >= UNUSED_MAX || is_old(*at));
    forgotten.map(|(_, (_, name))| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Fingerprint, RecordKey};
    use crate::state::{IterationSummary, StoreWrite};

    fn account(ledger: u64, used: Option<DateTime<Utc>>) -> ApiState {
        let past = used.map(|at| IterationSummary { at, seconds: 1.0, records: 1, pages: 1, error: None });
        ApiState { ledger, past: past.into_iter().collect(), ..ApiState::default() }
    }

    #[test]
    fn what_nothing_has_used_for_a_season_is_forgotten_and_of_too_many_the_longest_unused() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a date");
        let days = |days| Some(now - TimeDelta::days(days));
        let accounts: BTreeMap<String, ApiState> =
            [("new", days(1)), ("old", days(91)), ("kept", days(400)), ("never", None)]
                .into_iter()
                .map(|(name, used)| (name.to_owned(), account(1, used)))
                .collect();
        assert_eq!(unused(&accounts, |name| name == "kept", now), ["old"]);
        let many: BTreeMap<String, ApiState> = (0..UNUSED_MAX + 2)
            .map(|ledger| (format!("{ledger}"), account(1, Some(now - TimeDelta::seconds(ledger as i64)))))
            .collect();
        let mut forgotten = unused(&many, |_| false, now);
        forgotten.sort();
        assert_eq!(forgotten, [format!("{UNUSED_MAX}"), format!("{}", UNUSED_MAX + 1)]);
        assert!(unused(&many, |_| true, now).is_empty());
    }

    #[test]
    fn nothing_of_a_forgotten_account_stays_in_the_store() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut store = StoreFile::open(&directory.path().join("store")).expect("it opens");
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a date");
        let identity = RecordKey { fingerprint: Fingerprint::of(&[b"x"]), date: None };
        let writes = [("old", 1, 100), ("kept", 2, 1)].map(|(name, ledger, days)| {
            let account = Box::new(account(ledger, Some(now - TimeDelta::days(days))));
            let identities = vec![identity];
            [
                StoreWrite::Save { name: name.to_owned(), account },
                StoreWrite::Remember { ledger, iteration: 1, identities },
            ]
        });
        store.write(1, writes.iter().flatten()).expect("it writes");
        assert_eq!(store.forget_unused(|_| false, now).expect("it writes"), ["old"]);
        assert_eq!(store.accounts().expect("it reads").keys().collect::<Vec<_>>(), ["kept"]);
        let counts = [1, 2].map(|ledger| store.counts(ledger, &[identity]).expect("it reads"));
        assert_eq!(counts, [[0], [1]]);
        assert_eq!(store.remembered(1).expect("it reads"), 0);
    }
}
