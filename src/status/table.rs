//! The table of all APIs. A row has nine elements and some 400 bytes, so that hundreds of them make a small page.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::health::{ApiHealth, shown, warnings};
use super::plot;
use super::snapshot::ApiStatus;
use super::view::{Row, SORTS, Sort, View, encoded};
use crate::text::humanize::{counted, grouped, short, span};

/// How many APIs are shown: more make a page that no browser likes. The search, and `/status.json`, have all.
pub const APIS_SHOWN_MAX: usize = 1_000;
/// How many iterations the strip of a row shows.
pub const STRIP_MAX: usize = 30;
/// How much each of eight blocks is.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// In how many rows the failures at the end of a strip are an element of their own.
const MARKED_MAX: usize = 200;
/// How long the reason is that hovering over a state shows.
const REASON_CHARS_MAX: usize = 80;
/// An iteration that failed.
const FAILED: char = '×';

/// The table, and how many rows it doesn't show.
pub(super) fn table(rows: &[Row<'_>], view: &View, now: DateTime<Utc>) -> Markup {
    let chosen = view.choose(rows, now);
    let hidden = chosen.len().saturating_sub(APIS_SHOWN_MAX);
    html! {
        table #apis {
            thead { tr { @for (sort, name) in SORTS { (heading(sort, name, view)) } th scope="col" { "Last iterations" } } }
            tbody { @for (at, row) in chosen.iter().take(APIS_SHOWN_MAX).enumerate() { (line(row, at < MARKED_MAX, now)) } }
        }
        p #more .faint role="status" {
            @if rows.is_empty() { "No API runs." }
            @else if chosen.is_empty() { "No API matches. " a href="?" { "Show all" } }
            @else if hidden > 0 {
                (counted(hidden as u64, "more API")) " not shown: narrow the search, or see " a href="status.json" { "status.json" } "."
            }
            @else if chosen.len() < rows.len() {
                (grouped(chosen.len() as u64)) " of " (counted(rows.len() as u64, "API")) ". " a href="?" { "Show all" }
            }
        }
    }
}

fn heading(sort: Sort, name: &str, view: &View) -> Markup {
    let (text, title) = match sort {
        Sort::State => ("State", "The worst first"),
        Sort::Name => ("API", "By name"),
        Sort::Since => ("Failing since", "When the first of the iterations that failed in a row began, UTC"),
        Sort::Success => ("Last success", "When an iteration succeeded last, UTC"),
        Sort::Delay => ("Event delay", "How old the newest delivered event is"),
        Sort::Records => ("Records/h", "Records delivered within the last hour"),
    };
    let is_chosen = view.sort == sort;
    let link = View { sort, is_reversed: is_chosen && !view.is_reversed, ..view.clone() };
    let direction = match (is_chosen, view.is_reversed) {
        (false, _) => None,
        (true, false) => Some("ascending"),
        (true, true) => Some("descending"),
    };
    html! {
        th scope="col" class=(name) aria-sort=[direction] { a href=(link.to_query()) title=(title) { (text) } }
    }
}

fn line(row: &Row<'_>, is_marked: bool, now: DateTime<Utc>) -> Markup {
    let success = row.api.last_success();
    let strip = strip(row.api);
    let (before, failed) = strip.split_at(strip.trim_end_matches(FAILED).len());
    let (since, since_text) = match row.health {
        ApiHealth::Waiting { until } => (Some(until), format!("until {}", until_when(until, now))),
        _ => (row.since(), moment(row.since(), now)),
    };
    html! {
        tr class=(row.health.name()) {
            td title=[reason(row, now)] { (shown(row.health.name())) }
            th scope="row" { a href=(link(row.name)) { (row.name) } }
            td data-t=[since.map(|since| since.timestamp())] { (since_text) }
            td data-t=[success.map(|success| success.timestamp())] { (moment(success, now)) }
            td { @match row.delay(now) { Some(delay) => (span(delay)), None => "–" } }
            td { (grouped(row.records_last_hour)) }
            td aria-label=(strip_label(row.api)) {
                (before) @if is_marked && !before.is_empty() && !failed.is_empty() { i { (failed) } } @else { (failed) }
            }
        }
    }
}

/// Why it isn't OK, in short; the page of the API has all of it.
fn reason(row: &Row<'_>, now: DateTime<Utc>) -> Option<String> {
    let text = match (&row.cause, row.health) {
        (Some(cause), _) => cause.to_string(),
        (None, ApiHealth::Warning) => warnings(row.api, now).into_iter().next()?.text,
        _ => return None,
    };
    let is_short = text.chars().count() <= REASON_CHARS_MAX;
    Some(if is_short { text } else { text.chars().take(REASON_CHARS_MAX).chain(['…']).collect() })
}

/// The page of an API, seen from the table. Browsers take a segment of dots for a step up, however it is encoded.
pub(super) fn link(name: &str) -> String {
    match name {
        "." | ".." => format!("api/?name={name}"),
        _ => format!("api/{}", encoded(name)),
    }
}

fn until_when(date: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if date.date_naive() == now.date_naive() { date.format("%H:%M").to_string() } else { short(date, now) }
}

fn moment(date: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    date.map_or_else(|| "–".to_owned(), |date| short(date, now))
}

/// The last iterations as one text, a character each, the latest at the right.
fn strip(api: &ApiStatus) -> String {
    let last = api.recent.iter().skip(api.recent.len().saturating_sub(STRIP_MAX));
    let scale = plot::scale(last.clone().map(|ended| ended.records));
    last.map(|ended| match ended.is_failed {
        true => FAILED,
        false => block(ended.records, scale.top),
    })
    .collect()
}

/// The higher, the more; the lowest is nothing.
fn block(records: u64, top: u64) -> char {
    let above = BLOCKS.len() as u64 - 1;
    let level = (records.min(top) * above).div_ceil(top.max(1));
    usize::try_from(level).ok().and_then(|level| BLOCKS.get(level)).copied().unwrap_or('█')
}

fn strip_label(api: &ApiStatus) -> String {
    let last = api.recent.iter().rev().take(STRIP_MAX);
    let failed = last.clone().filter(|ended| ended.is_failed).count();
    format!("{failed} of {} failed", last.count())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::status::RecentIteration;
    use crate::status::test::{NOW, api, snapshot};

    #[test]
    fn a_strip_has_a_character_for_each_of_the_last_iterations() {
        let mut api = api();
        let records = (0..40).map(|at| if at == 0 { 1_000_000 } else { at });
        let ended = records.map(|records| RecentIteration {
            at: *NOW,
            seconds: 1.0,
            records,
            pages: 1,
            is_failed: records == 39,
        });
        api.recent = Arc::new(ended.collect());
        let strip = strip(&api);
        assert_eq!((strip.chars().count(), strip.chars().last()), (STRIP_MAX, Some(FAILED)));
        assert_eq!([block(0, 7), block(1, 1_000), block(7, 7), block(9, 7), block(0, 0)], ['▁', '▂', '█', '█', '▁']);
        assert_eq!(strip_label(&api), "1 of 30 failed");
    }

    #[test]
    fn of_too_many_apis_the_rest_is_counted() {
        let apis = (0..APIS_SHOWN_MAX + 6).map(|at| (format!("a{at}"), api()));
        let snapshot = snapshot(apis);
        let table = table(&Row::all(&snapshot, *NOW), &View::default(), *NOW).into_string();
        assert_eq!(table.matches("<tr class").count(), APIS_SHOWN_MAX);
        assert!(table.contains("6 more APIs not shown"), "the rest is not counted");
    }

    #[test]
    fn any_name_has_a_link() {
        assert_eq!(link("a/b %2f\"é\u{1f600}?#"), "api/a%2Fb%20%252f%22%C3%A9%F0%9F%98%80%3F%23");
        assert_eq!((link(".."), link("...")), ("api/?name=..".to_owned(), "api/...".to_owned()));
    }
}
