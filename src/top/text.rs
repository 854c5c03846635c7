//! The texts of the table, the same on a terminal and in a pipe. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::status::{ReceivedApi, ReceivedStatus};
use crate::status::{STATES, state_text};
use crate::text::humanize::{counted, grouped, span};

/// What stands where there is no value.
const NONE: &str = "–";
/// The headings of the columns.
pub(super) const HEADINGS: [&str; 6] = ["State", "API", "Since", "Last success", "Delay", "Records/h"];

/// The cells of an API's row.
pub(super) fn cells(api: &ReceivedApi, now: DateTime<Utc>) -> [String; 6] {
    let since = match api.waiting_until {
        Some(until) => format!("until {}", until.format("%H:%M")),
        None => moment(api.failing_since, now),
    };
    [
        state_text(api.state.as_str()).to_owned(),
        api.name.to_string(),
        since,
        moment(api.last_success, now),
        seconds(api.newest_event_delay_seconds),
        grouped(api.records_last_hour),
    ]
}

/// A date as short as it can be, in UTC: today the time alone.
pub(super) fn moment(date: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    match date {
        None => NONE.to_owned(),
        Some(date) if date.date_naive() == now.date_naive() => date.format("%H:%M:%S").to_string(),
        Some(date) => date.format("%-d %b %H:%M").to_string(),
    }
}

fn seconds(seconds: Option<f64>) -> String {
    let whole = seconds.filter(|seconds| seconds.is_finite()).map(|seconds| seconds.round() as i64);
    whole.and_then(TimeDelta::try_seconds).map_or_else(|| NONE.to_owned(), span)
}

/// Which fetcher it is, and of when the numbers are.
pub(super) fn title(status: &ReceivedStatus) -> String {
    format!("{} UTC  logzio-api-fetcher {}", status.now.format("%H:%M:%S"), status.fetcher)
}

/// How many APIs there are in each state, the worst first.
pub(super) fn counts(status: &ReceivedStatus) -> String {
    let of = |state: &&str| {
        let count = status.apis.iter().filter(|api| api.state.as_str() == *state).count();
        (count > 0).then(|| format!("{} {}", grouped(count as u64), state_text(state)))
    };
    let states: Vec<String> = STATES.iter().filter_map(of).collect();
    let all = counted(status.apis.len() as u64, "API");
    if states.is_empty() { all } else { format!("{all}: {}", states.join(", ")) }
}

/// What is to be read before the table: an invalid config, and why APIs fail.
pub(super) fn alerts(status: &ReceivedStatus) -> Vec<String> {
    let errors = status.config.errors.len() as u64;
    let config = (errors > 0)
        .then(|| format!("The config in the file is invalid ({}): logzio-api-fetcher check", counted(errors, "error")));
    let causes = status.causes.iter().map(|group| {
        let hint = if group.hint.as_str().is_empty() { String::new() } else { format!(" – {}", group.hint) };
        format!("{}: {}{hint}", group.cause, counted(group.apis, "API"))
    });
    config.into_iter().chain(causes).collect()
}

/// Everything known of one API, as pairs of a heading and a text.
pub(super) fn details(api: &ReceivedApi, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let error = api.error.iter();
    let error = error.flat_map(|error| [("Error", error.text.to_string()), ("What to do", error.hint.to_string())]);
    let warnings = api.warnings.iter().map(|warning| ("Warning", warning.text.to_string()));
    let totals = api.totals;
    let state = [("State", state_text(api.state.as_str()).to_owned())];
    let since = api.failing_since.map(|since| ("Failing since", moment(Some(since), now)));
    let until = api.waiting_until.map(|until| ("Waiting until", moment(Some(until), now)));
    let rest = [
        ("URL", api.url.to_string()),
        ("Last success", moment(api.last_success, now)),
        ("Next iteration", moment(api.next_iteration, now)),
        ("Newest event", moment(api.newest_event, now)),
        ("Event delay", seconds(api.newest_event_delay_seconds)),
        ("Complete until", moment(api.complete_until, now)),
        ("Records/h", grouped(api.records_last_hour)),
        ("Iterations", format!("{}, {} failed", grouped(totals.iterations), grouped(totals.failed_iterations))),
        ("Records", format!("{}, {} duplicates left out", grouped(totals.records), grouped(totals.duplicates))),
        ("Undelivered", grouped(totals.undelivered)),
    ];
    state.into_iter().chain(since).chain(until).chain(error).chain(warnings).chain(rest).collect()
}

/// The whole table as text, for a pipe.
#[must_use]
pub fn table(status: &ReceivedStatus) -> String {
    let rows: Vec<[String; 6]> = status.apis.iter().map(|api| cells(api, status.now)).collect();
    let heading = HEADINGS.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&heading]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = [title(status), counts(status)].into_iter().chain(alerts(status)).chain([String::new()]);
    head.chain([&heading].into_iter().chain(&rows).map(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::status;
    use super::*;

    #[test]
    fn a_pipe_gets_all_rows_in_columns() {
        let text = table(&status(&[("a", 0), ("long name", 3)]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "2 APIs: 1 failing, 1 OK");
        assert!(lines[2].starts_with("401 from login.example.com: 1 API – "), "{text}");
        let at = lines[4].find("API").unwrap();
        assert!(
            lines[4].starts_with("State") && lines[5].starts_with("failing") && lines[6].starts_with("OK"),
            "{text}"
        );
        assert!(lines[5][at..].starts_with("long name") && lines[6][at..].starts_with("a "), "{text}");
    }

    #[test]
    fn dates_are_short_and_what_is_unknown_is_a_dash() {
        let now = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
        assert_eq!(moment(Some(now), now), "01:46:40");
        assert_eq!(moment(Some(now - TimeDelta::days(1)), now), "8 Sep 01:46");
        assert_eq!((moment(None, now), seconds(None), seconds(Some(f64::NAN))), ("–".into(), "–".into(), "–".into()));
        assert_eq!((seconds(Some(59.6)), seconds(Some(f64::MAX))), ("60 s".to_owned(), "–".to_owned()));
    }
}
