//! The metrics, in the text format of Prometheus.
//!
//! Written by hand, as the format is three kinds of lines, and the figures are on the board already.

use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::cluster::{ClusterStanding, Takeovers};
use super::snapshot::{ApiStatus, Phase, Snapshot};
use crate::cluster::{ANSWER_BOUNDS, EngineOperation, remembered_share};
use crate::process::version;

/// What every name begins with.
const PREFIX: &str = "logzio_fetcher_";

/// What a metric of one API counts.
type OfApi = fn(&ApiStatus) -> Option<f64>;

/// Metrics of each API: name, kind, meaning, value.
const METRICS: &[(&str, &str, &str, OfApi)] = &[
    ("pages_total", "counter", "Pages read.", |api| Some(api.totals.pages as f64)),
    ("records_shipped_total", "counter", "Records that the listener has acknowledged.", |api| {
        Some(api.totals.records as f64)
    }),
    ("shipped_bytes_total", "counter", "Bytes of NDJSON that the listener has acknowledged, uncompressed.", |api| {
        Some(api.totals.bytes as f64)
    }),
    ("records_duplicate_total", "counter", "Duplicates that were not shipped again.", duplicates),
    ("records_known_total", "counter", "Old name of records_duplicate_total; goes with the next version.", duplicates),
    ("records_undelivered_total", "counter", "Undelivered records, saved to undelivered.ndjson.", undelivered),
    (
        "records_set_aside_total",
        "counter",
        "Old name of records_undelivered_total; goes with the next version.",
        undelivered,
    ),
    ("gaps_total", "counter", "Periods that can't be fetched any more.", |api| Some(api.totals.gaps as f64)),
    ("interval_seconds", "gauge", "The pause between two iterations.", |api| Some(api.interval.as_secs_f64())),
    ("iteration_running", "gauge", "Whether an iteration is under way.", |api| {
        Some(f64::from(u8::from(matches!(api.phase, Phase::Running { .. }))))
    }),
    ("consecutive_failures", "gauge", "Iterations that have failed since one succeeded.", |api| {
        Some(f64::from(api.failures_in_a_row))
    }),
    ("last_success_timestamp_seconds", "gauge", "When an iteration succeeded last, since the start.", |api| {
        api.last_success.map(unix_seconds)
    }),
    ("checkpoint_timestamp_seconds", "gauge", "The newest event date delivered.", |api| {
        api.standing.checkpoint.map(unix_seconds)
    }),
    ("complete_until_timestamp_seconds", "gauge", "Everything before it was fetched.", complete_until),
    (
        "swept_until_timestamp_seconds",
        "gauge",
        "Old name of complete_until_timestamp_seconds; goes with the next version.",
        complete_until,
    ),
];

fn duplicates(api: &ApiStatus) -> Option<f64> {
    Some(api.totals.known as f64)
}

fn undelivered(api: &ApiStatus) -> Option<f64> {
    Some(api.totals.set_aside as f64)
}

fn complete_until(api: &ApiStatus) -> Option<f64> {
    api.standing.swept_until.map(unix_seconds)
}

/// All metrics.
#[must_use]
pub fn metrics(snapshot: &Snapshot) -> String {
    let mut out = Exposition::default();
    of_apis(&mut out, snapshot);
    for (name, kind, help, value) in METRICS {
        out.family(&format!("{PREFIX}{name}"), kind, help);
        for status in snapshot.apis.values() {
            if let Some(value) = value(status) {
                out.sample_of(status, "", &[], value);
            }
        }
    }
    of_the_process(&mut out, snapshot);
    if let Some(standing) = &snapshot.cluster {
        of_cluster(&mut out, standing);
    }
    out.text
}

/// What a metric of the cluster says.
type OfCluster = fn(&ClusterStanding) -> Option<f64>;

/// Figures of a cluster that have one sample: name, kind, meaning, value.
const OF_CLUSTER: &[(&str, &str, &str, OfCluster)] = &[
    ("members", "gauge", "Members that live.", |standing| Some(standing.reading.status.members.len() as f64)),
    ("slots_held", "gauge", "Slots that this member owns.", |standing| Some(standing.slots_held() as f64)),
    ("slots_orphaned", "gauge", "Slots without an owner that lives: their APIs are not asked.", |standing| {
        standing.reading.read_at.map(|_| standing.reading.status.orphaned as f64)
    }),
    ("lease_remaining_seconds", "gauge", "How long this member still counts without an answer of etcd.", |standing| {
        Some(standing.lease_left.as_secs_f64())
    }),
    ("suspended", "gauge", "Whether it asks and ships nothing, as etcd does not answer.", |standing| {
        Some(f64::from(u8::from(standing.is_suspended)))
    }),
    ("fenced_writes_total", "counter", "Writes that etcd refused, as another member owns the API.", |standing| {
        Some(standing.totals.fenced_writes as f64)
    }),
    (
        "in_doubt_batches_total",
        "counter",
        "Groups of writes that nobody answered; they were asked again.",
        |standing| Some(standing.totals.in_doubt as f64),
    ),
    ("db_bytes", "gauge", "Size of etcd's database, at the node where it is largest.", |standing| {
        standing.reading.room.map(|room| room.database_bytes as f64)
    }),
    ("db_used_bytes", "gauge", "What of it is in use; the rest is used again.", |standing| {
        standing.reading.room.map(|room| room.used_bytes as f64)
    }),
    ("db_quota_bytes", "gauge", "How large it may become; etcd before 3.6 does not tell.", |standing| {
        standing.reading.room.and_then(|room| room.quota_bytes).map(|bytes| bytes as f64)
    }),
    ("remembered_bytes", "gauge", "What this member remembers of what it delivered, in etcd.", |standing| {
        Some(standing.totals.remembered_bytes as f64)
    }),
    ("remembered_max_bytes", "gauge", "Its share of what all members may remember there.", |standing| {
        standing.reading.read_at.map(|_| remembered_share(standing.slots_held()) as f64)
    }),
    ("config_differs", "gauge", "Whether the members have different configs.", |standing| {
        Some(f64::from(u8::from(standing.configs_differ())))
    }),
];

fn of_cluster(out: &mut Exposition, standing: &ClusterStanding) {
    for (name, kind, help, value) in OF_CLUSTER {
        out.family(&format!("{PREFIX}cluster_{name}"), kind, help);
        value(standing).iter().for_each(|value| out.sample("", &[], *value));
    }
    out.family(&format!("{PREFIX}cluster_takeovers_total"), "counter", "Slots that this member took.");
    let Takeovers { of_dead, of_free } = standing.reading.takeovers;
    out.sample("", &[("reason", "death")], of_dead as f64);
    out.sample("", &[("reason", "handover")], of_free as f64);
    out.family(
        &format!("{PREFIX}cluster_engine_errors_total"),
        "counter",
        "Writes that a node of etcd did not answer, or refused.",
    );
    for (endpoint, count) in &standing.totals.errors {
        out.sample("", &[("endpoint", endpoint)], *count as f64);
    }
    out.family(&format!("{PREFIX}cluster_engine_seconds"), "histogram", "How long etcd took to answer.");
    for operation in EngineOperation::ALL {
        let name = ("operation", operation.name());
        let answers = standing.totals.answers.get(&operation).cloned().unwrap_or_default();
        for (bound, count) in ANSWER_BOUNDS.iter().zip(answers.within) {
            out.sample("_bucket", &[name, ("le", &bound.as_secs_f64().to_string())], count as f64);
        }
        out.sample("_bucket", &[name, ("le", "+Inf")], answers.count as f64);
        out.sample("_sum", &[name], answers.sum.as_secs_f64());
        out.sample("_count", &[name], answers.count as f64);
    }
}

/// Those of each API that have more than one sample.
fn of_apis(out: &mut Exposition, snapshot: &Snapshot) {
    out.family(&format!("{PREFIX}iterations_total"), "counter", "Iterations that have ended.");
    for status in snapshot.apis.values() {
        out.sample_of(status, "", &[("outcome", "success")], status.succeeded as f64);
        out.sample_of(status, "", &[("outcome", "failure")], status.failed as f64);
    }
    out.family(&format!("{PREFIX}iteration_duration_seconds"), "summary", "How long iterations took.");
    for status in snapshot.apis.values() {
        out.sample_of(status, "_sum", &[], status.took.as_secs_f64());
        out.sample_of(status, "_count", &[], (status.succeeded + status.failed) as f64);
    }
    for (name, help) in [
        ("arrival_delay_seconds", "How long after its date a record arrives at the API."),
        ("lateness_seconds", "Old name of arrival_delay_seconds; goes with the next version."),
    ] {
        out.family(&format!("{PREFIX}{name}"), "summary", help);
        for status in snapshot.apis.values() {
            let Some((half, nearly_all)) = status.standing.arrival_delay else { continue };
            for (quantile, late) in [("0.5", half), ("0.99", nearly_all)] {
                out.sample_of(status, "", &[("quantile", quantile)], seconds(late));
            }
        }
    }
}

fn of_the_process(out: &mut Exposition, snapshot: &Snapshot) {
    let reload = &snapshot.reload;
    out.family(
        &format!("{PREFIX}config_last_reload_successful"),
        "gauge",
        "Whether the config in the file is the one that runs.",
    );
    out.sample("", &[], f64::from(u8::from(reload.faults.is_empty())));
    out.family(
        &format!("{PREFIX}config_last_reload_success_timestamp_seconds"),
        "gauge",
        "When a config was applied last.",
    );
    out.sample("", &[], unix_seconds(reload.succeeded));
    out.family(&format!("{PREFIX}build_info"), "gauge", "Always 1; version and commit are in the labels.");
    out.sample("", &[("version", version::VERSION), ("commit", version::COMMIT.unwrap_or("unknown"))], 1.0);
    out.family("process_start_time_seconds", "gauge", "When the process began.");
    out.sample("", &[], unix_seconds(snapshot.started));
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let used = usage.user_time() + usage.system_time();
        out.family("process_cpu_seconds_total", "counter", "Processor time, user and system.");
        out.sample("", &[], used.num_microseconds() as f64 / 1e6);
    }
    let memory = snapshot.memory;
    for (name, help, bytes) in [
        ("memory_budget_bytes", "What pages, records and batches may take (limits.memory).", memory.limit_bytes),
        ("memory_used_bytes", "What they take now.", memory.used_bytes),
        ("memory_used_bytes_max", "The most that they took since the start.", memory.used_max_bytes),
    ] {
        out.family(&format!("{PREFIX}{name}"), "gauge", help);
        out.sample("", &[], bytes as f64);
    }
    if let Some(bytes) = resident_bytes() {
        out.family("process_resident_memory_bytes", "gauge", "Resident memory.");
        out.sample("", &[], bytes as f64);
    }
}

/// `VmRSS` of proc(5); nothing where there is no /proc.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

fn unix_seconds(date: DateTime<Utc>) -> f64 {
    date.timestamp_millis() as f64 / 1e3
}

fn seconds(span: TimeDelta) -> f64 {
    span.num_milliseconds() as f64 / 1e3
}

/// Text in Prometheus's exposition format, family by family.
#[derive(Default)]
struct Exposition {
    text: String,
    name: String,
}

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        name.clone_into(&mut self.name);
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One of an API, and of the output where it has several.
    fn sample_of(&mut self, status: &ApiStatus, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let own = std::iter::once(("api", status.api.as_str()));
        let own = own.chain(status.output.as_deref().map(|output| ("output", output)));
        self.sample(suffix, &own.chain(labels.iter().copied()).collect::<Vec<_>>(), value);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let labels = labels.collect::<Vec<_>>().join(",");
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let _ = writeln!(self.text, "{}{suffix}{labels} {value}", self.name);
    }
}

/// A label's value may hold anything but these three as they are.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
