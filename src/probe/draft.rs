//! From what is known of an API to a plan that can be asked with.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::choice::Choice;
use super::flags::flag_of;
use super::propose::{Draft, Kind, ProbeTarget, TargetAuth};
use super::writer::For;
use crate::config::catalog::List;
use crate::config::{self, Environment};
use crate::plan::Plan;
use crate::record::{Paths, date};
use crate::template::RequestTemplate;

/// A draft of which nothing is known yet; it can be compiled.
pub(super) fn blank(kind: Kind) -> Draft {
    Draft {
        kind,
        data: Choice::given("$"),
        date: Choice::given("date"),
        next: Choice::default(),
        id: Choice::default(),
        start_name: Choice::given("start"),
        first_start: None,
        overlap: Choice::default(),
        bounds: None,
        format: Choice::default(),
        paging: None,
        has_unread: false,
        is_start_told: true,
    }
}

/// The plan of a draft.
///
/// # Errors
/// What is wrong with what was given, by the flags that gave it.
pub(super) fn compile(target: &ProbeTarget, draft: &Draft) -> Result<Arc<Plan>, String> {
    let variable = |name: &str| std::env::var(name).ok();
    let around = Environment { variable: &variable, directory: Path::new(".") };
    let reading = config::compile(&target.config(draft, For::Asking), &around);
    let plan = reading.config.and_then(|config| config.apis.into_iter().next());
    plan.ok_or_else(|| {
        // The lines are those of a text that nobody sees.
        let errors = reading.diagnostics.errors.iter();
        let faults = errors.map(|error| format!("{}: {}", flag_of(&error.path, target), error.what));
        faults.collect::<Vec<_>>().join("; ")
    })
}

/// Where a type finds things by itself; nothing for a general API.
pub(super) fn type_paths(kind: Kind) -> Option<Paths> {
    let [url, id, key] = ["https://api.invalid/", "id", "key"].map(str::to_owned);
    let Kind::Named(named) = kind else { return None };
    let auth = match named.lists.first()? {
        List::AuthApis => TargetAuth::Basic { id, key },
        List::Apis => return None,
        List::OauthApis => TargetAuth::Token { url: url.clone(), id, key, scope: None },
    };
    let draft = Draft { data: Choice::default(), start_name: Choice::default(), ..blank(kind) };
    compile(&ProbeTarget { url, auth, headers: Vec::new() }, &draft).ok().map(|plan| plan.paths.clone())
}

/// The request for a page with nothing in it that speaks of a start date, where the API lets it be left out, and the start
/// date that it is filled in with.
pub(super) fn without_start(
    draft: &Draft,
    template: &RequestTemplate,
    now: DateTime<Utc>,
) -> (RequestTemplate, DateTime<Utc>) {
    let mut template = template.clone();
    let start = match &draft.bounds {
        Some(bounds) => date::before(now, bounds.span()),
        None => {
            template.first.query.retain(|field| !field.value.has_start_date());
            DateTime::UNIX_EPOCH
        }
    };
    (template, start)
}

/// The window of a plan that one request may ask for: its newest part, where it is longer than that.
#[must_use]
pub(super) fn newest_part(plan: &Plan, start: DateTime<Utc>, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let end = date::before(now, plan.start.end.delay).max(start);
    let longest = plan.start.end.longest.unwrap_or(TimeDelta::MAX);
    (start.max(date::before(end, longest)), end)
}
