//! The end of counted pages where the API refuses what lies behind the last one.

use reqwest::StatusCode;

use super::{Pipeline, Scope, beside_the_runtime};
use crate::fetch::{FetchError, Fetcher, RequestTurn};
use crate::record::{Fingerprint, Page};
use crate::template::Position;

/// How an API says that there is no page of that number.
const NO_SUCH_PAGE: [StatusCode; 2] = [StatusCode::NOT_FOUND, StatusCode::RANGE_NOT_SATISFIABLE];

impl Pipeline<'_> {
    /// Whether a counted page that is refused lies behind the last one: the page before is as it was when it is asked for
    /// again, and this one is refused again then. Anything else is a failure.
    pub(super) async fn ends_before(
        &self,
        fetcher: &Fetcher<'_>,
        before: Option<&Position>,
        asked: &Position,
        cause: &FetchError,
    ) -> bool {
        let is_such = |cause: &FetchError| cause.status().is_some_and(|status| NO_SUCH_PAGE.contains(&status));
        let Some(before) = before.filter(|_| self.plan.paging.is_counted() && is_such(cause)) else { return false };
        let Ok(answer) = Box::pin(fetcher.page(self.scope(before), RequestTurn::Counted)).await else { return false };
        let (paths, fields) = (&self.plan.paths, &self.plan.custom_fields);
        let Some(text) = answer.text() else { return false };
        let Ok(page) = beside_the_runtime(text.len(), || Page::read(text, paths, fields)) else { return false };
        let records: Vec<Fingerprint> = page.records.iter().map(|record| record.fingerprint).collect();
        if !self.intake.chain.is_last_page(&records) {
            return false;
        }
        let scope: Scope<'_> = self.scope(asked);
        Box::pin(fetcher.page(scope, RequestTurn::Counted)).await.is_err_and(|cause| is_such(&cause))
    }
}
