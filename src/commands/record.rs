//! `record`: iterations of one API, to stdout as a cassette. Ships nothing, writes no file; but a refresh token that comes is
//! kept, for which the directory is taken as a fetcher takes it.

use std::path::{Path, PathBuf};

use super::{Exit, StateFolder, TOKEN_OF_CLUSTER, print};
use crate::cassette::{self, CassetteKind, Entry, RecordError};
use crate::cli::RecordArgs;
use crate::config::{self, Environment};
use crate::fetch::TokenCache;
use crate::http::{Timeouts, clients};
use crate::plan::Config;
use crate::process::stop::Stop;
use crate::state::{CredentialFile, DirectoryHold, StateError};
use crate::text::humanize::counted;

/// Records, and prints what was recorded.
pub(super) async fn record(path: PathBuf, arguments: RecordArgs, stop: Stop) -> Exit {
    let (name, directory) = (arguments.api.clone(), StateFolder::of(&path).path);
    // A file may hang (on a dead mount), and a stop must be heard all the same.
    let read = tokio::task::spawn_blocking(move || read(&path, &name));
    let (config, entry) = tokio::select! {
        read = read => match read {
            Ok(Ok(read)) => read,
            Ok(Err(exit)) => return exit,
            Err(_) => return Exit::Failed,
        },
        () = stop.requested() => return Exit::Failed,
    };
    match record_to_text(&config, &entry, &arguments, (&directory, stop)).await {
        Ok(text) => {
            print(text.trim_end());
            Exit::Clean
        }
        Err(cause) => {
            tracing::error!(%cause, "nothing is recorded");
            Exit::Failed
        }
    }
}

/// The config, and the entry of that name as it is written.
fn read(path: &Path, name: &str) -> Result<(Config, Entry), Exit> {
    let text = config::read_file(path);
    let loaded = config::compile_file(path, text.as_deref());
    loaded.diagnostics.log();
    let config = loaded.config.ok_or(Exit::Config)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let environment = Environment { variable: &|name| std::env::var(name).ok(), directory };
    let entry = text.ok().and_then(|text| config::written_entry(&text, name, &environment));
    match entry.filter(|_| config.apis.iter().any(|plan| plan.name == name)) {
        Some((list, map)) => Ok((config, Entry { list, map })),
        None => {
            let names: Vec<&str> = config.apis.iter().map(|plan| plan.name.as_str()).collect();
            tracing::error!("unknown API `{name}`; configured: {}", names.join(", "));
            Err(Exit::Config)
        }
    }
}

async fn record_to_text(
    config: &Config,
    entry: &Entry,
    arguments: &RecordArgs,
    (directory, stop): (&Path, Stop),
) -> Result<String, RecordError> {
    let clients = clients(&config.extra_roots, Timeouts::default())
        .map_err(|error| RecordError::Local(std::io::Error::other(error.to_string())))?;
    let plan = config.apis.iter().find(|plan| plan.name == arguments.api);
    let plan = plan.ok_or_else(|| RecordError::Local(std::io::Error::other("there is no such API")))?;
    if plan.has_refresh_token() && config.cluster.is_some() {
        return Err(RecordError::Local(std::io::Error::other(TOKEN_OF_CLUSTER)));
    }
    // A refresh token may be taken once only: no fetcher must run on the directory meanwhile, and the next one is kept.
    let local = |error: StateError| RecordError::Local(std::io::Error::other(error.to_string()));
    let _hold = plan.has_refresh_token().then(|| DirectoryHold::take(directory)).transpose().map_err(local)?;
    let clients = (clients, TokenCache::new(CredentialFile::of(directory)));
    let recorded = cassette::record(clients, config, plan, arguments.from, arguments.iterations, stop).await?;
    let kind = if arguments.verbatim { CassetteKind::Verbatim } else { CassetteKind::Replaced };
    let cassette = cassette::cassette_of(&recorded, entry, kind).await?;
    for (number, iteration) in cassette.iterations.iter().enumerate() {
        let (number, requests) = (number + 1, iteration.exchanges.len() as u64);
        let (requests, records) = (counted(requests, "request"), counted(iteration.shipped, "record"));
        let failed = iteration.failed.as_ref().map(|_| "; it failed, and that is recorded").unwrap_or_default();
        tracing::info!("iteration {number}: {requests}, {records}{failed}");
    }
    if arguments.verbatim {
        tracing::warn!("the values are as they came; don't give this cassette away");
    }
    Ok(cassette.to_text()?)
}
