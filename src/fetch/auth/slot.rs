//! Access tokens: kept while they last, shared by all entries that ask for them in the same words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::super::refusal::Refusal;
use super::super::{FetchError, Waits};
use super::ask::{TokenAsker, TokenAttempts, Turn};
use super::login::LoginAnswer;
use crate::plan::TokenRequest;
use crate::record::Fingerprint;
use crate::retry::{self, until_done};
use crate::state::{CredentialFile, RefreshTokens};
use crate::template::Login;
use crate::text::Redactor;
use crate::transport::Transport;

/// A younger token isn't the reason for an answer that mostly means something else; and one that came for a refused one
/// isn't replaced sooner, whatever the answer: token servers count logins, and lock out who asks too often.
const YOUNG: Duration = Duration::from_secs(60);
/// How often such an answer may cost a token.
const UNCLEAR_EVERY: Duration = Duration::from_secs(3600);

/// The tokens of all APIs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TokenCache {
    slots: Arc<Mutex<HashMap<Fingerprint, Weak<TokenSlot>>>>,
    turns: Arc<Mutex<HashMap<Fingerprint, Weak<Turn>>>>,
    saved: RefreshTokens,
}

/// The access token of one token request, while it lasts.
#[derive(Debug, Default)]
pub struct TokenSlot {
    /// Held by who asks, across the request, so that the others wait for the one answer: that is what it is for.
    asking: tokio::sync::Mutex<()>,
    kept: Mutex<CachedToken>,
    saved: RefreshTokens,
    turn: Arc<Turn>,
}

/// What is known of a token.
#[derive(Debug, Default)]
struct CachedToken {
    token: Option<KeptToken>,
    /// Of the token that came last.
    number: u64,
    /// Whether the token came for one that was refused.
    is_renewed: bool,
    /// When a token was last given up for an answer that mostly means something else.
    unclear: Option<Instant>,
    /// Why there was no token the last time.
    failed: Option<(Instant, FetchError)>,
}

#[derive(Clone, Debug)]
struct KeptToken {
    login: Arc<Login>,
    asked_at: Instant,
    fresh_until: Instant,
}

impl TokenCache {
    /// With the file where refresh tokens are kept. Without one (the default) they are lost with the process, which is only
    /// right where no request is sent.
    #[must_use]
    pub fn new(saved: CredentialFile) -> Self {
        Self { saved: RefreshTokens::Local(Arc::new(saved)), ..Self::default() }
    }

    /// With refresh tokens that are kept elsewhere.
    #[must_use]
    pub fn keeping_in(saved: RefreshTokens) -> Self {
        Self { saved, ..Self::default() }
    }

    /// Where the token of a request is kept, as long as somebody has the place.
    #[must_use]
    pub fn slot(&self, request: &TokenRequest) -> Arc<TokenSlot> {
        let turn = request.refresh_source().map(|source| kept(&self.turns, source, Turn::default));
        let turn = turn.unwrap_or_default();
        let slot = || TokenSlot { saved: self.saved.clone(), turn, ..TokenSlot::default() };
        kept(&self.slots, request.fingerprint(), slot)
    }
}

/// What a map holds for a key, as long as somebody has it; else a new one.
fn kept<T>(map: &Mutex<HashMap<Fingerprint, Weak<T>>>, key: Fingerprint, new: impl FnOnce() -> T) -> Arc<T> {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = map.get(&key).and_then(Weak::upgrade) {
        return known;
    }
    map.retain(|_, known| known.strong_count() > 0);
    let new = Arc::new(new());
    map.insert(key, Arc::downgrade(&new));
    new
}

impl TokenSlot {
    /// The token that is kept, or a new one, with its number.
    pub(super) async fn get(
        &self,
        transport: &Transport,
        request: &TokenRequest,
        redactor: &Redactor,
        waits: &Waits,
        api: &str,
    ) -> Result<(u64, Arc<Login>), FetchError> {
        let clock = waits.clock();
        let begun = clock.instant();
        if let Some(token) = self.kept().fresh(begun) {
            return Ok(token);
        }
        let _asking = waits.for_others(self.asking.lock()).await?;
        {
            // Somebody else may have asked meanwhile, and was answered for all.
            let kept = self.kept();
            if let Some(token) = kept.fresh(clock.instant()) {
                return Ok(token);
            }
            if let Some((_, error)) = kept.failed.as_ref().filter(|(at, _)| *at >= begun) {
                return Err(error.clone());
            }
        }
        let asking = self.asking(transport, request, redactor);
        match until_done(retry::API, TokenAttempts::new(asking, waits, api)).await {
            Ok(token) => Ok(self.kept().take(token)),
            Err(error) => {
                // Only one's own wait is ended by a stop or an edit.
                if !matches!(error, FetchError::Stopped | FetchError::Recalled) {
                    self.kept().failed = Some((clock.instant(), error.clone()));
                }
                Err(error)
            }
        }
    }

    /// A token request whose refresh token is kept here, and its answer not.
    pub(in crate::fetch) fn asking(
        &self,
        transport: &Transport,
        request: &TokenRequest,
        redactor: &Redactor,
    ) -> TokenAsker {
        TokenAsker::new(transport, request, redactor, (&self.saved, &self.turn))
    }

    /// Notes that a token was refused. Gives whether another one is worth a try.
    pub(super) fn refuse(&self, number: u64, refusal: Refusal, now: Instant) -> bool {
        self.kept().refuse(number, refusal, now)
    }

    fn kept(&self) -> MutexGuard<'_, CachedToken> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CachedToken {
    fn fresh(&self, now: Instant) -> Option<(u64, Arc<Login>)> {
        let token = self.token.as_ref().filter(|token| now < token.fresh_until)?;
        Some((self.number, Arc::clone(&token.login)))
    }

    fn take(&mut self, answer: LoginAnswer) -> (u64, Arc<Login>) {
        self.number = self.number.wrapping_add(1);
        self.failed = None;
        let login = Arc::new(answer.login);
        self.token =
            Some(KeptToken { login: Arc::clone(&login), asked_at: answer.asked_at, fresh_until: answer.fresh_until });
        (self.number, login)
    }

    fn refuse(&mut self, number: u64, refusal: Refusal, now: Instant) -> bool {
        // There is another one already, or there was never a reason to keep this one.
        let Some(token) = self.token.as_ref().filter(|_| self.number == number) else { return true };
        let is_young = now.saturating_duration_since(token.asked_at) < YOUNG;
        let is_worth_it = match refusal {
            Refusal::Clear => !(is_young && self.is_renewed),
            Refusal::Unclear => {
                let is_due = |last: Instant| now.saturating_duration_since(last) >= UNCLEAR_EVERY;
                !is_young && self.unclear.is_none_or(is_due)
            }
        };
        if is_worth_it {
            (self.token, self.is_renewed) = (None, true);
            if refusal == Refusal::Unclear {
                self.unclear = Some(now);
            }
        }
        is_worth_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paging::Locator;
    use crate::record::path::JsonPath;
    use crate::template::RequestTemplate;
    use crate::text::Secret;

    /// A token that lasts for a day.
    fn token(asked_at: Instant) -> LoginAnswer {
        let life = Duration::from_secs(86_400);
        let login = Login { token: Some(Secret::new("a")), answer: Secret::new("{}"), cookies: None };
        LoginAnswer {
            login,
            life: Some(life),
            status: reqwest::StatusCode::OK,
            asked_at,
            fresh_until: asked_at + life,
            refresh_token: None,
        }
    }

    fn kept(age: Duration) -> (CachedToken, Instant) {
        let (mut kept, now) = (CachedToken::default(), Instant::now() + Duration::from_secs(7200));
        kept.take(token(now - age));
        (kept, now)
    }

    #[test]
    fn a_refused_token_is_renewed_and_its_successor_not_within_a_minute() {
        let (mut kept, now) = kept(Duration::from_secs(1));
        assert!(kept.refuse(1, Refusal::Clear, now) && kept.fresh(now).is_none());
        kept.take(token(now));
        assert!(kept.refuse(1, Refusal::Clear, now), "who still has the old one gets the new one");
        assert!(kept.fresh(now).is_some());
        assert!(!kept.refuse(2, Refusal::Clear, now + Duration::from_secs(59)));
        assert!(kept.refuse(2, Refusal::Clear, now + Duration::from_secs(60)));
    }

    #[test]
    fn an_unclear_refusal_costs_an_old_token_once_an_hour() {
        let (mut young, now) = kept(Duration::from_secs(59));
        assert!(!young.refuse(1, Refusal::Unclear, now));
        let (mut kept, now) = kept(Duration::from_secs(60));
        assert!(kept.refuse(1, Refusal::Unclear, now));
        kept.take(token(now));
        assert!(!kept.refuse(2, Refusal::Unclear, now + Duration::from_secs(3599)));
        assert!(kept.refuse(2, Refusal::Unclear, now + Duration::from_secs(3600)));
    }

    #[test]
    fn the_same_request_has_the_same_place_as_long_as_somebody_has_it() {
        let request = |place: &str| TokenRequest {
            request: RequestTemplate::plain(reqwest::Url::parse("https://login.example/").expect("a URL")),
            token: Locator::Body(JsonPath::parse(place).expect("a path")),
            is_token_required: true,
            expires_in: JsonPath::parse("expires_in").expect("a path"),
            refresh_token: None,
            assertion: None,
            identity: None,
        };
        let cache = TokenCache::default();
        let (one, same, other) = (cache.slot(&request("a")), cache.slot(&request("a")), cache.slot(&request("b")));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        drop((one, same));
        let _ = cache.slot(&request("c"));
        assert_eq!(cache.slots.lock().expect("no panic").len(), 2, "what nobody has is forgotten");
    }
}
