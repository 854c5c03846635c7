//! The page for people: is my data flowing, and if not, why?
//!
//! Every text goes through `maud`, which escapes it. What is in trouble stands first and is open.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{DOCTYPE, Markup, html};

use super::board::{ApiStatus, Ended, Phase, RECENT_MAX, Snapshot};
use crate::version;
use crate::words::{ago, bytes, counted, grouped, pause, second, span};

/// How many APIs are shown, those in trouble first: more make a page that no browser likes. The metrics have all.
const APIS_SHOWN_MAX: usize = 1_000;
/// A bar and its gap, in units of the plot.
const BAR_STEP: usize = 4;
/// The height of the plot, in the same units.
const PLOT_HEIGHT: f64 = 28.0;
/// The height of a bar without records.
const BAR_HEIGHT_MIN: f64 = 1.0;
/// How many parts of its interval, and how long at least, an API may be late before it is called so.
const LATE_MIN: TimeDelta = TimeDelta::minutes(10);

/// How many APIs in trouble are open: where many are, their lines are read first.
const OPEN_MAX: usize = 10;

/// How long what is odd counts after it was seen.
const ODD_FOR: TimeDelta = TimeDelta::days(1);

/// How an API fares, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mood {
    /// So many iterations in a row have failed that it is no passing trouble.
    Failing,
    /// The last iteration failed.
    Troubled,
    /// The API asks to be left alone for a while.
    Waiting,
    /// It works, but something about it is odd.
    Odd,
    /// No iteration has ended yet.
    New,
    /// All well.
    Well,
}

impl Mood {
    fn of(api: &ApiStatus, now: DateTime<Utc>) -> Self {
        match api {
            _ if api.is_failing() => Self::Failing,
            _ if api.trouble.as_ref().is_some_and(|trouble| trouble.until.is_some()) => Self::Waiting,
            _ if api.trouble.is_some() => Self::Troubled,
            _ if api.standing.oddities.iter().any(|(_, last)| is_fresh(*last, now)) => Self::Odd,
            _ if api.succeeded == 0 => Self::New,
            _ => Self::Well,
        }
    }

    /// As a class of the style.
    fn class(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Troubled => "troubled",
            Self::Waiting | Self::Odd => "odd",
            Self::New => "new",
            Self::Well => "well",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Troubled => "last try failed",
            Self::Waiting => "waiting, as the API asks",
            Self::Odd => "works, but look",
            Self::New => "just begun",
            Self::Well => "works",
        }
    }
}

/// The whole page.
#[must_use]
pub fn page(snapshot: &Snapshot, now: DateTime<Utc>) -> String {
    let mut apis: Vec<(Mood, &String, &ApiStatus)> =
        snapshot.apis.iter().map(|(name, api)| (Mood::of(api, now), name, api)).collect();
    // By name within a mood, as they are by name already.
    apis.sort_by_key(|(mood, ..)| *mood);
    let hidden = apis.len().saturating_sub(APIS_SHOWN_MAX);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title(&apis)) }
                link rel="stylesheet" href="style.css";
                link rel="icon" href="icon.svg";
                noscript { meta http-equiv="refresh" content="10"; }
                script src="script.js" defer {}
            }
            body {
                header {
                    h1 { "logzio-api-fetcher" }
                    p .about {
                        (version::LINE) " · up " (span(now.signed_duration_since(snapshot.started)))
                    }
                }
                p #gone role="status" hidden { "The fetcher does not answer. This is what was known last." }
                main {
                    (reload(snapshot, now))
                    (tiles(&apis, snapshot))
                    @for (at, (mood, name, api)) in apis.iter().take(APIS_SHOWN_MAX).enumerate() {
                        (api_row(*mood, name, api, at < OPEN_MAX, now))
                    }
                    @if hidden > 0 {
                        p .more {
                            (counted(hidden as u64, "more API")) ", none in more trouble than those above; "
                            a href="metrics" { "/metrics" } " has all of them."
                        }
                    }
                    @if apis.is_empty() { p .more { "No API runs." } }
                }
                footer {
                    p { a href="metrics" { "metrics" } " · times are UTC · as of " (moment(now)) }
                }
            }
        }
    };
    page.into_string()
}

fn title(apis: &[(Mood, &String, &ApiStatus)]) -> String {
    let failing = apis.iter().filter(|(mood, ..)| *mood == Mood::Failing).count();
    match failing {
        0 => "logzio-api-fetcher".to_owned(),
        _ => format!("({failing} failing) logzio-api-fetcher"),
    }
}

/// What is wrong with the config in the file, if it isn't the one that runs.
fn reload(snapshot: &Snapshot, now: DateTime<Utc>) -> Markup {
    let reload = &snapshot.reload;
    html! {
        @if !reload.faults.is_empty() {
            section .faulty role="alert" {
                h2 { "The config in the file can't be used" }
                p { "What runs is the one of " (ago(reload.succeeded, now)) ". Mend these, and it is read again by itself:" }
                ul { @for fault in &reload.faults { li { (fault) } } }
            }
        }
    }
}

fn tiles(apis: &[(Mood, &String, &ApiStatus)], snapshot: &Snapshot) -> Markup {
    let count = |wanted: fn(Mood) -> bool| apis.iter().filter(|(mood, ..)| wanted(*mood)).count() as u64;
    let failing = count(|mood| matches!(mood, Mood::Failing | Mood::Troubled));
    let records: u64 = snapshot.apis.values().map(|api| api.totals.records).sum();
    let shipped: u64 = snapshot.apis.values().map(|api| api.totals.bytes).sum();
    let set_aside: u64 = snapshot.apis.values().map(|api| api.totals.set_aside).sum();
    html! {
        dl .tiles {
            (tile("APIs", &grouped(apis.len() as u64), ""))
            (tile("in trouble", &grouped(failing), if failing > 0 { "bad" } else { "" }))
            (tile("records shipped", &grouped(records), ""))
            (tile("bytes shipped", &bytes(shipped), ""))
            @if set_aside > 0 { (tile("undeliverable", &grouped(set_aside), "bad")) }
        }
    }
}

fn tile(label: &str, value: &str, class: &str) -> Markup {
    html! { div class=(class) { dt { (label) } dd { (value) } } }
}

/// One API: a line that says how it is, and what is known of it below.
fn api_row(mood: Mood, name: &str, api: &ApiStatus, may_be_open: bool, now: DateTime<Utc>) -> Markup {
    html! {
        details class={ "api " (mood.class()) } data-api=(name) open[may_be_open && mood <= Mood::Troubled] {
            summary {
                span .mood { (mood.words()) }
                span .name { (name) }
                @match &api.trouble {
                    Some(trouble) => span .why { (trouble.advice) },
                    None => { span .flow { (flow(api)) } span .behind { (behind(api, now)) } }
                }
                (plot(api))
            }
            @if let Some(trouble) = &api.trouble {
                div .trouble {
                    p .cause { (trouble.cause) }
                    p .advice { strong { "What to do: " } (trouble.advice) }
                    p .count { (counted(u64::from(api.failures_in_a_row), "failed iteration")) " in a row" }
                }
            }
            @for (oddity, last) in &api.standing.oddities {
                p .oddity[is_fresh(*last, now)] .past[!is_fresh(*last, now)] {
                    (oddity.advice()) " (last seen " (ago(*last, now)) ")"
                }
            }
            @for (from, until) in &api.standing.gaps {
                p .past { "a gap: what lies from " (moment(*from)) " to " (moment(*until)) " can't be fetched any more" }
            }
            (facts(api, now))
        }
    }
}

/// Whether something odd was seen not long ago.
fn is_fresh(last: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(last) <= ODD_FOR
}

/// What the last iteration brought.
fn flow(api: &ApiStatus) -> String {
    match (api.phase, api.recent.back()) {
        (Phase::Running { .. }, None) => format!("{} so far", counted(api.totals.records, "record")),
        (_, Some(last)) => format!("{} last time", counted(last.records, "record")),
        (_, None) => "no iteration yet".to_owned(),
    }
}

/// How far what is fetched lies behind.
fn behind(api: &ApiStatus, now: DateTime<Utc>) -> String {
    let Some(until) = api.standing.swept_until else { return "nothing yet".to_owned() };
    let behind = now.signed_duration_since(until).max(TimeDelta::zero());
    let interval = TimeDelta::from_std(api.interval).unwrap_or(TimeDelta::MAX);
    let usual = interval.checked_mul(2).unwrap_or(TimeDelta::MAX).max(LATE_MIN);
    if behind <= usual { "up to date".to_owned() } else { format!("{} behind", span(behind)) }
}

fn facts(api: &ApiStatus, now: DateTime<Utc>) -> Markup {
    let standing = &api.standing;
    html! {
        dl .facts {
            (fact("asks", html! { span .url { (api.url) } }))
            (fact("last iteration", html! {
                @match api.recent.back() { Some(last) => (ended(last, now)), None => "none yet" }
            }))
            (fact("next iteration", next(api, now)))
            (fact("since the start", html! {
                (counted(api.totals.records, "record")) ", " (bytes(api.totals.bytes)) ", " (counted(api.totals.pages, "page"))
                " in " (counted(api.succeeded + api.failed, "iteration"))
                @if api.failed > 0 { ", " (grouped(api.failed)) " failed" }
            }))
            (fact("came again", html! { (counted(api.totals.known, "record")) ", not shipped again" }))
            @if api.totals.set_aside > 0 {
                (fact("undeliverable", html! { (counted(api.totals.set_aside, "record")) ", in undelivered.ndjson" }))
            }
            (fact("checkpoint, the newest event", html! {
                (date_or(standing.checkpoint, "none until an iteration is done", now))
            }))
            (fact("complete until", html! { (date_or(standing.swept_until, "none until an iteration is done", now)) }))
            (fact("lateness", html! {
                @match standing.lateness {
                    Some((half, nearly_all)) => { "half within " (span(half)) ", 99 % within " (span(nearly_all)) }
                    None => "not measured yet",
                }
            }))
        }
    }
}

fn fact(label: &str, what: Markup) -> Markup {
    html! { div { dt { (label) } dd { (what) } } }
}

fn ended(last: &Ended, now: DateTime<Utc>) -> Markup {
    html! {
        (moment(last.at)) ", " (ago(last.at, now)) ": " (counted(last.records, "record")) ", "
        (counted(last.pages, "page")) " in " (format!("{:.1} s", last.seconds))
        @if last.is_failed { ", " strong { "failed" } }
    }
}

fn next(api: &ApiStatus, now: DateTime<Utc>) -> Markup {
    match api.phase {
        Phase::Running { since } => html! { "under way for " (span(now.signed_duration_since(since))) },
        Phase::Waiting { until: None } => html! { "none" },
        Phase::Waiting { until: Some(until) } if until <= now => html! { "now" },
        Phase::Waiting { until: Some(until) } => {
            html! { "in " (span(until.signed_duration_since(now))) ", with a pause of " (pause(api.interval)) }
        }
    }
}

fn date_or(date: Option<DateTime<Utc>>, none: &str, now: DateTime<Utc>) -> Markup {
    match date {
        Some(date) => html! { (moment(date)) ", " (ago(date, now)) },
        None => html! { (none) },
    }
}

fn moment(date: DateTime<Utc>) -> Markup {
    let text = second(date);
    html! { time datetime=(text) { (text) } }
}

/// Records per iteration, the latest at the right. A failed iteration has a bar of its own colour.
fn plot(api: &ApiStatus) -> Markup {
    let most = api.recent.iter().map(|ended| ended.records).max().unwrap_or_default();
    let failed = api.recent.iter().filter(|ended| ended.is_failed).count() as u64;
    let width = RECENT_MAX * BAR_STEP;
    let first = RECENT_MAX.saturating_sub(api.recent.len());
    let label = match api.recent.len() as u64 {
        0 => "no iteration yet".to_owned(),
        count => {
            format!("records of the last {}: at most {}; {failed} failed", counted(count, "iteration"), grouped(most))
        }
    };
    html! {
        svg .plot viewBox=(format!("0 0 {width} {PLOT_HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
            title { (label) }
            @for (at, ended) in api.recent.iter().enumerate() {
                @let share = if most == 0 { 0.0 } else { ended.records as f64 / most as f64 };
                @let height = if ended.is_failed { PLOT_HEIGHT } else { (share * PLOT_HEIGHT).max(BAR_HEIGHT_MIN) };
                rect class=(if ended.is_failed { "failed" } else { "done" })
                    x=((first + at) * BAR_STEP) y=(format!("{:.1}", PLOT_HEIGHT - height))
                    width=(BAR_STEP - 1) height=(format!("{height:.1}")) {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::memory::Usage;
    use crate::meter::Totals;
    use crate::status::{Reload, Standing, Trouble};

    fn api(failures_in_a_row: u32) -> ApiStatus {
        let trouble = Trouble { cause: "no luck".to_owned(), advice: "look", until: None };
        ApiStatus {
            url: "http://127.0.0.1/".to_owned(),
            interval: Duration::from_secs(60),
            phase: Phase::Waiting { until: None },
            totals: Totals::default(),
            succeeded: 1,
            failed: u64::from(failures_in_a_row),
            took: Duration::ZERO,
            last_success: None,
            failures_in_a_row,
            trouble: (failures_in_a_row > 0).then_some(trouble),
            standing: Standing::default(),
            recent: Arc::default(),
        }
    }

    #[test]
    fn of_too_many_apis_those_in_trouble_are_shown_and_the_rest_is_counted() {
        let now = DateTime::default();
        let well = (0..APIS_SHOWN_MAX + 4).map(|at| (format!("a{at:05}"), api(0)));
        let apis = well.chain([("z-fails".to_owned(), api(3)), ("z-failed-once".to_owned(), api(1))]).collect();
        let reload = Reload { succeeded: now, faults: Vec::new() };
        let page = page(&Snapshot { started: now, reload, apis, memory: Usage::default() }, now);
        assert_eq!(page.matches("<details").count(), APIS_SHOWN_MAX);
        assert!(page.contains("6 more APIs, none in more trouble than those above"), "the rest is not counted");
        let place =
            |name: &str| page.find(&format!("data-api=\"{name}\"")).unwrap_or_else(|| panic!("{name} is hidden"));
        assert!(place("z-fails") < place("z-failed-once") && place("z-failed-once") < place("a00000"));
    }
}
