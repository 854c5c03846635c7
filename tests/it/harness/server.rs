//! HTTP/1.1 by hand, so that it can also be done wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flate2::read::GzDecoder;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::wait_until;

/// A request, read whole.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// As it was sent, without its `?`.
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A field of the query, as it was sent.
    pub fn raw_field(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|field| field.split_once('=')).find(|(known, _)| *known == name).map(|f| f.1)
    }
}

/// An answer, right or wrong.
#[derive(Clone, Debug)]
pub enum Reply {
    Full {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Says that it is longer than it is.
    CutOff(Vec<u8>),
    /// Says that it is shorter than it is.
    ClaimsLess(Vec<u8>),
    /// Closes without a word.
    Close,
    /// Says nothing until the test is over.
    Hang,
    /// Begins, and says no more until the test is over.
    Stall(Vec<u8>),
    /// Answers after a while.
    Late(Duration, Box<Reply>),
}

impl Reply {
    pub fn json(body: &str) -> Self {
        Self::status(200, body)
    }

    pub fn status(status: u16, body: &str) -> Self {
        Self::Full { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    pub fn with(self, name: &str, value: &str) -> Self {
        match self {
            Self::Full { status, mut headers, body } => {
                headers.push((name.to_owned(), value.to_owned()));
                Self::Full { status, headers, body }
            }
            other => other,
        }
    }
}

/// A certificate for loopback.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    pub fn new(certificate_pem: &str, key_pem: &str) -> Self {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self(Arc::new(config))
    }

    /// One that wants a certificate of this authority from who connects.
    pub fn asking(certificate_pem: &str, key_pem: &str, ca_pem: &str) -> Self {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self(Arc::new(config))
    }

    /// For a server of another kind.
    pub fn config(&self) -> ServerConfig {
        ServerConfig::clone(&self.0)
    }
}

type Handler = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

/// A server on loopback. When it goes, it fails the test if nobody asked it, or if its handler panicked.
pub struct MockServer {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    has_panicked: Arc<AtomicBool>,
    may_be_idle: bool,
    in_service: Arc<AtomicUsize>,
    /// Keeps no request: of those that it would have to keep there may be too many.
    is_forgetful: Arc<AtomicBool>,
}

impl MockServer {
    /// The handler gets the request and how many came before it.
    pub fn start(handler: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, handler)
    }

    pub fn start_with(tls: Option<Tls>, handler: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let has_panicked = Arc::new(AtomicBool::new(false));
        let handler: Arc<Handler> = Arc::new(handler);
        let is_forgetful = Arc::new(AtomicBool::new(false));
        let in_service = Arc::new(AtomicUsize::new(0));
        let server = Self {
            url: format!("{scheme}://127.0.0.1:{port}"),
            asked: Arc::clone(&asked),
            has_panicked: Arc::clone(&has_panicked),
            may_be_idle: false,
            is_forgetful: Arc::clone(&is_forgetful),
            in_service: Arc::clone(&in_service),
        };
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let (tls, asked, handler) = (tls.clone(), Arc::clone(&asked), Arc::clone(&handler));
                let (has_panicked, is_forgetful) = (Arc::clone(&has_panicked), Arc::clone(&is_forgetful));
                in_service.fetch_add(1, Ordering::SeqCst);
                let in_service = Arc::clone(&in_service);
                std::thread::spawn(move || {
                    let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match tls {
                        None => serve(stream, &asked, &is_forgetful, &*handler),
                        Some(tls) => {
                            let connection = ServerConnection::new(tls.0).unwrap();
                            serve(StreamOwned::new(connection, stream), &asked, &is_forgetful, &*handler);
                        }
                    }));
                    if served.is_err() {
                        has_panicked.store(true, Ordering::SeqCst);
                    }
                    in_service.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    /// A server that keeps only its last request.
    pub fn forgetful(self) -> Self {
        self.is_forgetful.store(true, Ordering::SeqCst);
        self
    }

    /// A server that may stay unasked.
    pub fn may_be_idle(mut self) -> Self {
        self.may_be_idle = true;
        self
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) {
        wait_until(&format!("{count} requests"), || self.asked().len() >= count);
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        assert!(!self.has_panicked.load(Ordering::SeqCst), "the handler of {} panicked", self.url);
        assert!(self.may_be_idle || !self.asked().is_empty(), "nobody asked {}", self.url);
    }
}

fn serve(stream: impl Read + Write, asked: &Mutex<Vec<Asked>>, is_forgetful: &AtomicBool, handler: &Handler) {
    let mut stream = BufReader::new(stream);
    let Some(request) = read_request(&mut stream) else { return };
    let before = {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        if is_forgetful.load(Ordering::SeqCst) {
            asked.clear();
        }
        asked.push(request.clone());
        asked.len() - 1
    };
    let mut reply = handler(&request, before);
    while let Reply::Late(wait, then) = reply {
        std::thread::sleep(wait);
        reply = *then;
    }
    // A client that has gone away is its own affair.
    let _ = write_reply(stream.get_mut(), reply);
}

fn read_request(stream: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Asked { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}

fn write_reply(stream: &mut impl Write, reply: Reply) -> std::io::Result<()> {
    let (status, headers, body, claimed) = match reply {
        Reply::Full { status, headers, body } => (status, headers, body.clone(), body.len()),
        Reply::CutOff(body) => (200, Vec::new(), body.clone(), body.len() + 1000),
        Reply::Stall(body) => {
            write_reply(stream, Reply::CutOff(body))?;
            std::thread::sleep(Duration::from_secs(120));
            return Ok(());
        }
        Reply::ClaimsLess(body) => (200, Vec::new(), body.clone(), body.len() / 2),
        Reply::Hang => {
            std::thread::sleep(Duration::from_secs(120));
            return Ok(());
        }
        Reply::Close | Reply::Late(..) => return Ok(()),
    };
    let mut head = format!("HTTP/1.1 {status} Mock\r\nConnection: close\r\n");
    if status != 204 {
        head.push_str(&format!("Content-Length: {claimed}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(&body)?;
    stream.flush()
}

/// What a body was before it was compressed.
pub fn unpack(body: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(body).read_to_string(&mut text).expect("the body is gzip");
    text
}

/// The lines of a batch; none of an empty request, which only asks whether a listener is there.
fn unzipped(asked: &Asked) -> String {
    if asked.body.is_empty() {
        return String::new();
    }
    let text = unpack(&asked.body);
    assert!(text.ends_with('\n') && text.len() <= 1_048_576, "{} bytes", text.len());
    assert_eq!(asked.query, "token=shipping-token-1");
    text
}

/// The Logz.io listener: keeps the lines of the batches that it takes.
pub struct MockListener {
    server: MockServer,
    lines: Arc<Mutex<Vec<String>>>,
}

impl MockListener {
    /// Takes everything.
    pub fn start() -> Self {
        Self::answering(|_, _| Reply::status(200, ""))
    }

    /// Answers as the handler says, and keeps the lines of what is answered with 200, or 400 and counts.
    pub fn answering(handler: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, handler)
    }

    /// Hands each batch to the handler and keeps none of it.
    pub fn handing_on(handler: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let server = MockServer::start(move |asked, _| match unzipped(asked) {
            text if text.is_empty() => Reply::status(200, ""),
            text => handler(&text),
        });
        let server = server.forgetful();
        Self { server, lines: Arc::default() }
    }

    pub fn start_with(tls: Option<Tls>, handler: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let server = MockServer::start_with(tls, move |asked, before| {
            let text = unzipped(asked);
            let reply = handler(&text, before);
            let mut answered = &reply;
            while let Reply::Late(_, then) = answered {
                answered = then;
            }
            let is_taken = match answered {
                Reply::Full { status: 200, .. } => true,
                // Without counts nobody took any line.
                Reply::Full { status: 400, body, .. } => body.windows(5).any(|part| part == b"Lines"),
                _ => false,
            };
            if is_taken {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(text.lines().map(str::to_owned));
            }
            reply
        });
        Self { server, lines }
    }

    /// Waits until every request that was sent is answered. A last connection stands behind all of them.
    #[track_caller]
    pub fn wait_until_idle(&self) {
        let address = self.url().strip_prefix("http://").expect("http");
        let mut last = std::net::TcpStream::connect(address).expect("the listener listens");
        last.shutdown(std::net::Shutdown::Write).and_then(|()| last.read_to_end(&mut Vec::new())).expect("its end");
        wait_until("the listener's answers", || self.server.in_service.load(Ordering::SeqCst) == 0);
    }

    pub fn may_be_idle(mut self) -> Self {
        self.server.may_be_idle = true;
        self
    }

    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The requests that held batches.
    pub fn asked(&self) -> Vec<Asked> {
        let is_batch = |asked: &Asked| !asked.body.is_empty();
        self.server.asked().into_iter().filter(is_batch).collect()
    }

    /// How many requests were empty: they only ask whether a listener is there.
    pub fn empty_requests(&self) -> usize {
        self.server.asked().len() - self.asked().len()
    }

    /// The lines that it took, in order.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The `id` of each record that it took, sorted.
    pub fn ids(&self) -> Vec<u64> {
        let id = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap();
        let mut ids: Vec<u64> = self.lines().iter().map(id).collect();
        ids.sort_unstable();
        ids
    }

    #[track_caller]
    pub fn wait_for_lines(&self, count: usize) {
        wait_until(&format!("{count} records at the listener"), || self.lines().len() >= count);
    }
}
