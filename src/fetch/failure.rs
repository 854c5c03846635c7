//! An answer that is no success, or no data, and what follows it.

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode, Url};

use super::answer;
use super::flaw::{self, Flaw};
use super::{AttemptError, FetchError, refusal};
use crate::http;
use crate::retry::{self, Verdict};
use crate::text::Redactor;

/// What follows a flaw in the body of an answer.
pub(super) fn flawed(flaw: Flaw, url: &Url, status: StatusCode, redactor: &Redactor) -> AttemptError {
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

/// An answer whose status is enough, with the beginning of its body.
pub(super) struct Refused<'a> {
    url: &'a Url,
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    /// Who answered, where it was asked without credentials.
    elsewhere: Option<String>,
}

impl<'a> Refused<'a> {
    pub(super) async fn read(response: Response, url: &'a Url, elsewhere: Option<String>) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { url, status, headers, body: http::said(response).await, elsewhere }
    }

    /// The beginning of its body.
    pub(super) fn body(&self) -> &str {
        &self.body
    }

    pub(super) fn is_web_page(&self) -> bool {
        flaw::web_page(&self.body).is_some()
    }

    /// What is wrong with it, and what follows.
    pub(super) fn failure(self, now: DateTime<Utc>, redactor: &Redactor) -> AttemptError {
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
