//! The steps of an API: each is asked once, about the first entry of the answer before.

use super::examine::{Asked, records};
use super::report::{ProbeReport, answered};
use crate::fetch::{Answer, PageOnce, page_once};
use crate::iteration::{JobProgress, job_progress};
use crate::plan::Plan;
use crate::record::Paths;
use crate::record::json::RawJson;
use crate::template::{ListEntry, Position, ProofScope, Scope};
use crate::text::humanize::counted;

impl Asked<'_> {
    /// Asks each step of the plan about the first entry that the answer before lists.
    pub(super) async fn ask_steps(&self, first: &Answer, report: &mut ProbeReport) {
        let Self { transport, plan, access, now, from: start } = *self;
        let (mut text, mut paths) = (first.text().map(str::to_owned), &plan.paths);
        for (number, step) in (1..).zip(&plan.steps) {
            let label = format!("step {number}");
            let entry = text.as_deref().and_then(|text| first_entry(text, paths, &step.plan));
            let Some(entry) = entry else {
                return report.well(&label, "the answer before lists nothing to ask about; nothing more can be told");
            };
            let position = Position::default();
            let entry = Some(&entry);
            let scope = Scope { start, end: Some(now), now, position: &position, entry, proof: ProofScope::None };
            let request = PageOnce { template: &step.plan.request, scope };
            match page_once(transport, &step.plan, access, request).await {
                Ok((answer, call)) => {
                    report.well(&label, &answered(&call, Some(answer.text().map_or(0, str::len))));
                    text = answer.text().map(str::to_owned);
                }
                Err(refused) => return report.refused(&label, &refused, &plan.auth),
            }
            paths = &step.plan.paths;
            if let Some(poll) = &step.poll {
                match job_progress(poll, text.as_deref()) {
                    JobProgress::Done => report.more("the job is done"),
                    JobProgress::Busy(found) => {
                        return report.more(&format!("the job isn't done yet: {found}; it is asked only once here"));
                    }
                    JobProgress::Failed(found) => return report.wrong(&label, &format!("the job has failed: {found}")),
                }
            }
            match text.as_deref().map(RawJson::parse) {
                None => return report.more("no content, so no records"),
                Some(Err(error)) => return report.wrong(&label, &format!("the answer is not valid JSON: {error}")),
                Some(Ok(root)) => match records(root, paths) {
                    Ok(records) => {
                        let what = if number == plan.steps.len() { "record" } else { "entry" };
                        let count = match (what, records.len()) {
                            ("entry", count) if count != 1 => format!("{count} entries"),
                            (what, count) => counted(count as u64, what),
                        };
                        report.more(&format!("`{}`: {count}", paths.data));
                    }
                    Err(error) => return report.wrong(&label, &error.to_string()),
                },
            }
        }
    }
}

/// The first entry that an answer lists, with what the requests of a step name of the answer.
fn first_entry(text: &str, paths: &Paths, step: &Plan) -> Option<ListEntry> {
    let root = RawJson::parse(text).ok()?;
    let first = records(root, paths).ok()?.first()?.raw;
    Some(ListEntry::of(first, root, &step.request.parent_paths()))
}
