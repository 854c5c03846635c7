//! The one place where a request to an API leaves: over the network, over the network and onto a tape, or to a tape alone.
//!
//! Pages and token requests go the same way. With the way goes the clock: where a tape turns, time is what the tape says, so
//! that the same answers lead to the same requests.

mod clock;
mod compare;
mod exchange;
mod tape;

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, Url};

pub use clock::{Clock, TapeClock};
pub use compare::{ANY, PartDifference, differences};
pub use exchange::{TapedAnswer, TapedExchange, TapedOutcome, TapedRequest};
pub use tape::{ANSWERS_BYTES_MAX, Difference, EXCHANGES_MAX, Recording, Replay};

use crate::http::{ClientChoice, ClientError, ClientIdentity, Clients, PrivateAddress};
use crate::text::Secret;

/// How requests leave. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Over the network.
    Http(Clients),
    /// Over the network; what goes and comes is kept.
    Record(Clients, Arc<Recording>),
    /// Not at all: the answers are those of a tape. No socket is opened, and no name looked up.
    Replay(Arc<Replay>),
}

/// A request of which everything is decided.
#[derive(Debug)]
pub struct WireRequest<'a> {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Every header but those that the client adds.
    pub headers: HeaderMap,
    /// The body, if it has one.
    pub body: Option<&'a Secret>,
    /// Which connection it takes.
    pub choice: ClientChoice,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A host that the config doesn't spell out is an inner one.
    #[error(transparent)]
    Private(#[from] PrivateAddress),
    /// The client's word.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// What the tape says came instead of an answer.
    #[error("{cause}")]
    Taped {
        /// Why.
        cause: String,
        /// Whether the request may have been done all the same.
        is_lost: bool,
    },
    /// The tape takes no more.
    #[error("the cassette is full")]
    Full,
    /// The tape has another request here, or none. [`Replay::difference`] tells.
    #[error("the cassette has another request here")]
    Different,
}

impl Transport {
    /// The clock that goes with it.
    #[must_use]
    pub fn clock(&self) -> Clock {
        match self {
            Self::Http(_) => Clock::System,
            Self::Record(_, recording) => Clock::Tape(Arc::clone(recording.clock())),
            Self::Replay(replay) => Clock::Tape(Arc::clone(replay.clock())),
        }
    }

    /// Whether a tape answers.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        matches!(self, Self::Replay(_))
    }

    /// The same for an entry with certificates of its own (`tls`).
    ///
    /// # Errors
    /// Where they can't be used.
    pub fn with_identity(&self, identity: &ClientIdentity) -> Result<Self, ClientError> {
        Ok(match self {
            Self::Http(clients) => Self::Http(clients.with_identity(identity)?),
            Self::Record(clients, recording) => Self::Record(clients.with_identity(identity)?, Arc::clone(recording)),
            Self::Replay(replay) => Self::Replay(Arc::clone(replay)),
        })
    }

    /// The moment of the request that is about to be made. The clock of a tape moves to it.
    pub fn request_time(&self) -> DateTime<Utc> {
        match self {
            Self::Http(_) => Utc::now(),
            Self::Record(_, recording) => recording.clock().set(Utc::now().trunc_subsecs(3)),
            Self::Replay(replay) => replay.request_time(),
        }
    }

    /// Sends a request, and gives the beginning of its answer: all of it, where a tape turns.
    ///
    /// # Errors
    /// [`TransportError`], where there is no answer.
    pub async fn send(&self, request: WireRequest<'_>) -> Result<Response, TransportError> {
        match self {
            Self::Http(clients) => over_the_network(clients, request).await,
            Self::Record(clients, recording) => {
                let taped = TapedRequest::of(&request);
                let came = over_the_network(clients, request).await;
                recording.take(taped, came).await
            }
            Self::Replay(replay) => replay.answer(&TapedRequest::of(&request)),
        }
    }
}

async fn over_the_network(clients: &Clients, request: WireRequest<'_>) -> Result<Response, TransportError> {
    let WireRequest { method, url, headers, body, choice } = request;
    if !choice.is_named {
        clients.admit(&url).await?;
    }
    let (client, whole) = clients.on(choice);
    let builder = client.request(method, url).timeout(whole).headers(headers);
    let builder = match body {
        Some(body) => builder.body(body.expose().to_owned()),
        None => builder,
    };
    Ok(builder.send().await?)
}

impl From<Clients> for Transport {
    fn from(clients: Clients) -> Self {
        Self::Http(clients)
    }
}

/// Whether a server wants HTTP/1.1 (RFC 9113, section 7). What HTTP/2 says stands in no type that the client shows.
#[must_use]
pub fn refuses_http2(error: &reqwest::Error) -> bool {
    format!("{error:?}").contains("HTTP_1_1_REQUIRED")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use reqwest::header::HeaderValue;

    use super::*;
    use crate::http::{Timeouts, clients};

    fn request(url: &str, body: Option<&'static Secret>) -> WireRequest<'static> {
        let headers = [("x-api", "1")]
            .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), HeaderValue::from_static(value)));
        WireRequest {
            method: Method::GET,
            url: Url::parse(url).expect("a URL"),
            headers: headers.into_iter().collect(),
            body,
            choice: ClientChoice { is_named: true, is_http1: true, idle: Duration::from_secs(5) },
        }
    }

    #[tokio::test]
    async fn a_replay_answers_as_was_recorded_and_the_same_requests_alone() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/events?page=", socket.local_addr().expect("its address"));
        let server = std::thread::spawn(move || {
            for answer in ["200 OK\r\nx-next: 2\r\ncontent-length: 3\r\n", "503 Busy\r\ncontent-length: 0\r\n"] {
                let (mut stream, _) = socket.accept().expect("a request");
                let _ = stream.read(&mut [0; 4096]).expect("a request");
                let body = if answer.starts_with("200") { "[1]" } else { "" };
                // The connection ends with the answer, so it must not be used again.
                write!(stream, "HTTP/1.1 {answer}connection: close\r\n\r\n{body}").expect("the answer is read");
            }
        });
        let recording = Arc::new(Recording::new(Utc::now()));
        let network = clients(&[], Timeouts::default()).expect("clients");
        let record = Transport::Record(network, Arc::clone(&recording));
        let at = record.request_time();
        let seen = record.send(request(&format!("{url}1"), None)).await.expect("an answer");
        assert_eq!(seen.headers()["x-next"], "2");
        assert_eq!(seen.bytes().await.expect("a body").as_ref(), b"[1]");
        assert_eq!(record.send(request(&format!("{url}2"), None)).await.expect("an answer").status(), 503);
        server.join().expect("both requests came");
        assert!(record.send(request(&format!("{url}3"), None)).await.is_err(), "nobody listens any more");

        let replay = Arc::new(Replay::new(at, recording.exchanges()));
        let again = Transport::Replay(Arc::clone(&replay));
        assert_eq!(again.request_time(), at);
        let seen = again.send(request(&format!("{url}1"), None)).await.expect("an answer");
        assert_eq!((seen.status().as_u16(), seen.bytes().await.expect("a body").as_ref()), (200, &b"[1]"[..]));
        assert_eq!(again.send(request(&format!("{url}2"), None)).await.expect("an answer").status(), 503);
        let failed = again.send(request(&format!("{url}3"), None)).await.expect_err("as recorded");
        assert!(matches!(failed, TransportError::Taped { is_lost: false, .. }), "{failed}");
        assert!(replay.difference().is_none());
        let further = again.send(request(&format!("{url}4"), None)).await.expect_err("the tape is over");
        assert!(matches!(further, TransportError::Different), "{further}");
        let difference = replay.difference().expect("it is told");
        assert!((difference.number, difference.recorded.is_none()) == (4, true));
    }
}
