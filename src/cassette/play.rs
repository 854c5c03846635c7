//! The pipeline on a tape: the iteration, its window, its pages and its batches are the real ones; the state is in memory,
//! and the listener a part of this process.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_yaml::{Mapping, Value};

use super::file::{Cassette, CassetteError};
use crate::config;
use crate::fetch::{Gates, TokenCache};
use crate::iteration::{Api, Services};
use crate::memory::MemoryBudget;
use crate::plan::{Config, Plan};
use crate::process::stop::{self, Stop};
use crate::retry;
use crate::ship::{BatchSink, DeadLetterFile, Listener, WaitingBatches};
use crate::state::{ApiState, StateDir, Store};
use crate::status::StatusRegistry;
use crate::transport::{Difference, Replay, TapedExchange, TapedRequest, Transport};

/// The lists that an entry may stand in.
const LISTS: [&str; 2] = ["auth_apis", "oauth_apis"];
/// The key of an entry that names files which are part of a connection. A key file that signs has a stand-in.
const NAMES_FILES: &str = "tls";

/// Why a cassette can't be played.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// It isn't one.
    #[error(transparent)]
    Cassette(#[from] CassetteError),
    /// Its config can't be used.
    #[error("its config can't be used: {0}")]
    Config(String),
    /// The parts can't be put together.
    #[error("{0}")]
    Local(#[from] std::io::Error),
}

/// What came of a replay.
pub struct PlayOutcome {
    /// Each iteration.
    pub iterations: Vec<PlayedIteration>,
    /// What was shipped: NDJSON.
    pub shipped: Vec<u8>,
    /// Every request that found its answer.
    pub made: Vec<TapedRequest>,
    /// The first request that isn't as recorded.
    pub difference: Option<Difference>,
}

impl PlayOutcome {
    /// Whether every iteration made as many requests as there are.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let is_whole = |iteration: &PlayedIteration| iteration.requests == iteration.recorded;
        self.difference.is_none() && self.iterations.iter().all(is_whole)
    }
}

/// What came of an iteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayedIteration {
    /// Records shipped.
    pub shipped: u64,
    /// Requests made.
    pub requests: usize,
    /// Requests recorded.
    pub recorded: usize,
    /// Why it failed, if it did.
    pub failed: Option<String>,
    /// The checkpoint behind it.
    pub checkpoint: Option<DateTime<Utc>>,
}

/// Plays a cassette: every iteration, by its clock.
///
/// # Errors
/// [`PlayError`]. That the fetcher asks for something else is none: [`PlayOutcome::difference`] tells.
pub async fn play(cassette: &Cassette) -> Result<PlayOutcome, PlayError> {
    let iterations = cassette.iterations.iter().map(|iteration| (iteration.at, iteration.exchanges.len())).collect();
    let script = Script { config: &cassette.config, from: cassette.from, iterations };
    play_exchanges(&script, cassette.exchanges()?).await
}

/// What is played, but for the exchanges.
pub(super) struct Script<'a> {
    /// The config of the cassette.
    pub(super) config: &'a str,
    /// Where the first iteration begins.
    pub(super) from: Option<DateTime<Utc>>,
    /// When each iteration begins, and how many requests it makes.
    pub(super) iterations: Vec<(DateTime<Utc>, usize)>,
}

/// Plays these exchanges; those without a request take what the pipeline asks for.
pub(super) async fn play_exchanges(
    script: &Script<'_>,
    exchanges: Vec<TapedExchange>,
) -> Result<PlayOutcome, PlayError> {
    let config = read_config(script.config)?;
    let plan = config.apis.first().ok_or_else(|| PlayError::Config("it has no entry that is asked".to_owned()))?;
    let plan = Arc::new(started(plan, script.from));
    let begun = script.iterations.first().map_or(DateTime::UNIX_EPOCH, |(at, _)| *at);
    let replay = Arc::new(Replay::new(begun, exchanges));
    let sink = Arc::new(BatchSink::default());
    let (_trigger, stop) = stop::channel();
    let services = services(&config, Transport::Replay(Arc::clone(&replay)), Arc::clone(&sink), stop, begun)?;
    let mut api = alone(plan, &services)?;
    let (mut iterations, mut shipped, mut until) = (Vec::new(), Vec::new(), 0);
    for (at, recorded) in script.iterations.iter().copied() {
        replay.clock().set(at);
        let before = replay.made().len();
        until += recorded;
        let (result, report) = api.iterate(&services, at).await;
        let played = PlayedIteration {
            shipped: report.shipped.records,
            requests: replay.made().len() - before,
            recorded,
            failed: result.err().map(|error| error.to_string()),
            checkpoint: api.checkpoint(),
        };
        shipped.extend(sink.take());
        let is_off = replay.difference().is_some() || replay.made().len() != until;
        iterations.push(played);
        if is_off {
            break;
        }
    }
    services.store.close().await;
    Ok(PlayOutcome { iterations, shipped, made: replay.made(), difference: replay.difference() })
}

/// An API whose records go to the sink alone.
pub(super) fn alone(plan: Arc<Plan>, services: &Services) -> std::io::Result<Api> {
    let no_output = || std::io::Error::other("the config has no output");
    let listener = Arc::clone(services.listeners.first().ok_or_else(no_output)?);
    let claim = services.store.claim(&plan.name, listener.name());
    Ok(Api::new(plan, listener, claim, ApiState::blank()))
}

/// The same entry, from another start on, and one request after the other: a tape knows one order.
pub(super) fn started(plan: &Plan, from: Option<DateTime<Utc>>) -> Plan {
    let mut plan = plan.clone();
    plan.start.configured = from.or(plan.start.configured);
    plan.parallel = 1;
    plan
}

/// What iterations need, with a state in memory and a listener in this process.
pub(super) fn services(
    config: &Config,
    transport: Transport,
    sink: Arc<BatchSink>,
    stop: Stop,
    now: DateTime<Utc>,
) -> std::io::Result<Services> {
    let memory = MemoryBudget::new(config.memory_bytes);
    Ok(Services {
        transport,
        listeners: config
            .outputs
            .iter()
            .take(1)
            .map(|output| Arc::new(Listener::into_sink(Arc::clone(&sink), output)))
            .collect(),
        undelivered: DeadLetterFile::nowhere(),
        waiting: WaitingBatches::nowhere(),
        store: Store::Local(Arc::new(StateDir::in_memory()?)),
        stop,
        registry: Arc::new(StatusRegistry::new(now, memory.clone())),
        memory,
        tokens: TokenCache::default(),
        gates: Gates::default(),
        asked_max: retry::ASKED_MAX_ATTENDED,
    })
}

/// Compiles the config of a cassette: nothing is filled in, and no file is read.
pub(super) fn read_config(text: &str) -> Result<Config, PlayError> {
    let wrong = |what: &str| PlayError::Config(what.to_owned());
    let root: Mapping = serde_yaml::from_str(text).map_err(|error| PlayError::Config(error.to_string()))?;
    let mut kept = Mapping::new();
    for list in LISTS {
        let Some(entries) = root.get(list) else { continue };
        if names_files(entries, 0) {
            return Err(wrong("`tls` names files, and a replay opens none; take it out"));
        }
        kept.insert(list.into(), entries.clone());
    }
    let count: usize = kept.values().filter_map(Value::as_sequence).map(Vec::len).sum();
    if count != 1 {
        return Err(wrong("it should have one entry, in `auth_apis` or in `oauth_apis`"));
    }
    let listener = Mapping::from_iter([
        (Value::from("url"), Value::from("https://listener.example:8071")),
        (Value::from("token"), Value::from("replayed")),
    ]);
    kept.insert("logzio".into(), Value::Mapping(listener));
    let text = serde_yaml::to_string(&kept).map_err(|error| PlayError::Config(error.to_string()))?;
    // `$${` is a literal `${`: nothing is filled in.
    let text = text.replace("${", "$${");
    let loaded = config::compile_without_files(&text);
    let words = || {
        let errors = loaded.diagnostics.errors.iter().map(|error| format!("{}: {}", error.path, error.what));
        PlayError::Config(errors.collect::<Vec<_>>().join("; "))
    };
    loaded.config.ok_or_else(words)
}

fn names_files(value: &Value, depth: usize) -> bool {
    // Deeper than that the config refuses it anyway.
    const DEPTH_MAX: usize = 64;
    match value {
        _ if depth > DEPTH_MAX => true,
        Value::Mapping(map) => {
            map.iter().any(|(key, value)| key.as_str() == Some(NAMES_FILES) || names_files(value, depth + 1))
        }
        Value::Sequence(items) => items.iter().any(|item| names_files(item, depth + 1)),
        _ => false,
    }
}
