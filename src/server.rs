//! A small HTTP server on loopback: for the mocks of `demo`, and for whoever asks the daemon how it is.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::net::TcpListener;

/// The largest body that is taken.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A request, read whole.
pub(crate) struct Asked {
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
    body: Vec<u8>,
}

impl Asked {
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
    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self { status, body: body.to_string().into_bytes() }
    }

    pub(crate) fn text(status: StatusCode, body: &str) -> Self {
        Self { status, body: body.as_bytes().to_vec() }
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, body: Vec::new() }
    }
}

/// Answers on a free port of loopback for as long as the runtime lives.
pub(crate) async fn serve(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request| {
                let answer = Arc::clone(&answer);
                async move { Ok::<_, Infallible>(handle(request, address, &*answer).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

async fn handle(
    request: Request<Incoming>,
    address: SocketAddr,
    answer: &(impl Fn(&Asked) -> Reply + Sync),
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let asked = Asked {
        url: format!("http://{address}{}", head.uri.path()),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.map(|body| body.to_bytes().to_vec()).unwrap_or_default(),
    };
    let reply = answer(&asked);
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = reply.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
