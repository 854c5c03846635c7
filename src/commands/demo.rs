//! `demo`: two rounds of the real pipeline between made-up APIs and a made-up listener, and what came of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{HumanBytes, MultiProgress};
use tokio::sync::mpsc;

use super::progress::ProgressLine;
use super::run::{apis, assemble};
use super::{Exit, print};
use crate::config::{self, Environment};
use crate::daemon::{self, Daemon};
use crate::demo::{Arrived, Stage};
use crate::iteration::{Api, Services};
use crate::retry;
use crate::state::CHECKPOINTS_FILE_NAME;
use crate::stop::{Stop, Waited};

/// How often new events surface while the demo keeps running.
const SURFACE_EVERY: Duration = Duration::from_secs(2);
/// How much of a record is shown.
const SAMPLE_CHARS_MAX: usize = 240;

/// A directory that goes with its owner.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("logzio-api-fetcher-demo-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) async fn demo(stop: Stop, bars: &MultiProgress) -> Exit {
    match play(stop, bars).await {
        Ok(exit) => exit,
        Err(cause) => {
            tracing::error!(%cause, "the demo can't run");
            Exit::Failed
        }
    }
}

/// Keeps running, with new events and a status page, until it is stopped.
pub(super) async fn serve(stop: Stop) -> Exit {
    match run(stop).await {
        Ok(exit) => exit,
        Err(cause) => {
            tracing::error!(%cause, "the demo can't run");
            Exit::Failed
        }
    }
}

async fn run(stop: Stop) -> std::io::Result<Exit> {
    let stage = Stage::start(now()).await?;
    let directory = TemporaryFolder::make()?;
    print("A mock Cisco API, a mock Microsoft Graph and a mock Logz.io listener run in this process.");
    print("The log says where the status page is. New events surface every 2 s. Stop it with Ctrl-C.\n");
    let text =
        format!("status:\n  listen: 127.0.0.1:0\n{}", stage.config().replace("time_interval: 5", "time_interval: 3s"));
    let text = text.replace("time_interval: 1\n", "time_interval: 2s\n");
    let around = Environment { variable: &|_| None, directory: &directory.0 };
    let Some(config) = config::compile(&text, &around).config else { return Ok(Exit::Config) };
    let (accounts, services) = match assemble(&config, &directory.0, stop.clone(), retry::ASKED_MAX) {
        Ok(assembled) => assembled,
        Err(exit) => return Ok(exit),
    };
    let (stage, surfacing) = (Arc::new(stage), stop.clone());
    let scene = Arc::clone(&stage);
    let surfaced = tokio::spawn(async move {
        while surfacing.wait(SURFACE_EVERY).await == Waited::Whole {
            scene.surface_late_events(now());
        }
    });
    // Neither a new config nor an order ever comes.
    let ((_news, readings), (_orders, asked)) = (mpsc::channel(1), mpsc::channel(1));
    Daemon::new(config, Arc::clone(&services), accounts).run(readings, asked).await;
    surfaced.abort();
    stop.until_gone(services.directory.close()).await;
    let (arrived, events) = (stage.arrived(), stage.events());
    let duplicates = duplicates(&arrived);
    print(&format!(
        "\n{} of {events} events had arrived when it was stopped, {duplicates} duplicates",
        arrived.counts.len()
    ));
    Ok(Exit::Clean)
}

/// In whole seconds, like the dates of the events.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap_or_default()
}

fn duplicates(arrived: &Arrived) -> u64 {
    arrived.counts.values().map(|count| count - 1).sum()
}

/// What arrived, of what there was.
fn outcome(stage: &Stage) -> String {
    let all = stage.arrived();
    let duplicates = duplicates(&all);
    let missing = stage.events() - all.counts.len().min(stage.events());
    format!("{} of {} events: {missing} missing, {duplicates} duplicates", all.counts.len(), stage.events())
}

async fn play(stop: Stop, bars: &MultiProgress) -> std::io::Result<Exit> {
    let now = now();
    let stage = Stage::start(now).await?;
    let directory = TemporaryFolder::make()?;
    print("A mock Cisco API, a mock Microsoft Graph and a mock Logz.io listener run in this process.");
    print("Between them: the real pipeline. The log is what you would see in production.\n");

    let around = Environment { variable: &|_| None, directory: &directory.0 };
    let Some(config) = config::compile(&stage.config(), &around).config else { return Ok(Exit::Config) };
    let (accounts, services) = match assemble(&config, &directory.0, stop, retry::ASKED_MAX_ATTENDED) {
        Ok(assembled) => assembled,
        Err(exit) => return Ok(exit),
    };
    let apis = apis(config, accounts, &services);
    let count = apis.len();
    let apis = round(apis, &services, bars).await;
    let first = stage.arrived();
    let late = stage.surface_late_events(now);
    print(&format!(
        "\n{late} more events surface, two of them in the second of the newest known ones. The next iteration:\n"
    ));
    let apis = round(apis, &services, bars).await;
    report(&stage, &first, &directory);

    let is_complete = apis.len() == count && stage.arrived().counts.len() == stage.events();
    Ok(if is_complete { Exit::Clean } else { Exit::Failed })
}

/// One iteration of each API. Gives those that succeeded.
async fn round(apis: Vec<Api>, services: &Arc<Services>, bars: &MultiProgress) -> Vec<Api> {
    let progress = ProgressLine::start(bars, &services.registry, apis.len());
    let apis = daemon::run_once(apis, services).await;
    progress.finish().await;
    apis
}

fn report(stage: &Stage, first: &Arrived, directory: &TemporaryFolder) {
    let all = stage.arrived();
    let received: u64 = all.counts.values().sum();
    let in_second = received - first.counts.values().sum::<u64>();
    print("\nWhat arrived at the listener");
    print(&format!("  {}", outcome(stage)));
    print(&format!("  {in_second} of them in the second round"));
    let (bytes, wire) = (HumanBytes(all.bytes), HumanBytes(all.wire_bytes));
    print(&format!("  {} batches, {bytes} of NDJSON, {wire} on the wire", all.batches));
    print(&format!("  {} requests to the APIs, one of them answered by a 503 and tried again", stage.requests()));
    if let Some(sample) = &all.sample {
        let shown: String = sample.chars().take(SAMPLE_CHARS_MAX).collect();
        print(&format!("\nOne of them, with its custom fields at the end\n  {shown}…\n  …{}", tail(sample)));
    }
    let checkpoints = std::fs::read_to_string(directory.0.join(CHECKPOINTS_FILE_NAME)).unwrap_or_default();
    print(&format!("\nWhere the checkpoints stand ({CHECKPOINTS_FILE_NAME}, beside the config)"));
    checkpoints.lines().for_each(|line| print(&format!("  {line}")));
    print("\nWhat to do next");
    print("  cp config.example.yaml config.yaml     and put your own values in");
    print("  logzio-api-fetcher check --config config.yaml");
    print("  logzio-api-fetcher probe --config config.yaml");
    print("  logzio-api-fetcher once --config config.yaml");
    print("  logzio-api-fetcher run --config config.yaml");
}

fn tail(line: &str) -> &str {
    line.char_indices().rev().nth(60).and_then(|(at, _)| line.get(at..)).unwrap_or(line)
}
