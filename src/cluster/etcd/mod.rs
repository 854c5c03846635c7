//! [etcd](https://etcd.io/docs/v3.5/learning/api/) as the engine of a cluster.
//!
//! Each endpoint has a client of its own, and is asked by itself: a client that spreads requests over all endpoints goes on
//! asking a node that hangs, as such a node still accepts connections. Here a try has [`TRY_WITHIN`]; then the next endpoint
//! is asked, and whoever answered last is asked first the next time.
//!
//! What isn't answered is *in doubt*: it may have been done, or be done seconds later, when the node that hung wakes up. So
//! what is asked here must be safe to be asked again, in the same bytes; the transactions of a cluster are made for that.

mod endpoint;
mod fault;
mod identity;
mod message;
mod options;
mod size;
mod status;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use etcd_client::{Client, GetOptions};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use super::engine::{
    EngineEntry, EngineError, EngineNode, EngineRoom, EntryPage, KeyRange, LeaseId, LeaseState, RangePages,
    Transaction, TransactionOutcome,
};
use super::lease::TRY_WITHIN;
use super::thread::EngineThread;

use endpoint::{Endpoint, Way};
use fault::{Fault, FaultKind};
use identity::EtcdIdentity;

pub use options::EtcdOptions;
pub use size::{REQUEST_BYTES_MAX, REQUEST_OPERATIONS_MAX, excess};
pub use status::{EtcdMember, EtcdStatus};
pub use watch::EtcdWatch;

/// How often each endpoint is asked before nothing is known. The second time, a new leader may have been elected.
const ROUNDS: usize = 2;
/// How large an answer may be. Those of whole pages are larger than what gRPC takes by default.
const ANSWER_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// How many keys a page of [`EtcdEngine::read`] has.
const PAGE_KEYS: u32 = 500;
/// The same of large values: a page must come within one try, over a network of usual speed.
const LARGE_PAGE_KEYS: u32 = 8;

/// The engine. A clone is the same one.
#[derive(Clone, Debug)]
pub struct EtcdEngine {
    inner: Arc<Endpoints>,
}

/// How often something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tries {
    /// One endpoint, once.
    One,
    /// Each endpoint, [`ROUNDS`] times.
    Rounds,
}

/// All endpoints.
#[derive(Debug)]
struct Endpoints {
    all: Vec<Endpoint>,
    /// Where all connections are.
    thread: EngineThread,
    /// Which etcd they belong to.
    identity: EtcdIdentity,
    /// Which of them is asked first.
    first: AtomicUsize,
}

impl EtcdEngine {
    /// An engine that connects as soon as it is asked something.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where there is no endpoint, or one that has a user in it, or no thread to be had.
    pub fn new(options: EtcdOptions) -> Result<Self, EngineError> {
        let refused = |cause: &str| EngineError::Refused { endpoint: "etcd".to_owned(), cause: cause.to_owned() };
        if options.endpoints.is_empty() {
            return Err(refused("there is no endpoint"));
        }
        if options.endpoints.iter().any(|endpoint| endpoint.contains('@')) {
            return Err(refused("an endpoint is host and port; who asks does not belong there"));
        }
        let thread = EngineThread::start().map_err(|cause| refused(&format!("there is no thread for it: {cause}")))?;
        let (options, identity) = (Arc::new(options), EtcdIdentity::default());
        let endpoint =
            |name: &String| Endpoint::new(name.clone(), Arc::clone(&options), thread.clone(), identity.clone());
        let all = options.endpoints.iter().map(endpoint).collect();
        Ok(Self { inner: Arc::new(Endpoints { all, thread, identity, first: AtomicUsize::new(0) }) })
    }

    /// Has something done on the thread that talks to etcd. Should it panic, all that goes on there ends.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.thread.spawn_vital(work);
    }

    /// Tries a transaction once, at the endpoint that answered last. Where that doesn't answer, the next try is another's.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn try_commit(&self, transaction: &Transaction) -> Result<TransactionOutcome, EngineError> {
        self.within_limits(transaction)?;
        let commit = |client| commit(client, transaction, &self.inner.identity);
        Ok(self.ask_some(Tries::One, Way::Shared, commit).await?.1)
    }

    /// Does a transaction, at whoever answers; the same one may be asked again.
    ///
    /// # Errors
    /// [`EngineError::Refused`] says that no try of *this* call was done; what an earlier one left in doubt still is.
    pub async fn commit(&self, transaction: &Transaction) -> Result<TransactionOutcome, EngineError> {
        self.within_limits(transaction)?;
        self.ask(|client| commit(client, transaction, &self.inner.identity)).await
    }

    /// The first keys of a range, so many at most, as of now or of a revision. There may be fewer, with more to come, where
    /// they are large.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn range(
        &self,
        range: &KeyRange,
        limit: u32,
        at_revision: Option<i64>,
    ) -> Result<EntryPage, EngineError> {
        self.ask(|client| page(client, range, (limit.max(1), at_revision), &self.inner.identity)).await
    }

    /// All keys of a range, as of one revision, which is now.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn read(&self, range: &KeyRange) -> Result<(Vec<EngineEntry>, i64), EngineError> {
        let mut rest = range.clone();
        let EntryPage { mut entries, mut has_more, revision } = self.range(&rest, PAGE_KEYS, None).await?;
        while let (true, Some(last)) = (has_more, entries.last()) {
            rest.from = format!("{}\0", last.key);
            let page = self.range(&rest, PAGE_KEYS, Some(revision)).await?;
            has_more = page.has_more && !page.entries.is_empty();
            entries.extend(page.entries);
        }
        Ok((entries, revision))
    }

    /// The next page of a range whose values are large, up to half a megabyte each, and what is left of it.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn read_page(&self, pages: RangePages) -> Result<(Vec<EngineEntry>, Option<RangePages>), EngineError> {
        let page = self.range(&pages.range, LARGE_PAGE_KEYS, pages.revision).await?;
        let last = page.entries.last().filter(|_| page.has_more);
        let left = last.map(|last| pages.behind(&last.key, page.revision));
        Ok((page.entries, left))
    }

    /// A lease that ends so many seconds after it was last kept alive. etcd makes very short ones longer.
    ///
    /// A grant that was in doubt, and was asked again, may leave a lease that nobody knows: it ends by itself.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn grant(&self, seconds: u32) -> Result<LeaseId, EngineError> {
        self.ask(|client| async move {
            Ok(client.lease_client().grant(i64::from(seconds), None).await.map(|lease| lease.id())?)
        })
        .await
    }

    /// Keeps a lease alive, once.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn keep_alive(&self, lease: LeaseId) -> Result<LeaseState, EngineError> {
        self.ask(|client| keep_alive(client, lease)).await
    }

    /// Ends a lease, and what hangs on it. One that is gone already is no failure.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn revoke(&self, lease: LeaseId) -> Result<(), EngineError> {
        self.ask(|client| async move {
            match client.lease_client().revoke(lease).await.map_err(Fault::from) {
                Err(fault) if fault.kind != FaultKind::LeaseGone => Err(fault),
                Ok(_) | Err(_) => Ok(()),
            }
        })
        .await
    }

    /// What changes in a range from a revision on, or from now on where that is 0.
    ///
    /// # Errors
    /// [`EngineError`]; that the revision is compacted, the watch may say only later.
    pub async fn watch(&self, range: &KeyRange, from_revision: i64) -> Result<EtcdWatch, EngineError> {
        let open = |client| watch::open(client, range, from_revision);
        let (endpoint, opened) = self.ask_some(Tries::Rounds, Way::Own, open).await?;
        Ok(EtcdWatch::begin(opened, endpoint, &self.inner.thread))
    }

    /// What each endpoint says of itself.
    pub async fn status(&self) -> Vec<(String, Result<EtcdStatus, EngineError>)> {
        let all = self.inner.all.iter().map(|endpoint| async move {
            let status = endpoint.attempt(Way::Shared, &status::status).await;
            (endpoint.name.clone(), status.map_err(|fault| fault.at(&endpoint.name)))
        });
        join_all(all).await
    }

    /// The same in the engine's terms. Of a node that tells this user nothing of itself its alarms alone are
    /// known.
    pub async fn nodes(&self) -> Vec<(String, Result<EngineNode, EngineError>)> {
        let all = self.inner.all.iter().map(|endpoint| async move {
            let name = endpoint.name.clone();
            let node = match endpoint.attempt(Way::Shared, &status::status).await {
                Ok(status) => Ok(status.node(name.clone())),
                Err(fault) if fault.is_denied() => {
                    let told = endpoint.attempt(Way::Shared, &|client| status::told_to_all(client, &name)).await;
                    told.map_err(|fault| fault.at(&name))
                }
                Err(fault) => Err(fault.at(&name)),
            };
            (name, node)
        });
        join_all(all).await
    }

    /// Refuses where endpoints that answer belong to different etcds.
    ///
    /// # Errors
    /// [`EngineError::Foreign`]
    pub async fn require_one(&self) -> Result<(), EngineError> {
        let foreign = |status: Result<EtcdStatus, EngineError>| status.err();
        let mut all = self.status().await.into_iter().filter_map(|(_, status)| foreign(status));
        all.find(|error| matches!(error, EngineError::Foreign { .. })).map_or(Ok(()), Err)
    }

    /// How much room it has, as the nodes say that answer.
    pub async fn room(&self) -> Option<EngineRoom> {
        let known = self.status().await.into_iter().filter_map(|(_, status)| status.ok());
        known.map(|status| status.room()).reduce(EngineRoom::worse)
    }

    /// The nodes that etcd has, whether they are endpoints here or not.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn members(&self) -> Result<Vec<EtcdMember>, EngineError> {
        self.ask(status::members).await
    }

    fn within_limits(&self, transaction: &Transaction) -> Result<(), EngineError> {
        match excess(transaction) {
            Some(cause) => Err(EngineError::Refused { endpoint: "etcd".to_owned(), cause }),
            None => Ok(()),
        }
    }
}

impl EtcdEngine {
    /// Asks until somebody knows.
    async fn ask<T, F>(&self, ask: impl Fn(Client) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        Ok(self.ask_some(Tries::Rounds, Way::Shared, ask).await?.1)
    }

    /// Asks so many times, and says who knew it.
    async fn ask_some<T, F>(
        &self,
        tries: Tries,
        way: Way,
        ask: impl Fn(Client) -> F,
    ) -> Result<(String, T), EngineError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let Endpoints { all, first, .. } = &*self.inner;
        let (rounds, each) = match tries {
            Tries::One => (1, 1),
            Tries::Rounds => (ROUNDS, all.len()),
        };
        let mut doubt = None;
        let mut round_end = Instant::now();
        for _ in 0..rounds {
            // Nodes that refuse at once, as one that just begins does, get as much time as those that hang.
            sleep_until(round_end).await;
            round_end = Instant::now() + TRY_WITHIN;
            let begin = first.load(Ordering::Relaxed);
            for (at, endpoint) in all.iter().enumerate().cycle().skip(begin).take(each) {
                match endpoint.attempt(way, &ask).await {
                    Ok(known) => {
                        first.store(at, Ordering::Relaxed);
                        return Ok((endpoint.name.clone(), known));
                    }
                    Err(fault) if fault.is_open() => {
                        // Nobody else begins with it, either.
                        let next = (at + 1) % all.len();
                        let _ = first.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
                        doubt = Some(fault.at(&endpoint.name));
                    }
                    // What was refused now may have been done by a try before, of which nothing is known.
                    Err(fault) => return Err(doubt.unwrap_or_else(|| fault.at(&endpoint.name))),
                }
            }
        }
        Err(doubt.unwrap_or_else(|| Fault::said(None, "nobody was asked").at("etcd")))
    }
}

/// One try of a transaction.
async fn commit(
    client: Client,
    transaction: &Transaction,
    identity: &EtcdIdentity,
) -> Result<TransactionOutcome, Fault> {
    let mut client = client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX);
    let answer = client.txn(message::request(transaction)).await?.0;
    identity.require(answer.header.as_ref().ok_or_else(message::unreadable)?.cluster_id)?;
    message::outcome(answer)
}

/// One try of a page. Where so many keys are more than an answer may have, it is half of them.
async fn page(
    client: Client,
    range: &KeyRange,
    (mut limit, at_revision): (u32, Option<i64>),
    identity: &EtcdIdentity,
) -> Result<EntryPage, Fault> {
    let mut client = client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX);
    let answer = loop {
        let options = GetOptions::new().with_range(range.to.as_str()).with_limit(i64::from(limit));
        let options = options.with_revision(at_revision.unwrap_or_default());
        match client.get(range.from.as_str(), Some(options)).await.map_err(Fault::from) {
            Err(Fault { kind: FaultKind::TooLong, .. }) if limit > 1 => limit /= 2,
            answer => break answer?.0,
        }
    };
    let header = answer.header.ok_or_else(message::unreadable)?;
    identity.require(header.cluster_id)?;
    let revision = header.revision;
    let entries = answer.kvs.into_iter().map(message::entry).collect::<Result<_, _>>()?;
    Ok(EntryPage { entries, has_more: answer.more, revision })
}

/// One try to keep a lease alive. The client looks at the first answer itself: it fails where the lease isn't known.
async fn keep_alive(client: Client, lease: LeaseId) -> Result<LeaseState, Fault> {
    match client.lease_client().keep_alive(lease).await.map_err(Fault::from) {
        Ok(_) => Ok(LeaseState::Alive),
        Err(Fault { kind: FaultKind::LeaseGone, .. }) => Ok(LeaseState::Gone),
        Err(fault) => Err(fault),
    }
}
