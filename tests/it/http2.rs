//! HTTP/2, where a server offers it.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Fetcher, MockListener, general, minutes_ago, record, unpack};
use crate::tls::private_ca;

/// API and listener in one; both speak HTTP/2 and nothing else.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    pages: AtomicUsize,
    batches: Mutex<Vec<Bytes>>,
}

const PAGES: usize = 5;

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_2);
    if request.uri().path() == "/" {
        let batch = request.into_body().collect().await.expect("a whole batch").to_bytes();
        seen.batches.lock().unwrap().push(batch);
        return Ok(Response::new(Full::default()));
    }
    let page = seen.pages.fetch_add(1, Ordering::Relaxed);
    let next = if page + 1 < PAGES { format!("\"?p={page}\"") } else { "null".to_owned() };
    let body = format!("{{\"data\":[{}],\"next\":{next}}}", record(page as u64, &minutes_ago(5)));
    Ok(Response::new(Full::new(Bytes::from(body))))
}

/// Serves until the test ends; gives the port.
async fn serve(seen: Arc<Seen>, mut tls: rustls::ServerConfig) -> u16 {
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            seen.connections.fetch_add(1, Ordering::Relaxed);
            let (seen, acceptor) = (Arc::clone(&seen), acceptor.clone());
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.expect("TLS with HTTP/2 agreed on");
                let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
                let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn is_spoken_where_the_server_offers_it_and_one_connection_does() {
    let (ca_pem, tls) = private_ca();
    let seen = Arc::new(Seen::default());
    let port = serve(Arc::clone(&seen), tls.config()).await;
    let url = format!("https://127.0.0.1:{port}");
    let config = general(&url, &url, "tls: {ca_file: ca.pem}\n");
    let outcome = tokio::task::spawn_blocking(move || Fetcher::new(&config).file("ca.pem", &ca_pem).once());
    outcome.await.expect("the fetcher runs").assert_code(0);
    assert_eq!(seen.pages.load(Ordering::Relaxed), PAGES);
    let lines: usize = seen.batches.lock().unwrap().iter().map(|batch| unpack(batch).lines().count()).sum();
    assert_eq!(lines, PAGES);
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1, "pages and batches share a connection");
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;

/// A server that speaks either protocol, by hand: how an answer by HTTP/2 is broken is said by the test.
async fn serve_by_hand(tls: rustls::ServerConfig, answer: fn(usize, u32) -> Vec<u8>) -> (u16, Arc<AtomicUsize>) {
    let mut tls = tls;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let streams = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&streams);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut stream = acceptor.accept(stream).await.expect("TLS");
            let (is_http2, counted) = (stream.get_ref().1.alpn_protocol() == Some(b"h2"), Arc::clone(&counted));
            tokio::spawn(async move {
                if !is_http2 {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let head =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body().len());
                    let _ = stream.write_all(&[head.as_bytes(), &body()].concat()).await;
                    let _ = stream.shutdown().await;
                    return;
                }
                let mut preface = [0; 24];
                let _ = stream.read_exact(&mut preface).await;
                let _ = stream.write_all(&frame(4, 0, 0, &[])).await;
                let mut head = [0; 9];
                while stream.read_exact(&mut head).await.is_ok() {
                    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                    let mut payload = vec![0; length];
                    let _ = stream.read_exact(&mut payload).await;
                    if head[3] == HEADERS {
                        let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                        let before = counted.fetch_add(1, Ordering::Relaxed);
                        let _ = stream.write_all(&answer(before, number)).await;
                    }
                }
            });
        }
    });
    (port, streams)
}

fn body() -> Vec<u8> {
    format!("{{\"data\":[{}]}}", record(1, &minutes_ago(5))).into_bytes()
}

async fn once_by_hand(answer: fn(usize, u32) -> Vec<u8>) -> usize {
    let (ca_pem, tls) = private_ca();
    let (port, streams) = serve_by_hand(tls.config(), answer).await;
    let delivered = tokio::task::spawn_blocking(move || {
        let listener = MockListener::start();
        let config = general(&format!("https://127.0.0.1:{port}"), listener.url(), "tls: {ca_file: ca.pem}\n");
        Fetcher::new(&config).file("ca.pem", &ca_pem).once().assert_code(0);
        listener.ids()
    });
    assert_eq!(delivered.await.expect("the fetcher runs"), [1]);
    streams.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_it_is_asked_by_http_1_1() {
    // RST_STREAM with HTTP_1_1_REQUIRED.
    let streams = once_by_hand(|_, stream| frame(3, 0, stream, &[0, 0, 0, 13])).await;
    assert_eq!(streams, 1, "and by HTTP/2 no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_reset_in_its_middle_is_asked_for_again() {
    let streams = once_by_hand(|before, stream| {
        // `:status: 200`, then the body; the first is reset behind half of it (INTERNAL_ERROR).
        let head = frame(HEADERS, 4, stream, &[0x88]);
        let body = body();
        match before {
            0 => [head, frame(0, 0, stream, &body[..body.len() / 2]), frame(3, 0, stream, &[0, 0, 0, 2])].concat(),
            _ => [head, frame(0, 1, stream, &body)].concat(),
        }
    });
    assert_eq!(streams.await, 2);
}
