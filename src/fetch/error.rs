//! Why there is no page.

use std::error::Error;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{StatusCode, Url};

use super::later::Later;
use super::refusal::Refusal;
use crate::decode::DecodeError;
use crate::http::{PrivateAddress, cause, unreachable_anchor};
use crate::record::date;
use crate::retry::Verdict;
use crate::state::CredentialError;
use crate::template::RequestError;
use crate::text::Redactor;
use crate::transport::refuses_http2;

/// Why there is no page. Every `url` is without its query.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The request can't be made.
    #[error("the request can't be made: {0}")]
    Request(#[from] RequestError),
    /// No answer, or not a whole one.
    #[error("{}", unreachable(url, cause))]
    Broken {
        /// What was asked.
        url: String,
        /// The innermost cause.
        cause: String,
    },
    /// An answer that is no success.
    #[error("{url} answered {status}{error_body}")]
    Status {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// What the answer says, scrubbed.
        error_body: String,
    },
    /// The same of another origin, which got no credentials.
    #[error("{url} leads to {other}, which answered {status}{error_body}; no credentials were sent there")]
    Elsewhere {
        /// What was asked.
        url: String,
        /// Who answered.
        other: String,
        /// The HTTP status.
        status: StatusCode,
        /// What the answer says, scrubbed.
        error_body: String,
    },
    /// Who answered wants to be left alone for longer than an iteration lasts.
    #[error("{cause}; asked to wait until {}", date::format(*.until))]
    Limited {
        /// What was answered.
        cause: Box<FetchError>,
        /// Nothing is to be asked before that.
        until: DateTime<Utc>,
    },
    /// The host asked for a longer wait than an iteration lasts, whichever entry with this login it told, or
    /// `settings.rate_limit` does.
    #[error("{host} isn't asked before {}: it asked for that wait, or settings.rate_limit does", date::format(*.until))]
    Held {
        /// The origin.
        host: String,
        /// Nothing is to be asked before that.
        until: DateTime<Utc>,
    },
    /// The answer to a request that can't be made again.
    #[error("{0}; the request isn't repeated, as the server may have moved on with it: the window is begun again")]
    Lost(Box<FetchError>),
    /// Another output of the API lacks what came before, and nothing is given twice.
    #[error("another output doesn't take its records and has no more room on the disk, so nothing is asked")]
    HeldUp,
    /// The answer went to the API's other outputs, and the server gives it once.
    #[error("the output is slower than the others, and the server has moved on: the window is begun again")]
    Behind,
    /// A web page where data should be.
    #[error("{url} answered with a web page{title}, not with data")]
    WebPage {
        /// What was asked.
        url: String,
        /// Its title, scrubbed, with a blank and quotes; empty where it has none.
        title: String,
    },
    /// A success without a body.
    #[error("{url} answered {status} with an empty body")]
    Empty {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// An answer that says that it isn't ready (`response.retry_statuses`).
    #[error("{url} answered {status}, which means not ready (response.retry_statuses), for {} s", waited.as_secs())]
    NotReady {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// How long it was asked again.
        waited: Duration,
    },
    /// More than [`PAGE_BYTES_MAX`](super::PAGE_BYTES_MAX).
    #[error("{url} sent more than {max} bytes; ask for smaller pages, by a filter like `limit`")]
    TooLarge {
        /// What was asked.
        url: String,
        /// The limit.
        max: usize,
    },
    /// A body that isn't what it should be.
    #[error("{url} answered with a body that can't be decoded: {cause}")]
    Undecoded {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        cause: DecodeError,
    },
    /// A redirect that can't be followed.
    #[error("{url} redirects {why}; put the final URL into the config")]
    Redirect {
        /// What was asked.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// A redirect to a page where people log in.
    #[error("{url} redirects to a login page, {to}: the credentials are not accepted")]
    Login {
        /// What was asked.
        url: String,
        /// Where it leads.
        to: String,
    },
    /// A link or redirect to an origin that the entry doesn't name.
    #[error("{url} leads to {to}, not to the configured origin, and isn't followed unless the entry says `{line}`")]
    OtherOrigin {
        /// What was asked.
        url: String,
        /// The other origin.
        to: String,
        /// The line that allows it.
        line: String,
    },
    /// A link or redirect to an inner host that the entry doesn't spell out.
    #[error("{url} leads to {cause}; it isn't asked unless the entry spells the host out: `{line}`")]
    Private {
        /// What was asked.
        url: String,
        /// Which, and where it lies.
        cause: Box<PrivateAddress>,
        /// The line that allows it.
        line: String,
    },
    /// No access token.
    #[error("no access token: {0}")]
    Token(Box<FetchError>),
    /// An answer to the token request without a token in it.
    #[error("{url} answered without a token: there is no `{place}` in it{error_body}")]
    NoToken {
        /// What was asked.
        url: String,
        /// Where the token should stand.
        place: String,
        /// What the answer says, scrubbed.
        error_body: String,
    },
    /// The refresh token that counts isn't known, or the next one can't be kept.
    #[error("{0}, so no refresh token is used")]
    Credentials(CredentialError),
    /// The key of an assertion can't sign.
    #[error("the assertion can't be signed: {cause}")]
    Assertion {
        /// Why not.
        cause: String,
    },
    /// Pages of other APIs take all the memory that there may be.
    #[error(
        "no room for its page for {} s: pages of all APIs take the {} MiB of limits.memory",
        waited.as_secs(), limit_bytes / (1024 * 1024)
    )]
    Memory {
        /// The budget.
        limit_bytes: u64,
        /// How long it waited.
        waited: Duration,
    },
    /// The listener takes nothing.
    #[error("the listener has taken nothing for {} s, so nothing is read for it", waited.as_secs())]
    Outage {
        /// How long it waited.
        waited: Duration,
    },
    /// The process stops.
    #[error("stopped before the answer came")]
    Stopped,
    /// The API's entry was edited or removed, or its checkpoint moved, while it waited.
    #[error("called back while it waited, as its entry or its checkpoint has changed")]
    Recalled,
}

impl FetchError {
    /// The status of the API's own answer, where there is one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Limited { cause, .. } | Self::Lost(cause) => cause.status(),
            _ => None,
        }
    }

    /// Until when nobody there is to be asked again, where that was said.
    #[must_use]
    pub fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Limited { until, .. } | Self::Held { until, .. } => Some(*until),
            Self::Token(cause) | Self::Lost(cause) => cause.until(),
            _ => None,
        }
    }

    /// Why there is no token, unless the reason isn't the token server's.
    pub(super) fn of_token(self) -> Self {
        match self {
            Self::Stopped | Self::Recalled => self,
            other => Self::Token(Box::new(other)),
        }
    }

    /// The same, with the wait that was asked for.
    pub(super) fn limited(self, asked: Duration, now: DateTime<Utc>) -> Self {
        Self::Limited { cause: Box::new(self), until: moment(asked, now) }
    }
}

/// Why nobody answered, or not to the end, without the words of libraries where the cause is a usual one.
fn unreachable(url: &str, cause: &str) -> String {
    match unreachable_anchor(cause) {
        Some("host-unknown") => format!("{url}: can't resolve the host name"),
        Some("connection-refused") => format!("{url}: connection refused"),
        Some("no-tls") => format!("{url}: the server doesn't speak TLS; use http:// or another port"),
        _ => format!("{url} gave no complete answer: {cause}"),
    }
}

/// A failed try and what follows it.
#[derive(Debug)]
pub(super) struct AttemptError {
    pub(super) error: FetchError,
    pub(super) verdict: Verdict,
    /// Where the answer refuses the access token.
    pub(super) refusal: Option<Refusal>,
    /// Whether the server may have done what was asked, though the answer is lost.
    pub(super) is_lost: bool,
    /// Whether the server wants HTTP/1.1.
    pub(super) wants_http1: bool,
    /// Where the answer isn't ready, what to ask again with.
    pub(super) later: Option<Box<Later>>,
}

impl AttemptError {
    pub(super) fn end(error: FetchError) -> Self {
        Self { error, verdict: Verdict::End, refusal: None, is_lost: false, wants_http1: false, later: None }
    }

    /// One that may pass.
    pub(super) fn passing(error: FetchError) -> Self {
        Self { verdict: Verdict::Retry { asked: None }, ..Self::end(error) }
    }

    /// An answer that is lost on its way.
    pub(super) fn broken(url: String, cause: String) -> Self {
        Self { is_lost: true, ..Self::passing(FetchError::Broken { url, cause }) }
    }

    /// What the client says of an answer that didn't come whole.
    pub(super) fn cut(url: &Url, error: &reqwest::Error, redactor: &Redactor) -> Self {
        if let Some(cause) = private(error) {
            return Self::inner(redactor.url(url), cause);
        }
        let (is_lost, wants_http1) = (!error.is_connect(), refuses_http2(error));
        Self {
            is_lost: is_lost && !wants_http1,
            wants_http1,
            ..Self::broken(redactor.url(url), cause(error, redactor))
        }
    }

    /// An inner host that the entry doesn't spell out.
    pub(super) fn inner(url: String, cause: PrivateAddress) -> Self {
        let line = format!("hosts: ['{}']", cause.host);
        Self::end(FetchError::Private { url, cause: Box::new(cause), line })
    }
}

/// Where a connection was refused because of its address, which.
fn private(error: &reqwest::Error) -> Option<PrivateAddress> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(private) = cause.downcast_ref::<PrivateAddress>() {
            return Some(private.clone());
        }
        next = cause.source();
    }
    None
}

/// When a span will be over.
pub(super) fn moment(span: Duration, now: DateTime<Utc>) -> DateTime<Utc> {
    let span = TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
    now.checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
