//! OAuth 2.0 access tokens (RFC 6749): asked for when needed, kept while they last, shared by all entries that ask for them
//! in the same words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde_json::Value;
use tokio::time::Instant;

use super::super::answer::{self, BodyReader, Silence};
use super::super::failure::status_failure;
use super::super::refusal::Refusal;
use super::super::send::{CrossOrigin, Outgoing, SentRequest, send};
use super::super::{AttemptError, FetchError, Waits};
use super::header;
use crate::counters::Counters;
use crate::decode::Decoded;
use crate::http::{Timeouts, unreachable_advice};
use crate::plan::TokenRequest;
use crate::record::Fingerprint;
use crate::retry::{self, AttemptOutcome, Attempts, until_done};
use crate::text::{Redactor, Secret};
use crate::transport::Transport;

/// The largest answer to a token request.
const TOKEN_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// A token isn't used in the last minute of its life, as it could end on the way; of a short life in its last quarter.
const EARLY: Duration = Duration::from_secs(60);
/// How long a token lasts that doesn't say so.
const LIFE_DEFAULT_S: f64 = 3600.0;
/// The longest life that is believed.
const LIFE_MAX_S: f64 = 30.0 * 24.0 * 3600.0;
/// A younger token isn't the reason for an answer that mostly means something else; and one that came for a refused one
/// isn't replaced sooner, whatever the answer: token servers count logins, and lock out who asks too often.
const YOUNG: Duration = Duration::from_secs(60);
/// How often such an answer may cost a token.
const UNCLEAR_EVERY: Duration = Duration::from_secs(3600);

/// The tokens of all APIs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TokenCache(Arc<Mutex<HashMap<Fingerprint, Weak<TokenSlot>>>>);

/// The access token of one token request, while it lasts.
#[derive(Debug, Default)]
pub struct TokenSlot {
    /// Held by who asks, across the request, so that the others wait for the one answer: that is what it is for.
    asking: tokio::sync::Mutex<()>,
    kept: Mutex<CachedToken>,
}

/// What is known of a token.
#[derive(Debug, Default)]
struct CachedToken {
    token: Option<Token>,
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
pub(in crate::fetch) struct Token {
    pub(in crate::fetch) value: Secret,
    /// How long it lasts, as far as the answer says so.
    pub(in crate::fetch) life: Option<Duration>,
    asked_at: Instant,
    fresh_until: Instant,
}

impl TokenCache {
    /// Where the token of a request is kept, as long as somebody has the place.
    #[must_use]
    pub fn slot(&self, request: &TokenRequest) -> Arc<TokenSlot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = request.fingerprint();
        if let Some(slot) = slots.get(&key).and_then(Weak::upgrade) {
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::<TokenSlot>::default();
        slots.insert(key, Arc::downgrade(&slot));
        slot
    }
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
    ) -> Result<(u64, Secret), FetchError> {
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
        let attempts = TokenAttempts { transport, request, redactor, waits, api, is_http1: false };
        match until_done(retry::API, attempts).await {
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

    /// Notes that a token was refused. Gives whether another one is worth a try.
    pub(super) fn refuse(&self, number: u64, refusal: Refusal, now: Instant) -> bool {
        self.kept().refuse(number, refusal, now)
    }

    fn kept(&self) -> MutexGuard<'_, CachedToken> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CachedToken {
    fn fresh(&self, now: Instant) -> Option<(u64, Secret)> {
        let token = self.token.as_ref().filter(|token| now < token.fresh_until)?;
        Some((self.number, token.value.clone()))
    }

    fn take(&mut self, token: Token) -> (u64, Secret) {
        self.number = self.number.wrapping_add(1);
        self.failed = None;
        let value = token.value.clone();
        self.token = Some(token);
        (self.number, value)
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

/// The token request, again and again where that may help.
struct TokenAttempts<'a> {
    transport: &'a Transport,
    request: &'a TokenRequest,
    redactor: &'a Redactor,
    waits: &'a Waits,
    api: &'a str,
    /// Whether the server refused HTTP/2.
    is_http1: bool,
}

impl Attempts<Token, FetchError> for TokenAttempts<'_> {
    fn api(&self) -> &str {
        self.api
    }

    async fn make(&mut self, _: u32) -> AttemptOutcome<Token, FetchError> {
        match try_ask(self.transport, self.request, self.redactor, self.is_http1).await {
            Ok((token, _)) => AttemptOutcome::Done(token),
            Err(AttemptError { wants_http1: true, error, .. }) if !self.is_http1 => {
                self.is_http1 = true;
                AttemptOutcome::AtOnce(error)
            }
            Err(AttemptError { error, verdict, .. }) => AttemptOutcome::Failed(error, verdict),
        }
    }

    async fn pause(&mut self, wait: Duration) -> Result<bool, FetchError> {
        self.waits.wait(wait).await.map(|()| false)
    }

    fn longest(&self) -> Duration {
        self.waits.longest()
    }

    fn limited(&self, error: FetchError, asked: Duration) -> FetchError {
        error.limited(asked, self.waits.clock().now())
    }
}

/// One token request. It never leaves its origin: the secret in it is meant for nobody else.
pub(in crate::fetch) async fn try_ask(
    transport: &Transport,
    request: &TokenRequest,
    redactor: &Redactor,
    is_http1: bool,
) -> Result<(Token, StatusCode), AttemptError> {
    transport.request_time();
    let clock = transport.clock();
    let asked_at = clock.instant();
    let url = &request.url;
    let silence = Silence { max: Timeouts::default().idle, key: None };
    let outgoing = Outgoing {
        transport,
        method: &request.method,
        headers: request.headers.clone(),
        body: request.body.as_ref(),
        configured: url,
        beyond: CrossOrigin::Refuse,
        is_http1,
        silence,
    };
    let SentRequest { response, .. } = send(&outgoing, url, redactor).await?;
    let status = response.status();
    if !status.is_success() || status == StatusCode::NO_CONTENT {
        return Err(status_failure(response, url, None, clock.now(), redactor).await);
    }
    let reading = BodyReader { bytes_max: TOKEN_ANSWER_BYTES_MAX, silence, counters: &Counters::default(), room: None };
    let body = answer::read(response, url, reading, redactor).await?;
    let body = Decoded::as_sent(body).text;
    read(&body, asked_at).map(|token| (token, status)).ok_or_else(|| {
        // Not even a piece of such an answer is shown unless it is an error in words: a token may stand in it.
        let is_error = serde_json::from_str::<Value>(&body).is_ok_and(|json| json.get("error").is_some());
        let error_body =
            if is_error { answer::error_body(&Default::default(), &body, redactor) } else { String::new() };
        AttemptError::end(FetchError::NoToken { url: redactor.url(url), error_body })
    })
}

/// The answer of RFC 6749, section 5.1; `expires_in` also as text, as version 1 of Azure's endpoint writes it.
fn read(body: &str, asked_at: Instant) -> Option<Token> {
    let json: Value = serde_json::from_str(body.trim_matches(is_around)).ok()?;
    let value = json.get("access_token")?.as_str()?.trim_matches(is_around);
    if !is_header_text(value) {
        return None;
    }
    let life_s = match json.get("expires_in") {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim_matches(is_around).parse::<f64>().ok(),
        _ => None,
    };
    // A token that ends at once is no token: who writes that means something else.
    let life_s = life_s.filter(|life| life.is_finite() && *life > 0.0).map(|life| life.min(LIFE_MAX_S));
    let life = Duration::from_secs_f64(life_s.unwrap_or(LIFE_DEFAULT_S));
    let fresh_until = asked_at + life.saturating_sub(EARLY.min(life / 4));
    Some(Token { value: Secret::new(value), life: life_s.map(Duration::from_secs_f64), asked_at, fresh_until })
}

/// The header that carries a token (RFC 6750, section 2.1).
pub(super) fn authorization(token: &Secret) -> Option<HeaderValue> {
    header("Bearer", token)
}

/// What to do where a token is refused by the API that it is for.
pub(super) const REFUSED: &str =
    "there is a token, but not for this API: check token_http_request.scope and the permissions";

/// What to do where there is no token.
pub(in crate::fetch) fn hint(error: &FetchError) -> Option<&'static str> {
    match error {
        FetchError::Broken { cause, .. } => return unreachable_advice(cause, "token_http_request.url"),
        FetchError::Status { .. } => {}
        FetchError::Limited { .. } => return Some("nothing: it is asked again at that time"),
        _ => return Some("check token_http_request.url: it must be the token endpoint"),
    }
    Some(match error.status()? {
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "check credentials.id and credentials.key (the secret's value, not its id), and token_http_request.scope; secrets \
             expire"
        }
        StatusCode::NOT_FOUND => "check token_http_request.url",
        StatusCode::TOO_MANY_REQUESTS => "the token server limits requests: make settings.time_interval longer",
        status if status.is_server_error() => "the token server returned a server error; the fetcher keeps retrying",
        _ => return None,
    })
}

/// What slips in around a value: blanks, line breaks, a byte order mark.
fn is_around(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}')
}

fn is_header_text(token: &str) -> bool {
    !token.is_empty() && HeaderValue::from_str(token).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_every_way_to_say_how_long_a_token_lasts() {
        let now = Instant::now();
        let fresh_s = |answer: &str| read(answer, now).map(|token| (token.fresh_until - now).as_secs());
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":3599}"#), Some(3539));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":"3599"}"#), Some(3539));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":" 3599\n"}"#), Some(3539));
        assert_eq!(fresh_s(r#"{"access_token":"a"}"#), Some(3540));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":null}"#), Some(3540));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":60}"#), Some(45));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":10}"#), Some(7));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":-5}"#), Some(3540));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":1e300}"#), Some(30 * 24 * 3600 - 60));
        assert_eq!(fresh_s(r#"{"access_token":""}"#), None);
        assert_eq!(fresh_s(r#"{"access_token":"a\u0000b"}"#), None);
        assert_eq!(fresh_s(r#"{"token":"a"}"#), None);
    }

    #[test]
    fn what_slips_in_around_a_token_goes() {
        let value = |answer: &str| read(answer, Instant::now()).map(|token| token.value.expose().to_owned());
        assert_eq!(value("\u{feff} {\"access_token\":\"\u{feff} a.b \\r\\n\"}\n").as_deref(), Some("a.b"));
        assert_eq!(value(r#"{"access_token":"a b"}"#).as_deref(), Some("a b"));
    }

    fn kept(age: Duration) -> (CachedToken, Instant) {
        let (mut kept, now) = (CachedToken::default(), Instant::now() + Duration::from_secs(7200));
        let token = read(r#"{"access_token":"a","expires_in":86400}"#, now - age).expect("a token");
        kept.take(token);
        (kept, now)
    }

    #[test]
    fn a_refused_token_is_renewed_and_its_successor_not_within_a_minute() {
        let (mut kept, now) = kept(Duration::from_secs(1));
        assert!(kept.refuse(1, Refusal::Clear, now) && kept.fresh(now).is_none());
        kept.take(read(r#"{"access_token":"b"}"#, now).expect("a token"));
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
        kept.take(read(r#"{"access_token":"b","expires_in":86400}"#, now).expect("a token"));
        assert!(!kept.refuse(2, Refusal::Unclear, now + Duration::from_secs(3599)));
        assert!(kept.refuse(2, Refusal::Unclear, now + Duration::from_secs(3600)));
    }

    #[test]
    fn the_same_request_has_the_same_place_as_long_as_somebody_has_it() {
        let request = |body: &str| TokenRequest {
            method: reqwest::Method::POST,
            url: reqwest::Url::parse("https://login.example/").expect("a URL"),
            headers: Default::default(),
            body: Some(Secret::new(body)),
        };
        let cache = TokenCache::default();
        let (one, same, other) = (cache.slot(&request("a")), cache.slot(&request("a")), cache.slot(&request("b")));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        drop((one, same));
        let _ = cache.slot(&request("c"));
        assert_eq!(cache.0.lock().expect("no panic").len(), 2, "what nobody has is forgotten");
    }
}
