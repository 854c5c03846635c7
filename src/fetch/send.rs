//! One request and its redirects: within the origin as they say, beyond it with nothing of the config.

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};

use super::{Failure, FetchError};
use crate::http::cause;
use crate::secret::{Scrubber, Secret};

/// How many redirects are followed for one request: what browsers call a loop.
const REDIRECTS_MAX: usize = 10;

/// What goes to the configured origin.
pub(super) struct Outgoing<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<&'a Secret>,
    pub(super) beyond: Beyond,
}

/// What becomes of a redirect to another origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    /// A GET is followed, without headers and body.
    Bare,
    /// It isn't followed: without what is secret the request has no sense.
    Refused,
}

/// Sends a request and follows its redirects. Gives the last answer, and the last URL within the origin.
pub(super) async fn send(
    client: &Client,
    outgoing: &Outgoing<'_>,
    url: &Url,
    scrubber: &Scrubber,
) -> Result<(Response, Url), Failure> {
    let mut hop = Hop { method: outgoing.method.clone(), url: url.clone(), is_bare: false, has_body: true };
    let mut base = url.clone();
    for _ in 0..=REDIRECTS_MAX {
        let sent = hop.build(client, outgoing).send().await;
        let response = sent.map_err(|error| Failure::broken(scrubber.url(url), cause(&error, scrubber)))?;
        if !response.status().is_redirection() || !response.headers().contains_key(LOCATION) {
            return Ok((response, base));
        }
        hop = hop.follow(&response, url, outgoing.beyond).map_err(|why| refused(scrubber.url(url), why))?;
        if !hop.is_bare {
            base = hop.url.clone();
        }
    }
    Err(refused(scrubber.url(url), "without an end"))
}

fn refused(url: String, why: &'static str) -> Failure {
    Failure::end(FetchError::Redirect { url, why })
}

/// One request of a chain of redirects.
struct Hop {
    method: Method,
    url: Url,
    /// Whether the origin was left: nothing of the config goes along any more.
    is_bare: bool,
    has_body: bool,
}

impl Hop {
    fn build(&self, client: &Client, outgoing: &Outgoing<'_>) -> RequestBuilder {
        let builder = client.request(self.method.clone(), self.url.clone());
        let mut headers = if self.is_bare { HeaderMap::new() } else { outgoing.headers.clone() };
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        if !self.has_body {
            headers.remove(CONTENT_TYPE);
        }
        match outgoing.body.filter(|_| self.has_body) {
            Some(body) => builder.headers(headers).body(body.expose().to_owned()),
            None => builder.headers(headers),
        }
    }

    fn follow(&self, response: &Response, first: &Url, beyond: Beyond) -> Result<Self, &'static str> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let url = location.and_then(|location| self.url.join(location).ok()).ok_or("to no URL")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("to no web page");
        }
        if self.url.scheme() == "https" && url.scheme() == "http" {
            return Err("from https down to http");
        }
        let is_bare = self.is_bare || url.origin() != first.origin();
        if is_bare && beyond == Beyond::Refused {
            return Err("a token request to another origin");
        }
        let keeps = matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        let method = if keeps { self.method.clone() } else { Method::GET };
        if is_bare && method != Method::GET {
            return Err("a POST request to another origin");
        }
        Ok(Self { has_body: self.has_body && method == self.method && !is_bare, method, url, is_bare })
    }
}
