//! The mock API and the mock listener, in a process of their own. It is as lazy as it can be while the fetcher works: it
//! keeps the batches as they came, and looks into them when it is asked what arrived.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use chrono::Utc;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};

use super::process::monotonic_ns;
use super::records::Pages;

/// What is spoken with the fetcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Http,
    Https,
    /// HTTPS that offers HTTP/2.
    Http2,
}

impl Wire {
    pub fn of(name: &str) -> Self {
        match name {
            "http" => Self::Http,
            "https" => Self::Https,
            "http2" => Self::Http2,
            other => panic!("no such wire: {other}"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Http2 => "http2",
        }
    }

    pub fn scheme(self) -> &'static str {
        if self == Self::Http { "http" } else { "https" }
    }
}

struct Mock {
    pages: Pages,
    base: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    batches: Vec<Bytes>,
    /// When an API was asked for its first page, in nanoseconds of the monotonic clock.
    first_pages_at: Vec<u64>,
}

/// Serves until it is killed. The first line of its output has two ports: the mock's, and one for questions.
pub fn serve(wire: Wire, directory: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let served = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let questions = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = served.local_addr().unwrap().port();
        let base = format!("{}://127.0.0.1:{port}", wire.scheme());
        let mock = Arc::new(Mock { pages: Pages::new(Utc::now()), base, seen: Mutex::default() });
        println!("{port} {}", questions.local_addr().unwrap().port());
        std::io::stdout().flush().unwrap();
        let tls = (wire != Wire::Http).then(|| acceptor(wire, directory));
        tokio::join!(accept(served, tls, Arc::clone(&mock)), accept(questions, None, mock));
    });
}

fn acceptor(wire: Wire, directory: &Path) -> TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_file(directory.join("leaf.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    if wire == Wire::Http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, mock: Arc<Mock>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, mock) = (tls.clone(), Arc::clone(&mock));
        tokio::spawn(async move { connection(stream, tls, mock).await });
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, mock: Arc<Mock>) {
    stream.set_nodelay(true).unwrap();
    let Some(tls) = tls else { return talk(stream, false, mock).await };
    let Ok(stream) = tls.accept(stream).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    talk(stream, is_http2, mock).await;
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, is_http2: bool, mock: Arc<Mock>) {
    let service = service_fn(move |request| {
        let mock = Arc::clone(&mock);
        async move { Ok::<_, Infallible>(mock.answer(request).await) }
    });
    let stream = TokioIo::new(stream);
    // A client that goes away is none of the mock's business.
    let _ = if is_http2 {
        http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
    } else {
        http1::Builder::new().serve_connection(stream, service).await
    };
}

impl Mock {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["", ""] => {
                let batch = request.into_body().collect().await.unwrap().to_bytes();
                self.seen.lock().unwrap().batches.push(batch);
                String::new()
            }
            ["", "events", api, records] => self.page(&path, &query, api.parse().unwrap(), records.parse().unwrap()),
            ["", "asked"] => {
                let seen = self.seen.lock().unwrap();
                let (first, last) = (seen.first_pages_at.iter().min(), seen.first_pages_at.iter().max());
                json!({"apis": seen.first_pages_at.len(), "first_ns": first, "last_ns": last}).to_string()
            }
            ["", "arrived"] => self.arrived(),
            other => panic!("asked for {other:?}"),
        };
        Response::new(Full::new(Bytes::from(body)))
    }

    fn page(&self, path: &str, query: &str, api: u64, records: u64) -> String {
        let page: u64 = query.strip_prefix("page=").map_or(0, |page| page.parse().unwrap());
        if page == 0 {
            self.seen.lock().unwrap().first_pages_at.push(monotonic_ns());
        }
        let next = (page + 1 < Pages::count(records)).then(|| format!("{}{path}?page={}", self.base, page + 1));
        self.pages.page(api, records, page, next.as_deref())
    }

    /// How many lines are in the batches, and how many different ids.
    fn arrived(&self) -> String {
        let seen = self.seen.lock().unwrap();
        let (mut lines, mut ids, mut text) = (0_u64, HashSet::new(), String::new());
        for batch in &seen.batches {
            text.clear();
            flate2::read::MultiGzDecoder::new(&batch[..]).read_to_string(&mut text).unwrap();
            for line in text.lines() {
                lines += 1;
                let id = line.strip_prefix("{\"id\":").and_then(|rest| rest.get(..19)).unwrap();
                ids.insert(id.parse::<u64>().unwrap());
            }
        }
        let wire_bytes: usize = seen.batches.iter().map(Bytes::len).sum();
        json!({"lines": lines, "ids": ids.len(), "wire_bytes": wire_bytes, "batches": seen.batches.len()}).to_string()
    }
}
