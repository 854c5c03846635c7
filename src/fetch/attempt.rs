//! One try to get a page: the request, its redirects, the body, and what is wrong with either.

use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode, Url};

use super::answer::{self, BodyReader, Silence};
use super::flaw::{self, Flaw};
use super::room::Room;
use super::send::{CrossOrigin, Outgoing, SentRequest, send};
use super::{Answer, AttemptError, FetchError, PAGE_BYTES_MAX, refusal};
use crate::counters::Counters;
use crate::decode::{DecodeError, Decoded, Decoder};
use crate::http;
use crate::plan::{Auth, Plan};
use crate::retry::{self, Verdict};
use crate::runtime::beside_the_runtime;
use crate::template::Request;
use crate::text::{Redactor, Secret};
use crate::transport::Transport;
use crate::window::Moment;

/// A success that refuses the token is no larger than this.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;
/// By how much more may be made out of a body where it was too little.
const LIMIT_FACTOR: usize = 4;
/// The key that sets how long an API may be silent.
const TIMEOUT_KEY: &str = "http_request.timeout";

/// How a page is asked for.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) transport: &'a Transport,
    pub(super) plan: &'a Plan,
    pub(super) access: &'a Credentials,
    pub(super) is_http1: bool,
    /// When it is made, by our clock.
    pub(super) at: DateTime<Utc>,
    /// Where it is noted that bytes come.
    pub(super) counters: &'a Counters,
}

/// An answer that is a success.
pub(super) struct Got {
    pub(super) answer: Answer,
    pub(super) status: StatusCode,
    /// What its body has of a failure.
    pub(super) flaw: Option<AttemptError>,
}

impl Attempt<'_> {
    /// One request, with its redirects. Where many are made at a time, room is taken for the body as it comes in.
    pub(super) async fn make(self, request: &Request, mut room: Option<&mut Room<'_>>) -> Result<Got, AttemptError> {
        let (Self { access, .. }, url) = (self, &request.url);
        let outgoing = self.outgoing(request);
        let sent = send(&outgoing, url, &access.redactor);
        let sent = match &mut room {
            Some(room) => room.patiently(0, sent).await,
            None => sent.await,
        };
        let SentRequest { response, base, elsewhere } = sent?;
        self.counters.touch();
        let status = response.status();
        let headers = response.headers().clone();
        let moment = Moment::new(self.at, answer::date(&headers));
        let secrets = access.redactor.clone();
        let without_records = Answer { text: None, was_lossy: false, base, secrets, moment, headers, permit: None };
        let is_empty = self.plan.response.empty_statuses.contains(&status);
        if is_empty || !status.is_success() {
            let refused = Refused::read(response, url, elsewhere).await;
            return match is_empty && !refused.is_web_page() {
                true => Ok(Got { answer: without_records, status, flaw: None }),
                false => Err(refused.failure(self.transport.clock().now(), &access.redactor)),
            };
        }
        let reading = BodyReader {
            bytes_max: PAGE_BYTES_MAX,
            silence: self.silence(),
            counters: self.counters,
            room: room.as_deref_mut(),
        };
        let bytes = answer::read(response, url, reading, &access.redactor).await?;
        if status == StatusCode::NO_CONTENT {
            return Ok(Got { answer: without_records, status, flaw: None });
        }
        let decoded = self.decode(bytes, url, &without_records.headers, room).await?;
        let Decoded { text, was_lossy, is_made } = decoded;
        // What was made here is whole.
        let flaw = if is_made { None } else { flaw::of(&text) };
        let flaw = flaw.map(|flaw| flawed(flaw, url, status, &access.redactor));
        Ok(Got { answer: Answer { text: Some(text), was_lossy, ..without_records }, status, flaw })
    }

    /// The text of a body. Where more is made out of it than it is, room is taken before that is in memory.
    async fn decode(
        self,
        body: Vec<u8>,
        url: &Url,
        headers: &HeaderMap,
        mut room: Option<&mut Room<'_>>,
    ) -> Result<Decoded, AttemptError> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let decoder = Decoder::new(self.plan.response.format, content_type);
        let Some(mut limit) = decoder.first_limit(&body) else { return Ok(Decoded::as_sent(body)) };
        loop {
            limit = limit.min(PAGE_BYTES_MAX);
            if let Some(room) = &mut room {
                room.take_for_body(body.len().saturating_add(limit)).await.map_err(AttemptError::end)?;
            }
            let decoded = beside_the_runtime(body.len(), || decoder.decode(&body, limit));
            match decoded {
                Err(DecodeError::TooLarge { .. }) if limit < PAGE_BYTES_MAX => {
                    limit = limit.saturating_mul(LIMIT_FACTOR)
                }
                decoded => return decoded.map_err(|cause| undecoded(cause, url, &self.access.redactor)),
            }
        }
    }

    fn outgoing<'o>(&'o self, request: &'o Request) -> Outgoing<'o> {
        let template = &self.plan.request;
        let mut headers = request.headers.clone();
        headers.extend(self.access.authorization.clone().map(|value| (AUTHORIZATION, value)));
        Outgoing {
            transport: self.transport,
            method: &request.method,
            headers,
            body: request.body.as_ref(),
            configured: &template.url,
            beyond: CrossOrigin::Strip(&template.hosts),
            is_http1: self.is_http1,
            silence: self.silence(),
        }
    }

    fn silence(&self) -> Silence {
        Silence { max: self.plan.request.timeout, key: Some(TIMEOUT_KEY) }
    }
}

impl Got {
    /// Whether it is an error that refuses the token, though its status is a success.
    pub(super) fn refuses_token(&self) -> bool {
        self.answer.text.as_ref().is_some_and(|text| text.len() <= REFUSAL_BYTES_MAX && refusal::of_success(text))
    }
}

fn flawed(flaw: Flaw, url: &Url, status: StatusCode, redactor: &Redactor) -> AttemptError {
    let url = redactor.url(url);
    let error = match flaw {
        Flaw::WebPage(title) => {
            FetchError::WebPage { url, title: answer::titled(title.map(|title| redactor.redact(&title))) }
        }
        Flaw::Empty => FetchError::Empty { url, status },
        Flaw::Cut => FetchError::Broken { url, cause: "the body ends before its end".to_owned() },
    };
    AttemptError { is_lost: true, ..AttemptError::passing(error) }
}

/// A body that can't be decoded. One that was cut off may come whole the next time.
fn undecoded(cause: DecodeError, url: &Url, redactor: &Redactor) -> AttemptError {
    let url = redactor.url(url);
    match cause {
        DecodeError::TooLarge { max } => AttemptError::end(FetchError::TooLarge { url, max }),
        cause if cause.is_cut() => {
            AttemptError { is_lost: true, ..AttemptError::passing(FetchError::Undecoded { url, cause }) }
        }
        cause => AttemptError::end(FetchError::Undecoded { url, cause }),
    }
}

/// An answer that is no success, and what follows it.
pub(super) async fn status_failure(
    response: Response,
    url: &Url,
    elsewhere: Option<String>,
    now: DateTime<Utc>,
    redactor: &Redactor,
) -> AttemptError {
    Refused::read(response, url, elsewhere).await.failure(now, redactor)
}

/// An answer whose status is enough, with the beginning of its body.
struct Refused<'a> {
    url: &'a Url,
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    /// Who answered, where it was asked without credentials.
    elsewhere: Option<String>,
}

impl<'a> Refused<'a> {
    async fn read(response: Response, url: &'a Url, elsewhere: Option<String>) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { url, status, headers, body: http::said(response).await, elsewhere }
    }

    fn is_web_page(&self) -> bool {
        flaw::web_page(&self.body).is_some()
    }

    /// What is wrong with it, and what follows.
    fn failure(self, now: DateTime<Utc>, redactor: &Redactor) -> AttemptError {
        let Self { url, status, headers, body, elsewhere } = self;
        if status.is_success() {
            return flawed(Flaw::WebPage(flaw::web_page(&body).flatten()), url, status, redactor);
        }
        let error_body = answer::error_body(&headers, &body, redactor);
        let verdict = match retry::verdict(status, &headers, now) {
            Verdict::End if refusal::is_limit(status, &body) => retry::limited(&headers, now),
            Verdict::End if matches!(status, StatusCode::CONFLICT | StatusCode::TOO_EARLY) => {
                retry::limited(&headers, now)
            }
            verdict => verdict,
        };
        let refusal = refusal::of(status, &headers, &body).filter(|_| verdict == Verdict::End && elsewhere.is_none());
        // Who answers these did nothing; behind the others the request may have been done.
        let is_lost = status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE;
        let url = redactor.url(url);
        let error = match elsewhere {
            Some(other) => FetchError::Elsewhere { url, other, status, error_body },
            None => FetchError::Status { url, status, error_body },
        };
        AttemptError { verdict, refusal, is_lost, ..AttemptError::end(error) }
    }
}

/// What makes a request an authorised one.
#[derive(Debug)]
pub(crate) struct Credentials {
    authorization: Option<HeaderValue>,
    /// Knows what the header holds.
    pub(crate) redactor: Redactor,
}

impl Credentials {
    /// By what the config itself says; the user's own header stands among the request's.
    pub(super) fn by_config(plan: &Plan) -> Self {
        let authorization = match &plan.auth {
            Auth::Basic { id, key } => header("Basic", &answer::base64(id, key)),
            Auth::OwnHeader | Auth::Token(_) => None,
        };
        Self { authorization, redactor: plan.redactor.clone() }
    }

    pub(super) fn by_token(plan: &Plan, token: &Secret) -> Self {
        Self { authorization: header("Bearer", token), redactor: plan.redactor.and([token.clone()]) }
    }
}

fn header(scheme: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", secret.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}
