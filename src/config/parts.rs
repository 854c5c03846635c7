//! What entries and steps have alike, and what a step is before it is part of a plan.

use super::keys;
use super::section::Section;
use crate::paging::Paging;
use crate::plan::{Plan, Poll, RecordRule, ResponseRule, StepPlan};
use crate::record::{ErrorRule, Paths, Zone};
use crate::template::RequestTemplate;

/// A step, before it is part of a plan.
pub(super) struct StepParts {
    pub(super) request: RequestTemplate,
    pub(super) response: ResponseRule,
    pub(super) paths: Paths,
    pub(super) paging: Paging,
    pub(super) poll: Option<Poll>,
}

/// What steps take over from their entry.
#[derive(Clone, Copy)]
pub(super) struct EntryParts<'e> {
    pub(super) request: &'e RequestTemplate,
    pub(super) error: &'e ErrorRule,
    pub(super) zone: Zone,
    pub(super) page_size: Option<u64>,
}

impl StepParts {
    /// Whether its records have dates.
    pub(super) fn has_date(&self) -> bool {
        self.paths.date.is_some()
    }

    /// As a part of the plan of its entry.
    pub(super) fn of_plan(self, plan: &Plan) -> StepPlan {
        let Self { request, response, paths, paging, poll } = self;
        let plan = Plan { request, response, paths, paging, next_iteration: None, steps: Vec::new(), ..plan.clone() };
        StepPlan { plan, poll }
    }
}

/// How answers are read.
pub(super) fn response(entry: &Section<'_>) -> ResponseRule {
    ResponseRule {
        format: entry.read(&keys::FORMAT).unwrap_or_default(),
        records: RecordRule::default(),
        columns: entry.read(&keys::COLUMNS),
        empty_statuses: entry.read(&keys::EMPTY_STATUSES).unwrap_or_default(),
        retry_statuses: entry.read(&keys::RETRY_STATUSES).unwrap_or_default(),
        retry_header: entry.read(&keys::RETRY_HEADER),
    }
}

/// Whether an entry says how its next iteration begins.
pub(super) fn has_next_iteration(entry: &Section<'_>) -> bool {
    entry.has(&keys::NEXT_ITERATION_URL)
        || entry.has(&keys::NEXT_ITERATION_FILTERS)
        || entry.has(&keys::NEXT_ITERATION_BODY)
}
