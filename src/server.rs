//! A small HTTP server: for whoever asks the daemon how it is, and for the mocks of `demo`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// The largest body that a mock takes.
pub(crate) const MOCK_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many connections are served at a time; with more, the oldest ends: those who read nothing keep nobody out. A
/// browser takes six.
const CONNECTIONS_MAX: usize = 32;
/// How long a request may take to arrive.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection lives, so that those who don't read their answers keep no place. Clients connect again.
const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(60);
/// After a connection that can't be accepted, as there are too many open files: a pause, not a loop.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A request, read whole.
pub(crate) struct ReceivedRequest {
    pub(crate) method: Method,
    /// Whether it came to an address of loopback.
    pub(crate) is_to_loopback: bool,
    /// Without the query.
    pub(crate) url: String,
    pub(crate) path: String,
    /// As it was sent.
    pub(crate) query: String,
    headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// An answer.
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl ReceivedRequest {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A field of the query, decoded.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let mut fields = self.query.split('&').filter_map(|field| field.split_once('='));
        let value = fields.find(|(known, _)| *known == name)?.1;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    }

    pub(crate) fn number(&self, name: &str) -> usize {
        self.field(name).and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn date(&self, name: &str) -> Option<DateTime<Utc>> {
        crate::record::date::parse(&self.field(name)?)
    }
}

impl Reply {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Self { status, headers, body: body.into() }
    }

    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub(crate) fn text(status: StatusCode, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::text(status, "")
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }
}

/// Answers on a free port of loopback for as long as the runtime lives.
pub(crate) async fn serve(
    body_bytes_max: usize,
    answer: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve_on(listener, body_bytes_max, answer));
    Ok(address)
}

/// Answers whoever comes, until it is dropped; then every connection ends.
pub(crate) async fn serve_on(
    listener: TcpListener,
    body_bytes_max: usize,
    answer: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static,
) {
    let Ok(address) = listener.local_addr() else { return };
    let answer = Arc::new(answer);
    let mut connections = JoinSet::new();
    let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        by_age.retain(|connection| !connection.is_finished());
        if by_age.len() >= CONNECTIONS_MAX {
            by_age.pop_front().inspect(AbortHandle::abort);
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            continue;
        };
        let answer = Arc::clone(&answer);
        let service = service_fn(move |request| {
            let answer = Arc::clone(&answer);
            async move { Ok::<_, Infallible>(handle(request, address, body_bytes_max, &*answer).await) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        by_age.push_back(connections.spawn(timeout(CONNECTION_LIFE_MAX, connection)));
    }
}

async fn handle(
    request: Request<Incoming>,
    address: SocketAddr,
    body_bytes_max: usize,
    answer: &(impl Fn(&ReceivedRequest) -> Reply + Sync),
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = timeout(REQUEST_WITHIN, Limited::new(body, body_bytes_max).collect()).await;
    let asked = ReceivedRequest {
        method: head.method,
        is_to_loopback: address.ip().is_loopback(),
        url: format!("http://{address}{}", head.uri.path()),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.ok().and_then(Result::ok).map(|body| body.to_bytes().to_vec()).unwrap_or_default(),
    };
    let reply = answer(&asked);
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}
