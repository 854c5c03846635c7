//! What the iterations of all APIs share.

use std::sync::Arc;
use std::time::Duration;

use crate::fetch::{Gates, TokenCache};
use crate::memory::MemoryBudget;
use crate::process::stop::Stop;
use crate::ship::{DeadLetterFile, Listener, WaitingBatches};
use crate::state::Store;
use crate::status::StatusRegistry;
use crate::transport::Transport;

/// What iterations share.
#[derive(Debug)]
pub struct Services {
    /// The way to the APIs.
    pub transport: Transport,
    /// The way to each output, in the order of the config.
    pub listeners: Vec<Arc<Listener>>,
    /// What can't be delivered.
    pub undelivered: DeadLetterFile,
    /// What waits for outputs that don't take it.
    pub waiting: WaitingBatches,
    /// The checkpoints, and what was delivered.
    pub store: Store,
    /// Ends every wait.
    pub stop: Stop,
    /// How the APIs fare, for whoever watches.
    pub registry: Arc<StatusRegistry>,
    /// How much of pages, records and batches may be in memory.
    pub memory: MemoryBudget,
    /// The access tokens; entries that ask for one in the same words share it.
    pub tokens: TokenCache,
    /// Where the entries that ask one host with one login meet.
    pub gates: Gates,
    /// The longest wait that an API may ask for within an iteration; a longer one ends it.
    pub asked_max: Duration,
}

impl Services {
    /// The same with the state in another place, and the refresh tokens, and with other fetchers that ask the same hosts.
    #[must_use]
    pub fn keeping_state_in(&self, store: Store, tokens: TokenCache, gates: Gates) -> Self {
        Self { store, tokens, gates, ..self.connected(self.transport.clone(), self.listeners.clone()) }
    }

    /// The same with other connections.
    #[must_use]
    pub fn connected(&self, transport: Transport, listeners: Vec<Arc<Listener>>) -> Self {
        Self {
            transport,
            listeners,
            undelivered: self.undelivered.clone(),
            waiting: self.waiting.clone(),
            store: self.store.clone(),
            stop: self.stop.clone(),
            registry: Arc::clone(&self.registry),
            memory: self.memory.clone(),
            tokens: self.tokens.clone(),
            gates: self.gates.clone(),
            asked_max: self.asked_max,
        }
    }
}
