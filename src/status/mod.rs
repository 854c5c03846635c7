//! What the daemon tells about itself: pages for people, JSON and metrics for machines, and whether it does its work.
//!
//! Enters: what the daemon notes on the [`StatusRegistry`]. Leaves: answers to GET requests. What always holds: nothing can be
//! changed from outside, no answer holds a secret, and no page loads anything from elsewhere. All of it is
//! served only where the config says so (`status.listen`); the report on health also on a port of loopback, for `health`, and JSON
//! through the socket in the directory, for `top`.

mod api_page;
mod ask;
mod cause;
mod cluster;
mod cluster_shown;
mod cluster_watch;
mod day;
mod health;
mod json;
mod lasting;
mod listen;
mod metrics;
mod page;
mod plot;
mod registry;
mod snapshot;
mod table;
#[cfg(test)]
pub(crate) mod test;
mod view;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;

pub use ask::{HealthReport, ask_on};
pub use cluster::{AccountSummary, ClusterReading, ClusterSources, ClusterStanding, Takeovers};
pub use cluster_watch::watch_cluster;
pub use day::{Day, HalfHour};
pub use health::{ApiHealth, STATES, shown as state_text};
pub use json::status_json;
pub use listen::StatusServer;
pub use metrics::metrics;
pub use page::page;
pub use registry::{RegisteredLane, StatusRegistry};
pub use snapshot::{
    ApiStatus, FAILED_ITERATIONS_MIN, Failure, Phase, RECENT_MAX, RecentIteration, Reload, Snapshot, StateSummary,
};
pub use view::View;

use api_page::api_page;

use crate::server::{self, ReceivedRequest, Reply};
use crate::state::Whereabouts;

/// A request to the daemon has no body.
const BODY_BYTES_MAX: usize = 0;
/// The page may load its own style and script, ask its own server again, and nothing else.
const CONTENT_SECURITY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML_TYPE: &str = "text/html; charset=utf-8";
/// The text format of Prometheus.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How much is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// The pages, JSON, the metrics and the word on health.
    All,
    /// The report on health.
    Health,
}

/// Answers on a free port of loopback how the daemon is, for as long as it lives.
///
/// # Errors
/// Where loopback can't be listened on.
pub async fn serve_health(registry: Arc<StatusRegistry>, whereabouts: Whereabouts) -> io::Result<SocketAddr> {
    let elsewhere = || Reply::text(StatusCode::MISDIRECTED_REQUEST, ELSEWHERE);
    server::serve(BODY_BYTES_MAX, move |asked| match whereabouts.is_meant_by(&asked.query) {
        true => answer(asked, &registry, Extent::Health, Utc::now()),
        false => guarded(elsewhere()),
    })
    .await
}

/// Said to whoever asks about another directory.
const ELSEWHERE: &str =
    "unhealthy: no fetcher runs on this directory; the one that its lock file names runs on another";

fn answer(asked: &ReceivedRequest, registry: &StatusRegistry, extent: Extent, now: DateTime<Utc>) -> Reply {
    if !matches!(asked.method, Method::GET | Method::HEAD) {
        let reply = Reply::text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
        return guarded(reply.with(ALLOW, "GET, HEAD"));
    }
    if asked.is_to_loopback && !is_local(asked.header("host")) {
        // A page from elsewhere whose name suddenly leads here (DNS rebinding) must not read this one.
        let text = "on loopback only localhost is answered; a proxy before it should send `Host: localhost`\n";
        return guarded(Reply::text(StatusCode::MISDIRECTED_REQUEST, text));
    }
    let reply = match (asked.path.as_str(), extent) {
        // Whoever answers is alive; that APIs fail is no reason to be started anew.
        ("/healthz", _) => Reply::text(StatusCode::OK, &registry.word(Instant::now()).text),
        ("/readyz", _) => {
            let word = registry.word(Instant::now());
            let status = if word.is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            Reply::text(status, &word.text)
        }
        (path, Extent::All) => shown(path, &asked.query, registry, now).unwrap_or_else(not_found),
        _ => not_found(),
    };
    guarded(reply)
}

fn not_found() -> Reply {
    let there_is = "not found; available: /, /api/NAME, /status.json, /metrics, /healthz, /readyz\n";
    Reply::text(StatusCode::NOT_FOUND, there_is)
}

/// What is there for people and programs; nothing where it isn't.
fn shown(path: &str, query: &str, registry: &StatusRegistry, now: DateTime<Utc>) -> Option<Reply> {
    let file = |content_type, text: &str| Some(Reply::new(StatusCode::OK, content_type, text));
    match path {
        "/" => file(HTML_TYPE, &page(&registry.snapshot(), &View::of(query), now)),
        "/status.json" => {
            file("application/json", &status_json(&registry.snapshot(), field(query, "api").as_deref(), now)?)
        }
        "/metrics" => file(METRICS_TYPE, &metrics(&registry.snapshot())),
        "/style.css" => file("text/css; charset=utf-8", include_str!("style.css")),
        "/icon.svg" => file("image/svg+xml", include_str!("icon.svg")),
        "/script.js" => file("text/javascript; charset=utf-8", include_str!("script.js")),
        _ => file(HTML_TYPE, &api_page(&registry.snapshot(), &api_name(path, query)?, now)?),
    }
}

/// The API that `/api/NAME` or `/api/?name=NAME` asks for. The name is one segment, percent-encoded.
fn api_name(path: &str, query: &str) -> Option<String> {
    match path.strip_prefix("/api/")? {
        "" => field(query, "name"),
        segment if segment.contains('/') => None,
        segment => Some(percent_decode_str(segment).decode_utf8().ok()?.into_owned()),
    }
}

/// A field of a query, decoded.
fn field(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').filter_map(|field| field.split_once('=')).find(|(known, _)| *known == name)?.1;
    Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
}

/// Whether a `Host` header names this machine, whatever its port.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// With the headers that keep a browser from making anything else of it.
fn guarded(reply: Reply) -> Reply {
    reply
        .with(CONTENT_SECURITY_POLICY, CONTENT_SECURITY)
        .with(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with(X_FRAME_OPTIONS, "DENY")
        .with(REFERRER_POLICY, "no-referrer")
        .with(HeaderName::from_static("cross-origin-resource-policy"), "same-origin")
        .with(CACHE_CONTROL, "no-store")
}
