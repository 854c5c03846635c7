//! OAuth 2.0 access tokens (RFC 6749): asked for when needed, kept while they last.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::answer;
use super::send::{Beyond, Outgoing, send};
use super::{Failure, FetchError, pause_or_end, status_failure};
use crate::meter::Meter;
use crate::plan::TokenRequest;
use crate::retry::{self, Retries};
use crate::secret::{Scrubber, Secret};
use crate::stop::Stop;

/// The largest answer to a token request.
const TOKEN_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// A token isn't used in the last minute of its life, as it could end on the way.
const EARLY: Duration = Duration::from_secs(60);
/// How long a token lasts that doesn't say so.
const LIFE_DEFAULT_S: f64 = 3600.0;
/// The longest life that is believed.
const LIFE_MAX_S: f64 = 30.0 * 24.0 * 3600.0;

/// An API's access token, while it lasts.
#[derive(Debug, Default)]
pub struct TokenCache(Mutex<Option<Token>>);

#[derive(Debug)]
pub(super) struct Token {
    pub(super) value: Secret,
    /// How long it lasts, as far as the answer says so.
    pub(super) life: Option<Duration>,
    fresh_until: Instant,
}

impl TokenCache {
    /// The token that is kept, or a new one.
    pub(super) async fn get(
        &self,
        client: &Client,
        request: &TokenRequest,
        scrubber: &Scrubber,
        stop: &Stop,
        api: &str,
    ) -> Result<Secret, FetchError> {
        // An API asks for one page at a time, so nobody else waits for this lock.
        let mut kept = self.0.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| Instant::now() < token.fresh_until) {
            return Ok(token.value.clone());
        }
        *kept = None;
        let token = ask(client, request, scrubber, stop, api).await?;
        let value = token.value.clone();
        *kept = Some(token);
        Ok(value)
    }

    /// Drops the token that is kept.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

async fn ask(
    client: &Client,
    request: &TokenRequest,
    scrubber: &Scrubber,
    stop: &Stop,
    api: &str,
) -> Result<Token, FetchError> {
    let mut retries = Retries::new(retry::API);
    loop {
        match try_ask(client, request, scrubber).await {
            Ok((token, _)) => return Ok(token),
            Err(Failure { error, verdict }) => pause_or_end(&mut retries, error, verdict, stop, api).await?,
        }
    }
}

/// One token request. It never leaves its origin: the secret in it is meant for nobody else.
pub(super) async fn try_ask(
    client: &Client,
    request: &TokenRequest,
    scrubber: &Scrubber,
) -> Result<(Token, StatusCode), Failure> {
    let asked_at = Instant::now();
    let url = &request.url;
    let (method, headers, body) = (&request.method, request.headers.clone(), request.body.as_ref());
    let outgoing = Outgoing { method, headers, body, beyond: Beyond::Refused };
    let (response, _) = send(client, &outgoing, url, scrubber).await?;
    let status = response.status();
    if !status.is_success() || status == StatusCode::NO_CONTENT {
        return Err(status_failure(response, url, scrubber).await);
    }
    let body = answer::read(response, url, TOKEN_ANSWER_BYTES_MAX, scrubber, &Meter::default()).await?;
    read(&body, asked_at).map(|token| (token, status)).ok_or_else(|| {
        // Not even a piece of such an answer is shown unless it is an error in words: a token may stand in it.
        let is_error = serde_json::from_slice::<Value>(&body).is_ok_and(|json| json.get("error").is_some());
        let said = if is_error { answer::words(&String::from_utf8_lossy(&body), scrubber) } else { String::new() };
        Failure::end(FetchError::NoToken { url: scrubber.url(url), said })
    })
}

/// The answer of RFC 6749, section 5.1; `expires_in` also as text, as version 1 of Azure's endpoint writes it.
fn read(body: &[u8], asked_at: Instant) -> Option<Token> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let value = json.get("access_token")?.as_str().filter(|token| is_header_text(token))?;
    let life_s = match json.get("expires_in") {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let life_s = life_s.filter(|life| life.is_finite()).map(|life| life.clamp(0.0, LIFE_MAX_S));
    let fresh = Duration::from_secs_f64(life_s.unwrap_or(LIFE_DEFAULT_S)).saturating_sub(EARLY);
    Some(Token { value: Secret::new(value), life: life_s.map(Duration::from_secs_f64), fresh_until: asked_at + fresh })
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
        let fresh_s = |answer: &str| read(answer.as_bytes(), now).map(|token| (token.fresh_until - now).as_secs());
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":3599}"#), Some(3539));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":"3599"}"#), Some(3539));
        assert_eq!(fresh_s(r#"{"access_token":"a"}"#), Some(3540));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":null}"#), Some(3540));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":-5}"#), Some(0));
        assert_eq!(fresh_s(r#"{"access_token":"a","expires_in":1e300}"#), Some(30 * 24 * 3600 - 60));
        for answer in ["", "{}", r#"{"access_token":""}"#, r#"{"access_token":"a\nb"}"#, r#"{"access_token":1}"#] {
            assert!(read(answer.as_bytes(), now).is_none(), "{answer}");
        }
    }
}
