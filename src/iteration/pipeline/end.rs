//! Where the pages end, and what that means: by what the chain makes of them, where the API refuses what lies behind the last
//! counted one, and where only the first page tells.

use reqwest::StatusCode;

use super::{Pipeline, Scope, beside_the_runtime};
use crate::fetch::{Answer, FetchError, Fetcher, RequestTurn};
use crate::iteration::report::IterationError;
use crate::record::{Fingerprint, Page, Record};
use crate::template::Position;
use crate::window::{ChainStep, SeenRecord};

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
        let Some(page) = self.read_again(&answer) else { return false };
        let records: Vec<Fingerprint> = page.records.iter().map(|record| record.fingerprint).collect();
        if !self.intake.chain.is_last_page(&records) {
            return false;
        }
        let scope: Scope<'_> = self.scope(asked);
        Box::pin(fetcher.page(scope, RequestTurn::Counted)).await.is_err_and(|cause| is_such(&cause))
    }

    /// Whether counted pages end where the chain is in doubt: the first page tells, asked for again. Where that fails, they
    /// may go on. Nothing of this iteration's pages is in memory meanwhile.
    pub(super) async fn ends_in_doubt(&mut self, fetcher: &Fetcher<'_>) -> bool {
        if !self.intake.chain.is_end_in_doubt() {
            return false;
        }
        let first = self.first_position();
        let answer = Box::pin(fetcher.page(self.scope(&first), RequestTurn::Counted)).await.ok();
        let first = answer.as_ref().and_then(|answer| {
            let seen = |record: &Record<'_>| {
                let (fingerprint, date) = (record.fingerprint, record.date);
                SeenRecord { fingerprint, date, is_below: false }
            };
            let records: Vec<SeenRecord> = self.read_again(answer)?.records.iter().map(seen).collect();
            // It had some: an answer without any is none.
            (!records.is_empty()).then_some((records, answer.moment))
        });
        self.intake.chain.ends_by(first.as_ref().map(|(records, moment)| (records.as_slice(), *moment)))
    }

    /// A page that was asked for again, of which nothing is shipped; nothing where it can't be read.
    pub(super) fn read_again<'p>(&self, answer: &'p Answer) -> Option<Page<'p>> {
        let (paths, fields, text) = (&self.plan.paths, &self.plan.custom_fields, answer.text()?);
        let mut page = beside_the_runtime(text.len(), || Page::read(text, paths, fields)).ok()?;
        if let Some(rule) = &self.plan.next_iteration {
            rule.drop_false_dates(paths.date.as_ref(), &mut page.records, self.now);
        }
        Some(page)
    }

    /// What a page means behind which no other is asked for.
    pub(super) fn ended<T>(
        &self,
        step: ChainStep,
        next: Result<Option<Position>, IterationError>,
    ) -> Result<Option<T>, IterationError> {
        let page = self.intake.chain.course().pages;
        match (next?, step) {
            (_, ChainStep::Circle) => Err(IterationError::Circle { page }),
            (Some(_), ChainStep::Pause) if self.is_capped() => Err(IterationError::Capped { page }),
            (Some(_), ChainStep::Pause) => Err(IterationError::Pause { page }),
            (Some(_), ChainStep::Outgrown) => Err(IterationError::Outgrown { page }),
            _ => Ok(None),
        }
    }

    /// Whether as many pages were read as the config lets an iteration read.
    pub(super) fn is_capped(&self) -> bool {
        self.plan.paging.pages_per_iteration().is_some_and(|max| self.intake.chain.pages() >= max)
    }
}
