//! `once --from`: a span shipped again, without moving a checkpoint, also while a fetcher runs.
//!
//! It is an iteration like any other, with a state of its own that begins empty and is thrown away: so nothing that was
//! delivered before is left out, and nothing of the fetcher's state is touched.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use indicatif::MultiProgress;

use super::run::{Assembled, apis, assemble, read, run_once};
use super::{Exit, StateFolder, TOKEN_OF_CLUSTER};
use crate::fetch::TokenCache;
use crate::plan::{CheckpointKind, Config, Overlap, Plan};
use crate::process::stop::Stop;
use crate::record::date;
use crate::retry;
use crate::ship::{DeadLetterFile, WaitingBatches};
use crate::state::{CredentialFile, DirectoryHold};
use crate::template::Position;

/// What is shipped again.
#[derive(Clone, Copy, Debug)]
pub(super) struct DateSpan {
    /// From here on.
    pub(super) from: DateTime<Utc>,
    /// What is dated before this; everything where it is absent.
    pub(super) until: Option<DateTime<Utc>>,
}

/// A directory for a state that is thrown away.
struct Scratch(PathBuf);

impl Scratch {
    /// Beside the config, where the fetcher may write in any case.
    fn make(directory: &Path) -> io::Result<Self> {
        let path = directory.join(format!(".logzio-api-fetcher.once-{:016x}", fastrand::u64(..)));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(cause) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%cause, "{} can't be removed; nothing needs it any more", self.0.display());
        }
    }
}

/// Ships the span, and says what came of it as `once` does.
pub(super) async fn span(
    path: PathBuf,
    (only, output): (Option<String>, Option<String>),
    span: DateSpan,
    stop: Stop,
    progress: &MultiProgress,
) -> Exit {
    if span.until.is_some_and(|until| until <= span.from) || span.from > Utc::now() {
        tracing::error!("--from must lie before now and before --until");
        return Exit::Config;
    }
    let directory = StateFolder::of(&path).path;
    let mut config = match read(&path) {
        Ok((config, _)) => config,
        Err(exit) => return exit,
    };
    if let Some(exit) = output.as_deref().and_then(|output| unknown_output(&config, output)) {
        return exit;
    }
    let plans = config.apis.iter().filter(|plan| can_repeat(plan)).map(|plan| Arc::new(of_span(plan, span))).collect();
    config = Config { apis: plans, ..config };
    // A refresh token may be taken once only: the fetcher that runs here must not take the same one.
    let needs_hold =
        |plan: &&Arc<Plan>| plan.has_refresh_token() && only.as_ref().is_none_or(|only| plan.name == *only);
    if let (Some(plan), true) = (config.apis.iter().find(needs_hold), config.cluster.is_some()) {
        tracing::error!(api = plan.name, "{TOKEN_OF_CLUSTER}");
        return Exit::Config;
    }
    let hold = config.apis.iter().find(needs_hold).map(|plan| (plan.name.clone(), DirectoryHold::take(&directory)));
    if let Some((api, Err(cause))) = &hold {
        tracing::error!(api, %cause, "its refresh token can't be used");
        return Exit::Failed;
    }
    let scratch = match Scratch::make(&directory) {
        Ok(scratch) => scratch,
        Err(cause) => {
            tracing::error!(%cause, "no directory can be made in {}", directory.display());
            return Exit::Config;
        }
    };
    let Assembled { accounts, mut services, .. } = match assemble(&config, &scratch.0, stop, retry::ASKED_MAX_ATTENDED)
    {
        Ok(assembled) => assembled,
        Err(exit) => return exit,
    };
    let Some(own) = Arc::get_mut(&mut services) else { return Exit::Failed };
    // What can't be delivered is kept where it is looked for.
    own.undelivered = DeadLetterFile::new(&directory);
    // What isn't shipped now is to be asked for again.
    own.waiting = WaitingBatches::nowhere();
    own.tokens = TokenCache::new(CredentialFile::of(&directory));
    let until = span.until.map_or_else(|| "now".to_owned(), date::format);
    tracing::info!(from = date::format(span.from), until, "a span is shipped again; no checkpoint moves");
    let mut apis = apis(config, accounts, &services);
    if let Some(output) = &output {
        apis.iter_mut().for_each(|api| api.keep_output(output));
        apis.retain(|api| !api.lanes().is_empty());
    }
    run_once(apis, only, services, progress).await
}

/// Says that there is no output of that name, where there is none.
fn unknown_output(config: &Config, output: &str) -> Option<Exit> {
    let names: Vec<&str> = config.outputs.iter().map(|output| output.name.as_str()).collect();
    (!names.contains(&output)).then(|| {
        tracing::error!("unknown output `{output}`; configured: {}", names.join(", "));
        Exit::Config
    })
}

/// Whether an API gives again what it gave before.
fn can_repeat(plan: &Plan) -> bool {
    let why = match plan.start.checkpoint {
        CheckpointKind::Newest if plan.next_iteration.is_some() && !plan.names_start(&Position::default()) => {
            "its first request names no date, so it isn't asked"
        }
        CheckpointKind::Newest | CheckpointKind::WindowEnd => return true,
        CheckpointKind::Server => "it keeps the position itself and gives nothing twice, so it isn't asked",
        CheckpointKind::Snapshot(_) => "its request never changes and names no dates, so it isn't asked",
    };
    tracing::warn!(api = plan.name, "{why}");
    false
}

/// The same API, asked for the span alone.
fn of_span(plan: &Plan, DateSpan { from, until }: DateSpan) -> Plan {
    let mut plan = plan.clone();
    plan.start.configured = Some(from);
    plan.start.overlap = Overlap::Fixed(TimeDelta::zero());
    plan.until = until;
    plan
}
