//! What `state` shows of APIs: a line for each of many, everything of one.

use chrono::{DateTime, Utc};

use super::{ApiState, shown};
use crate::plan::{Overlap, Plan};
use crate::record::date;
use crate::text::humanize::{ago, counted, second, span};
use crate::window::MEASURES_MIN;

/// How much of a cursor is shown; the text file has all of it.
const CURSOR_CHARS_MAX: usize = 60;

/// What is kept of an API outside of its account.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeptCounts {
    /// Delivered records that are remembered.
    pub(super) remembered: u64,
    /// Records in `undelivered.ndjson`.
    pub(super) undelivered: u64,
}

/// One line for each API, the names as wide as the longest.
pub(super) fn table<'a>(
    accounts: impl Iterator<Item = (&'a str, &'a ApiState, u64)> + Clone,
    now: DateTime<Utc>,
) -> String {
    let width = accounts.clone().map(|(name, ..)| name.chars().count()).max().unwrap_or_default().max("API".len());
    let line = |name: &str, checkpoint: &str, complete: &str, last: &str| {
        format!("{name:<width$}  {checkpoint:<20}  {complete:<20}  {last}").trim_end().to_owned()
    };
    let mut lines = vec![line("API", "CHECKPOINT", "COMPLETE UNTIL", "LAST ITERATION")];
    for (name, account, undelivered) in accounts {
        let none = || "–".to_owned();
        let last = account.past.back().map_or_else(none, |past| match &past.error {
            Some(error) => format!("failed: {error}"),
            None => format!("{}, {}", ago(past.at, now), counted(past.records, "record")),
        });
        let warnings = account.anomalies.len();
        let warnings = if warnings == 0 { String::new() } else { format!("; {}", counted(warnings as u64, "warning")) };
        let undelivered = if undelivered == 0 { String::new() } else { format!("; {undelivered} undelivered") };
        let date = |date: Option<DateTime<Utc>>| date.map_or_else(none, second);
        lines.push(line(
            name,
            &date(account.checkpoint),
            &date(account.coverage.until()),
            &(last + &warnings + &undelivered),
        ));
    }
    lines.join("\n")
}

/// Everything that is known of one API.
pub(super) fn account_in_words(
    name: &str,
    account: &ApiState,
    plan: Option<&Plan>,
    kept: KeptCounts,
    now: DateTime<Utc>,
) -> String {
    let mut lines = StateText(format!("{name}\n"));
    if plan.is_none() {
        lines.add("", "not in the config");
    }
    let ago = account.checkpoint.map(|date| format!(", {}", ago(date, now))).unwrap_or_default();
    lines.add("checkpoint", &format!("{}{ago}", shown(account.checkpoint)));
    if let Some((label, position)) = position_in_words(account, plan, now) {
        lines.add(label, &position);
    }
    if let Some(plan) = plan {
        lines.add("overlap", &overlap_in_words(account, plan.start.overlap));
    }
    lines.add("delay", &delay_in_words(account));
    // Nothing is, where each reading of a list is shipped whole.
    let since = account.remembered_since.filter(|since| *since <= now);
    let since = since.map(|since| format!(" since {}", date::format(since))).unwrap_or_default();
    lines.add("remembered", &format!("{}{since}", counted(kept.remembered, "delivered record")));
    if kept.undelivered > 0 {
        let what = counted(kept.undelivered, "record");
        lines.add("undelivered", &format!("{what} in undelivered.ndjson; `undelivered show` says why"));
    }
    lines.add_coverage(account);
    for (anomaly, noticed) in &account.anomalies {
        let (first, last) = (second(noticed.first), second(noticed.last));
        lines.add("warning", &format!("{} (first {first}, last {last})", anomaly.hint()));
    }
    lines.add_iterations(account);
    lines.0.trim_end().to_owned()
}

/// Lines of a label and what belongs to it.
struct StateText(String);

impl StateText {
    fn add(&mut self, label: &str, what: &str) {
        self.0.push_str(&format!("  {label:<11} {what}\n"));
    }

    fn add_coverage(&mut self, account: &ApiState) {
        if let Some(until) = account.coverage.until() {
            let has_failed = account.past.back().is_some_and(|past| past.error.is_some());
            let open = if has_failed { "; what came since is still to be fetched" } else { "" };
            self.add("complete", &format!("until {}{open}", second(until)));
        }
        for gap in account.coverage.gaps() {
            self.add("gap", &format!("{} to {}: {}", second(gap.from), second(gap.until), gap.cause.words()));
        }
    }

    /// The last iterations, the latest first.
    fn add_iterations(&mut self, account: &ApiState) {
        for (at, past) in account.past.iter().rev().enumerate() {
            let label = if at == 0 { "iterations" } else { "" };
            let (begun, seconds) = (second(past.at), past.seconds);
            let counts = format!("{}, {}", counted(past.records, "record"), counted(past.pages, "page"));
            let error = past.error.as_ref().map(|error| format!("; failed: {error}")).unwrap_or_default();
            self.add(label, &format!("{begun}  {seconds} s  {counts}{error}"));
        }
    }
}

/// What the next iteration goes on with, as it stands in the text file, shortened, and since when it is kept; with its
/// label.
fn position_in_words(account: &ApiState, plan: Option<&Plan>, now: DateTime<Utc>) -> Option<(&'static str, String)> {
    let (label, json) = match account.captured.cursor() {
        _ if account.captured.is_empty() => return None,
        Some(cursor) if account.captured.iter().count() == 1 => ("cursor", cursor.json().to_owned()),
        _ => ("position", account.captured.json()),
    };
    let shown = plan.map_or_else(|| json.clone(), |plan| plan.redactor.redact(&json));
    let shown = match shown.char_indices().nth(CURSOR_CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} bytes)", shown.get(..end).unwrap_or_default(), json.len()),
        None => shown,
    };
    let since = account.captured_since.map(|since| format!(", kept since {}, {}", second(since), ago(since, now)));
    Some((label, shown + &since.unwrap_or_default()))
}

fn overlap_in_words(account: &ApiState, overlap: Overlap) -> String {
    let how = match overlap {
        Overlap::Fixed(_) => "",
        Overlap::Unit => ", as records have no json_paths.id",
        Overlap::Measured { .. } if account.arrival_delay.measures() < MEASURES_MIN => ", until more is measured",
        Overlap::Measured { .. } => ", as late as 99 % of the records",
    };
    format!("{}{how}", span(overlap.span(&account.arrival_delay)))
}

fn delay_in_words(account: &ApiState) -> String {
    let delay = &account.arrival_delay;
    match (delay.within(0.5), delay.within(0.99)) {
        (Some(half), Some(nearly_all)) => {
            let (half, nearly_all, longest) = (span(half), span(nearly_all), span(delay.most()));
            format!("p50 {half}, p99 {nearly_all}, most {longest}, of {} records", delay.measures())
        }
        _ => "not measured yet".to_owned(),
    }
}
