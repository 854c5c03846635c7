//! One batch to the listener, and what became of it.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use super::gzip::Press;
use crate::http::{cause, said, unreachable_advice};
use crate::plan;
use crate::query::encode_component;
use crate::retry::{self, Retries, Verdict};
use crate::secret::{Scrubber, Secret};
use crate::stop::Stop;

/// Why a batch wasn't delivered. The checkpoint stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// No answer, for as long as it is tried.
    #[error("the listener {url} gave no answer: {cause}")]
    Unreachable {
        /// Without the token.
        url: String,
        /// The innermost cause.
        cause: String,
    },
    /// The token is refused.
    #[error(
        "the listener {url} refuses the token ({status}); check logzio.token, and that logzio.url is the one of your region"
    )]
    Token {
        /// Without the token.
        url: String,
        /// 401 or 403.
        status: StatusCode,
    },
    /// Any other answer.
    #[error("the listener {url} answered {status}{said}")]
    Status {
        /// Without the token.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// What it says, scrubbed.
        said: String,
    },
    /// A batch can't be compressed, or a record can't be set aside.
    #[error("{what}: {cause}")]
    Local {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        cause: std::io::Error,
    },
    /// The grace window is over.
    #[error("stopped before the listener had everything")]
    Stopped,
}

impl ShipError {
    /// What whoever is on call can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Unreachable { cause, .. } => unreachable_advice(cause, "logzio.url")
                .unwrap_or("check that this machine reaches the listener: logzio.url, firewall (port 8071), proxy"),
            Self::Token { .. } => {
                "put a shipping token of your account into logzio.token, and the URL of its region into logzio.url"
            }
            Self::Status { status, .. } if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS => {
                "nothing, if it passes: what isn't delivered is sent again; else ask the listener's owner"
            }
            Self::Status { .. } => "check logzio.url: what answers there may not be the listener",
            Self::Local { .. } => "make room on the disk, or mend the rights of the config's folder",
            Self::Stopped => "nothing; the next start goes on from the checkpoint",
        }
    }
}

/// What the listener did with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It has every line.
    Whole,
    /// It has the lines that it can read; sending them again would double those.
    ButSome(Counts),
    /// It wants less at a time.
    TooLarge,
}

/// What a 400 of the listener tells; zero where it doesn't.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Counts {
    /// Lines that are no JSON to it.
    pub(super) malformed_lines: u64,
    /// Lines that it has.
    pub(super) successful_lines: u64,
    /// Lines over its limit.
    pub(super) oversized_lines: u64,
    /// Empty lines.
    pub(super) empty_log_lines: u64,
}

impl Counts {
    /// From the body of a 400; nothing where the body is a web page: that comes from something before the listener.
    fn read(body: &str) -> Option<Self> {
        (!is_web_page(body)).then(|| serde_json::from_str(body).unwrap_or_default())
    }

    /// Whether a body is what a listener says, and nobody else.
    fn are_in(body: &str) -> bool {
        let names = ["malformedLines", "successfulLines", "oversizedLines", "emptyLogLines"];
        let json = serde_json::from_str::<serde_json::Value>(body);
        json.is_ok_and(|json| names.iter().any(|name| json.get(name).is_some()))
    }

    /// Whether a batch of so many lines arrived whole.
    pub(super) fn are_whole(self, lines: usize) -> bool {
        self.malformed_lines == 0 && self.oversized_lines == 0 && self.successful_lines >= lines as u64
    }
}

/// The way to the listener.
#[derive(Debug)]
pub struct Listener {
    client: Client,
    /// With the token in its query.
    url: Secret,
    shown_url: String,
    scrubber: Scrubber,
    press: Arc<Press>,
}

impl Listener {
    /// To a listener of the config.
    #[must_use]
    pub fn new(client: Client, listener: &plan::Listener) -> Self {
        let base = listener.url.as_str().trim_end_matches('/');
        Self {
            client,
            url: Secret::new(format!("{base}/?token={}", encode_component(listener.token.expose()))),
            shown_url: listener.scrubber.url(&listener.url),
            scrubber: listener.scrubber.clone(),
            press: Arc::default(),
        }
    }

    /// Sends nothing, once, to see whether a listener is there and takes the token.
    ///
    /// # Errors
    /// [`ShipError::Token`] where the token is refused, [`ShipError::Unreachable`] where nobody answers, and
    /// [`ShipError::Status`] where the answer is not that of a listener.
    pub(crate) async fn check(&self) -> Result<StatusCode, ShipError> {
        let response = self.send(Bytes::new(), None).await?;
        let status = response.status();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(ShipError::Token { url: self.shown_url.clone(), status })
            }
            StatusCode::OK | StatusCode::BAD_REQUEST => {
                let body = said(response).await;
                let is_silent = status == StatusCode::OK && body.trim().is_empty();
                if is_silent || Counts::are_in(&body) { Ok(status) } else { Err(self.status_error(status, &body)) }
            }
            _ => Err(self.status_error(status, &said(response).await)),
        }
    }

    /// Compresses what goes there.
    #[must_use]
    pub fn press(&self) -> Arc<Press> {
        Arc::clone(&self.press)
    }

    /// Sends a compressed batch, again and again where that may help.
    pub(super) async fn deliver(&self, body: &Bytes, stop: &Stop, api: &str) -> Result<Taken, ShipError> {
        let mut retries = Retries::new(retry::LISTENER);
        loop {
            let (error, verdict) = match stop.until_end(self.post(body)).await {
                None => return Err(ShipError::Stopped),
                Some(Ok(taken)) => return Ok(taken),
                Some(Err(failure)) => failure,
            };
            let Verdict::Retry { asked } = verdict else { return Err(error) };
            let Some(wait) = retries.next_wait(asked) else { return Err(error) };
            let (seconds, tries) = (wait.as_secs_f64(), retries.failed());
            tracing::warn!(api, cause = %error, failed_tries = tries, "sending again in {seconds:.1} s");
            retries.pause(wait, stop).await;
        }
    }

    async fn post(&self, body: &Bytes) -> Result<Taken, (ShipError, Verdict)> {
        let sent = self.send(body.clone(), Some("gzip")).await;
        let response = sent.map_err(|error| match error {
            ShipError::Unreachable { .. } => (error, Verdict::Retry { asked: None }),
            _ => (error, Verdict::End),
        })?;
        let status = response.status();
        let verdict = retry::verdict(status, response.headers(), chrono::Utc::now());
        match status {
            _ if status.is_success() => Ok(Taken::Whole),
            StatusCode::BAD_REQUEST => {
                let body = said(response).await;
                Counts::read(&body).map(Taken::ButSome).ok_or_else(|| (self.status_error(status, &body), Verdict::End))
            }
            StatusCode::PAYLOAD_TOO_LARGE => Ok(Taken::TooLarge),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err((ShipError::Token { url: self.shown_url.clone(), status }, Verdict::End))
            }
            _ => Err((self.status_error(status, &said(response).await), verdict)),
        }
    }

    async fn send(&self, body: Bytes, encoding: Option<&'static str>) -> Result<Response, ShipError> {
        let url = Url::parse(self.url.expose()).map_err(|_| self.status_error(StatusCode::BAD_REQUEST, ""))?;
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("Logzio-Shipper", concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            // The client says nothing of an empty body's length, and servers may insist (RFC 9110, section 8.6).
            .header(CONTENT_LENGTH, body.len())
            .body(body);
        let request =
            encoding.into_iter().fold(request, |request, encoding| request.header(CONTENT_ENCODING, encoding));
        let unreachable = |error: reqwest::Error| ShipError::Unreachable {
            url: self.shown_url.clone(),
            cause: cause(&error, &self.scrubber),
        };
        request.send().await.map_err(unreachable)
    }

    fn status_error(&self, status: StatusCode, said: &str) -> ShipError {
        let said = self.scrubber.scrub(said);
        let said = if said.is_empty() { said } else { format!(": {said}") };
        ShipError::Status { url: self.shown_url.clone(), status, said }
    }
}

fn is_web_page(body: &str) -> bool {
    body.trim_start().starts_with('<')
}
