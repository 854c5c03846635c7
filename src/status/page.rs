//! The page of all APIs: is my data flowing, and if not, why? What is wrong stands on the first screen.
//!
//! Every text goes through `maud`, which escapes it. The page works without its script: the tiles, the headings and the
//! causes are links, and the server filters and sorts.

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, html};

use super::cluster_shown::{cluster, elsewhere};
use super::health::{STATES, shown};
use super::snapshot::Snapshot;
use super::table::table;
use super::view::{CauseGroup, Row, View, by_cause};
use crate::process::version;
use crate::text::humanize::{ago, bytes, counted, grouped, short, span};

/// How many causes are listed.
const CAUSES_MAX: usize = 6;
/// States that have a tile also where no API is in them.
const ALWAYS_SHOWN: [&str; 5] = ["failing", "retrying", "warning", "waiting", "ok"];

/// The whole page.
#[must_use]
pub fn page(snapshot: &Snapshot, view: &View, now: DateTime<Utc>) -> String {
    let rows = Row::all(snapshot, now);
    let failing = rows.iter().filter(|row| row.health.name() == "failing").count();
    let title = match failing {
        0 => "logzio-api-fetcher".to_owned(),
        _ => format!("({failing} failing) logzio-api-fetcher"),
    };
    let body = html! {
        (config_errors(snapshot, now))
        (cluster(snapshot, now))
        (tiles(&rows, view))
        (causes(&by_cause(&rows), view))
        p #search hidden {
            label for="q" { "Search" }
            input #q type="search" value=(view.search) placeholder="name, URL or error  ( / )" autocomplete="off" spellcheck="false";
        }
        (table(&rows, view, now))
        (elsewhere(snapshot, now))
        (totals(snapshot, &rows))
    };
    framed(&title, "", html! { "logzio-api-fetcher" }, body, snapshot, now)
}

/// A page with its head and foot; `up` leads to where `style.css` lies.
pub(super) fn framed(
    title: &str,
    up: &str,
    heading: Markup,
    body: Markup,
    snapshot: &Snapshot,
    now: DateTime<Utc>,
) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href={ (up) "style.css" };
                link rel="icon" href={ (up) "icon.svg" };
                noscript { meta http-equiv="refresh" content="10"; }
                script src={ (up) "script.js" } defer {}
            }
            body {
                header {
                    h1 { (heading) }
                    p .faint { (version::LINE) " · up " (span(now.signed_duration_since(snapshot.started))) }
                    p #asof { "as of " time datetime=(crate::text::humanize::second(now)) { (now.format("%H:%M:%S")) " UTC" } }
                }
                p #gone role="alert" {}
                main { (body) }
                footer {
                    p .faint {
                        "All times are UTC; hover for local time. · "
                        a href={ (up) "status.json" } { "status.json" } " · " a href={ (up) "metrics" } { "metrics" }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// What is wrong with the config in the file, if it isn't the one that runs.
fn config_errors(snapshot: &Snapshot, now: DateTime<Utc>) -> Markup {
    let reload = &snapshot.reload;
    html! {
        div #config {
            @if !reload.faults.is_empty() {
                section .problem role="alert" {
                    @if reload.is_partial {
                        h2 { "Some entries of the config are invalid" }
                        p { "The others run. Fix these errors; the file is read again by itself:" }
                    } @else {
                        h2 { "The config in the file is invalid" }
                        p {
                            "Still running the config loaded " (ago(reload.succeeded, now))
                            ". Fix these errors; the file is read again by itself:"
                        }
                    }
                    ul { @for fault in &reload.faults { li { (fault) } } }
                }
            }
        }
    }
}

/// How many APIs are in which state. A tile is a filter; the chosen one leads back.
fn tiles(rows: &[Row<'_>], view: &View) -> Markup {
    let all = View { state: None, cause: None, ..view.clone() };
    html! {
        nav #tiles aria-label="Filter by state" {
            (tile("all", "all", rows.len(), &all, view.state.is_none() && view.cause.is_none()))
            @for state in STATES {
                @let count = rows.iter().filter(|row| row.health.name() == state).count();
                @let is_chosen = view.state == Some(state);
                @if count > 0 || is_chosen || ALWAYS_SHOWN.contains(&state) {
                    @let chosen = View { state: Some(state).filter(|_| !is_chosen), cause: None, ..view.clone() };
                    (tile(state, shown(state), count, &chosen, is_chosen))
                }
            }
        }
    }
}

fn tile(class: &str, text: &str, count: usize, link: &View, is_chosen: bool) -> Markup {
    html! {
        a class={ (class) (if count == 0 { " none" } else { "" }) } href=(link.to_query()) aria-current=[is_chosen.then_some("true")] {
            b { (grouped(count as u64)) } " " (text)
        }
    }
}

/// Why APIs fail, and what to do. A cause is a filter, too.
fn causes(groups: &[CauseGroup<'_>], view: &View) -> Markup {
    html! {
        section #causes hidden[groups.is_empty()] aria-label="Failures by cause" {
            ul {
                @for group in groups.iter().take(CAUSES_MAX) {
                    @let is_chosen = view.cause.as_ref() == Some(&group.cause);
                    @let cause = Some(group.cause.clone()).filter(|_| !is_chosen);
                    @let link = View { state: None, cause, ..view.clone() };
                    li {
                        a href=(link.to_query()) aria-current=[is_chosen.then_some("true")] {
                            (group.cause) ": " b { (counted(group.apis, "API")) }
                        }
                        " " span { (group.hint) }
                    }
                }
                @if groups.len() > CAUSES_MAX {
                    li .faint { "and " (counted((groups.len() - CAUSES_MAX) as u64, "other cause")) }
                }
            }
        }
    }
}

/// Of all APIs together.
fn totals(snapshot: &Snapshot, rows: &[Row<'_>]) -> Markup {
    let sum = |of: fn(&Row<'_>) -> u64| rows.iter().map(of).sum::<u64>();
    let undelivered = sum(|row| row.api.totals.set_aside);
    html! {
        p #totals {
            b { (grouped(sum(|row| row.records_last_hour))) } " records in the last hour · since the start, "
            (short(snapshot.started, snapshot.started)) " on " (snapshot.started.format("%-d %b")) ": "
            b { (grouped(sum(|row| row.api.totals.records))) } " records, " (bytes(sum(|row| row.api.totals.bytes)))
            @if undelivered > 0 { ", " strong { (grouped(undelivered)) " undelivered" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::status::RecentIteration;
    use crate::status::test::{NOW, api, failing, snapshot};

    #[test]
    fn three_hundred_apis_are_a_small_page() {
        let named = |at: usize| format!("{at}: sign-ins of tenant {}", at * 7_919);
        let mut busy = api();
        for at in 0..60 {
            busy.end(
                RecentIteration { at: *NOW, seconds: 1.0, records: at * 1_000, pages: 1, is_failed: false },
                None,
                *NOW,
            );
        }
        busy.standing.checkpoint = Some(*NOW - TimeDelta::seconds(125));
        let apis = (0..300).map(|at| (named(at), if at % 10 == 0 { failing(60) } else { busy.clone() }));
        let page = page(&snapshot(apis), &View::default(), *NOW);
        assert!((100_000..150_000).contains(&page.len()), "{} bytes", page.len());
        let tags = page.matches('<').count() - page.matches("</").count();
        assert!(tags < 3_000, "{tags} elements");
    }

    #[test]
    fn says_what_fails_and_how_many_apis_are_in_which_state() {
        let apis = [("a", api()), ("b", failing(3)), ("c", failing(1))].map(|(name, api)| (name.to_owned(), api));
        let page = page(&snapshot(apis), &View::of("state=failing"), *NOW);
        assert!(page.contains("<title>(1 failing) logzio-api-fetcher</title>"), "{page}");
        assert!(page.contains("401 from login.example.com: <b>2 APIs</b>"), "{page}");
        assert!(page.contains("check the credentials"), "{page}");
        assert!(page.contains("1 of 3 APIs. <a href=\"?\">Show all</a>"), "{page}");
        // What is chosen leads back.
        assert!(page.contains("<a class=\"failing\" href=\"?\" aria-current=\"true\"><b>1</b> failing</a>"), "{page}");
    }
}
