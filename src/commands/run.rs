//! `run` and `once`: from the config's path to running iterations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use indicatif::MultiProgress;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::cluster;
use super::first_start;
use super::progress::ProgressLine;
use super::{Exit, StateFolder};
use crate::daemon::{self, Daemon};
use crate::fetch::{Gates, TokenCache};
use crate::http::{Timeouts, clients};
use crate::iteration::{ApiLanes, Services};
use crate::memory::MemoryBudget;
use crate::plan::Config;
use crate::process::stop::Stop;
use crate::process::version;
use crate::reload::{self, ConfigDigest};
use crate::retry;
use crate::ship::{DeadLetterFile, Listener, WaitingBatches};
use crate::state::{
    ApiState, CHECKPOINTS_FILE_NAME, Configured, CredentialFile, DirectoryHold, LockedStateDir, ORDERS_MAX,
    SOCKET_FILE_NAME, StateContents, StateDir, StateError, Store, serve_orders, take_states,
};
use crate::status::{self, StatusRegistry};

/// The daemon.
pub(super) async fn run(path: PathBuf, stop: Stop, hangup: Arc<Notify>) -> Exit {
    let Prepared { config, digest, assembled } = match prepare(&path, &stop, retry::ASKED_MAX).await {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let apis = config.apis.len();
    tracing::info!(version = version::LINE, config = %path.display(), apis, "fetcher runs");
    let Assembled { accounts, services, directory } = assembled;
    let (services, seat) = match &config.cluster {
        None => (services, None),
        Some(plan) => {
            let parts = (services.as_ref(), &directory);
            match cluster::join(plan, &config, digest.shown(), &accounts, parts).await {
                Ok((services, seat)) => (services, Some(seat)),
                Err(exit) => return exit,
            }
        }
    };
    services.registry.watch_state(directory.pulse());
    services.registry.taken_over(daemon::first_of(&config.faulty), Utc::now());
    let health = tokio::spawn(publish_health(Arc::clone(&services), Arc::clone(&directory)));
    let (updates, readings) = mpsc::channel(1);
    let watching = tokio::spawn(reload::watch(path, digest, hangup, updates));
    daemon::check_listeners(&services);
    let (orders, asked) = mpsc::channel(ORDERS_MAX);
    let serving = tokio::spawn(serve_orders(directory.path().to_owned(), orders));
    let daemon = Daemon::new(config, Arc::clone(&services), accounts);
    let is_well = daemon.seated(seat).run(readings, asked).await;
    serving.abort();
    // Whoever asks from now on has to take the directory itself.
    drop(std::fs::remove_file(directory.path().join(SOCKET_FILE_NAME)));
    watching.abort();
    health.abort();
    services.stop.until_gone(services.store.close()).await;
    tracing::info!("fetcher stopped");
    if is_well { Exit::Clean } else { Exit::Failed }
}

/// How often the lock file is looked at, where `health` finds the daemon: it may go, and it may be impossible to write.
const PUBLISHED_EVERY: Duration = Duration::from_secs(1);

/// Answers `health`, and sees to it that it finds where. Told once, until it is well again.
async fn publish_health(services: Arc<Services>, directory: Arc<StateDir>) {
    let address = match status::serve_health(Arc::clone(&services.registry), directory.whereabouts().clone()).await {
        Ok(address) => address,
        Err(cause) => return tracing::warn!(%cause, "the health endpoint can't be opened"),
    };
    let mut is_told = false;
    let mut looks = interval(PUBLISHED_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // The disk may hang, and nobody else shall.
        let directory = Arc::clone(&directory);
        match spawn_blocking(move || directory.publish(address)).await {
            Ok(Ok(())) => is_told = false,
            Ok(Err(cause)) if !std::mem::replace(&mut is_told, true) => {
                tracing::warn!(%cause, "the lock file can't be written, so `health` finds nobody to ask; it is tried again");
            }
            _ => {}
        }
    }
}

/// One iteration of every API, or of one.
pub(super) async fn once(path: PathBuf, only: Option<String>, stop: Stop, progress: &MultiProgress) -> Exit {
    let Prepared { config, assembled: Assembled { accounts, services, .. }, .. } =
        match prepare(&path, &stop, retry::ASKED_MAX_ATTENDED).await {
            Ok(prepared) => prepared,
            // Stopped before it began: nothing was fetched, so not all is well.
            Err(Exit::Clean) => return Exit::Failed,
            Err(exit) => return exit,
        };
    if config.cluster.is_some() {
        tracing::error!(
            "`once` doesn't run beside a cluster, whose members have the state; take `cluster` out of the config"
        );
        return Exit::Config;
    }
    let configured = Configured::of(&config);
    services.waiting.tell_left_over(&WaitingBatches::queues_of(&config));
    // Entries that don't run are asked of no API.
    let is_whole = config.faulty.is_empty() || only.is_some();
    let apis = apis(config, accounts, &services);
    services.store.forget_unused(configured, Utc::now()).await;
    match run_once(apis, only, services, progress).await {
        Exit::Clean if !is_whole => Exit::Failed,
        exit => exit,
    }
}

/// One iteration of each of these APIs, or of the one of that name.
pub(super) async fn run_once(
    mut apis: Vec<ApiLanes>,
    only: Option<String>,
    services: Arc<Services>,
    progress: &MultiProgress,
) -> Exit {
    if let Some(only) = only {
        let names: Vec<String> = apis.iter().map(|api| api.plan.name.clone()).collect();
        apis.retain(|api| api.plan.name == only);
        if apis.is_empty() {
            tracing::error!("unknown API `{only}`; configured: {}", names.join(", "));
            return Exit::Config;
        }
    }
    let count = apis.len();
    let line = ProgressLine::start(progress, &services.registry, count);
    let succeeded = daemon::run_once(apis, &services).await;
    line.finish().await;
    services.stop.until_gone(services.store.close()).await;
    if succeeded.len() == count { Exit::Clean } else { Exit::Failed }
}

/// What is there before the first iteration.
struct Prepared {
    config: Config,
    /// Of the text that the config was read from.
    digest: ConfigDigest,
    assembled: Assembled,
}

/// The parts of the fetcher, in a directory that this process has taken.
pub(super) struct Assembled {
    /// What is known of each API that was run before.
    pub(super) accounts: BTreeMap<String, ApiState>,
    pub(super) services: Arc<Services>,
    pub(super) directory: Arc<StateDir>,
}

/// Reads the config and takes the directory. What can't be used is logged.
async fn prepare(path: &Path, stop: &Stop, asked_max: Duration) -> Result<Prepared, Exit> {
    let (path, for_services) = (path.to_owned(), stop.clone());
    // A file may hang (on a dead mount), and a stop must be heard all the same.
    let prepared = tokio::task::spawn_blocking(move || {
        let (config, digest) = read(&path)?;
        let folder = StateFolder::of(&path);
        if !config.of_original.is_empty() {
            folder.tell();
        }
        if let Some(advice) = first_start::advice(&config, &folder.path, first_start::LOGGED_MAX) {
            tracing::warn!("{advice}");
        }
        // Any other one that can't be made is told of where it is taken.
        if let Err(cause) = folder.make()
            && folder.is_temporary
        {
            tracing::error!(directory = %folder.path.display(), %cause, "can't start: the temporary directory can't be used");
            return Err(Exit::Config);
        }
        let assembled = assemble(&config, &folder.path, for_services, asked_max)?;
        Ok(Prepared { config, digest, assembled })
    });
    tokio::select! {
        prepared = prepared => prepared.unwrap_or(Err(Exit::Failed)),
        () = stop.requested() => Err(Exit::Clean),
    }
}

pub(super) fn read(path: &Path) -> Result<(Config, ConfigDigest), Exit> {
    let (reading, digest) = reload::read(path);
    reading.diagnostics.log();
    Ok((reading.config.ok_or(Exit::Config)?, digest))
}

/// Puts the parts together in a directory that this process takes.
pub(super) fn assemble(config: &Config, directory: &Path, stop: Stop, asked_max: Duration) -> Result<Assembled, Exit> {
    let (taken, found) = take(directory, Some(config))?;
    for line in &found.unreadable {
        let line: String = line.chars().filter(|c| !c.is_control()).take(100).collect();
        tracing::warn!(line, "a line of {CHECKPOINTS_FILE_NAME} is not `NAME: DATE`; it is kept and ignored");
    }
    let clients = clients(&config.extra_roots, Timeouts::default()).map_err(|error| {
        tracing::error!(cause = %error, "can't start");
        Exit::Config
    })?;
    let memory = MemoryBudget::new(config.memory_bytes);
    let state_dir = taken.keep().map(Arc::new).map_err(|cause| {
        tracing::error!(%cause, "can't start");
        Exit::Failed
    })?;
    let services = Services {
        listeners: Listener::all(&clients.usual, &config.outputs),
        transport: clients.into(),
        tokens: TokenCache::new(CredentialFile::of(directory)),
        gates: Gates::default(),
        asked_max,
        undelivered: DeadLetterFile::new(directory),
        waiting: WaitingBatches::new(directory),
        store: Store::Local(Arc::clone(&state_dir)),
        stop,
        registry: Arc::new(StatusRegistry::new(Utc::now(), memory.clone())),
        memory,
    };
    Ok(Assembled { accounts: found.accounts, services: Arc::new(services), directory: state_dir })
}

/// Takes the directory for this process, for the APIs and outputs of a config where it is known. What is wrong with it is logged.
pub(super) fn take(directory: &Path, config: Option<&Config>) -> Result<(LockedStateDir, StateContents), Exit> {
    let configured = config.map(Configured::of).unwrap_or_default();
    LockedStateDir::open(directory, &configured, Utc::now()).map_err(|error| not_taken(&error))
}

/// Takes the directory for this process, without a look at what is in it. What is wrong with it is logged.
pub(super) fn hold(directory: &Path) -> Result<DirectoryHold, Exit> {
    DirectoryHold::take(directory).map_err(|error| not_taken(&error))
}

fn not_taken(error: &StateError) -> Exit {
    tracing::error!(cause = %error, "can't start");
    match error {
        StateError::Taken { .. } => Exit::Failed,
        StateError::File { .. } => Exit::Config,
    }
}

/// Every API of a config, before its first iteration.
pub(super) fn apis(config: Config, mut accounts: BTreeMap<String, ApiState>, services: &Services) -> Vec<ApiLanes> {
    let with_account = config.apis.into_iter().map(|plan| {
        let states = take_states(&mut accounts, &plan.name);
        let api = ApiLanes::new(plan, services, states);
        api.take_up(&services.registry, Utc::now());
        api
    });
    with_account.collect()
}
