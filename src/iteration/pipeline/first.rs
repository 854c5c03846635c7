//! The first page of a window, also where the API refuses its start as too old.

use chrono::{DateTime, Utc};
use reqwest::StatusCode;

use super::Pipeline;
use crate::fetch::{Answer, FetchError, Fetcher, RequestTurn};
use crate::record::date;
use crate::state::Anomaly;
use crate::template::{CapturedValues, Scope, Variable};
use crate::window::{RetentionLimit, RetentionSearch, is_too_old};

/// How an API refuses a cursor that it doesn't know any more.
const CURSOR_REFUSED: [StatusCode; 4] =
    [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::GONE, StatusCode::UNPROCESSABLE_ENTITY];

impl Pipeline<'_> {
    /// The first page. Where the API refuses the start date as too old, that of the earliest date that it takes.
    ///
    /// The same words may mean something else that passes, and what lies before a later start is given up. So the same
    /// request is made again before they are believed, and once more when a later start was taken.
    pub(super) async fn first_page(&mut self, fetcher: &Fetcher<'_>) -> Result<Answer, FetchError> {
        let wanted = self.intake.window.start;
        match self.first_page_from(fetcher, wanted).await {
            Err(cause) if self.refuses_position(&cause) => return self.first_page_anew(fetcher).await,
            Err(cause) if refused_as_too_old(&cause).is_some() => {}
            other => return other,
        }
        match self.first_page_from(fetcher, wanted).await {
            Err(cause) if refused_as_too_old(&cause).is_some() => self.later_first_page(fetcher, cause).await,
            other => other,
        }
    }

    /// Whether an answer to the first request may mean that what it goes on with is no good any more.
    fn refuses_position(&self, cause: &FetchError) -> bool {
        let is_such = cause.status().is_some_and(|status| CURSOR_REFUSED.contains(&status));
        let has_cursor = self.account.captured.cursor().is_some()
            && self.plan.request.variables().any(|name| *name == Variable::Cursor);
        let has_values = self.account.captured.iter().any(|(name, _)| name != CapturedValues::CURSOR)
            && self.first_position().continued.is_some();
        is_such && (has_cursor || has_values)
    }

    /// The first page again; where what it goes on with is refused twice that is dropped, and the window begins at its date,
    /// or at the first iteration's request.
    async fn first_page_anew(&mut self, fetcher: &Fetcher<'_>) -> Result<Answer, FetchError> {
        let start = self.intake.window.start;
        match self.first_page_from(fetcher, start).await {
            Err(cause) if self.refuses_position(&cause) => {
                if self.account.captured.cursor().is_some() && self.told.is_new("the cursor is refused") {
                    let start = date::format(start);
                    tracing::warn!(
                        api = self.plan.name, %cause, start,
                        "the API refuses the cursor twice, so it is dropped and the window begins at its date; what lies \
                         between may be missing"
                    );
                }
                self.drop_position();
                self.first_page_from(fetcher, start).await
            }
            other => other,
        }
    }

    /// The first page of a window that begins there.
    async fn first_page_from(&self, fetcher: &Fetcher<'_>, start: DateTime<Utc>) -> Result<Answer, FetchError> {
        let first = self.position_from(start);
        Box::pin(fetcher.page(Scope { start, ..self.scope(&first) }, RequestTurn::First)).await
    }

    /// The first page from the earliest start on that the API takes.
    async fn later_first_page(&mut self, fetcher: &Fetcher<'_>, refused: FetchError) -> Result<Answer, FetchError> {
        let wanted = self.intake.window.start;
        let error_body = refused_as_too_old(&refused).unwrap_or_default();
        if self.told.is_new("looking for a later start") {
            let start = date::format(wanted);
            tracing::info!(api = self.plan.name, start, cause = %refused, "looking for a later start");
        }
        let mut probe = RetentionSearch::new(wanted, error_body, self.now);
        let mut earliest = None;
        while let Some(start) = probe.next(self.now) {
            match self.first_page_from(fetcher, start).await {
                Ok(answer) => {
                    probe.accept(start);
                    earliest = Some((start, answer));
                }
                Err(cause) if refused_as_too_old(&cause).is_some() => probe.refuse(start),
                Err(cause) => return Err(cause),
            }
        }
        let Some((start, answer)) = earliest else { return Err(refused) };
        match self.first_page_from(fetcher, wanted).await {
            Err(cause) if refused_as_too_old(&cause).is_some() => {}
            other => return other,
        }
        self.intake.window.begin_later(start);
        self.account.reach = Some(RetentionLimit::learned(start, self.now));
        let hint = Anomaly::StartTooOld.hint();
        if self.account.record_anomaly(Anomaly::StartTooOld, self.now) && self.told.is_new(hint) {
            tracing::warn!(api = self.plan.name, start = date::format(start), "{hint}");
        }
        Ok(answer)
    }
}

/// What an answer says that refuses a start date as too old.
fn refused_as_too_old(cause: &FetchError) -> Option<&str> {
    match cause {
        FetchError::Status { status, error_body, .. } => {
            let is_such =
                [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::UNPROCESSABLE_ENTITY].contains(status);
            Some(error_body.as_str()).filter(|error_body| is_such && is_too_old(error_body))
        }
        _ => None,
    }
}
