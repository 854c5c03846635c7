//! One request and its redirects: within the origin as they say, beyond it only where the entry's `hosts` says so.

use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};

use super::answer::Silence;
use super::refusal::Refusal;
use super::{AttemptError, FetchError};
use crate::hosts::{self, AllowedHosts, HostRule};
use crate::http::ClientChoice;
use crate::template::Cookies;
use crate::text::{Redactor, Secret};
use crate::transport::{Transport, TransportError, WireRequest};

/// How many redirects are followed for one request: what browsers call a loop.
const REDIRECTS_MAX: usize = 10;
/// What pages where people log in are called: whole parts of a path, or the first part of another host's name.
const LOGIN_WORDS: [&str; 8] = ["login", "signin", "sign-in", "sign_in", "logon", "sso", "saml2", "authorize"];

/// What goes to the configured origin.
pub(super) struct Outgoing<'a> {
    pub(super) transport: &'a Transport,
    pub(super) method: &'a Method,
    pub(super) headers: HeaderMap,
    /// Those of the login, which go to its origin alone.
    pub(super) cookies: Option<&'a Cookies>,
    pub(super) body: Option<&'a Secret>,
    /// The URL of the config, which fixes the origin.
    pub(super) configured: &'a Url,
    pub(super) beyond: CrossOrigin<'a>,
    pub(super) is_http1: bool,
    pub(super) silence: Silence,
}

/// Which other origins may be asked.
#[derive(Clone, Copy)]
pub(super) enum CrossOrigin<'a> {
    /// Goes there without what is secret, where the entry names the host; elsewhere not at all.
    Strip(&'a [HostRule]),
    /// None: without what is secret the request has no sense.
    Refuse,
}

/// The last answer of a chain of redirects.
pub(super) struct SentRequest {
    pub(super) response: Response,
    /// The last URL that was asked with what belongs to the origin; relative links refer to it.
    pub(super) base: Url,
    /// Who answered, where it was asked without credentials.
    pub(super) elsewhere: Option<String>,
}

/// Sends a request and follows its redirects.
pub(super) async fn send(outgoing: &Outgoing<'_>, url: &Url, redactor: &Redactor) -> Result<SentRequest, AttemptError> {
    let mut hop = Hop::first(outgoing, url, redactor)?;
    let mut base = url.clone();
    for _ in 0..=REDIRECTS_MAX {
        let response = hop.ask(outgoing, url, redactor).await?;
        if !response.status().is_redirection() || !response.headers().contains_key(LOCATION) {
            let elsewhere = hop.is_bare().then(|| redactor.url(&hop.url));
            return Ok(SentRequest { response, base, elsewhere });
        }
        hop = hop.follow(&response, url, outgoing, redactor)?;
        if !hop.is_bare() {
            base = hop.url.clone();
        }
    }
    Err(refused(redactor.url(url), "without an end"))
}

fn refused(url: String, why: &'static str) -> AttemptError {
    AttemptError::end(FetchError::Redirect { url, why })
}

/// The cookies of the login behind those of the config: there is one such header (RFC 6265, section 5.4).
fn with_own_cookies(cookies: &Cookies, own: Option<&HeaderValue>) -> HeaderValue {
    let joined = own.map(|own| [own.as_bytes(), b"; ", cookies.header.as_bytes()].concat());
    let joined = joined.and_then(|joined| HeaderValue::from_bytes(&joined).ok());
    let mut header = joined.unwrap_or_else(|| cookies.header.clone());
    header.set_sensitive(true);
    header
}

/// No answer.
fn unanswered(url: &Url, error: TransportError, redactor: &Redactor) -> AttemptError {
    match error {
        TransportError::Private(cause) => AttemptError::inner(redactor.url(url), cause),
        TransportError::Http(error) => AttemptError::cut(url, &error, redactor),
        TransportError::Taped { cause, is_lost } => {
            AttemptError { is_lost, ..AttemptError::broken(redactor.url(url), cause) }
        }
        error @ (TransportError::Full | TransportError::Different) => {
            AttemptError::end(FetchError::Broken { url: redactor.url(url), cause: error.to_string() })
        }
    }
}

/// One request of a chain of redirects.
struct Hop {
    method: Method,
    url: Url,
    reach: AllowedHosts,
    has_body: bool,
}

impl Hop {
    /// The request itself; a next link may lead to another origin, too.
    fn first(outgoing: &Outgoing<'_>, url: &Url, redactor: &Redactor) -> Result<Self, AttemptError> {
        let hop = Self {
            method: outgoing.method.clone(),
            url: url.clone(),
            reach: outgoing.reach(url, || redactor.url(url))?,
            has_body: true,
        };
        if hop.is_bare() && hop.method != Method::GET {
            return Err(refused(redactor.url(url), "by a link that a POST request can't follow without its body"));
        }
        Ok(Self { has_body: !hop.is_bare(), ..hop })
    }

    /// Whether nothing of the config goes along.
    fn is_bare(&self) -> bool {
        !self.reach.has_credentials
    }

    async fn ask(&self, outgoing: &Outgoing<'_>, first: &Url, redactor: &Redactor) -> Result<Response, AttemptError> {
        let (is_http1, idle) = (outgoing.is_http1, outgoing.silence.max);
        let choice = ClientChoice { is_named: self.reach.is_named, is_http1, idle };
        let mut headers = if self.is_bare() { HeaderMap::new() } else { outgoing.headers.clone() };
        let is_own = |cookies: &&Cookies| !self.is_bare() && cookies.origin.origin() == self.url.origin();
        if let Some(cookies) = outgoing.cookies.filter(is_own) {
            headers.insert(COOKIE, with_own_cookies(cookies, headers.get(COOKIE)));
        }
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        if !self.has_body {
            headers.remove(CONTENT_TYPE);
        }
        let body = outgoing.body.filter(|_| self.has_body);
        let request = WireRequest { method: self.method.clone(), url: self.url.clone(), headers, body, choice };
        match outgoing.silence.within(outgoing.transport.send(request)).await {
            Some(sent) => sent.map_err(|error| unanswered(first, error, redactor)),
            None => Err(AttemptError::broken(redactor.url(first), outgoing.silence.words())),
        }
    }

    fn follow(
        &self,
        response: &Response,
        first: &Url,
        outgoing: &Outgoing<'_>,
        redactor: &Redactor,
    ) -> Result<Self, AttemptError> {
        let shown = || redactor.url(first);
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let url = location.and_then(|location| self.url.join(location).ok());
        let mut url = url.ok_or_else(|| refused(shown(), "to no URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(shown(), "to no web page"));
        }
        let reach = match outgoing.reach(&url, shown) {
            Ok(_) if is_login(&url, first) => return Err(login(shown(), redactor.url(&url))),
            Ok(reach) => reach,
            Err(_) if is_login(&url, first) => return Err(login(shown(), redactor.url(&url))),
            Err(_) if self.url.scheme() == "https" && url.scheme() == "http" => {
                return Err(refused(shown(), "from https down to http"));
            }
            Err(failure) => return Err(failure),
        };
        // The answer has no say in who asks.
        let is_own = url.origin() == outgoing.configured.origin();
        let configured = outgoing.configured;
        let (user, password) = if is_own { (configured.username(), configured.password()) } else { ("", None) };
        let kept = url.set_username(user).and_then(|()| url.set_password(password));
        kept.map_err(|()| refused(shown(), "to no URL"))?;
        // Once the origin was left, nothing of the config goes along any more, wherever the way leads then.
        let reach = AllowedHosts { has_credentials: reach.has_credentials && !self.is_bare(), ..reach };
        let keeps = matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        let method = if keeps { self.method.clone() } else { Method::GET };
        if !reach.has_credentials && method != Method::GET {
            return Err(refused(shown(), "a POST request to another origin"));
        }
        let has_body = self.has_body && method == self.method && reach.has_credentials;
        Ok(Self { method, url, reach, has_body })
    }
}

impl Outgoing<'_> {
    /// How a URL may be asked; `first` is what an error names.
    fn reach(&self, url: &Url, first: impl Fn() -> String) -> Result<AllowedHosts, AttemptError> {
        let hosts = match self.beyond {
            CrossOrigin::Strip(hosts) => hosts,
            CrossOrigin::Refuse => &[],
        };
        hosts::reach(url, self.configured, hosts).ok_or_else(|| match self.beyond {
            CrossOrigin::Refuse => refused(first(), "a token request to another origin"),
            CrossOrigin::Strip(_) => AttemptError::end(FetchError::OtherOrigin {
                url: first(),
                to: url.origin().ascii_serialization(),
                line: hosts::line_for(url),
            }),
        })
    }
}

fn login(url: String, to: String) -> AttemptError {
    let error = FetchError::Login { url, to };
    AttemptError { refusal: Some(Refusal::Clear), ..AttemptError::end(error) }
}

/// Whether a redirect leads to where people log in; not where what was asked for is called so itself.
fn is_login(to: &Url, asked: &Url) -> bool {
    let parts = |url: &Url| -> Vec<String> {
        let path = url.path_segments().into_iter().flatten();
        path.map(|part| part.split('.').next().unwrap_or_default().to_ascii_lowercase()).collect()
    };
    let is_word = |part: &String| LOGIN_WORDS.contains(&part.as_str());
    let host = to.host_str().and_then(|host| host.split('.').next()).map(str::to_owned);
    let host = host.filter(|_| to.origin() != asked.origin());
    !parts(asked).iter().any(is_word) && parts(to).iter().chain(&host).any(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_page_is_known_by_its_name() {
        let is = |to: &str, asked: &str| is_login(&Url::parse(to).expect("a URL"), &Url::parse(asked).expect("a URL"));
        let asked = "https://api.example/v1/events";
        for to in [
            "https://login.example/tenant?x",
            "https://api.example/login.aspx?back=/v1",
            "https://api.example/users/sign_in",
            "https://id.example/oauth2/v2.0/authorize",
        ] {
            assert!(is(to, asked), "{to}");
        }
        for to in
            ["https://api.example/v2/events", "https://api.example/v1/signins", "https://eu.api.example/login-events"]
        {
            assert!(!is(to, asked), "{to}");
        }
        assert!(!is("https://api.example/v1/login/", "https://api.example/v1/login"));
        assert!(!is("https://login.example/v1/events/", "https://login.example/v1/events"));
    }
}
