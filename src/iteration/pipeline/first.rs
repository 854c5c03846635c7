//! The first page of a window, also where the API refuses its start as too old.

use chrono::{DateTime, Utc};
use reqwest::StatusCode;

use super::Pipeline;
use crate::fetch::{Answer, FetchError, Fetcher, RequestTurn};
use crate::record::date;
use crate::state::Anomaly;
use crate::template::{Position, Scope};
use crate::window::{RetentionLimit, RetentionSearch, is_too_old};

impl Pipeline<'_> {
    /// The first page. Where the API refuses the start date as too old, that of the earliest date that it takes.
    ///
    /// The same words may mean something else that passes, and what lies before a later start is given up. So the same
    /// request is made again before they are believed, and once more when a later start was taken.
    pub(super) async fn first_page(&mut self, fetcher: &Fetcher<'_>) -> Result<Answer, FetchError> {
        let wanted = self.intake.window.start;
        match self.first_page_from(fetcher, wanted).await {
            Err(cause) if refused_as_too_old(&cause).is_some() => {}
            other => return other,
        }
        match self.first_page_from(fetcher, wanted).await {
            Err(cause) if refused_as_too_old(&cause).is_some() => self.later_first_page(fetcher, cause).await,
            other => other,
        }
    }

    /// The first page of a window that begins there.
    async fn first_page_from(&self, fetcher: &Fetcher<'_>, start: DateTime<Utc>) -> Result<Answer, FetchError> {
        let first = Position::default();
        Box::pin(fetcher.page(Scope { start, ..self.scope(&first) }, RequestTurn::First)).await
    }

    /// The first page from the earliest start on that the API takes.
    async fn later_first_page(&mut self, fetcher: &Fetcher<'_>, refused: FetchError) -> Result<Answer, FetchError> {
        let wanted = self.intake.window.start;
        let error_body = refused_as_too_old(&refused).unwrap_or_default();
        tracing::info!(api = self.plan.name, start = date::format(wanted), cause = %refused, "looking for a later start");
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
        if self.account.record_anomaly(Anomaly::StartTooOld, self.now) {
            tracing::warn!(api = self.plan.name, start = date::format(start), "{}", Anomaly::StartTooOld.hint());
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
