//! One try to get a page: the request, its redirects, the body, and what is wrong with either.

use chrono::Utc;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Response, StatusCode, Url};

use super::answer::{self, BodyReader, Silence};
use super::flaw::{self, Flaw};
use super::room::Room;
use super::send::{CrossOrigin, Outgoing, SentRequest, send};
use super::{Answer, AttemptError, FetchError, PAGE_BYTES_MAX, refusal};
use crate::counters::Counters;
use crate::http::{self, Clients};
use crate::plan::{Auth, Plan};
use crate::retry::{self, Verdict};
use crate::secret::{Redactor, Secret};
use crate::template::Request;
use crate::window::Moment;

/// A success that refuses the token is no larger than this.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;
/// The key that sets how long an API may be silent.
const TIMEOUT_KEY: &str = "http_request.timeout";

/// How a page is asked for.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) clients: &'a Clients,
    pub(super) plan: &'a Plan,
    pub(super) access: &'a Credentials,
    pub(super) is_http1: bool,
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
        let asked_at = Utc::now();
        let outgoing = self.outgoing(request);
        let sent = send(&outgoing, url, &access.redactor);
        let sent = match &mut room {
            Some(room) => room.patiently(0, sent).await,
            None => sent.await,
        };
        let SentRequest { response, base, elsewhere } = sent?;
        self.counters.touch();
        let status = response.status();
        if !status.is_success() {
            return Err(status_failure(response, url, elsewhere, &access.redactor).await);
        }
        let has_content = status != StatusCode::NO_CONTENT;
        let headers = response.headers().clone();
        let reading = BodyReader { bytes_max: PAGE_BYTES_MAX, silence: self.silence(), counters: self.counters, room };
        let bytes = answer::read(response, url, reading, &access.redactor).await?;
        let (text, was_lossy) = answer::text(bytes);
        let flaw = flaw::of(&text).filter(|_| has_content).map(|flaw| flawed(flaw, url, status, &access.redactor));
        let text = has_content.then_some(text);
        let moment = Moment::new(asked_at, answer::date(&headers));
        let secrets = access.redactor.clone();
        let answer = Answer { text, was_lossy, base, secrets, moment, headers, permit: None };
        Ok(Got { answer, status, flaw })
    }

    fn outgoing<'o>(&'o self, request: &'o Request) -> Outgoing<'o> {
        let template = &self.plan.request;
        let mut headers = request.headers.clone();
        headers.extend(self.access.authorization.clone().map(|value| (AUTHORIZATION, value)));
        Outgoing {
            clients: self.clients,
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

/// An answer that is no success, and what follows it.
pub(super) async fn status_failure(
    response: Response,
    url: &Url,
    elsewhere: Option<String>,
    redactor: &Redactor,
) -> AttemptError {
    let (status, headers, now) = (response.status(), response.headers().clone(), chrono::Utc::now());
    let body = http::said(response).await;
    let error_body = answer::error_body(&headers, &body, redactor);
    let verdict = match retry::verdict(status, &headers, now) {
        Verdict::End if refusal::is_limit(status, &body) => retry::limited(&headers, now),
        Verdict::End if matches!(status, StatusCode::CONFLICT | StatusCode::TOO_EARLY) => retry::limited(&headers, now),
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
