//! `/status.json`: what the page shows, for programs. docs/status-json.md says what each field means; within a version fields
//! are added, and never change or go.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::cluster_shown::ClusterJson;
use super::health::{ApiHealth, warnings};
use super::snapshot::{Phase, Snapshot};
use super::table::STRIP_MAX;
use super::view::{Row, by_cause};
use crate::process::version;
use crate::text::humanize::second;

/// Grows where a field changes its meaning or goes.
const FORMAT_VERSION: u32 = 1;

/// All of it.
#[derive(Serialize)]
struct StatusJson<'s> {
    version: u32,
    now: String,
    started: String,
    fetcher: &'static str,
    config: ConfigJson<'s>,
    counts: CountsJson,
    causes: Vec<CauseJson<'s>>,
    memory: MemoryJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterJson<'s>>,
    apis: Vec<ApiJson<'s>>,
}

#[derive(Serialize)]
struct ConfigJson<'s> {
    loaded: String,
    errors: &'s [String],
}

/// APIs by their state.
#[derive(Default, Serialize)]
struct CountsJson {
    apis: u64,
    failing: u64,
    retrying: u64,
    warning: u64,
    waiting: u64,
    starting: u64,
    stopped: u64,
    ok: u64,
}

#[derive(Serialize)]
struct CauseJson<'s> {
    cause: String,
    apis: u64,
    hint: &'s str,
}

#[derive(Serialize)]
struct MemoryJson {
    limit_bytes: u64,
    used_bytes: u64,
    used_max_bytes: u64,
}

/// One API.
#[derive(Serialize)]
struct ApiJson<'s> {
    name: &'s str,
    api: &'s str,
    output: Option<&'s str>,
    state: &'static str,
    failing_since: Option<String>,
    waiting_until: Option<String>,
    failures_in_a_row: u32,
    error: Option<FailureJson<'s>>,
    warnings: Vec<WarningJson>,
    url: &'s str,
    interval_seconds: f64,
    running_since: Option<String>,
    next_iteration: Option<String>,
    last_success: Option<String>,
    newest_event: Option<String>,
    newest_event_delay_seconds: Option<f64>,
    complete_until: Option<String>,
    cursor_since: Option<String>,
    arrival_delay_p50_seconds: Option<f64>,
    arrival_delay_p99_seconds: Option<f64>,
    records_last_hour: u64,
    totals: TotalsJson,
    gaps: Vec<GapJson>,
    recent: Vec<IterationJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_24_hours: Option<Vec<HalfHourJson>>,
}

#[derive(Serialize)]
struct FailureJson<'s> {
    text: &'s str,
    cause: String,
    hint: &'s str,
}

#[derive(Serialize)]
struct WarningJson {
    text: String,
    last_seen: Option<String>,
}

/// Since the process began.
#[derive(Serialize)]
struct TotalsJson {
    iterations: u64,
    failed_iterations: u64,
    pages: u64,
    records: u64,
    bytes: u64,
    duplicates: u64,
    undelivered: u64,
    gaps: u64,
}

#[derive(Serialize)]
struct GapJson {
    from: String,
    until: String,
}

#[derive(Serialize)]
struct IterationJson {
    began: i64,
    records: u64,
    failed: bool,
    #[serde(flatten)]
    more: Option<IterationMoreJson>,
}

/// Only where one API is asked for.
#[derive(Serialize)]
struct IterationMoreJson {
    seconds: f64,
    pages: u64,
}

#[derive(Serialize)]
struct HalfHourJson {
    from: i64,
    records: u32,
    iterations: u16,
    failed: u16,
}

/// Everything about all APIs, or about one; nothing where there is no such API.
#[must_use]
pub fn status_json(snapshot: &Snapshot, only: Option<&str>, now: DateTime<Utc>) -> Option<String> {
    let rows = Row::all(snapshot, now);
    let shown = rows.iter().filter(|row| only.is_none_or(|name| row.name == name || row.api.api == name));
    let apis: Vec<_> = shown.map(|row| ApiJson::of(row, only.is_some(), now)).collect();
    if only.is_some() && apis.is_empty() {
        return None;
    }
    let memory = snapshot.memory;
    let groups = by_cause(&rows).into_iter();
    let status = StatusJson {
        version: FORMAT_VERSION,
        now: second(now),
        started: second(snapshot.started),
        fetcher: version::LINE,
        config: ConfigJson { loaded: second(snapshot.reload.succeeded), errors: &snapshot.reload.faults },
        counts: CountsJson::of(&rows),
        causes: groups.map(|group| CauseJson { cause: group.cause, apis: group.apis, hint: group.hint }).collect(),
        memory: MemoryJson {
            limit_bytes: memory.limit_bytes,
            used_bytes: memory.used_bytes,
            used_max_bytes: memory.used_max_bytes,
        },
        cluster: snapshot.cluster.as_ref().map(ClusterJson::of),
        apis,
    };
    serde_json::to_string(&status).ok()
}

impl CountsJson {
    fn of(rows: &[Row<'_>]) -> Self {
        let mut counts = Self { apis: rows.len() as u64, ..Self::default() };
        for row in rows {
            let count = match row.health {
                ApiHealth::Failing { .. } => &mut counts.failing,
                ApiHealth::Retrying { .. } => &mut counts.retrying,
                ApiHealth::Warning => &mut counts.warning,
                ApiHealth::Waiting { .. } => &mut counts.waiting,
                ApiHealth::Starting => &mut counts.starting,
                ApiHealth::Stopped => &mut counts.stopped,
                ApiHealth::Ok => &mut counts.ok,
            };
            *count += 1;
        }
        counts
    }
}

impl<'s> ApiJson<'s> {
    fn of(row: &Row<'s>, is_whole: bool, now: DateTime<Utc>) -> Self {
        let (api, standing) = (row.api, &row.api.standing);
        let (running_since, next_iteration) = match api.phase {
            Phase::Running { since } => (Some(since), None),
            Phase::Waiting { until } => (None, until),
        };
        let trouble = api.trouble.as_ref();
        let error = trouble.zip(row.cause.as_ref()).map(|(trouble, cause)| FailureJson {
            text: &trouble.cause,
            cause: cause.to_string(),
            hint: trouble.hint,
        });
        let warnings = warnings(api, now).into_iter();
        let gap =
            |(from, until): &(DateTime<Utc>, DateTime<Utc>)| GapJson { from: second(*from), until: second(*until) };
        Self {
            name: row.name,
            api: &api.api,
            output: api.output.as_deref(),
            state: row.health.name(),
            failing_since: row.since().map(second),
            waiting_until: trouble.and_then(|trouble| trouble.until).map(second),
            failures_in_a_row: api.failures_in_a_row,
            error,
            warnings: warnings
                .map(|warning| WarningJson { text: warning.text, last_seen: warning.last_seen.map(second) })
                .collect(),
            url: &api.url,
            interval_seconds: api.interval.as_secs_f64(),
            running_since: running_since.map(second),
            next_iteration: next_iteration.map(second),
            last_success: api.last_success().map(second),
            newest_event: standing.checkpoint.map(second),
            newest_event_delay_seconds: row.delay(now).map(seconds),
            complete_until: standing.swept_until.map(second),
            cursor_since: standing.cursor_since.map(second),
            arrival_delay_p50_seconds: standing.arrival_delay.map(|(half, _)| seconds(half)),
            arrival_delay_p99_seconds: standing.arrival_delay.map(|(_, nearly_all)| seconds(nearly_all)),
            records_last_hour: row.records_last_hour,
            totals: TotalsJson::of(row),
            gaps: standing.gaps.iter().map(gap).collect(),
            recent: recent(row, is_whole),
            last_24_hours: is_whole.then(|| half_hours(row, now)),
        }
    }
}

impl TotalsJson {
    fn of(row: &Row<'_>) -> Self {
        let (api, totals) = (row.api, row.api.totals);
        Self {
            iterations: api.succeeded + api.failed,
            failed_iterations: api.failed,
            pages: totals.pages,
            records: totals.records,
            bytes: totals.bytes,
            duplicates: totals.known,
            undelivered: totals.set_aside,
            gaps: totals.gaps,
        }
    }
}

fn recent(row: &Row<'_>, is_whole: bool) -> Vec<IterationJson> {
    let recent = &row.api.recent;
    let left_out = if is_whole { 0 } else { recent.len().saturating_sub(STRIP_MAX) };
    let shown = recent.iter().skip(left_out).map(|ended| IterationJson {
        began: ended.at.timestamp(),
        records: ended.records,
        failed: ended.is_failed,
        more: is_whole.then_some(IterationMoreJson { seconds: ended.seconds, pages: ended.pages }),
    });
    shown.collect()
}

fn half_hours(row: &Row<'_>, now: DateTime<Utc>) -> Vec<HalfHourJson> {
    let half_hours = row.api.day.half_hours(now).map(|(from, half_hour)| HalfHourJson {
        from: from.timestamp(),
        records: half_hour.records,
        iterations: half_hour.iterations,
        failed: half_hour.failures,
    });
    half_hours.collect()
}

fn seconds(span: TimeDelta) -> f64 {
    span.num_milliseconds() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::status::test::{NOW, api, failing, snapshot, standing};

    #[test]
    fn each_field_is_documented_and_no_other() {
        let mut late = failing(3);
        late.standing.gaps.push((*NOW, *NOW));
        late.totals.gaps = 1;
        let snapshot = Snapshot { cluster: Some(standing()), ..snapshot([("late".to_owned(), late)]) };
        let text = status_json(&snapshot, Some("late"), *NOW).unwrap();
        let mut fields = Vec::new();
        collect(&serde_json::from_str(&text).unwrap(), "", &mut fields);
        let documented: Vec<&str> = include_str!("../../docs/status-json.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(field, _)| field))
            .collect();
        assert_eq!(fields, documented);
    }

    fn collect(value: &Value, path: &str, fields: &mut Vec<String>) {
        let within = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    if !value.is_object() {
                        fields.push(if value.is_array() { format!("{}[]", within(name)) } else { within(name) });
                    }
                    collect(value, &within(name), fields);
                }
            }
            Value::Array(list) => {
                list.first().into_iter().for_each(|first| collect(first, &format!("{path}[]"), fields))
            }
            _ => (),
        }
    }

    #[test]
    fn counts_states_and_shows_one_api_in_full() {
        let apis = [("a", api()), ("b", failing(3)), ("c", failing(60))].map(|(name, api)| (name.to_owned(), api));
        let snapshot = snapshot(apis);
        let all: Value = serde_json::from_str(&status_json(&snapshot, None, *NOW).unwrap()).unwrap();
        assert_eq!(
            (&all["counts"]["apis"], &all["counts"]["failing"], &all["counts"]["ok"]),
            (&3.into(), &2.into(), &1.into())
        );
        assert_eq!(all["apis"][2]["recent"].as_array().unwrap().len(), STRIP_MAX);
        assert!(all["apis"][2]["last_24_hours"].is_null() && all["apis"][2]["recent"][0]["pages"].is_null());
        let one: Value = serde_json::from_str(&status_json(&snapshot, Some("c"), *NOW).unwrap()).unwrap();
        assert_eq!(
            (one["apis"].as_array().unwrap().len(), one["apis"][0]["recent"].as_array().unwrap().len()),
            (1, 60)
        );
        assert_eq!(one["apis"][0]["error"]["cause"], "401 from login.example.com");
        assert!(status_json(&snapshot, Some("d"), *NOW).is_none());
    }
}
