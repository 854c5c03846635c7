//! What is to be done: the compiled form of the config, complete and valid.
//!
//! Everything behind `config` works on these types alone. A named type of the config (`cisco_secure_x`, `azure_graph`)
//! leaves no trace here: it has filled in the same fields that a general entry writes out.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use rustls::pki_types::CertificateDer;

use crate::hosts::HostRule;
use crate::pace::Rate;
use crate::query::{Piece, QueryField, encode_component};
use crate::record::date::floor_to_second;
use crate::record::{CustomFields, Fingerprint, Paths};
use crate::secret::{Redactor, Secret};

/// The whole config, compiled.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// Where records go.
    pub listener: Output,
    /// Certificates trusted besides the system's (`tls.ca_file`).
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Where the status page is served (`status.listen`), if it is wanted.
    pub status_listen: Option<SocketAddr>,
    /// What pages, records and batches of all APIs may take in memory (`limits.memory`), in bytes.
    pub memory_bytes: u64,
    /// The APIs to ask, in the order of the config; no two of one name.
    pub apis: Vec<Arc<Plan>>,
    /// The names of the entries that rest (`enabled: false`): they aren't asked, and their state stays.
    pub resting: Vec<String>,
}

/// The Logz.io listener.
#[derive(Clone, PartialEq)]
pub struct Output {
    /// Scheme, host and port, perhaps a path; no query.
    pub url: Url,
    /// The log shipping token.
    pub token: Secret,
    /// Which answers acknowledge a batch (`logzio.acknowledge`).
    pub acknowledge: Acknowledge,
    /// Hides the token, and what was filled in.
    pub redactor: Redactor,
}

/// Which answers acknowledge a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// Only those that a listener gives: a success without a body, or with a listener's counts.
    #[default]
    Listener,
    /// Any success: for relays that answer in their own words (`2xx`).
    AnySuccess,
}

/// One API: one entry of the config.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its unique name, which also names it in `last_start_dates.txt`.
    pub name: String,
    /// From the end of an iteration to the start of the next.
    pub interval: Duration,
    /// How requests prove who asks.
    pub auth: Auth,
    /// The first request of an iteration.
    pub request: Request,
    /// How often its host may be asked with its login, by all entries together (`settings.rate_limit`).
    pub rate: Option<Rate>,
    /// Where an iteration begins.
    pub start: StartPolicy,
    /// Records dated then or later are left out (`once --until`).
    pub until: Option<DateTime<Utc>>,
    /// Where things stand in the answers.
    pub paths: Paths,
    /// What is added to every record.
    pub custom_fields: CustomFields,
    /// Hides this API's secrets.
    pub redactor: Redactor,
}

/// Where a request's credentials come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Auth {
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user-id.
        id: String,
        /// The password.
        key: Secret,
    },
    /// The user's own `Authorization` header, which stands among the request's headers.
    OwnHeader,
    /// OAuth 2.0 client credentials (RFC 6749, section 4.4).
    Token(Box<TokenRequest>),
}

/// How to get an access token.
#[derive(Clone, PartialEq)]
pub struct TokenRequest {
    /// POST, unless the config says GET.
    pub method: Method,
    /// The token endpoint; by GET the fields stand in its query.
    pub url: Url,
    /// Headers, the content type among them.
    pub headers: HeaderMap,
    /// The form, for POST.
    pub body: Option<Secret>,
}

/// The request for the first page. The next pages are asked for with the same method, headers and body.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// The configured URL, which fixes the origin that credentials may go to.
    pub url: Url,
    /// What is added to the URL's query.
    pub query: Vec<QueryField>,
    /// The user's headers and the body's content type.
    pub headers: HeaderMap,
    /// The body, for POST.
    pub body: Option<Secret>,
    /// How a start date is written.
    pub start_format: StartFormat,
    /// The other origins that may be asked (`hosts`).
    pub hosts: Vec<HostRule>,
    /// How long the server may be silent, the first byte included (`http_request.timeout`).
    pub timeout: Duration,
}

/// How a start date is written in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFormat {
    /// `2021-10-05T10:10:10+00:00`
    Offset,
    /// `2021-10-05T10:10:10Z`
    Zulu,
    /// `2021-10-05`
    Day,
    /// UNIX time in seconds.
    UnixSeconds,
    /// UNIX time in milliseconds.
    UnixMilliseconds,
}

/// Where an iteration begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartPolicy {
    /// The start date that stands in the filters.
    pub configured: Option<DateTime<Utc>>,
    /// How far back to begin where no start is known (`settings.days_back_fetch`).
    pub back: TimeDelta,
    /// How far before the checkpoint to look again (`settings.overlap`).
    pub overlap: Overlap,
    /// How a start date is written: what is sent again lies one unit of it before the checkpoint.
    pub format: StartFormat,
}

/// How far before the checkpoint to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Not beyond one unit of the start date, as records have no id by which they are known again.
    Unit,
    /// As far as the config says.
    Fixed(TimeDelta),
    /// As far as records have been late (`auto`).
    Measured {
        /// How far until enough of them are measured.
        until_measured: TimeDelta,
    },
}

impl Config {
    /// The names of all entries, those that rest among them.
    #[must_use]
    pub fn names(&self) -> HashSet<String> {
        self.apis.iter().map(|plan| plan.name.clone()).chain(self.resting.iter().cloned()).collect()
    }
}

impl Plan {
    /// Tells whom its requests reach as whom: entries that agree in it share the limits of both.
    #[must_use]
    pub fn host_and_login(&self) -> Fingerprint {
        let origin = self.request.url.origin().ascii_serialization();
        match &self.auth {
            Auth::Basic { id, key } => {
                Fingerprint::of(&[origin.as_bytes(), b"basic", id.as_bytes(), key.expose().as_bytes()])
            }
            Auth::OwnHeader => {
                let own = self.request.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
                Fingerprint::of(&[origin.as_bytes(), b"header", own])
            }
            Auth::Token(request) => Fingerprint::of(&[origin.as_bytes(), b"token", request.fingerprint().bytes()]),
        }
    }
}

impl TokenRequest {
    /// Tells token requests apart, without what is secret in them.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut parts = vec![self.method.as_str().as_bytes(), self.url.as_str().as_bytes()];
        parts.extend(self.headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]));
        parts.extend(self.body.as_ref().map(|body| body.expose().as_bytes()));
        Fingerprint::of(&parts)
    }
}

impl StartFormat {
    /// The span between two start dates that differ when they are written; at least a second, as many APIs keep no less.
    #[must_use]
    pub fn unit(self) -> TimeDelta {
        match self {
            Self::Day => TimeDelta::days(1),
            Self::Offset | Self::Zulu | Self::UnixSeconds | Self::UnixMilliseconds => TimeDelta::seconds(1),
        }
    }

    /// The instant that the API gets to see of a start date.
    #[must_use]
    pub fn sent(self, date: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Day => date.date_naive().and_time(chrono::NaiveTime::MIN).and_utc(),
            Self::Offset | Self::Zulu | Self::UnixSeconds | Self::UnixMilliseconds => floor_to_second(date),
        }
    }

    /// Writes a start date, never a later one than it is.
    #[must_use]
    pub fn write(self, date: DateTime<Utc>) -> String {
        match self {
            Self::Offset => date.to_rfc3339_opts(SecondsFormat::Secs, false),
            Self::Zulu => date.to_rfc3339_opts(SecondsFormat::Secs, true),
            Self::Day => date.format("%Y-%m-%d").to_string(),
            Self::UnixSeconds => date.timestamp().to_string(),
            Self::UnixMilliseconds => date.timestamp_millis().to_string(),
        }
    }
}

impl Plan {
    /// What tells whether the requests are still those that a saved place belongs to; credentials may change.
    #[must_use]
    pub fn requests_fingerprint(&self) -> Fingerprint {
        let Request { method, url, query, headers: _, body, start_format, hosts: _, timeout: _ } = &self.request;
        let rest = format!("{query:?} {start_format:?} {:?}", self.paths);
        let body = body.as_ref().map(Secret::expose).unwrap_or_default();
        Fingerprint::of(&[method.as_str(), url.as_str(), &rest, body].map(str::as_bytes))
    }
}

impl Request {
    /// The URL of the first page of an iteration that begins at `start`.
    #[must_use]
    pub fn first_url(&self, start: DateTime<Utc>) -> Url {
        let start = encode_component(&self.start_format.write(start));
        let own = self.url.query().filter(|query| !query.is_empty()).map(str::to_owned);
        let fields = self.query.iter().map(|field| {
            let value = field.value.iter().map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::StartDate => start.as_str(),
            });
            format!("{}={}", field.name, value.collect::<String>())
        });
        let query = own.into_iter().chain(fields).collect::<Vec<_>>().join("&");
        let mut url = self.url.clone();
        url.set_query((!query.is_empty()).then_some(query.as_str()));
        url
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("url", &self.redactor.url(&self.url)).field("token", &self.token).finish()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("scheme", &self.url.scheme())
            .field("query", &self.query.iter().map(|field| &field.name).collect::<Vec<_>>())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body)
            .field("start_format", &self.start_format)
            .finish()
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest")
            .field("method", &self.method)
            .field("scheme", &self.url.scheme())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body)
            .finish()
    }
}
