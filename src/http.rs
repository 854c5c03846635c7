//! The one HTTP client, for the APIs and the listener: its connections, its TLS, its limits, and its failures in words.

mod clients;
mod guard;
mod identity;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

pub use clients::{ClientChoice, Clients, clients};
pub use guard::{PrivateAddress, is_public};
pub use identity::ClientIdentity;

use crate::proxy::{Proxies, ProxyError};
use crate::text::Redactor;

/// How much of an answer is read that only says what went wrong.
const SAID_BYTES_MAX: usize = 64 * 1024;

/// A connection of HTTP/2 carries everything that goes to a host, and a request that takes too long doesn't end it: so it
/// is asked for a sign of life this often while it is in use (RFC 9113, section 6.7),
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);
/// and given up without one within this time.
const HTTP2_PING_WITHIN: Duration = Duration::from_secs(20);

/// How much of an answer a server of HTTP/2 may send before it is read; most pages need a round trip or two,
const HTTP2_STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// and how much of all answers on a connection: enough for 256 of them, more than servers mostly take at a time, so that
/// those that wait for their turn hold none up whose turn it is (RFC 9113, section 5.2).
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 * HTTP2_STREAM_WINDOW_BYTES;

/// How many connections to a host are kept for later: twice as many as read long answers at a time. Each keeps a buffer of
/// up to 400 KB,
const IDLE_CONNECTIONS_MAX: usize = 64;
/// and for so long: an iteration's next request comes within seconds.
const IDLE_CONNECTION_FOR: Duration = Duration::from_secs(30);

/// How long to wait for others.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// For the next byte of an answer.
    pub idle: Duration,
    /// For a whole answer, however steadily it trickles.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), idle: Duration::from_secs(60), whole: Duration::from_secs(600) }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A proxy variable can't be understood.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The rest can't.
    #[error("the HTTP client can't be set up: {0}")]
    Http(#[from] reqwest::Error),
}

/// A client for all APIs and the listener. It follows no redirect by itself, as those may leave the origin.
///
/// # Errors
/// Where a certificate is unusable, or a proxy variable of the environment is.
pub fn client(extra_roots: &[CertificateDer<'static>], timeouts: Timeouts) -> Result<Client, ClientError> {
    Ok(builder(tls(extra_roots, None)?, timeouts)?.read_timeout(timeouts.idle).build()?)
}

/// The variables that name a file or directory of certificates for clients in Python, such as the original.
const BUNDLE_VARIABLES: [&str; 2] = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// Those that are set, each with what it names.
fn bundles() -> impl Iterator<Item = (&'static str, PathBuf)> {
    let set = BUNDLE_VARIABLES.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    set.filter(|(_, path)| !path.is_empty()).map(|(name, path)| (name, PathBuf::from(path)))
}

/// The certificates of a file or a directory; none where there is none.
fn certificates_of(bundle: &Path) -> Vec<CertificateDer<'static>> {
    let (file, directory) = if bundle.is_dir() { (None, Some(bundle)) } else { (Some(bundle), None) };
    rustls_native_certs::load_certs_from_paths(file, directory).certs
}

/// Warns of a variable that names no certificate: what it was to vouch for isn't trusted.
fn tell_bundles() {
    for (variable, path) in bundles().filter(|(_, path)| certificates_of(path).is_empty()) {
        tracing::warn!(path = %path.display(), "{variable} names no certificate in PEM form, so it adds none to those that are trusted");
    }
}

/// The certificates that are trusted, the one that is shown, and the protocols that are offered.
fn tls(
    extra_roots: &[CertificateDer<'static>],
    identity: Option<&ClientIdentity>,
) -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore::empty();
    // An image without certificates can still ask plain HTTP, or hosts that the private CA vouches for.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(bundles().flat_map(|(_, bundle)| certificates_of(&bundle)));
    for certificate in extra_roots.iter().chain(identity.iter().flat_map(|identity| &identity.roots)) {
        roots.add(certificate.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut tls = match identity.and_then(ClientIdentity::own) {
        Some((certificates, key)) => builder.with_client_auth_cert(certificates, key)?,
        None => builder.with_no_client_auth(),
    };
    // The server chooses (RFC 7301): HTTP/2 carries the requests of many APIs over one connection.
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

/// What all clients have in common.
///
/// # Errors
/// Where a proxy variable of the environment can't be understood.
fn builder(tls: ClientConfig, timeouts: Timeouts) -> Result<ClientBuilder, ClientError> {
    let builder = Proxies::of_environment()?.apply(Client::builder())?;
    Ok(builder
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.whole)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_CONNECTION_FOR)
        .http2_keep_alive_interval(HTTP2_PING_EVERY)
        .http2_keep_alive_timeout(HTTP2_PING_WITHIN)
        .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"))))
}

/// The beginning of an answer that only says what went wrong; as much as came.
pub async fn said(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > SAID_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

/// The text of an answer that should say little. What follows its first 64 KiB is left out.
///
/// # Errors
/// Where the answer is cut off before its end: then nobody knows what it says.
pub async fn whole_body(mut response: Response) -> Result<String, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > SAID_BYTES_MAX {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The innermost cause of a failure, without its URL; and the proxy, where one stands between.
#[must_use]
pub fn cause(error: &reqwest::Error, redactor: &Redactor) -> String {
    let mut causes = vec![];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    let innermost = causes.last().map_or("the connection failed", String::as_str);
    let innermost = if error.is_timeout() { "it took too long" } else { innermost };
    // What asks the proxy for a way to the host says so; without encryption the proxy is all that is connected to.
    let is_plain = error.url().is_some_and(|url| url.scheme() == "http");
    let is_of_proxy = is_plain || causes.iter().any(|cause| cause.starts_with(OF_A_TUNNEL));
    let proxy = || error.url().and_then(|url| Proxies::of_environment().ok()?.between(url));
    let between = if error.is_connect() || error.is_timeout() { proxy() } else { None };
    redactor.redact(&match between {
        Some(proxy) if is_of_proxy && error.is_connect() => format!("{BY_PROXY} {proxy} can't be used: {innermost}"),
        Some(proxy) => format!("{innermost}, through {BY_PROXY} {proxy}"),
        None => innermost.to_owned(),
    })
}

/// How the client begins to say why a proxy gives no way to a host.
const OF_A_TUNNEL: &str = "tunnel error";
/// What names a proxy in a cause.
const BY_PROXY: &str = "the proxy";

/// What to do where nobody answers; `key` is where the config names the host.
#[must_use]
pub fn unreachable_advice(cause: &str, key: &str) -> Option<&'static str> {
    let cause = cause.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| cause.contains(part));
    let is_listener = key == "logzio.url";
    Some(match () {
        () if has(&["certificate", "unknownissuer"]) => certificate_advice(&cause),
        () if has(&[BY_PROXY]) => {
            "check the environment: HTTP_PROXY, HTTPS_PROXY and ALL_PROXY say which proxy is asked, NO_PROXY which hosts are \
             asked directly"
        }
        () if has(&["lookup", "name or service", "resolve", "dns"]) => match is_listener {
            true => "the host's name is unknown: check logzio.url, and the DNS of this machine",
            false => "the host's name is unknown: check the URL, and the DNS of this machine",
        },
        () if has(&["refused"]) => "nobody listens there: check host and port, and firewalls in between",
        () if has(&["tls", "handshake", "corrupt message", "invalidcontenttype"]) => {
            "no TLS is spoken there: check scheme and port"
        }
        () if has(&["too long", "timed out", "nothing came"]) => {
            "check host and port; firewalls and proxies in between may swallow it"
        }
        () => return None,
    })
}

/// Where docs/troubleshooting.md explains why nobody answers; nothing where the cause is none of the usual ones.
#[must_use]
pub fn unreachable_anchor(cause: &str) -> Option<&'static str> {
    let cause = cause.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| cause.contains(part));
    Some(match () {
        () if has(&["certificate", "unknownissuer"]) => "certificate",
        () if has(&[BY_PROXY]) => "proxy",
        () if has(&["lookup", "name or service", "resolve", "dns"]) => "host-unknown",
        () if has(&["refused"]) => "connection-refused",
        () if has(&["tls", "handshake", "corrupt message", "invalidcontenttype"]) => "no-tls",
        () if has(&["too long", "timed out", "nothing came"]) => "timeout",
        () => return None,
    })
}

/// What to do about a certificate, by the TLS library's words: to trust another authority helps against one of them only.
fn certificate_advice(cause: &str) -> &'static str {
    let has = |parts: &[&str]| parts.iter().any(|part| cause.contains(part));
    match () {
        () if has(&["expired", "not valid yet", "notvalidyet"]) => {
            "the certificate is out of its dates: check the clock of this machine, else its owner must renew it"
        }
        () if has(&["not valid for name", "notvalidforname"]) => {
            "the certificate is for another host: check the host in the URL"
        }
        () if has(&["revoked"]) => "the certificate was revoked: its owner must renew it",
        () => "the certificate is not trusted: where a private CA vouches for it, name it in tls.ca_file",
    }
}
