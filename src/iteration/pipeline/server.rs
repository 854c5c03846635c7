//! The pages of an API that keeps the position itself, as a queue does: what an answer gave it doesn't give again.
//!
//! What always holds: no page ahead; an answer is on the disk before anything of it is shipped, and delivered before the
//! next request; nothing is asked while the listener is down, or, where the API has several outputs, while no more may wait
//! for one of them on the disk. So a crash or an outage loses no answer that came. One that
//! got lost on its way can't be asked for again, and is said.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::super::kept::AnswerFile;
use super::super::report::IterationError;
use super::{Pipeline, Places};
use crate::fetch::{Answer, FetchError, Fetcher, RequestTurn};
use crate::paging::Pagination;
use crate::record::PageError;
use crate::state::Anomaly;
use crate::template::Position;
use crate::window::{ChainStep, Moment};

impl Pipeline<'_> {
    /// Every page there is now: first the answer that waits on the disk, then one request after the other.
    pub(super) async fn pages_of_server(&mut self, fetcher: &Fetcher<'_>) -> Result<(), IterationError> {
        self.keep_refused().await?;
        self.lane.places = Places::default();
        self.ship_waiting().await?;
        if self.lane.delivery.waiting().is_none() {
            self.lane.delivery.shipper.listener.check().await?;
        }
        let file = AnswerFile::of(self.claim.directory(), self.claim.key());
        let now = || fetcher.transport.clock().now();
        let mut asked = self.first_position();
        if let Some(text) = file.read().map_err(IterationError::Kept)? {
            tracing::info!(api = self.plan.name, "an answer that was not delivered whole is shipped first");
            let delivered = self.deliver_answer(self.kept_answer(text, now()), &asked, now()).await;
            self.let_go(&file, &delivered)?;
            delivered?;
        }
        loop {
            let page = self.intake.chain.course().pages + 1;
            let fetched = Box::pin(fetcher.page(self.scope(&asked), RequestTurn::Repeated)).await;
            let answer = fetched.map_err(|cause| {
                self.note_lost(&cause);
                IterationError::of_fetch(page, cause, self.intake.window.start, self.now)
            })?;
            let kept = answer.text().map_or(Ok(()), |text| file.keep(text));
            let delivered = self.deliver_answer(answer, &asked, now()).await;
            // What couldn't be kept is delivered all the same, as the API won't give it again; but nothing else is asked.
            kept.map_err(IterationError::Kept)?;
            self.let_go(&file, &delivered)?;
            match delivered? {
                Some(next) => asked = next,
                None => return Ok(()),
            }
        }
    }

    /// Reads an answer, and delivers what is new of it. Gives where the next request stands, if there is more.
    async fn deliver_answer(
        &mut self,
        mut answer: Answer,
        asked: &Position,
        now: DateTime<Utc>,
    ) -> Result<Option<Position>, IterationError> {
        let mut permit = self.begin_page(&mut answer, now);
        let bytes = answer.text_bytes();
        let read = self.read(&answer)?;
        permit.iter_mut().for_each(|permit| permit.count_page(bytes, read.records.len()));
        let next = match self.next(&read, asked, &answer)? {
            // The same request brings what follows, until there is nothing.
            None if self.plan.paging.kind == Pagination::None && !read.records.is_empty() => Some(asked.clone()),
            next => next,
        };
        let seen = self.look(&read.records, now).await;
        let step = self.step(&seen, asked, next.as_ref(), answer.moment)?;
        if let Err(error) = self.admit(&read.records, now).await {
            self.ship_rest_before(error).await?;
        }
        drop(read);
        drop(answer);
        self.drop_page(permit);
        self.ship_rest().await?;
        let page = self.intake.chain.course().pages;
        match step {
            ChainStep::On { .. } => Ok(next),
            ChainStep::Done => Ok(None),
            ChainStep::Pause if self.is_capped() => Ok(None),
            ChainStep::Pause => Err(IterationError::Pause { page }),
            ChainStep::Outgrown => Err(IterationError::Outgrown { page }),
            ChainStep::Circle => Err(IterationError::Circle { page }),
        }
    }

    /// The answer that was kept on the disk. What led on from it isn't known any more.
    fn kept_answer(&self, text: String, now: DateTime<Utc>) -> Answer {
        Answer {
            text: Some(Arc::new(text)),
            as_sent: None,
            was_lossy: false,
            base: self.plan.request.url.clone(),
            secrets: self.plan.redactor.clone(),
            moment: Moment::new(now, None),
            headers: reqwest::header::HeaderMap::new(),
            permit: None,
        }
    }

    /// Lets go of the answer on the disk where nothing more can come of it: it is delivered, or holds no records. What only
    /// the config doesn't find in it stays until it does.
    fn let_go<T>(&self, file: &AnswerFile, delivered: &Result<T, IterationError>) -> Result<(), IterationError> {
        let is_over = match delivered {
            Ok(_)
            | Err(IterationError::ToldError { .. } | IterationError::Pause { .. } | IterationError::Circle { .. }) => {
                true
            }
            Err(IterationError::Page { cause, .. }) => matches!(cause, PageError::NotJson(_)),
            Err(_) => false,
        };
        if is_over { file.remove().map_err(IterationError::Kept) } else { Ok(()) }
    }

    /// Says that an answer got lost, which the API won't give again.
    fn note_lost(&mut self, cause: &FetchError) {
        let is_lost =
            matches!(cause, FetchError::Lost(_)) && self.account.record_anomaly(Anomaly::AnswerLost, self.now);
        let hint = Anomaly::AnswerLost.hint();
        if is_lost && self.told.is_new(hint) {
            tracing::warn!(api = self.plan.name, "{hint}");
        }
    }
}
