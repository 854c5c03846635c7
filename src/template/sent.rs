//! A request with all its values, and why there is none.

use std::fmt;

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, Url};

use super::UnboundVariable;
use crate::record::Fingerprint;
use crate::text::Secret;

/// A request as it is sent, but for its credentials.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// The whole URL.
    pub url: Url,
    /// The user's headers, and the body's content type.
    pub headers: HeaderMap,
    /// The body, for POST.
    pub body: Option<Secret>,
}

/// Why a request can't be made out of its template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A variable has no value.
    #[error(transparent)]
    Unbound(#[from] UnboundVariable),
    /// With its values it is no URL, or leads to another origin.
    #[error("with the values of its variables the URL is not valid, or leads to another origin")]
    Url,
    /// A value can't stand in a header.
    #[error("the value of the header `{0}` can't stand in an HTTP header")]
    Header(HeaderName),
}

impl Request {
    /// Tells requests apart by method, URL and body, and by the headers that variables fill.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let body = self.body.as_ref().map(|body| body.expose().as_bytes()).unwrap_or_default();
        let mut parts = vec![self.method.as_str().as_bytes(), self.url.as_str().as_bytes(), body];
        parts.extend(self.headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]));
        Fingerprint::of(&parts)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("scheme", &self.url.scheme())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
