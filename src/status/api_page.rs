//! The page of one API: everything that is known of it.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::health::{ApiHealth, Warning, shown, warnings};
use super::page::framed;
use super::plot;
use super::snapshot::{ApiStatus, Failure, Phase, RecentIteration, Snapshot};
use super::view::Row;
use crate::process::version;
use crate::text::humanize::{ago, bytes, counted, grouped, pause, second, span};

/// The page; nothing where there is no such API.
#[must_use]
pub fn api_page(snapshot: &Snapshot, name: &str, now: DateTime<Utc>) -> Option<String> {
    let (name, api) = snapshot.apis.get_key_value(name)?;
    let row = Row::of(name, api, now);
    let state = row.health.name();
    let body = html! {
        p #state class=(state) { span .badge { (shown(state)) } " " (state_line(&row, now)) }
        div #trouble { @if let Some(trouble) = &api.trouble { (error(&row, trouble, now)) } }
        div #warnings {
            @for warning in warnings(api, now) { (warned(&warning, now)) }
            @for (from, until) in &api.standing.gaps {
                p .note { "Gap: events from " (moment(*from)) " to " (moment(*until)) " can't be fetched any more." }
            }
        }
        (facts(&row, now))
        section #plots {
            (plot::iterations(&api.recent, now))
            (plot::day(&api.day, now))
        }
        (plot::values(api.recent.iter()))
    };
    let heading = html! { a href="../" { "APIs" } " / " span { (name) } };
    let title = match row.health {
        ApiHealth::Ok => format!("{name} – logzio-api-fetcher"),
        _ => format!("({state}) {name} – logzio-api-fetcher"),
    };
    Some(framed(&title, "../", heading, body, snapshot, now))
}

fn state_line(row: &Row<'_>, now: DateTime<Utc>) -> Markup {
    let failures = || counted(u64::from(row.api.failures_in_a_row), "failed iteration");
    html! {
        @match row.health {
            ApiHealth::Failing { since: Some(since) } => { "since " (date(since, now)) ", " (failures()) " in a row" }
            ApiHealth::Failing { since: None } | ApiHealth::Retrying { .. } => { (failures()) " in a row" }
            ApiHealth::Waiting { until } => { "rate limit until " (moment(until)) }
            ApiHealth::Warning => "It works, but something is not right.",
            ApiHealth::Starting => "No iteration has ended yet.",
            ApiHealth::Stopped => "No iteration follows.",
            ApiHealth::Ok => { "last success " (date_or_none(row.api.last_success(), now)) }
        }
    }
}

fn error(row: &Row<'_>, trouble: &Failure, now: DateTime<Utc>) -> Markup {
    html! {
        section .problem .calm[matches!(row.health, ApiHealth::Waiting { .. })] {
            h2 { @match &row.cause { Some(cause) => (cause), None => "Error" } }
            p .text { (trouble.cause) }
            p { strong { "What to do: " } (trouble.hint) }
            p .actions {
                button type="button" data-copy=(report(row, trouble, now)) hidden { "Copy error" }
                " " span .faint { "More: " } code { "logzio-api-fetcher probe --api " (quoted(row.name)) }
            }
        }
    }
}

/// Everything that whoever is asked for help wants to know.
fn report(row: &Row<'_>, trouble: &Failure, now: DateTime<Utc>) -> String {
    let since = row.since().map(|since| format!("\nfailing since: {}", second(since))).unwrap_or_default();
    let until = trouble.until.map(|until| format!("\nwaiting until: {}", second(until))).unwrap_or_default();
    format!(
        "API: {}\nURL: {}\nstate: {}, {} failed in a row{since}{until}\nerror: {}\nwhat to do: {}\nas of: {}\nversion: {}\n",
        row.name,
        row.api.url,
        row.health.name(),
        row.api.failures_in_a_row,
        trouble.cause,
        trouble.hint,
        second(now),
        version::LINE
    )
}

/// For a shell.
fn quoted(name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|mark| mark.is_ascii_alphanumeric() || "-_.".contains(mark));
    if is_plain { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

fn warned(warning: &Warning, now: DateTime<Utc>) -> Markup {
    html! {
        p .warned {
            strong { "Warning: " } (warning.text)
            @if let Some(last) = warning.last_seen { span .faint { " (last seen " (ago(last, now)) ")" } }
        }
    }
}

fn facts(row: &Row<'_>, now: DateTime<Utc>) -> Markup {
    let (api, standing) = (row.api, &row.api.standing);
    html! {
        dl #facts {
            (fact("URL", html! { (api.url) }))
            (fact("Last iteration", html! {
                @match api.recent.back() { Some(last) => (ended(last, now)), None => "none" }
            }))
            (fact("Last success", date_or_none(api.last_success(), now)))
            (fact("Next iteration", next(api, now)))
            (fact("Newest event delivered (checkpoint)", date_or_none(standing.checkpoint, now)))
            (fact("Complete until", date_or_none(standing.swept_until, now)))
            @if let Some(since) = standing.cursor_since { (fact("Cursor kept since", date(since, now))) }
            (fact("Arrival delay", html! {
                @match standing.arrival_delay {
                    Some((half, nearly_all)) => { "p50 " (span(half)) " · p99 " (span(nearly_all)) }
                    None => "–",
                }
            }))
            (fact("Records in the last hour", html! { (grouped(row.records_last_hour)) }))
            (fact("Since the start", html! {
                (counted(api.totals.records, "record")) ", " (bytes(api.totals.bytes)) ", " (counted(api.totals.pages, "page"))
                " in " (counted(api.succeeded + api.failed, "iteration")) ", " (grouped(api.failed)) " failed"
            }))
            (fact("Duplicates", html! { (grouped(api.totals.known)) " left out" }))
            (fact("Undelivered", html! {
                (grouped(api.totals.set_aside))
                @if api.totals.set_aside > 0 { ", in undelivered.ndjson" }
            }))
        }
    }
}

fn fact(label: &str, what: Markup) -> Markup {
    html! { div { dt { (label) } dd { (what) } } }
}

fn ended(last: &RecentIteration, now: DateTime<Utc>) -> Markup {
    html! {
        (date(last.at, now)) ": " (counted(last.records, "record")) ", " (counted(last.pages, "page")) " in "
        (format!("{:.1} s", last.seconds))
        @if last.is_failed { ", " strong { "failed" } }
    }
}

fn next(api: &ApiStatus, now: DateTime<Utc>) -> Markup {
    let every = pause(api.interval);
    match api.phase {
        Phase::Running { since } => html! {
            "running for " (span(now.signed_duration_since(since))) ", " (counted(api.under_way, "record")) " so far"
        },
        Phase::Waiting { until: None } => html! { "none" },
        Phase::Waiting { until: Some(until) } if until <= now => html! { "now (every " (every) ")" },
        Phase::Waiting { until: Some(until) } => {
            html! { "in " (span(until.signed_duration_since(now))) " (every " (every) ")" }
        }
    }
}

fn date_or_none(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Markup {
    match at {
        Some(at) => date(at, now),
        None => html! { "–" },
    }
}

fn date(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { (moment(at)) ", " (ago(at, now)) }
}

fn moment(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(second(at)) { (at.format("%Y-%m-%d %H:%M:%S")) " UTC" } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::test::{NOW, api, failing, snapshot};

    #[test]
    fn has_everything_about_one_api_and_nothing_that_is_not_escaped() {
        let name = "a/b <i>'\"&";
        let snapshot = snapshot([(name.to_owned(), failing(3)), ("other".to_owned(), api())]);
        let page = api_page(&snapshot, name, *NOW).unwrap();
        for text in [
            "a/b &lt;i&gt;'&quot;&amp;",
            "401 from login.example.com",
            "check the credentials",
            "2026-03-01 12:30:05 UTC",
            "3 failed iterations</",
            "probe --api 'a/b &lt;i&gt;'\\''&quot;&amp;'",
            "Records per iteration, last 3 iterations",
            "Records per half hour",
        ] {
            assert!(
                page.contains(text) || page.replace(" in a row", "</").contains(text),
                "{text} is missing in {page}"
            );
        }
        assert!(!page.contains("<i>") && !page.contains("other"), "{page}");
        assert!(api_page(&snapshot, "none", *NOW).is_none());
    }
}
