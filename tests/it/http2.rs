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
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Fetcher, general, minutes_ago, record, unpack};
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
