//! Refresh tokens that several replicas share: whose turn it is to log in, and the token that counts then.
//!
//! What is asked of the engine goes on until it is known, also where nobody waits for it any more: a token that came is kept
//! in memory until the engine has it, and no turn stays with a process that doesn't know of it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedMutexGuard, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::LoadError;
use crate::cluster::{
    ABSENT, ClusterKeys, Compare, Engine, EngineError, LeaseClock, LoginClaim, LoginTurn, MemberId, Operation,
    Transaction, TransactionOutcome, TurnEnd, since_boot,
};
use crate::record::Fingerprint;
use crate::state::credentials::{CredentialError, CredentialFile, SavedToken, key_of};
use crate::text::Secret;

/// How long the turn is waited for: longer than a token request that hangs, and than the lease of a member that died in one.
const TURN_WITHIN: Duration = Duration::from_secs(90);
/// How long it is waited until the engine has a token. Then the login fails, and the token is asked on.
const KEPT_WITHIN: Duration = Duration::from_secs(20);
/// The pause before the turn is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The refresh tokens of a cluster.
pub struct SharedCredentials {
    engine: Engine,
    keys: ClusterKeys,
    me: MemberId,
    clock: watch::Receiver<LeaseClock>,
    /// Held while a login of this process isn't known to have ended.
    under_way: Mutex<HashMap<Fingerprint, Weak<tokio::sync::Mutex<()>>>>,
}

impl fmt::Debug for SharedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCredentials").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// This process' turn to log in.
pub struct ClusterTurn {
    of: Arc<SharedCredentials>,
    turn: LoginTurn,
    token: Option<Secret>,
    under_way: OwnedMutexGuard<()>,
}

impl fmt::Debug for ClusterTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterTurn")
    }
}

/// Whoever waits for a turn, until when.
struct Waiting {
    reply: Option<oneshot::Sender<Result<ClusterTurn, CredentialError>>>,
    until: Instant,
}

impl Waiting {
    /// Tells why the wait is given up, where it took too long.
    fn look(&mut self, cause: &impl ToString) {
        let is_over = Instant::now() >= self.until;
        if let Some(reply) = self.reply.take_if(|reply| is_over || reply.is_closed()) {
            drop(reply.send(Err(CredentialError::of_engine("read", cause.to_string()))));
        }
    }

    /// Whether somebody waits still.
    fn goes_on(&mut self, cause: &impl ToString) -> bool {
        self.look(cause);
        self.reply.is_some()
    }
}

impl SharedCredentials {
    /// Of a process that is a member; `clock` tells whether it counts as one.
    #[must_use]
    pub fn new((engine, keys): (Engine, ClusterKeys), me: MemberId, clock: watch::Receiver<LeaseClock>) -> Self {
        Self { engine, keys, me, clock, under_way: Mutex::default() }
    }

    /// Takes the turn to log in with the tokens of a source.
    pub(in crate::state) async fn begin(of: &Arc<Self>, source: Fingerprint) -> Result<ClusterTurn, CredentialError> {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { reply: Some(reply), until: Instant::now() + TURN_WITHIN };
        tokio::spawn(Arc::clone(of).take(source, waiting));
        answer.await.unwrap_or_else(|_| Err(CredentialError::of_engine("read", "the process ends".to_owned())))
    }

    /// The turn, however long it takes to know whether it is ours; whoever no longer waits for it gives it back.
    async fn take(self: Arc<Self>, source: Fingerprint, mut waiting: Waiting) {
        let own = timeout(TURN_WITHIN, self.own_turn(source)).await;
        let Ok(under_way) = own else {
            waiting.until = Instant::now();
            waiting.look(&"what an earlier login gave isn't kept yet");
            return;
        };
        let Some(turn) = self.claim(&key_of(&source), &mut waiting).await else { return };
        let token = turn.saved.as_deref().map(serde_json::from_slice::<SavedToken>).transpose();
        // What the parser says may quote a token.
        let unreadable =
            |_| CredentialError::of_engine("read", "another version wrote it, or something else".to_owned());
        let (token, error) = match token {
            Ok(saved) => (saved.map(|saved| saved.token), None),
            Err(cause) => (None, Some(unreadable(cause))),
        };
        let turn = ClusterTurn { of: self, turn, token, under_way };
        let unwanted = match (error, waiting.reply) {
            (None, Some(reply)) => reply.send(Ok(turn)).err().and_then(Result::ok),
            (Some(error), Some(reply)) => {
                drop(reply.send(Err(error)));
                Some(turn)
            }
            (_, None) => Some(turn),
        };
        if let Some(unwanted) = unwanted {
            unwanted.finish(None).await;
        }
    }

    /// Waits until an earlier login of this process has ended.
    async fn own_turn(&self, source: Fingerprint) -> OwnedMutexGuard<()> {
        let lock = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.retain(|_, lock| lock.strong_count() > 0);
            let known = under_way.get(&source).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::default();
                under_way.insert(source, Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }

    async fn claim(&self, login: &str, waiting: &mut Waiting) -> Option<LoginTurn> {
        let mut cause = String::new();
        while waiting.goes_on(&cause) {
            let claim = LoginClaim::new(self.keys.clone(), login, self.me.clone(), fastrand::u64(..));
            let seen = match self.engine.commit(&claim.look()).await {
                Ok(outcome) => claim.seen(&outcome),
                Err(error) => {
                    cause = error.to_string();
                    sleep(AGAIN_AFTER).await;
                    continue;
                }
            };
            let Some(take) = claim.take(&seen) else {
                "this process does not count as a member of the cluster at this moment".clone_into(&mut cause);
                sleep(AGAIN_AFTER).await;
                continue;
            };
            let outcome = self.until_known(&take, |error| waiting.look(error));
            let turn = claim.taken(&outcome.await);
            // Who slept meanwhile may have been replaced, and asks again.
            match turn {
                Some(turn) if self.clock.borrow().may_send(since_boot()) => return Some(turn),
                Some(turn) => {
                    self.until_known(&turn.end(None), |_| {}).await;
                    "this process has to wait for the cluster's engine".clone_into(&mut cause);
                }
                None => {
                    cause = seen.holder().map_or_else(String::new, |holder| {
                        format!("the member {} logs in with it at this moment", holder.member)
                    })
                }
            }
            sleep(AGAIN_AFTER).await;
        }
        None
    }

    /// Asks a transaction until somebody knows what became of it, as everything else of the login depends on that.
    async fn until_known(&self, transaction: &Transaction, mut failed: impl FnMut(&EngineError)) -> TransactionOutcome {
        loop {
            match self.engine.commit(transaction).await {
                Ok(outcome) => return outcome,
                Err(error) => {
                    failed(&error);
                    sleep(AGAIN_AFTER).await;
                }
            }
        }
    }
}

impl ClusterTurn {
    /// The token that counts.
    pub(in crate::state) fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// Keeps the token that came, and gives the turn back.
    pub(in crate::state) async fn end(self, next: Option<Secret>, now: DateTime<Utc>) -> Result<(), CredentialError> {
        let failed = |cause: &str| CredentialError::of_engine("written", cause.to_owned());
        let saved = next.map(|token| serde_json::to_vec(&SavedToken { token, saved: now })).transpose();
        let Ok(saved) = saved else { return Err(failed("it can't be written as JSON")) };
        // The turn goes on to its end also where nobody waits for it any more.
        match timeout(KEPT_WITHIN, tokio::spawn(self.finish(saved))).await {
            Ok(Ok(TurnEnd::Done)) => Ok(()),
            Ok(Ok(TurnEnd::Lost)) => Err(failed("another member of the cluster has logged in meanwhile")),
            Ok(Err(_)) => Err(failed("the process ends")),
            Err(_) => Err(failed("the engine does not answer; it is tried on, so don't restart before")),
        }
    }

    async fn finish(self, saved: Option<Vec<u8>>) -> TurnEnd {
        let Self { of, turn, under_way, .. } = self;
        let outcome = of.until_known(&turn.end(saved.as_deref()), |_| {}).await;
        drop(under_way);
        LoginTurn::ended(saved.as_deref(), &outcome)
    }
}

/// The sources of a directory's tokens of which a cluster knows none.
///
/// # Errors
/// Where the file can't be read, or the engine doesn't answer.
pub async fn unknown_logins(
    engine: &Engine,
    keys: &ClusterKeys,
    (file, sources): (&CredentialFile, &[Fingerprint]),
) -> Result<Vec<Fingerprint>, LoadError> {
    let of_file = file.all()?;
    let known = tokens_in(engine, keys).await?;
    let is_unknown = |source: &&Fingerprint| {
        let key = key_of(source);
        of_file.contains_key(&key) && !known.contains_key(&key)
    };
    Ok(sources.iter().filter(is_unknown).copied().collect())
}

/// Puts the tokens of a directory's file where the cluster has none of their sources.
pub(super) async fn import_tokens(engine: &Engine, keys: &ClusterKeys, file: &CredentialFile) -> Result<(), LoadError> {
    for (source, token) in file.all()? {
        let key = keys.login_token(&source);
        let value = serde_json::to_vec(&token).map_err(|cause| super::damaged("", &cause))?;
        let compare = vec![Compare::WrittenAt { key: key.clone(), revision: ABSENT }];
        let then = vec![Operation::Put { key, value, lease: None }];
        engine.commit(&Transaction { compare, then, otherwise: Vec::new() }).await?;
    }
    Ok(())
}

/// Writes the cluster's tokens into a directory's file.
pub(super) async fn export_tokens(engine: &Engine, keys: &ClusterKeys, file: &CredentialFile) -> Result<(), LoadError> {
    let tokens = tokens_in(engine, keys).await?;
    if !tokens.is_empty() {
        file.take_over(tokens, Utc::now())?;
    }
    Ok(())
}

async fn tokens_in(engine: &Engine, keys: &ClusterKeys) -> Result<BTreeMap<String, SavedToken>, LoadError> {
    let (entries, _) = engine.read(&keys.login_tokens()).await?;
    let read = |entry: &crate::cluster::EngineEntry| {
        let token = serde_json::from_slice(&entry.value).map_err(|_| {
            CredentialError::of_engine("read", "another version wrote it, or something else".to_owned())
        })?;
        Ok(keys.login_in(&entry.key).map(|source| (source, token)))
    };
    entries.iter().filter_map(|entry| read(entry).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cluster::{LeaseId, MemoryEngine, join};

    struct LoginMember {
        credentials: Arc<SharedCredentials>,
        lease: LeaseId,
        _clock: watch::Sender<LeaseClock>,
    }

    fn keys() -> ClusterKeys {
        ClusterKeys::of("default")
    }

    fn source() -> Fingerprint {
        Fingerprint::of(&[b"a login"])
    }

    fn member(engine: &MemoryEngine, name: &str) -> LoginMember {
        let me = MemberId { member: name.to_owned(), incarnation: 1 };
        let lease = engine.with(|store| {
            let lease = store.grant();
            store.commit(&join(&keys(), &me, lease, Vec::new()));
            lease
        });
        let (sender, clock) = watch::channel(LeaseClock::default());
        sender.send_modify(|clock| clock.renewed(since_boot()));
        let of = (Engine::Memory(engine.clone()), keys());
        LoginMember { credentials: Arc::new(SharedCredentials::new(of, me, clock)), lease, _clock: sender }
    }

    async fn begin(member: &LoginMember) -> ClusterTurn {
        SharedCredentials::begin(&member.credentials, source()).await.expect("its turn")
    }

    async fn end(turn: ClusterTurn, next: &str) -> Result<(), CredentialError> {
        turn.end(Some(Secret::new(next)), Utc::now()).await
    }

    fn token(turn: &ClusterTurn) -> Option<&str> {
        turn.token().map(Secret::expose)
    }

    #[tokio::test]
    async fn members_log_in_one_after_the_other_each_with_what_the_last_one_got() {
        let engine = MemoryEngine::default();
        let (first, second) = (member(&engine, "first"), member(&engine, "second"));
        let turn = begin(&first).await;
        assert_eq!(token(&turn), None, "the config's counts");
        let waiting = tokio::spawn({
            let credentials = Arc::clone(&second.credentials);
            async move { SharedCredentials::begin(&credentials, source()).await }
        });
        sleep(AGAIN_AFTER * 2).await;
        assert!(!waiting.is_finished(), "the first one logs in");
        end(turn, "t1").await.expect("it is kept");
        let turn = waiting.await.expect("no panic").expect("its turn");
        assert_eq!(token(&turn), Some("t1"));
        turn.end(None, Utc::now()).await.expect("nothing is to be kept");
        let turn = begin(&first).await;
        assert_eq!(token(&turn), Some("t1"));
        assert!(!format!("{turn:?} {:?}", turn.token()).contains("t1"), "a secret is not printed");
    }

    #[tokio::test]
    async fn who_was_replaced_in_a_login_overwrites_nothing() {
        let engine = MemoryEngine::default();
        let (first, second) = (member(&engine, "first"), member(&engine, "second"));
        let fenced = begin(&first).await;
        engine.with(|store| store.end_lease(first.lease));
        let turn = begin(&second).await;
        let refused = end(fenced, "stale").await.expect_err("it has lost the turn");
        assert!(refused.is_shared() && refused.to_string().contains("another member"), "{refused}");
        end(turn, "t1").await.expect("it is kept");
        assert_eq!(token(&begin(&second).await), Some("t1"));
    }

    #[tokio::test]
    async fn a_turn_that_nobody_waits_for_any_more_is_given_back() {
        let engine = MemoryEngine::default();
        let (first, second) = (member(&engine, "first"), member(&engine, "second"));
        let turn = begin(&first).await;
        let waiting = tokio::spawn({
            let credentials = Arc::clone(&second.credentials);
            async move { SharedCredentials::begin(&credentials, source()).await }
        });
        sleep(AGAIN_AFTER).await;
        waiting.abort();
        end(turn, "t1").await.expect("it is kept");
        for member in [&first, &second] {
            let turn = begin(member).await;
            assert_eq!(token(&turn), Some("t1"));
            turn.end(None, Utc::now()).await.expect("nothing is to be kept");
        }
    }

    #[tokio::test]
    async fn tokens_go_into_the_cluster_once_and_come_back_for_the_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = CredentialFile::of(directory.path());
        file.save(&source(), &Secret::new("t1"), Utc::now()).expect("it is saved");
        let memory = MemoryEngine::default();
        let (engine, first) = (Engine::Memory(memory.clone()), member(&memory, "first"));
        let sources = [source(), Fingerprint::of(&[b"another"])];
        let unknown = unknown_logins(&engine, &keys(), (&file, &sources)).await.expect("it answers");
        assert_eq!(unknown, [source()]);
        import_tokens(&engine, &keys(), &file).await.expect("it answers");
        let unknown = unknown_logins(&engine, &keys(), (&file, &sources)).await.expect("it answers");
        assert_eq!(unknown, []);
        let turn = begin(&first).await;
        assert_eq!(token(&turn), Some("t1"));
        end(turn, "t2").await.expect("it is kept");
        import_tokens(&engine, &keys(), &file).await.expect("it answers");
        assert_eq!(token(&begin(&first).await), Some("t2"), "what the cluster knows stays");

        export_tokens(&engine, &keys(), &CredentialFile::of(directory.path())).await.expect("it is written");
        let file = CredentialFile::of(directory.path());
        let token = file.refresh_token(&source(), Utc::now()).expect("it is read");
        assert_eq!(token.as_ref().map(Secret::expose), Some("t2"));
        let path = directory.path().join(crate::state::CREDENTIALS_FILE_NAME);
        assert_eq!(std::fs::metadata(path).expect("a file").permissions().mode() & 0o777, 0o600);
    }
}
