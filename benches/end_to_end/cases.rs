//! The cases, and the table of what came out.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::floor;
use super::mock::Wire;
use super::process::{Daemon, Mock, Usage, once};
use super::records::Pages;

/// How long an idle daemon is watched.
const IDLE_FOR: Duration = Duration::from_secs(20);
/// How long it has to settle before; threads that nobody needs end after ten seconds.
const SETTLE_FOR: Duration = Duration::from_secs(15);
/// A daemon that uses nothing for so long has done its work.
const QUIET_FOR: Duration = Duration::from_millis(500);

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Quick,
    /// So many records of so many APIs, again and again.
    Only(Load, Wire, Form),
    Full,
}

/// How often a case is measured, of which the medians are shown; a large one takes too long for it.
const ROUNDS: usize = 3;
const LARGE_RECORDS: u64 = 1_000_000;

/// So many records in all, from so many APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub apis: u64,
    pub records: u64,
}

/// What stands in the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Records that are known again by their id.
    Id,
    /// Those that are known by the hash of the whole record.
    Content,
    /// A list `apis`, as the original's version 2 has it. Its request never changes, so all records are shipped whole.
    Apis,
    /// Two outputs, and each gets everything.
    TwoOutputs,
}

impl Form {
    pub fn of(name: &str) -> Self {
        let all = [Self::Id, Self::Content, Self::Apis, Self::TwoOutputs];
        all.into_iter().find(|form| form.name() == name).unwrap_or_else(|| panic!("no such form: {name}"))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Content => "content",
            Self::Apis => "apis",
            Self::TwoOutputs => "outputs",
        }
    }

    /// How often each record is shipped.
    fn outputs(self) -> u64 {
        if self == Self::TwoOutputs { 2 } else { 1 }
    }
}

/// What a case gave.
struct Outcome {
    usage: Usage,
    floor: floor::Floor,
    wire_bytes: u64,
}

/// The middle one of several figures.
fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub fn run(extent: Extent) {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let pages = Pages::new(Utc::now());
    let bench = Bench { directory, pages };
    let idle = bench.idle_rss_mb();
    println!("one record in JSON: {}", bench.pages.page(0, 1, 0, None));
    println!("an idle process (one API without records): {idle:.1} MB resident at its peak\n");
    println!("{}", head());
    if let Extent::Only(load, wire, form) = extent {
        return (0..ROUNDS).for_each(|_| bench.row(load, wire, form, idle));
    }
    let loads = [(1, 10_000), (1, 100_000), (1, 1_000_000), (100, 100_000), (1_000, 100_000), (10_000, 100_000)];
    for (apis, records) in loads.into_iter().take(if extent == Extent::Quick { 1 } else { usize::MAX }) {
        bench.row(Load { apis, records }, Wire::Http, Form::Id, idle);
    }
    if extent == Extent::Quick {
        return;
    }
    let load = Load { apis: 1, records: 100_000 };
    for form in [Form::Content, Form::Apis, Form::TwoOutputs] {
        bench.row(load, Wire::Http, form, idle);
    }
    bench.row(load, Wire::Https, Form::Id, idle);
    bench.row(load, Wire::Http2, Form::Id, idle);
    bench.row(Load { apis: 100, records: 100_000 }, Wire::Http2, Form::Id, idle);
    bench.row(Load { apis: 1, records: 1_000_000 }, Wire::Https, Form::Id, idle);
    println!();
    bench.threads(load);
    println!();
    for apis in [1, 100, 1_000, 10_000] {
        bench.idle(apis);
    }
}

fn head() -> String {
    "| records | APIs | wire | form | CPU s | floor s | CPU / floor | wall s | wall / floor | peak MB | above idle | wire MB | floor MB |\n\
     |---|---|---|---|---|---|---|---|---|---|---|---|---|"
        .to_owned()
}

struct Bench {
    directory: TempDir,
    pages: Pages,
}

impl Bench {
    fn row(&self, load: Load, wire: Wire, form: Form, idle: f64) {
        let rounds = if load.records >= LARGE_RECORDS { 1 } else { ROUNDS };
        let outcomes: Vec<Outcome> = (0..rounds).map(|_| self.case(load, wire, form)).collect();
        let of = |figure: fn(&Outcome) -> f64| median(outcomes.iter().map(figure));
        let peak_mb = of(|outcome| outcome.usage.peak_rss_mb);
        println!(
            "| {} | {} | {} | {} | {:.3} | {:.3} | {:.2} | {:.3} | {:.2} | {:.1} | {:.1} | {:.2} | {:.2} |",
            load.records,
            load.apis,
            wire.name(),
            form.name(),
            of(|outcome| outcome.usage.cpu_seconds),
            of(|outcome| outcome.floor.cpu_seconds),
            of(|outcome| outcome.usage.cpu_seconds / outcome.floor.cpu_seconds),
            of(|outcome| outcome.usage.wall_seconds),
            of(|outcome| outcome.usage.wall_seconds / outcome.floor.cpu_seconds),
            peak_mb,
            peak_mb - idle,
            of(|outcome| outcome.wire_bytes as f64 / 1e6),
            of(|outcome| outcome.floor.wire_bytes as f64 / 1e6),
        );
    }

    fn case(&self, load: Load, wire: Wire, form: Form) -> Outcome {
        let mock = Mock::start(wire, self.directory.path());
        let directory = self.config(&mock, load, form);
        let usage = once(directory.path());
        let arrived = mock.arrived();
        let records = load.records / load.apis * load.apis;
        assert_eq!(
            (arrived.lines, arrived.ids),
            (records * form.outputs(), records),
            "each record must arrive, once at each output"
        );
        let floor = floor::measure(&self.pages, load);
        Outcome { usage, floor, wire_bytes: arrived.wire_bytes }
    }

    /// A process that has everything but records.
    fn idle_rss_mb(&self) -> f64 {
        let mock = Mock::start(Wire::Http, self.directory.path());
        let directory = self.config(&mock, Load { apis: 1, records: 0 }, Form::Id);
        once(directory.path()).peak_rss_mb
    }

    /// Which threads do the work: `state` is the store of what was delivered.
    fn threads(&self, load: Load) {
        let mock = Mock::start(Wire::Http, self.directory.path());
        let directory = self.config(&mock, load, Form::Id);
        let daemon = Daemon::start(directory.path());
        let is_done =
            || !fs::read_to_string(directory.path().join("last_start_dates.txt")).unwrap_or_default().is_empty();
        while !is_done() {
            std::thread::sleep(Duration::from_millis(10));
        }
        // What follows the checkpoint belongs to it: what can't come again is forgotten, and the file made smaller.
        let mut used = daemon.cpu_seconds();
        loop {
            std::thread::sleep(QUIET_FOR);
            let now = daemon.cpu_seconds();
            if now - used < 0.001 {
                break;
            }
            used = now;
        }
        let threads = daemon.threads();
        let all: f64 = threads.iter().map(|(_, seconds)| seconds).sum();
        let store: f64 = threads.iter().filter(|(name, _)| name == "state").map(|(_, seconds)| seconds).sum();
        let share = store / (all - store) * 100.0;
        println!(
            "the store of what was delivered: {store:.3} s of CPU, {share:.1} % on top of the rest ({all:.3} s in all)"
        );
    }

    /// Many APIs that have nothing to tell.
    fn idle(&self, apis: u64) {
        let mock = Mock::start(Wire::Http, self.directory.path());
        let directory = self.config(&mock, Load { apis, records: 0 }, Form::Id);
        let daemon = Daemon::start(directory.path());
        let asked = mock.wait_until_asked(apis);
        let since = |at: Option<u64>| at.unwrap().saturating_sub(daemon.started_ns) as f64 / 1e6;
        std::thread::sleep(SETTLE_FOR);
        let before = daemon.cpu_seconds();
        std::thread::sleep(IDLE_FOR);
        let share = (daemon.cpu_seconds() - before) / IDLE_FOR.as_secs_f64() * 100.0;
        println!(
            "{apis} idle APIs: first asked after {:.0} ms, all after {:.0} ms; then {:.1} MB resident, {share:.2} % of a core",
            since(asked.first_ns),
            since(asked.last_ns),
            daemon.rss_mb(),
        );
    }

    fn config(&self, mock: &Mock, load: Load, form: Form) -> TempDir {
        let url = &mock.url;
        let mut config = match form {
            Form::TwoOutputs => format!(
                "logzio:\n- {{name: first, url: '{url}', token: one-token}}\n- {{name: second, url: '{url}', token: another-token}}\n"
            ),
            _ => format!("logzio: {{url: '{url}', token: shipping-token}}\n"),
        };
        if url.starts_with("https") {
            let ca = self.directory.path().join("ca.pem");
            let _ = writeln!(config, "tls: {{ca_file: {}}}", ca.display());
        }
        config.push_str(if form == Form::Apis { "apis:\n" } else { "auth_apis:\n" });
        let records = load.records / load.apis;
        for api in 0..load.apis {
            config.push_str(&entry(form, api, &format!("{url}/events/{api}/{records}")));
        }
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.yaml"), config).unwrap();
        directory
    }
}

/// One API of the config.
fn entry(form: Form, api: u64, url: &str) -> String {
    if form == Form::Apis {
        return format!(
            "  - type: general
    name: events {api}
    url: '{url}'
    response_data_path: data
    pagination:
      type: url
      url_format: '{{res.metadata.links.next}}'
      stop_indication: {{field: metadata.links.next, condition: empty}}
    additional_fields: {{type: cisco}}
    scrape_interval: 60
"
        );
    }
    let id = if form == Form::Content { "" } else { ", id: id" };
    format!(
        "  - type: general
    name: events {api}
    credentials: {{id: user, key: password}}
    start_date_name: start_date
    http_request: {{url: '{url}'}}
    json_paths: {{data: data, data_date: date, next_url: metadata.links.next{id}}}
    filters: {{start_date: '2020-01-01T00:00:00Z'}}
    custom_fields: {{type: cisco}}
    settings: {{time_interval: 60m}}
"
    )
}

/// A private CA in `ca.pem`, and a certificate of its for loopback.
fn certificates(directory: &Path) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    fs::write(directory.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(directory.join("leaf.pem"), leaf.pem()).unwrap();
    fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
}
