//! From a tape to a cassette.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use reqwest::Url;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, SET_COOKIE, TRANSFER_ENCODING,
};
use serde_yaml::{Mapping, Value};

use super::file::{Cassette, CassetteError, CassetteKind, FileExchange, RecordedIteration};
use super::mask::{BodyKind, Entry, Mask, mask_entry, without_secrets};
use super::play::{self, PlayError, PlayOutcome, Script, alone, play_exchanges, read_config, services, started};
use crate::decode::{Content, Format};
use crate::fetch::TokenCache;
use crate::http::Clients;
use crate::iteration::Services;
use crate::paging::{LinkPart, LinkSource, Locator, Pagination};
use crate::plan::{Auth, CheckpointKind, Config, Plan};
use crate::process::stop::{Stop, Waited};
use crate::ship::BatchSink;
use crate::template::Variable;
use crate::text::is_secret_name;
use crate::transport::{ANSWERS_BYTES_MAX, ANY, Recording, TapedExchange, TapedOutcome, TapedRequest, Transport};

/// How long a `{nonce}` is, in hexadecimal digits.
const NONCE_CHARS: usize = 64;

/// Iterations that were run with a tape beside them. What is in it is secret.
pub struct Recorded {
    plan: Arc<Plan>,
    from: Option<DateTime<Utc>>,
    exchanges: Vec<TapedExchange>,
    iterations: Vec<TapedIteration>,
}

/// An iteration that was recorded.
struct TapedIteration {
    at: DateTime<Utc>,
    /// How many requests it made.
    requests: usize,
    /// How many records it shipped.
    shipped: u64,
    failed: Option<String>,
}

/// Why there is no cassette, or one that is of no use.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The parts can't be put together.
    #[error("{0}")]
    Local(#[from] std::io::Error),
    /// What is recorded would be missing from what is shipped.
    #[error(
        "the API keeps the position (settings.checkpoint: server): what it gives here it would not give to the fetcher again"
    )]
    KeepsPosition,
    /// More than a cassette holds.
    #[error("the iteration has more requests or larger answers than a cassette holds; begin later, by --from")]
    Full,
    /// It can't be written, or not be played.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// With the values replaced the fetcher goes another way.
    #[error("with its values replaced the cassette leads elsewhere: {0}; --verbatim keeps the values")]
    Elsewhere(String),
}

impl From<CassetteError> for RecordError {
    fn from(error: CassetteError) -> Self {
        Self::Play(error.into())
    }
}

/// Runs iterations of an API, ships nothing and saves nothing but a refresh token that comes, in `tokens`.
///
/// # Errors
/// [`RecordError`]. That an iteration fails is none: that is what is recorded.
pub async fn record(
    (clients, tokens): (Clients, TokenCache),
    config: &Config,
    plan: &Plan,
    from: Option<DateTime<Utc>>,
    iterations: u32,
    stop: Stop,
) -> Result<Recorded, RecordError> {
    if plan.start.checkpoint == CheckpointKind::Server {
        return Err(RecordError::KeepsPosition);
    }
    let now = || Utc::now().trunc_subsecs(3);
    let recording = Arc::new(Recording::new(now()));
    let transport = Transport::Record(clients, Arc::clone(&recording));
    let sink = Arc::new(BatchSink::default());
    let services = Services { tokens, ..services(config, transport, Arc::clone(&sink), stop.clone(), now())? };
    let plan = Arc::new(started(plan, from));
    let mut api = alone(Arc::clone(&plan), &services)?;
    let mut taken = Vec::new();
    for number in 0..iterations {
        if number > 0 && stop.wait(plan.interval).await == Waited::Stopped {
            break;
        }
        let (at, before) = (recording.clock().set(now()), recording.exchanges().len());
        let (result, report) = api.iterate(&services, at).await;
        drop(sink.take());
        if recording.is_full() {
            return Err(RecordError::Full);
        }
        let failed = result.err().map(|error| plan.redactor.redact(&error.to_string()));
        let requests = recording.exchanges().len() - before;
        taken.push(TapedIteration { at, requests, shipped: report.shipped.records, failed });
        if stop.is_requested() {
            break;
        }
    }
    services.store.close().await;
    Ok(Recorded { plan, from, exchanges: recording.exchanges(), iterations: taken })
}

/// The cassette of what was recorded, and what came of playing it.
///
/// # Errors
/// [`RecordError`], where it can't be played as it was recorded.
pub async fn cassette_of(recorded: &Recorded, entry: &Entry, kind: CassetteKind) -> Result<Cassette, RecordError> {
    match kind {
        CassetteKind::Verbatim => verbatim(recorded, entry),
        CassetteKind::Replaced | CassetteKind::Synthetic => replaced(recorded, entry).await,
    }
}

/// With other values: the answers and the entry are masked, and the requests are what the pipeline asks for then.
async fn replaced(recorded: &Recorded, entry: &Entry) -> Result<Cassette, RecordError> {
    let plan = &recorded.plan;
    let now = recorded.iterations.first().map_or_else(Utc::now, |iteration| iteration.at);
    let mut mask = Mask::new(plan.redactor.clone(), now);
    let masked = mask_entry(entry, &mut mask);
    let config = config_text(&masked)?;
    let of_masked = read_config(&config)?;
    for (before, after) in
        hosts(plan).into_iter().zip(of_masked.apis.first().map(|plan| hosts(plan)).into_iter().flatten())
    {
        mask.fix_host(&before, &after);
    }
    let named = named_headers(plan);
    let exchanges: Vec<TapedExchange> = recorded
        .exchanges
        .iter()
        .map(|exchange| {
            let is_token = exchange.request.as_ref().is_some_and(|request| is_token(plan, &request.url));
            let outcome = match &exchange.outcome {
                TapedOutcome::Answer(answer) => {
                    let mut answer = answer.clone();
                    let kind = BodyKind { is_token, is_lines: has_lines(plan, &answer.headers) };
                    answer.headers = mask.headers(&answer.headers, &named, is_token);
                    answer.body = mask.bytes(&answer.body, kind).into();
                    TapedOutcome::Answer(answer)
                }
                failure => failure.clone(),
            };
            TapedExchange { at: exchange.at, request: None, outcome }
        })
        .collect();
    // First to see what is asked for, then to see that it is asked for again.
    let iterations = recorded.iterations.iter().map(|iteration| (iteration.at, iteration.requests)).collect();
    let script = Script { config: &config, from: recorded.from, iterations };
    let played = play_exchanges(&script, exchanges.clone()).await?;
    require_same_way(recorded, &played)?;
    let cassette = assembled(recorded, CassetteKind::Replaced, config, &exchanges, &played.made);
    let played = play::play(&cassette).await?;
    require_same_way(recorded, &played)?;
    Ok(cassette)
}

/// As it came, without credentials.
fn verbatim(recorded: &Recorded, entry: &Entry) -> Result<Cassette, RecordError> {
    let plan = &recorded.plan;
    let redactor = &plan.redactor;
    let hidden = |text: &str| redactor.hide(text);
    let has_nonce = plan.request.variables().any(|variable| *variable == Variable::Nonce);
    let hidden_in_requests = |text: &str| if has_nonce { without_nonces(&hidden(text)) } else { hidden(text) };
    let config = config_text(&without_secrets(entry, redactor))?;
    let mut exchanges = recorded.exchanges.clone();
    let mut requests = Vec::new();
    for exchange in &mut exchanges {
        let Some(request) = exchange.request.take() else { continue };
        let is_token = is_token(plan, &request.url);
        if let TapedOutcome::Answer(answer) = &mut exchange.outcome {
            // Of what is kept the length may be another.
            [SET_COOKIE, CONTENT_LENGTH, TRANSFER_ENCODING].iter().for_each(|name| drop(answer.headers.remove(name)));
            if is_token {
                // Nothing of it is kept, whoever reads it.
                let mut mask = Mask::new(redactor.clone(), exchange.at);
                answer.body = mask.bytes(&answer.body, BodyKind { is_token: true, is_lines: false }).into();
            } else {
                let mut hide = |_: &str, bytes: Vec<u8>| match std::str::from_utf8(&bytes) {
                    Ok(text) => hidden(text).into_bytes(),
                    Err(_) => bytes,
                };
                let content = Content::of(&answer.body, ANSWERS_BYTES_MAX);
                let packed = content.changed(&mut hide, &|_, name| hidden(name)).packed();
                answer.body = packed.map_err(RecordError::Local)?.into();
            }
        }
        requests.push(without_credentials(request, is_token, &hidden_in_requests));
    }
    Ok(assembled(recorded, CassetteKind::Verbatim, config, &exchanges, &requests))
}

/// A text without its nonces, and without the hashes that are made of them, which are as long: both are others each time.
fn without_nonces(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(is_digit) {
        let (before, from) = rest.split_at(at);
        let (run, after) = from.split_at(from.find(|c| !is_digit(c)).unwrap_or(from.len()));
        out.push_str(before);
        out.push_str(if run.len() == NONCE_CHARS { ANY } else { run });
        rest = after;
    }
    out + rest
}

/// A request of which nobody learns how to make another.
fn without_credentials(request: TapedRequest, is_token: bool, hidden: &dyn Fn(&str) -> String) -> TapedRequest {
    let is_secret = |name: &str| name == AUTHORIZATION.as_str() || name == COOKIE.as_str() || is_secret_name(name);
    let headers = request.headers.into_iter().map(|(name, value)| {
        let value = match name.as_str() {
            name if name == ACCEPT.as_str() || name == CONTENT_TYPE.as_str() => value,
            name if is_secret(name) => ANY.to_owned(),
            _ => hidden(&value),
        };
        (name, value)
    });
    let mut url = request.url;
    let fields: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if fields.iter().any(|(name, value)| is_token || is_secret(name) || hidden(value) != *value) {
        let mut query = url.query_pairs_mut();
        query.clear();
        for (name, value) in fields {
            let value = if is_token || is_secret(&name) { ANY.to_owned() } else { hidden(&value) };
            query.append_pair(&name, &value);
        }
        drop(query);
    }
    let _ = url.set_password(None).and_then(|()| url.set_username(""));
    let url = Url::parse(&hidden(url.as_str())).unwrap_or(url);
    let body = request.body.map(|body| if is_token { ANY.to_owned() } else { hidden(&body) });
    TapedRequest { method: request.method, url, headers: headers.collect(), body }
}

/// Exchanges and the requests that lead to them, iteration by iteration.
fn assembled(
    recorded: &Recorded,
    kind: CassetteKind,
    config: String,
    exchanges: &[TapedExchange],
    requests: &[TapedRequest],
) -> Cassette {
    let mut pairs = exchanges
        .iter()
        .zip(requests)
        .map(|(exchange, request)| FileExchange::of(exchange.at, request, &exchange.outcome));
    let iterations = recorded.iterations.iter().map(|iteration| RecordedIteration {
        at: iteration.at,
        shipped: iteration.shipped,
        // The error may quote what came.
        failed: iteration.failed.as_ref().map(|failed| match kind {
            CassetteKind::Verbatim => failed.clone(),
            _ => "it failed".to_owned(),
        }),
        exchanges: pairs.by_ref().take(iteration.requests).collect(),
    });
    let iterations = iterations.collect();
    Cassette { from: recorded.from, ..Cassette::new(kind, config, iterations) }
}

fn require_same_way(recorded: &Recorded, played: &PlayOutcome) -> Result<(), RecordError> {
    let elsewhere = |what: String| Err(RecordError::Elsewhere(what));
    if let Some(difference) = &played.difference {
        return elsewhere(format!("request {} is another one", difference.number));
    }
    for (number, (before, now)) in recorded.iterations.iter().zip(&played.iterations).enumerate() {
        let (number, TapedIteration { requests, shipped, failed, .. }) = (number + 1, before);
        if now.requests != *requests {
            return elsewhere(format!("iteration {number} makes {} requests, and made {requests}", now.requests));
        }
        if now.shipped != *shipped {
            return elsewhere(format!("iteration {number} ships {} records, and shipped {shipped}", now.shipped));
        }
        if now.failed.is_some() != failed.is_some() {
            return elsewhere(format!("iteration {number} ends otherwise"));
        }
    }
    for (number, (made, before)) in played.made.iter().zip(&recorded.exchanges).enumerate() {
        let Some(before) = &before.request else { continue };
        if let Some(part) = other_part(made, before) {
            return elsewhere(format!("request {} has another {part}", number + 1));
        }
    }
    Ok(())
}

/// What a masked request should have in common with its original, and hasn't.
fn other_part(made: &TapedRequest, before: &TapedRequest) -> Option<&'static str> {
    let parts = |request: &TapedRequest| -> Vec<bool> { request.url.path().split('/').map(str::is_empty).collect() };
    let headers =
        |request: &TapedRequest| -> Vec<String> { request.headers.iter().map(|(name, _)| name.clone()).collect() };
    match () {
        () if made.method != before.method => Some("method"),
        () if parts(made) != parts(before) => Some("path"),
        () if made.url.query_pairs().count() != before.url.query_pairs().count() => Some("number of query fields"),
        () if headers(made) != headers(before) => Some("set of headers"),
        () if made.body.is_some() != before.body.is_some() => Some("kind of body"),
        () => None,
    }
}

/// The hosts that a plan asks.
fn hosts(plan: &Plan) -> Vec<String> {
    let token = match &plan.auth {
        Auth::Token(request) => Some(&request.request.url),
        _ => None,
    };
    let urls = [Some(&plan.request.url), token];
    urls.into_iter().map(|url| url.and_then(Url::host_str).unwrap_or_default().to_owned()).collect()
}

fn is_token(plan: &Plan, url: &Url) -> bool {
    match &plan.auth {
        Auth::Token(token) => {
            let own = &token.request.url;
            own.origin() == url.origin() && own.path() == url.path()
        }
        _ => false,
    }
}

/// The headers of answers that the entry or a step reads: for the next page, the cursor, the token, or to ask again with.
fn named_headers(plan: &Plan) -> Vec<HeaderName> {
    let mut names = Vec::new();
    let of = |locator: &Locator| match locator {
        Locator::Header(name) => Some(name.clone()),
        Locator::Body(_) => None,
    };
    for plan in std::iter::once(plan).chain(plan.steps.iter().map(|step| &step.plan)) {
        match &plan.paging.kind {
            Pagination::Link(LinkSource::Header(name)) => names.push(name.clone()),
            Pagination::Link(LinkSource::Joined(parts)) => names.extend(parts.iter().filter_map(|part| match part {
                LinkPart::Value(locator) => of(locator),
                LinkPart::Text(_) => None,
            })),
            Pagination::Token(locator) => names.extend(of(locator)),
            _ => {}
        }
        names.extend(plan.paging.cursor.as_ref().and_then(of));
        names.extend(plan.response.retry_header.clone());
    }
    if let Auth::Token(request) = &plan.auth {
        names.extend(of(&request.token));
    }
    names
}

/// Whether each line of an answer is a value of its own, as the entry or the answer says.
fn has_lines(plan: &Plan, headers: &HeaderMap) -> bool {
    let plans = std::iter::once(plan).chain(plan.steps.iter().map(|step| &step.plan));
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_lines = |format: Format| format == Format::Ndjson;
    plans.map(|plan| plan.response.format).any(is_lines)
        || content_type.and_then(Format::of_content_type).is_some_and(is_lines)
}

fn config_text(entry: &Entry) -> Result<String, RecordError> {
    let list = Value::Sequence(vec![Value::Mapping(entry.map.clone())]);
    let root = Mapping::from_iter([(Value::from(entry.list), list)]);
    serde_yaml::to_string(&root).map_err(|error| CassetteError::Form(error.to_string()).into())
}
