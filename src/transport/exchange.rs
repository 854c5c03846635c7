//! One request and what came of it.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode, Url};

use super::WireRequest;

/// A request as it left.
#[derive(Clone, PartialEq, Eq)]
pub struct TapedRequest {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: Url,
    /// The headers, in the order of their names.
    pub headers: Vec<(String, String)>,
    /// The body, if it has one.
    pub body: Option<String>,
}

/// An answer as it came, unpacked.
#[derive(Clone, PartialEq, Eq)]
pub struct TapedAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq)]
pub enum TapedOutcome {
    /// An answer.
    Answer(TapedAnswer),
    /// No answer, or not a whole one.
    Failure {
        /// Why, in our own words.
        cause: String,
        /// Whether the request may have been done all the same.
        is_lost: bool,
    },
}

/// A request, when it was made, and what came of it.
#[derive(Clone, PartialEq, Eq)]
pub struct TapedExchange {
    /// When it was made, by our clock.
    pub at: DateTime<Utc>,
    /// What left; nothing where the tape is to be filled with what leaves now.
    pub request: Option<TapedRequest>,
    /// What came.
    pub outcome: TapedOutcome,
}

impl TapedRequest {
    pub(super) fn of(request: &WireRequest<'_>) -> Self {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = request.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
        let mut headers: Vec<(String, String)> = headers.collect();
        headers.sort();
        Self {
            method: request.method.to_string(),
            url: request.url.clone(),
            headers,
            body: request.body.map(|body| body.expose().to_owned()),
        }
    }
}

impl TapedAnswer {
    pub(super) fn into_response(self) -> Response {
        let mut response = ::http::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.into()
    }
}
