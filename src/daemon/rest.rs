//! What is kept of APIs that are not running: those that have ended, and those that the text file knows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::iteration::{ApiLanes, Services};
use crate::plan::Plan;
use crate::state::{ApiState, take_states};

/// How many APIs that have ended are kept as they are, with their tokens and figures: those whose entry comes back, as it was
/// taken out for a moment. Of those before them, the account is kept, like the line in the text file.
const WHOLE_MAX: usize = 256;

/// APIs that are not running.
#[derive(Debug)]
pub(super) struct Rest {
    /// What is known of each and its outputs, by the keys of the states, where it isn't among the others.
    accounts: BTreeMap<String, ApiState>,
    /// The last that have ended, the latest at the end.
    whole: VecDeque<ApiLanes>,
}

impl Rest {
    /// Of the accounts that were found at the start.
    pub(super) fn of(accounts: BTreeMap<String, ApiState>) -> Self {
        Self { accounts, whole: VecDeque::new() }
    }

    /// Keeps less of the accounts that no API of the config uses.
    pub(super) fn shrink(&mut self) {
        for account in self.accounts.values_mut() {
            *account = std::mem::take(account).at_rest();
        }
    }

    /// Takes an API that has ended.
    pub(super) fn put(&mut self, api: ApiLanes) {
        self.whole.push_back(api);
        for _ in WHOLE_MAX..self.whole.len() {
            let Some(oldest) = self.whole.pop_front() else { return };
            match oldest.at_rest() {
                Ok(accounts) => self.accounts.extend(accounts),
                // It holds what is kept nowhere else.
                Err(oldest) => self.whole.push_back(*oldest),
            }
        }
    }

    /// Puts other accounts in the place of what is known of an API, by the keys of the states.
    pub(super) fn change(&mut self, name: &str, accounts: BTreeMap<String, ApiState>) {
        match self.whole.iter_mut().rev().find(|api| api.plan.name == name) {
            Some(api) => api.replace_accounts(&accounts),
            None => self.accounts.extend(accounts),
        }
    }

    /// Forgets what is known of an API, and knows this instead.
    pub(super) fn replace(&mut self, name: &str, accounts: BTreeMap<String, ApiState>) {
        self.whole.retain(|api| api.plan.name != name);
        drop(take_states(&mut self.accounts, name));
        self.accounts.extend(accounts);
    }

    /// The API of a plan, as far as it is known.
    pub(super) fn take(&mut self, plan: &Arc<Plan>, services: &Services) -> ApiLanes {
        if let Some(at) = self.whole.iter().rposition(|api| api.plan.name == plan.name)
            && let Some(mut api) = self.whole.remove(at)
        {
            api.work_by(Arc::clone(plan), services);
            return api;
        }
        ApiLanes::new(Arc::clone(plan), services, take_states(&mut self.accounts, &plan.name))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use chrono::{DateTime, Utc};

    use super::*;
    use crate::config::{Environment, compile};
    use crate::fetch::{Gates, TokenCache};
    use crate::http::{Timeouts, clients};
    use crate::memory::MemoryBudget;
    use crate::plan::Config;
    use crate::process::stop;
    use crate::ship::{DeadLetterFile, Listener, WaitingBatches};
    use crate::state::{Configured, IterationSummary, LockedStateDir, Store};
    use crate::status::StatusRegistry;

    fn checkpoint(api: &ApiLanes) -> Option<DateTime<Utc>> {
        api.lanes()[0].checkpoint()
    }

    fn services(store: Store) -> Services {
        let memory = MemoryBudget::default();
        let clients = clients(&[], Timeouts::default()).expect("clients");
        Services {
            listeners: Listener::all(&clients.usual, &config("any").outputs),
            transport: clients.into(),
            undelivered: DeadLetterFile::nowhere(),
            waiting: WaitingBatches::nowhere(),
            store,
            stop: stop::channel().1,
            registry: Arc::new(StatusRegistry::new(Utc::now(), memory.clone())),
            memory,
            tokens: TokenCache::default(),
            gates: Gates::default(),
            asked_max: Duration::ZERO,
        }
    }

    fn plan(name: &str) -> Arc<Plan> {
        config(name).apis.remove(0)
    }

    fn config(name: &str) -> Config {
        let text = format!(
            "logzio: {{url: 'http://127.0.0.1:1', token: t}}\nauth_apis:\n- {{type: cisco_secure_x, name: {name}, \
             credentials: {{id: i, key: k}}, settings: {{time_interval: 5}}}}\n"
        );
        let config = compile(&text, &Environment { variable: &|_| None, directory: Path::new(".") }).config;
        config.expect("a config")
    }

    #[test]
    fn a_bounded_number_of_apis_is_kept_whole_and_a_checkpoint_of_each() {
        let past = IterationSummary {
            at: DateTime::default(),
            seconds: 1.0,
            records: 1,
            pages: 1,
            error: Some("x".repeat(300)),
        };
        let account = |seconds: i64| ApiState {
            checkpoint: DateTime::from_timestamp(seconds, 0),
            past: [past.clone()].into(),
            ..ApiState::blank()
        };
        let directory = tempfile::tempdir().expect("a directory");
        let (locked, _) =
            LockedStateDir::open(directory.path(), &Configured::default(), Utc::now()).expect("the directory is free");
        let services = services(Store::Local(Arc::new(locked.keep().expect("a thread"))));
        let mut rest = Rest::of(BTreeMap::from([("found".to_owned(), account(1))]));
        rest.shrink();
        let plans: Vec<Arc<Plan>> = (0..WHOLE_MAX + 10).map(|number| plan(&format!("api-{number}"))).collect();
        for (plan, seconds) in plans.iter().zip(100..) {
            rest.put(ApiLanes::new(Arc::clone(plan), &services, [(plan.name.clone(), account(seconds))].into()));
        }
        assert_eq!((rest.whole.len(), rest.accounts.len()), (WHOLE_MAX, 11));
        assert!(rest.accounts.values().all(|account| account.past.is_empty()));
        for (plan, seconds) in plans.iter().zip(100..) {
            assert_eq!(checkpoint(&rest.take(plan, &services)), DateTime::from_timestamp(seconds, 0));
        }
        assert_eq!(checkpoint(&rest.take(&plan("found"), &services)), DateTime::from_timestamp(1, 0));
        assert_eq!(checkpoint(&rest.take(&plan("found"), &services)), None, "it is taken");
        assert!(rest.whole.is_empty() && rest.accounts.is_empty());
    }
}
