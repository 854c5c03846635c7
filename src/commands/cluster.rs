//! The fetcher as a member of a cluster: from the config's `cluster` to a seat in it, and what `cluster` and `state` ask of
//! the engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use nix::unistd::gethostname;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::{Exit, print};
use crate::cluster::{
    AboutMember, ClusterCounters, ClusterKeys, ClusterStatus, Engine, EngineError, EngineNode, Joined, MemberId,
    Membership, Ownership, ToldPause, UNTOLD_MAX, cluster_status, tell_pauses,
};
use crate::config;
use crate::daemon::{ClusterSeat, HostRates, entries_of};
use crate::fetch::{Gates, TokenCache};
use crate::iteration::Services;
use crate::plan::{Auth, ClusterPlan, Config, Plan};
use crate::process::stop::Stop;
use crate::process::version;
use crate::state::{
    ApiState, CHECKPOINTS_FILE_NAME, CREDENTIALS_FILE_NAME, Configured, CredentialFile, LoadError, LockedStateDir,
    RefreshTokens, ReplicatedState, SharedCredentials, StateContents, StateDir, StateOrder, StateReply, Store,
    Transferred, api_of, export_from_cluster, import_into_cluster, obey_in_cluster, unknown_logins,
};
use crate::status::{ClusterSources, watch_cluster};
use crate::text::Secret;
use crate::text::humanize::bytes;

/// How many names an error lists.
const NAMES_MAX: usize = 10;
/// How long a start waits for an engine that doesn't answer. Then the process ends, so that whoever started it sees it.
const ENGINE_AWAITED: Duration = Duration::from_secs(600);
/// The pause before it is asked again.
const ENGINE_ASKED_EVERY: Duration = Duration::from_secs(1);

/// The way to a cluster's engine, and the keys of its state there.
pub(super) fn engine_of(plan: &ClusterPlan) -> Result<(Engine, ClusterKeys), Exit> {
    let engine = Engine::connect(plan).map_err(|cause| {
        tracing::error!(%cause, "can't reach the cluster's engine");
        Exit::Config
    })?;
    Ok((engine, ClusterKeys::of(&plan.name)))
}

/// Joins the cluster of a config. Gives the services with the cluster's state behind them, and the seat; what is wrong is
/// logged.
pub(super) async fn join(
    plan: &ClusterPlan,
    config: &Config,
    digest: String,
    accounts: &BTreeMap<String, ApiState>,
    (services, directory): (&Services, &Arc<StateDir>),
) -> Result<(Arc<Services>, ClusterSeat), Exit> {
    let (engine, keys) = engine_of(plan)?;
    await_engine(&engine, &keys, &services.stop).await?;
    engine.require_one().await.map_err(|cause| {
        tracing::error!(%cause, "can't join the cluster");
        Exit::Config
    })?;
    require_known(&engine, &keys, config, accounts).await?;
    require_known_logins(&engine, &keys, config, directory).await?;
    let host = gethostname().ok().and_then(|name| name.into_string().ok()).filter(|name| !name.is_empty());
    let Some(member) = plan.member.clone().or_else(|| host.clone()) else {
        tracing::error!("this machine has no host name that can be read; name this replica as `cluster.member`");
        return Err(Exit::Config);
    };
    let me = MemberId { member: member.clone(), incarnation: fastrand::u64(..) };
    let about = AboutMember {
        host: host.unwrap_or_default(),
        version: version::LINE.to_owned(),
        config: digest.clone(),
        since: Utc::now().timestamp(),
        ..AboutMember::default()
    };
    let ownership = Ownership::default();
    let entries = entries_of(digest, config);
    let (identity, counters) = (me.clone(), ClusterCounters::default());
    let membership =
        Membership { engine: engine.clone(), keys: keys.clone(), me, about, entries, counters: counters.clone() };
    let joined = membership.join(ownership.clone()).await;
    let Joined { handle, events, clock, pauses } = joined.map_err(|cause| {
        tracing::error!(%cause, "can't join the cluster");
        Exit::Failed
    })?;
    let (outdated_sender, outdated) = mpsc::unbounded_channel();
    let sources = ClusterSources {
        name: plan.name.clone(),
        me: identity.clone(),
        clock: clock.clone(),
        counters: counters.clone(),
    };
    tell(services, sources, engine.clone(), keys.clone());
    let (gates, rates) = share_limits(config, (engine.clone(), keys.clone()), &ownership, pauses);
    let credentials = SharedCredentials::new((engine.clone(), keys.clone()), identity, clock.clone());
    let state = ReplicatedState::start((engine, keys), (ownership, clock), counters, directory.path(), outdated_sender);
    let state = Arc::new(state.map_err(|cause| {
        tracing::error!(%cause, "can't start");
        Exit::Config
    })?);
    tracing::info!(cluster = plan.name, member, "joined; APIs begin as slots are taken");
    let store = Store::Shared(Arc::clone(&state), Arc::clone(directory));
    let tokens = TokenCache::keeping_in(RefreshTokens::Shared(Arc::new(credentials)));
    let services = Arc::new(services.keeping_state_in(store, tokens, gates));
    Ok((services, ClusterSeat::new((state, rates), handle, events, outdated)))
}

/// Waits until the engine answers: all of it may have been started at the same time, and whoever starts a process that
/// ended at once waits longer and longer. What else is wrong is told by whoever asks next.
async fn await_engine(engine: &Engine, keys: &ClusterKeys, stop: &Stop) -> Result<(), Exit> {
    let begun = Instant::now();
    let mut is_told = false;
    while let Err(cause @ EngineError::InDoubt { .. }) = engine.read(&keys.changes_range()).await {
        if begun.elapsed() >= ENGINE_AWAITED {
            tracing::error!(%cause, "can't join the cluster");
            return Err(Exit::Failed);
        }
        if !std::mem::replace(&mut is_told, true) {
            tracing::warn!(%cause, "the cluster's engine does not answer; the start waits for it");
        }
        tokio::select! {
            () = stop.requested() => return Err(Exit::Clean),
            () = sleep(ENGINE_ASKED_EVERY) => {}
        }
    }
    Ok(())
}

/// Has the page, the metrics and `health` know of the cluster, until the stop.
fn tell(services: &Services, sources: ClusterSources, engine: Engine, keys: ClusterKeys) {
    let (registry, stop, me) = (Arc::clone(&services.registry), services.stop.clone(), sources.me.clone());
    registry.joined(sources);
    tokio::spawn(async move {
        tokio::select! {
            () = stop.requested() => {}
            () = watch_cluster(registry, engine, keys, me) => {}
        }
    });
}

/// Has each host asked as often as its rate allows by all members together, and no member ask one that asked for a wait.
fn share_limits(
    config: &Config,
    (engine, keys): (Engine, ClusterKeys),
    ownership: &Ownership,
    told: mpsc::Receiver<ToldPause>,
) -> (Gates, HostRates) {
    let (untold_sender, untold) = mpsc::channel(UNTOLD_MAX);
    // All members have it and nobody else does; others hear of no waits while it is changed.
    let salt = config.outputs.first().map_or_else(|| Secret::new(""), |output| output.token.clone());
    let gates = Gates::among_peers(salt, untold_sender);
    let rates = HostRates::new(gates.clone(), ownership.clone());
    rates.configure(config);
    tokio::spawn(tell_pauses(engine, keys, untold));
    tokio::spawn(rates.clone().follow(told));
    (gates, rates)
}

fn shown_names(names: &[&str]) -> String {
    names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ")
}

/// Refuses where the directory has checkpoints of APIs that the cluster knows nothing of: they would begin anew.
async fn require_known(
    engine: &Engine,
    keys: &ClusterKeys,
    config: &Config,
    accounts: &BTreeMap<String, ApiState>,
) -> Result<(), Exit> {
    let has_place = |account: &ApiState| account.checkpoint.is_some() || !account.captured.is_empty();
    let configured = Configured::of(config);
    let runs = |lane: &str| configured.has(lane) && config.apis.iter().any(|plan| plan.name == api_of(lane));
    let lanes =
        accounts.iter().filter(|(lane, account)| runs(lane) && has_place(account)).map(|(lane, _)| lane.as_str());
    let unknown = ReplicatedState::unknown(engine, keys, lanes).await.map_err(|cause| {
        tracing::error!(%cause, "can't join the cluster");
        Exit::Failed
    })?;
    if unknown.is_empty() {
        return Ok(());
    }
    let mut apis: Vec<&str> = unknown.into_iter().map(api_of).collect();
    apis.dedup();
    tracing::error!(
        apis = shown_names(&apis),
        "{CHECKPOINTS_FILE_NAME} has checkpoints that the cluster doesn't know, so these APIs would begin anew; run \
         `logzio-api-fetcher state import` first, or move the file away"
    );
    Err(Exit::Config)
}

/// Refuses where the directory has refresh tokens that the cluster doesn't know: those of the config are used up.
async fn require_known_logins(
    engine: &Engine,
    keys: &ClusterKeys,
    config: &Config,
    directory: &StateDir,
) -> Result<(), Exit> {
    let source = |plan: &Plan| match &plan.auth {
        Auth::Token(request) => request.refresh_source(),
        _ => None,
    };
    let sources: Vec<_> = config.apis.iter().filter_map(|plan| source(plan)).collect();
    if sources.is_empty() {
        return Ok(());
    }
    let file = CredentialFile::of(directory.path());
    let unknown = unknown_logins(engine, keys, (&file, &sources)).await.map_err(|cause| {
        tracing::error!(%cause, "can't join the cluster");
        Exit::Failed
    })?;
    let of_unknown = |plan: &&Arc<Plan>| source(plan).is_some_and(|source| unknown.contains(&source));
    let apis: Vec<&str> = config.apis.iter().filter(of_unknown).map(|plan| plan.name.as_str()).collect();
    if apis.is_empty() {
        return Ok(());
    }
    tracing::error!(
        apis = shown_names(&apis),
        "{CREDENTIALS_FILE_NAME} has refresh tokens that the cluster doesn't know, and the config's may be used up; run \
         `logzio-api-fetcher state import` first, or move the file away"
    );
    Err(Exit::Config)
}

/// What `state` asks where the config has `cluster`.
pub(super) async fn state(plan: &ClusterPlan, config: &Config, order: &StateOrder, now: DateTime<Utc>) -> StateReply {
    let Ok((engine, keys)) = engine_of(plan) else { return StateReply { code: 2, ..StateReply::default() } };
    let obeyed = obey_in_cluster(&engine, &keys, order, &config.apis, now).await;
    obeyed.unwrap_or_else(|cause| StateReply::failed(1, cause.to_string()))
}

/// Puts what the directory knows into the cluster.
pub(super) async fn import(plan: &ClusterPlan, taken: &LockedStateDir, found: &StateContents) -> Exit {
    let (engine, keys) = match engine_of(plan) {
        Ok(engine) => engine,
        Err(exit) => return exit,
    };
    let imported = import_into_cluster(&engine, &keys, &found.accounts, taken).await;
    let mut behind: Vec<String> =
        imported.iter().flat_map(|done| &done.behind).map(|lane| api_of(lane).to_owned()).collect();
    let exit = tell_transfer(imported, "imported", "known to the cluster before, and left as they are there");
    if behind.is_empty() {
        return exit;
    }
    behind.dedup();
    let apis: Vec<&str> = behind.iter().map(String::as_str).collect();
    tracing::error!(
        apis = shown_names(&apis),
        "of these APIs the cluster has older checkpoints than this directory, so its members ship again what was shipped since; \
         to go on from this directory, give the cluster another `cluster.name`, and import again"
    );
    Exit::Failed
}

/// Writes what the cluster knows into the directory.
pub(super) async fn export(plan: &ClusterPlan, taken: &mut LockedStateDir) -> Exit {
    let (engine, keys) = match engine_of(plan) {
        Ok(engine) => engine,
        Err(exit) => return exit,
    };
    let exported = match cluster_status(&engine, &keys).await {
        Ok(status) if status.members.is_empty() => export_from_cluster(&engine, &keys, taken).await,
        Ok(status) => {
            let members = status.members.iter().map(|(member, _)| member.member.as_str());
            let members = members.take(NAMES_MAX).collect::<Vec<_>>().join(", ");
            tracing::error!(
                members,
                "members of the cluster run; stop them first, or what they deliver would be missing"
            );
            return Exit::Failed;
        }
        Err(cause) => Err(LoadError::Engine(cause)),
    };
    tell_transfer(exported, "exported", "left as they are")
}

fn tell_transfer(done: Result<Transferred, LoadError>, moved: &str, known: &str) -> Exit {
    match done {
        Ok(done) => {
            print(&format!("{} {moved}, {} {known}.", done.moved.len(), done.known.len()));
            Exit::Clean
        }
        Err(cause) => {
            tracing::error!(%cause, "not everything was transferred; what was stays, and the command can be given again");
            Exit::Failed
        }
    }
}

/// `cluster status`: who lives and who owns what. Something wrong is an exit code of 1.
async fn status(plan: &ClusterPlan) -> Exit {
    let (engine, keys) = match engine_of(plan) {
        Ok(engine) => engine,
        Err(exit) => return exit,
    };
    match cluster_status(&engine, &keys).await {
        Ok(status) => {
            let nodes = engine.nodes().await;
            print(&format!("{}\n{}", shown(plan, &status), shown_nodes(&nodes)));
            if status.is_well() && nodes.iter().all(is_well) { Exit::Clean } else { Exit::Failed }
        }
        Err(cause) => {
            tracing::error!(%cause, "the cluster's engine does not answer");
            Exit::Failed
        }
    }
}

/// Whether a node of etcd answers, and nobody has to see to it.
fn is_well((_, node): &(String, Result<EngineNode, EngineError>)) -> bool {
    node.as_ref().is_ok_and(|node| node.alarms.is_empty() && !node.room.is_some_and(|room| room.is_tight()))
}

/// What the nodes of etcd say of themselves.
fn shown_nodes(nodes: &[(String, Result<EngineNode, EngineError>)]) -> String {
    let mut lines = vec![format!(
        "etcd: {} of {} nodes answer",
        nodes.iter().filter(|(_, node)| node.is_ok()).count(),
        nodes.len()
    )];
    for (endpoint, node) in nodes {
        let node = match node {
            Ok(node) => node,
            Err(cause) => {
                // It names the endpoint.
                lines.push(format!("  {cause}"));
                continue;
            }
        };
        let Some(room) = &node.room else {
            lines.push(format!("  {endpoint}  answers; it tells only etcd's user `root` more of itself"));
            lines.extend(node.alarms.iter().map(|alarm| format!("    alarm: {alarm}")));
            continue;
        };
        let quota = room.quota_bytes.map(|quota| format!(" of {}", bytes(quota))).unwrap_or_default();
        let (database, used) = (bytes(room.database_bytes), bytes(room.used_bytes));
        let role = if node.is_leader { "leads" } else { "follows" };
        lines
            .push(format!("  {endpoint}  {role}  version {}  database {database}{quota}, {used} in use", node.version));
        lines.extend(node.alarms.iter().map(|alarm| format!("    alarm: {alarm}")));
        if room.is_tight() {
            lines.push("    over 70 % of what its database may have: when it is full, all members stop".to_owned());
        }
        lines.extend(node.advice.iter().map(|advice| format!("    {advice}")));
    }
    lines.join("\n")
}

fn shown(plan: &ClusterPlan, status: &ClusterStatus) -> String {
    let mut lines = vec![format!(
        "cluster {}: {} members, {} slots without an owner that lives",
        plan.name,
        status.members.len(),
        status.orphaned
    )];
    for (member, about) in &status.members {
        let slots = status.slots_of(member);
        let since = DateTime::from_timestamp(about.since, 0).map(crate::text::humanize::second).unwrap_or_default();
        let config = about.config.chars().take(8).collect::<String>();
        lines.push(format!(
            "  {}  {:?}  {slots} slots  since {since}  host {}  version {}  config {config}",
            member.member, about.standing, about.host, about.version
        ));
    }
    for (member, about) in status.members.iter().filter(|(_, about)| !about.declined.is_empty()) {
        let (slots, names) = (about.declined.len(), about.waiting.join(", "));
        lines.push(format!(
            "{} leaves {slots} slots to members that have the entries by which these APIs ran last: {names}",
            member.member
        ));
    }
    if status.configs() > 1 {
        lines.push("The members don't have the same config.".to_owned());
    }
    lines.join("\n")
}

/// `cluster status` of the config at a path.
pub(super) async fn status_of(path: &Path) -> Exit {
    let reading = config::load(path);
    reading.diagnostics.log();
    match reading.config {
        Some(Config { cluster: Some(plan), .. }) => status(&plan).await,
        Some(_) => {
            tracing::error!("the config has no `cluster`");
            Exit::Config
        }
        None => Exit::Config,
    }
}
