//! `run` and `once`: from the config's path to running iterations.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;
use indicatif::MultiProgress;

use super::progress::Progress;
use super::{Exit, folder_of};
use crate::config;
use crate::daemon;
use crate::health::{self, Health};
use crate::http::{Timeouts, client};
use crate::iteration::{Api, Services};
use crate::meter::Meter;
use crate::plan::Config;
use crate::ship::{Listener, Undelivered};
use crate::state::{Account, CHECKPOINTS_FILE_NAME, Found, StateError, TakenFolder};
use crate::stop::Stop;

/// The daemon.
pub(super) async fn run(path: PathBuf, stop: Stop) -> Exit {
    let (apis, services) = match prepare(&path, &stop).await {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %path.display(), apis = apis.len(), "fetcher runs");
    let published =
        health::serve(Arc::clone(&services.health)).await.and_then(|address| services.folder.publish(address));
    if let Err(cause) = published {
        tracing::warn!(%cause, "`health` will find nobody to ask");
    }
    daemon::run(apis, &services).await;
    services.stop.until_gone(services.folder.close()).await;
    tracing::info!("fetcher stopped");
    Exit::Clean
}

/// One iteration of every API, or of one.
pub(super) async fn once(path: PathBuf, only: Option<String>, stop: Stop, bars: &MultiProgress) -> Exit {
    let (mut apis, services) = match prepare(&path, &stop).await {
        Ok(prepared) => prepared,
        // Stopped before it began: nothing was fetched, so not all is well.
        Err(Exit::Clean) => return Exit::Failed,
        Err(exit) => return exit,
    };
    if let Some(only) = only {
        let names: Vec<String> = apis.iter().map(|api| api.plan.name.clone()).collect();
        apis.retain(|api| api.plan.name == only);
        if apis.is_empty() {
            tracing::error!(there_are = names.join(", "), "there is no API `{only}` in the config");
            return Exit::Config;
        }
    }
    let count = apis.len();
    let progress = Progress::start(bars, &services.meter, count);
    let succeeded = daemon::run_once(apis, &services).await;
    progress.finish().await;
    services.stop.until_gone(services.folder.close()).await;
    if succeeded.len() == count { Exit::Clean } else { Exit::Failed }
}

/// Reads the config and takes the folder. What can't be used is logged.
async fn prepare(path: &Path, stop: &Stop) -> Result<(Vec<Api>, Arc<Services>), Exit> {
    let (path, for_services) = (path.to_owned(), stop.clone());
    // A file may hang (on a dead mount), and a stop must be heard all the same.
    let prepared = tokio::task::spawn_blocking(move || {
        let config = read(&path)?;
        assemble(config, &folder_of(&path), for_services)
    });
    tokio::select! {
        prepared = prepared => prepared.unwrap_or(Err(Exit::Failed)),
        () = stop.requested() => Err(Exit::Clean),
    }
}

fn read(path: &Path) -> Result<Config, Exit> {
    let reading = config::load(path);
    for warning in &reading.findings.warnings {
        tracing::warn!(config = %warning, "odd config");
    }
    for fault in &reading.findings.faults {
        tracing::error!(config = %fault, "faulty config");
    }
    reading.config.ok_or(Exit::Config)
}

/// Puts the parts together in a folder that this process takes.
pub(super) fn assemble(config: Config, folder: &Path, stop: Stop) -> Result<(Vec<Api>, Arc<Services>), Exit> {
    let (taken, found) = take(folder)?;
    for line in &found.unreadable {
        let line: String = line.chars().filter(|c| !c.is_control()).take(100).collect();
        tracing::warn!(line, "a line of {CHECKPOINTS_FILE_NAME} is not `NAME: DATE`; it is kept and ignored");
    }
    let client = client(&config.extra_roots, Timeouts::default()).map_err(|error| {
        tracing::error!(cause = %error, "can't start");
        Exit::Config
    })?;
    let services = Services {
        listener: Listener::new(client.clone(), &config.listener),
        client,
        undelivered: Undelivered::new(folder),
        folder: taken.keep().map_err(|cause| {
            tracing::error!(%cause, "can't start");
            Exit::Failed
        })?,
        stop,
        meter: Arc::new(Meter::default()),
        health: Arc::new(Health::of(config.apis.iter().map(|plan| plan.name.as_str()))),
    };
    Ok((apis(config, found), Arc::new(services)))
}

/// Takes the folder for this process. What is wrong with it is logged.
pub(super) fn take(folder: &Path) -> Result<(TakenFolder, Found), Exit> {
    TakenFolder::open(folder, Utc::now()).map_err(|error| {
        tracing::error!(cause = %error, "can't start");
        match error {
            StateError::Taken { .. } => Exit::Failed,
            StateError::File { .. } => Exit::Config,
        }
    })
}

fn apis(config: Config, mut found: Found) -> Vec<Api> {
    let with_account = config.apis.into_iter().map(|plan| {
        let account = found.accounts.remove(&plan.name).unwrap_or_else(Account::blank);
        Api::new(Arc::new(plan), account)
    });
    with_account.collect()
}
