//! One batch to the listener, and what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};

use super::Shipper;
use super::acceptance::{Acceptance, BatchRefusal, Meaning, meaning};
use super::error::ShipError;
use super::gzip::CompressionPool;
use super::sink::BatchSink;
use super::standing::{Foreign, Permission, Reachability};
use crate::http::{cause, whole_body};
use crate::memory::{MemoryBudget, Outage};
use crate::plan::{self, Acknowledge, Inputs, OutputName};
use crate::process::stop::Waited;
use crate::retry::{self, AttemptOutcome, Attempts, Verdict, until_done};
use crate::template::query::encode_component;
use crate::text::{Redactor, Secret};

/// The way to the listener.
#[derive(Debug)]
pub struct Listener {
    name: OutputName,
    inputs: Inputs,
    way: ListenerWay,
    /// With the token in its query.
    url: Secret,
    shown_url: String,
    redactor: Redactor,
    acknowledge: Acknowledge,
    compression: Arc<CompressionPool>,
    standing: Reachability,
    outage: Outage,
}

/// Where batches go.
#[derive(Debug)]
enum ListenerWay {
    Http(Client),
    /// Nowhere: they are kept in this process.
    Sink(Arc<BatchSink>),
}

/// A failed attempt: why, and whether another may help.
type SendError = (ShipError, Verdict);

impl Listener {
    /// To a listener of the config.
    #[must_use]
    pub fn new(client: Client, listener: &plan::Output) -> Self {
        Self::by(ListenerWay::Http(client), listener)
    }

    /// To each of several listeners of the config.
    #[must_use]
    pub fn all(client: &Client, listeners: &[plan::Output]) -> Vec<Arc<Self>> {
        listeners.iter().map(|listener| Arc::new(Self::new(client.clone(), listener))).collect()
    }

    /// In the place of a listener, something in this process that takes everything; no socket is opened.
    #[must_use]
    pub fn into_sink(sink: Arc<BatchSink>, listener: &plan::Output) -> Self {
        Self::by(ListenerWay::Sink(sink), listener)
    }

    fn by(way: ListenerWay, listener: &plan::Output) -> Self {
        let base = listener.url.as_str().trim_end_matches('/');
        Self {
            name: listener.name.clone(),
            inputs: listener.inputs.clone(),
            way,
            url: Secret::new(format!("{base}/?token={}", encode_component(listener.token.expose()))),
            shown_url: listener.redactor.url(&listener.url),
            redactor: listener.redactor.clone(),
            acknowledge: listener.acknowledge,
            compression: Arc::default(),
            standing: Reachability::default(),
            outage: Outage::default(),
        }
    }

    /// Whether it takes anything, for whoever reads for it.
    #[must_use]
    pub fn outage(&self) -> &Outage {
        &self.outage
    }

    /// The name of its output.
    #[must_use]
    pub fn name(&self) -> &OutputName {
        &self.name
    }

    /// Whether it gets the records of an API.
    #[must_use]
    pub fn takes(&self, api: &str) -> bool {
        self.inputs.has(api)
    }

    /// Sends an empty request, once, to see whether a listener is there and takes the token.
    ///
    /// # Errors
    /// [`ShipError::Token`] where the token is refused, [`ShipError::Unreachable`] where nobody answers, and
    /// [`ShipError::Foreign`] or [`ShipError::Status`] where the answer is not that of a listener.
    pub(crate) async fn check(&self) -> Result<StatusCode, ShipError> {
        let response = self.send(Bytes::new(), None).await?;
        let status = response.status();
        let heard = self.hear(response).await.map_err(|(error, _)| error)?;
        match heard {
            Acceptance::All | Acceptance::Partial(_) => {
                self.standing.hear();
                Ok(status)
            }
            Acceptance::TooLarge => Err(self.status_error(status, "")),
            Acceptance::Refused(refusal) => Err(self.refused(&refusal)),
        }
    }

    /// Asks by an empty request whether it takes anything again.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) async fn ask_again(&self) -> Result<(), ShipError> {
        self.check().await?;
        self.outage.end();
        Ok(())
    }

    /// Whether nobody has answered there yet.
    pub(crate) fn is_unheard(&self) -> bool {
        !self.standing.has_answered()
    }

    /// Makes sure that nobody but a listener is known to answer there. Where somebody else did, one of those who want to
    /// ship asks by an empty request, once in [`ASK_EVERY`](super::ASK_EVERY).
    ///
    /// # Errors
    /// [`ShipError::Foreign`]
    pub async fn require_listener(&self) -> Result<(), ShipError> {
        let known = match self.standing.permission(Instant::now()) {
            Permission::Send => return Ok(()),
            Permission::Wait(known) => known,
            Permission::Ask(known) => match self.check().await {
                // That is a listener's word, and the next batch will have it.
                Ok(_) | Err(ShipError::Token { status: StatusCode::UNAUTHORIZED, .. }) => {
                    self.standing.hear();
                    return Ok(());
                }
                Err(error @ ShipError::Foreign { .. }) => return Err(error),
                Err(_) => known,
            },
        };
        Err(ShipError::Foreign { url: self.shown_url.clone(), status: known.status, error_body: known.error_body })
    }

    /// How many batches it has acknowledged, of all who ship to it.
    pub(super) fn acknowledged(&self) -> u64 {
        self.standing.acknowledged()
    }

    /// Whether it takes what others send: it acknowledged a batch not long ago, which is used up by this, and acknowledges
    /// an empty request now.
    pub(super) async fn takes_others(&self) -> bool {
        self.standing.use_recent_acknowledgement(Instant::now()) && self.check().await.is_ok()
    }

    /// Compresses what goes there.
    #[must_use]
    pub fn compression(&self) -> Arc<CompressionPool> {
        Arc::clone(&self.compression)
    }

    /// Sends a compressed batch, again and again where that may help.
    pub(super) async fn deliver(&self, body: &Bytes, shipper: &Shipper) -> Result<Acceptance, ShipError> {
        until_done(shipper.retries, BatchAttempts { listener: self, body, shipper, begun: Instant::now() }).await
    }

    async fn post(&self, body: &Bytes) -> Result<Acceptance, SendError> {
        self.require_listener().await.map_err(|error| (error, Verdict::End))?;
        let sent = self.send(body.clone(), Some("gzip")).await;
        let response = sent.map_err(|error| match error {
            ShipError::Unreachable { .. } => (error, Verdict::Retry { asked: None }),
            _ => (error, Verdict::End),
        })?;
        let heard = self.hear(response).await?;
        match heard {
            Acceptance::All | Acceptance::Partial(_) => self.standing.acknowledge(Instant::now()),
            Acceptance::TooLarge | Acceptance::Refused(_) => self.standing.hear(),
        }
        Ok(heard)
    }

    /// Reads an answer, and says what it means.
    async fn hear(&self, response: Response) -> Result<Acceptance, SendError> {
        let status = response.status();
        let verdict = retry::verdict(status, response.headers(), chrono::Utc::now());
        let target =
            response.headers().get(LOCATION).map(|to| format!("to {} ", String::from_utf8_lossy(to.as_bytes())));
        // Without the whole body nobody knows who answered.
        let body = whole_body(response).await.map_err(|error| {
            let cause = format!("its answer ({status}) was cut: {}", cause(&error, &self.redactor));
            (ShipError::Unreachable { url: self.shown_url.clone(), cause }, Verdict::Retry { asked: None })
        })?;
        match meaning(status, &body, verdict != Verdict::End, self.acknowledge) {
            Meaning::Settled(acceptance) => Ok(acceptance),
            Meaning::Failure => Err((self.status_error(status, &body), verdict)),
            Meaning::Foreign => {
                let error_body = self.shown(&(target.unwrap_or_default() + &body));
                let foreign = Foreign { status, error_body: error_body.clone() };
                self.standing.hear_foreign(foreign, Instant::now());
                Err((ShipError::Foreign { url: self.shown_url.clone(), status, error_body }, Verdict::End))
            }
        }
    }

    /// What a refusal means where it is not of one record.
    pub(super) fn refused(&self, refusal: &BatchRefusal) -> ShipError {
        let BatchRefusal { status, body } = refusal;
        match *status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ShipError::Token { url: self.shown_url.clone(), status: *status, error_body: self.shown(body) }
            }
            status => self.status_error(status, body),
        }
    }

    /// What a refusal means where it is of one record: the reason in `undelivered.ndjson`.
    pub(super) fn reason(&self, refusal: &BatchRefusal) -> String {
        let BatchRefusal { status, body } = refusal;
        format!("refused with {status}{}; other records were acknowledged", self.shown(body))
    }

    async fn send(&self, body: Bytes, encoding: Option<&'static str>) -> Result<Response, ShipError> {
        let url = Url::parse(self.url.expose()).map_err(|_| self.status_error(StatusCode::BAD_REQUEST, ""))?;
        let client = match &self.way {
            ListenerWay::Http(client) => client,
            ListenerWay::Sink(sink) => return self.sink(sink, &body, encoding),
        };
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("Logzio-Shipper", concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            // The client says nothing of an empty body's length, and servers may insist (RFC 9110, section 8.6).
            .header(CONTENT_LENGTH, body.len())
            .body(body);
        let request =
            encoding.into_iter().fold(request, |request, encoding| request.header(CONTENT_ENCODING, encoding));
        let unreachable = |error: reqwest::Error| ShipError::Unreachable {
            url: self.shown_url.clone(),
            cause: cause(&error, &self.redactor),
        };
        request.send().await.map_err(unreachable)
    }

    /// What a listener answers that takes everything.
    fn sink(&self, sink: &BatchSink, body: &Bytes, encoding: Option<&str>) -> Result<Response, ShipError> {
        let kept = if encoding.is_some() { sink.keep(body) } else { Ok(()) };
        kept.map_err(|cause| ShipError::Local { what: "a batch can't be kept", cause })?;
        Ok(::http::Response::new(Bytes::new()).into())
    }

    fn status_error(&self, status: StatusCode, body: &str) -> ShipError {
        ShipError::Status { url: self.shown_url.clone(), status, error_body: self.shown(body) }
    }

    /// Foreign text as it is shown behind a status.
    fn shown(&self, body: &str) -> String {
        let error_body = self.redactor.redact(body);
        if error_body.is_empty() { error_body } else { format!(": {error_body}") }
    }
}

/// How long a batch is tried again, whoever waits for its memory: a trouble that passes costs no second fetch.
const PATIENT_FOR: Duration = Duration::from_secs(3);

/// The attempts to deliver one batch.
struct BatchAttempts<'a> {
    listener: &'a Listener,
    body: &'a Bytes,
    shipper: &'a Shipper,
    begun: Instant,
}

impl BatchAttempts<'_> {
    /// The memory that others may need, which the batch and its page take, where the output takes nothing.
    fn contested(&self) -> Option<&MemoryBudget> {
        let is_patient = self.begun.elapsed() < PATIENT_FOR && !self.listener.outage.is_down();
        self.shipper.gives_way.as_ref().filter(|_| !is_patient)
    }

    /// Returns once others need it.
    async fn has_to_give_way(&self) {
        match self.contested() {
            Some(memory) => memory.shortage().await,
            None => std::future::pending().await,
        }
    }
}

impl BatchAttempts<'_> {
    /// Posts the batch while that is ours to do.
    async fn post(&self) -> Result<Acceptance, SendError> {
        let is_given = tokio::select! {
            biased;
            // What is cut later may have been taken by then, and whoever goes on with the API would send it again.
            () = self.shipper.recall.halted() => return Err((ShipError::Recalled, Verdict::End)),
            is_given = self.shipper.leave.given() => is_given,
        };
        if !is_given {
            return Err((ShipError::Replaced, Verdict::End));
        }
        let posted = self.shipper.leave.while_there(self.listener.post(self.body)).await;
        posted.unwrap_or(Err((ShipError::Suspended, Verdict::Retry { asked: None })))
    }
}

impl Attempts<Acceptance, ShipError> for BatchAttempts<'_> {
    fn api(&self) -> &str {
        &self.shipper.api
    }

    async fn make(&mut self, failed: u32) -> AttemptOutcome<Acceptance, ShipError> {
        let outage = &self.listener.outage;
        match self.shipper.stop.until_end(self.post()).await {
            None => AttemptOutcome::Failed(ShipError::Stopped, Verdict::End),
            Some(Ok(acceptance)) => {
                outage.end();
                AttemptOutcome::Done(acceptance)
            }
            Some(Err((error, verdict))) => {
                if failed == 0 && verdict != Verdict::End {
                    outage.fail(Instant::now());
                }
                // An attempt may have taken as long as nothing comes.
                let has_to_end = self.contested().is_some_and(MemoryBudget::is_short);
                AttemptOutcome::Failed(error, if has_to_end { Verdict::End } else { verdict })
            }
        }
    }

    /// A stop ends the wait, or others that need the memory, or the end of the iteration; then the next attempt is the last.
    async fn pause(&mut self, wait: Duration) -> Result<bool, ShipError> {
        tokio::select! {
            waited = self.shipper.stop.wait(wait) => Ok(waited == Waited::Stopped),
            () = self.has_to_give_way() => Ok(true),
            () = self.shipper.recall.halted() => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::Path;

    use super::super::DeadLetterFile;
    use super::super::standing::ASK_EVERY;
    use super::*;
    use crate::cluster::SendLeave;
    use crate::http::{Timeouts, client};
    use crate::process::stop::{Recall, channel, recall};

    /// A server that gives these answers, and the way to it.
    fn answering(answers: Vec<&'static str>) -> Listener {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", socket.local_addr().expect("its address"));
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = socket.accept().expect("a request");
                let asked = stream.read(&mut [0; 4096]).expect("a request");
                assert!(asked > 0);
                let head = format!("HTTP/1.1 {answer}");
                stream.write_all(head.as_bytes()).expect("the answer is read");
            }
        });
        let listener = plan::Output {
            name: OutputName::default(),
            inputs: Inputs::All,
            url: Url::parse(&url).expect("a URL"),
            token: Secret::new("token"),
            acknowledge: Acknowledge::Listener,
            redactor: Redactor::default(),
        };
        Listener::new(client(&[], Timeouts::default()).expect("a client"), &listener)
    }

    const EMPTY: &str = "200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    const PAGE: &str = "200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n<html>";
    const WRONG_TOKEN: &str = "401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

    fn hear_page(listener: &Listener, ago: Duration) {
        let then = Instant::now().checked_sub(ago).expect("the machine runs for longer than that");
        listener.standing.hear_foreign(Foreign { status: StatusCode::OK, error_body: ": <html>".to_owned() }, then);
    }

    #[tokio::test]
    async fn an_output_where_somebody_else_answers_is_asked_after_a_minute_and_goes_on_when_a_listener_does() {
        for (answer, is_listener) in [(EMPTY, true), (WRONG_TOKEN, true), (PAGE, false)] {
            let listener = answering(vec![answer]);
            hear_page(&listener, Duration::ZERO);
            let error = listener.require_listener().await.expect_err("it isn't time to ask");
            assert!(error.to_string().contains("answered 200 OK: <html>"), "{error}");
            hear_page(&listener, ASK_EVERY);
            assert_eq!(listener.require_listener().await.is_ok(), is_listener, "{answer}");
            assert_eq!(listener.require_listener().await.is_ok(), is_listener, "{answer}: it isn't asked again");
        }
    }

    #[tokio::test]
    async fn an_output_that_nobody_answers_for_is_still_left_alone() {
        let listener = answering(Vec::new());
        hear_page(&listener, ASK_EVERY);
        let error = listener.require_listener().await.expect_err("nobody answers");
        assert!(matches!(error, ShipError::Foreign { .. }), "{error}");
    }

    const BUSY: &str = "503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

    fn shipper(listener: &Arc<Listener>, directory: &Path, recall: Recall) -> Shipper {
        let (_trigger, stop) = channel();
        Shipper {
            listener: Arc::clone(listener),
            undelivered: DeadLetterFile::new(directory),
            stop,
            leave: SendLeave::always(),
            recall,
            api: "a".to_owned(),
            tally: Arc::default(),
            retries: retry::LISTENER,
            gives_way: None,
        }
    }

    /// What would be cut a moment later may have been taken by then.
    #[tokio::test]
    async fn no_other_try_begins_where_the_iteration_is_to_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = Arc::new(answering(vec![BUSY, EMPTY]));
        let (trigger, recall) = recall();
        let (shipper, body) = (shipper(&listener, directory.path(), recall), Bytes::from_static(b"a batch"));
        let has_failed = async {
            while !listener.outage.is_failing() {
                tokio::task::yield_now().await;
            }
            trigger.halt();
        };
        let (delivered, ()) = tokio::join!(listener.deliver(&body, &shipper), has_failed);
        assert!(matches!(delivered, Err(ShipError::Recalled)), "{delivered:?}");
        let again = listener.deliver(&body, &shipper).await;
        assert!(matches!(again, Err(ShipError::Recalled)), "{again:?}");
    }

    /// Whoever waits for memory gets it where an output takes nothing, and a trouble that passes is waited for.
    #[tokio::test]
    async fn a_batch_is_not_tried_again_for_an_output_that_is_down_while_others_wait_for_memory() {
        let (directory, memory) = (tempfile::tempdir().expect("a directory"), MemoryBudget::new(1));
        let mut held = memory.permit();
        held.take(2).await;
        for (is_down, is_short, is_delivered) in [(true, true, false), (true, false, true), (false, true, true)] {
            let listener = Arc::new(answering(vec![BUSY, EMPTY]));
            (0..if is_down { 2 } else { 0 }).for_each(|_| listener.outage.fail(Instant::now()));
            let shipper =
                Shipper { gives_way: Some(memory.clone()), ..shipper(&listener, directory.path(), Recall::never()) };
            let mut waiting = memory.permit();
            let body = Bytes::from_static(b"a batch");
            let delivered = tokio::select! {
                biased;
                () = waiting.take(1), if is_short => panic!("there is no memory"),
                delivered = listener.deliver(&body, &shipper) => delivered,
            };
            assert_eq!(delivered.is_ok(), is_delivered, "{is_down} {is_short}: {delivered:?}");
        }
    }
}
