//! One endpoint, and its client.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_client::{Client, Error};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::fault::{Fault, FaultKind, innermost};
use super::identity::EtcdIdentity;
use super::options::EtcdOptions;
use super::status::cluster_of;
use crate::cluster::lease::TRY_WITHIN;
use crate::cluster::thread::EngineThread;

/// One node, as it is written in the config.
pub(super) struct Endpoint {
    /// How it is written.
    pub(super) name: String,
    options: Arc<EtcdOptions>,
    /// Where its connections are.
    thread: EngineThread,
    /// Which etcd it must belong to.
    identity: EtcdIdentity,
    /// Whether the log has that it belongs to another one.
    is_told: AtomicBool,
    /// The client, as long as it is of use, and how many there were before it.
    client: Mutex<(u64, Option<Client>)>,
}

/// Over which connection something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// That of all requests.
    Shared,
    /// A new one, with a new proof of who asks. What stays open must not take room of the others' answers; and it is to break
    /// off where the node has no leader, as it would be told nothing new.
    Own,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint that nobody has asked yet.
    pub(super) fn new(name: String, options: Arc<EtcdOptions>, thread: EngineThread, identity: EtcdIdentity) -> Self {
        Self { name, options, thread, identity, is_told: AtomicBool::new(false), client: Mutex::new((0, None)) }
    }

    /// One try, which takes [`TRY_WITHIN`] at most, and as long before that where there is no connection yet: to connect
    /// and to ask is more than one way there and back, and a slow network shall not make every try a first one. A
    /// connection that has shown to be of no use isn't used again.
    pub(super) async fn attempt<T, F>(&self, way: Way, ask: &impl Fn(Client) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let connected = async {
            match way {
                Way::Own => Ok((None, self.connect(true).await?)),
                Way::Shared => self.shared().await.map(|(count, client)| (Some(count), client)),
            }
        };
        let (used, result) = match in_time(connected).await {
            Ok((used, client)) => (used, in_time(ask(client)).await),
            Err(fault) => (None, Err(fault)),
        };
        if let (Some(used), Err(Fault { kind: FaultKind::Unusable | FaultKind::Foreign { .. }, .. })) = (used, &result)
        {
            self.forget(used).await;
        }
        self.tell_foreign(&result);
        result
    }

    /// Tells once that the node belongs to another etcd.
    fn tell_foreign<T>(&self, result: &Result<T, Fault>) {
        match result {
            Ok(_) => self.is_told.store(false, Ordering::Relaxed),
            Err(fault) if matches!(fault.kind, FaultKind::Foreign { .. }) => {
                if !self.is_told.swap(true, Ordering::Relaxed) {
                    let cause = fault.clone().at(&self.name);
                    tracing::error!(%cause, "its answers are not taken");
                }
            }
            Err(_) => {}
        }
    }

    /// The client of all requests, and its number.
    async fn shared(&self) -> Result<(u64, Client), Fault> {
        let mut known = self.client.lock().await;
        let (count, client) = &mut *known;
        let client = match client {
            Some(client) => client.clone(),
            None => client.insert(self.connect(false).await?).clone(),
        };
        Ok((*count, client))
    }

    /// The next request connects anew, unless somebody has done so already.
    async fn forget(&self, used: u64) {
        let mut known = self.client.lock().await;
        if known.0 == used {
            *known = (used + 1, None);
        }
    }

    async fn connect(&self, needs_leader: bool) -> Result<Client, Fault> {
        let options = self.options.connect(&self.name, needs_leader);
        let name = self.name.clone();
        // A connection goes on where it was made.
        let connecting = self.thread.run(async move { Client::connect([&name], Some(options)).await });
        let connected = connecting.await.ok_or_else(|| Fault::unusable("the thread that talks to etcd has ended"))?;
        let client = connected.map_err(|error| match error {
            // What the network says comes as a status; this is about certificates and keys.
            Error::TransportError(error) => Fault::refused(format!("TLS can't be set up: {}", innermost(&error))),
            other => Fault::from(other),
        })?;
        // Before anything is written there.
        self.identity.require(cluster_of(client.clone()).await?)?;
        Ok(client)
    }
}

/// What comes of it within [`TRY_WITHIN`].
async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let silent = || Fault::unusable(format!("no answer within {} ms", TRY_WITHIN.as_millis()));
    // A connection that is being made is large, and whoever asks may be deep in its stack.
    timeout(TRY_WITHIN, Box::pin(work)).await.unwrap_or_else(|_| Err(silent()))
}
