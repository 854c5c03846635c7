//! What `demo` runs on: mock APIs and a mock listener on loopback, and the fetcher between them as a child process.
//!
//! The API answers like Cisco Secure Endpoint and like Microsoft Graph, with their habits: newest first, an empty page
//! with a next link, a passing 503, dates with seven digits, events that surface late. The listener keeps what it gets.

mod child;
mod events;
mod letters;
mod story;

use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use flate2::read::GzDecoder;
use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use serde_json::{Value, json};

pub use child::ChildFetcher;
pub use letters::large;
pub use story::{CISCO, COLUMNS_MAX, GRAPH, LogLine, Story, line};

use crate::server::{self, MOCK_BODY_BYTES_MAX, ReceivedRequest, Reply};

/// How many events Cisco's API has at first, and on a page.
const CISCO_EVENTS: usize = 420;
const CISCO_PAGE: usize = 100;
/// How many sign-ins Graph has at first, and on a page.
const GRAPH_EVENTS: usize = 180;
const GRAPH_PAGE: usize = 60;
/// How late an event is that surfaces late.
const LATE_BY: TimeDelta = TimeDelta::seconds(30);
/// The page that fails once.
const FAILING_OFFSET: usize = 200;
/// How many seconds to wait then: long enough for whoever kills the fetcher meanwhile.
const FAILING_RETRY_AFTER: &str = "5";

/// The access token that the mock hands out.
const TOKEN: &str = "demo-access-token";

/// The mock API and the mock listener, running.
#[derive(Debug)]
pub struct DemoServers {
    api: SocketAddr,
    listener: SocketAddr,
    scene: Arc<Mutex<Scene>>,
}

/// What the mocks know.
#[derive(Debug)]
struct Scene {
    cisco: Vec<Value>,
    graph: Vec<Value>,
    has_failed: bool,
    requests: u64,
    arrived: Arrived,
}

/// What the mock listener got.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// How often each record came, by its `type` and id.
    pub counts: HashMap<(String, String), u64>,
    /// How many requests.
    pub batches: u64,
    /// Compressed bytes.
    pub wire_bytes: u64,
    /// Uncompressed bytes.
    pub bytes: u64,
    /// One line, as an example.
    pub sample: Option<String>,
}

impl Arrived {
    /// How many records came more than once, each counted as often as it came again.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.counts.values().map(|count| count.saturating_sub(1)).sum()
    }
}

/// What a user could have written, but for addresses and times.
const CONFIG: &str = include_str!("config.yaml");

impl DemoServers {
    /// Starts both mocks, with events up to `now`.
    ///
    /// # Errors
    /// Where loopback can't be listened on.
    pub async fn start(now: DateTime<Utc>) -> std::io::Result<Self> {
        let scene = Scene {
            cisco: events::cisco(now, 0..CISCO_EVENTS),
            graph: events::graph(now, 0..GRAPH_EVENTS),
            has_failed: false,
            requests: 0,
            arrived: Arrived::default(),
        };
        let scene = Arc::new(Mutex::new(scene));
        let (for_api, for_listener) = (Arc::clone(&scene), Arc::clone(&scene));
        let api = server::serve(MOCK_BODY_BYTES_MAX, move |asked| with(&for_api, |scene| scene.answer(asked))).await?;
        let listener =
            server::serve(MOCK_BODY_BYTES_MAX, move |asked| with(&for_listener, |scene| scene.take(asked))).await?;
        Ok(Self { api, listener, scene })
    }

    /// A config that a user could have written, for the mocks, with a time between two iterations.
    #[must_use]
    pub fn config(&self, interval: &str) -> String {
        let (api, listener) = (self.api.to_string(), self.listener.to_string());
        let values = [("{api}", api.as_str()), ("{listener}", &listener), ("{interval}", interval)];
        let names = [("{cisco}", CISCO), ("{graph}", GRAPH)];
        values.into_iter().chain(names).fold(CONFIG.to_owned(), |text, (mark, value)| text.replace(mark, value))
    }

    /// Lets a few events surface in each API: a new one, one in the second of the newest known ones, and a late one.
    /// Returns how many.
    pub fn surface_events(&self, now: DateTime<Utc>) -> usize {
        let dates = [now + TimeDelta::seconds(1), now, now - LATE_BY];
        with(&self.scene, |scene| {
            for date in dates {
                let (cisco, graph) = (scene.cisco.len(), scene.graph.len());
                scene.cisco.extend(events::cisco(date, cisco..cisco + 1));
                scene.graph.extend(events::graph(date, graph..graph + 1));
            }
            events::sort(&mut scene.cisco, "date");
            events::sort(&mut scene.graph, "createdDateTime");
        });
        2 * dates.len()
    }

    /// How many events the APIs have by now.
    #[must_use]
    pub fn events(&self) -> usize {
        with(&self.scene, |scene| scene.cisco.len() + scene.graph.len())
    }

    /// How often the APIs were asked.
    #[must_use]
    pub fn requests(&self) -> u64 {
        with(&self.scene, |scene| scene.requests)
    }

    /// What the listener got by now.
    #[must_use]
    pub fn arrived(&self) -> Arrived {
        with(&self.scene, |scene| scene.arrived.clone())
    }
}

fn with<T>(scene: &Mutex<Scene>, act: impl FnOnce(&mut Scene) -> T) -> T {
    act(&mut scene.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Scene {
    fn answer(&mut self, asked: &ReceivedRequest) -> Reply {
        self.requests += 1;
        match asked.path.as_str() {
            "/v1/events" if asked.header("authorization").starts_with("Basic ") => self.cisco_page(asked),
            "/oauth2/v2.0/token" if asked.text().contains("grant_type=client_credentials") => {
                Reply::json(StatusCode::OK, &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN}))
            }
            "/v1.0/auditLogs/signIns" if asked.header("authorization") == format!("Bearer {TOKEN}") => {
                self.graph_page(asked)
            }
            _ => Reply::json(StatusCode::UNAUTHORIZED, &json!({"error": "unauthorized"})),
        }
    }

    fn cisco_page(&mut self, asked: &ReceivedRequest) -> Reply {
        let offset = asked.number("offset");
        if offset == FAILING_OFFSET && !self.has_failed {
            self.has_failed = true;
            let body = json!({"errors": [{"description": "try again later"}]});
            return Reply::json(StatusCode::SERVICE_UNAVAILABLE, &body).with(RETRY_AFTER, FAILING_RETRY_AFTER);
        }
        let start = asked.date("start_date").unwrap_or_default();
        let found = events::since(&self.cisco, "date", start);
        let page: Vec<&Value> = found.iter().skip(offset).take(CISCO_PAGE).copied().collect();
        let mut links = json!({"self": asked.url});
        if offset + CISCO_PAGE < found.len() {
            let rest = asked.query.replace(&format!("&offset={offset}"), "");
            let next = format!("{}?{rest}&offset={}", asked.url, offset + CISCO_PAGE);
            links = json!({"self": asked.url, "next": next});
        }
        let results = json!({"total": found.len(), "current_item_count": page.len(), "index": offset});
        Reply::json(
            StatusCode::OK,
            &json!({"version": "v1.2.0", "metadata": {"links": links, "results": results}, "data": page}),
        )
    }

    fn graph_page(&mut self, asked: &ReceivedRequest) -> Reply {
        let filter = asked.field("$filter").unwrap_or_default();
        let start = filter.strip_prefix("createdDateTime ge ").and_then(crate::record::date::parse);
        let skip = asked.number("$skiptoken");
        let found = events::since(&self.graph, "createdDateTime", start.unwrap_or_default());
        // The second answer is empty and names a next one, as Graph's sometimes are.
        let is_empty = skip == 1;
        let from = if skip > 1 { skip } else { 0 };
        let page: Vec<&Value> = found.iter().skip(from).take(if is_empty { 0 } else { GRAPH_PAGE }).copied().collect();
        let next = match skip {
            0 if found.len() > GRAPH_PAGE => Some(1),
            1 => Some(GRAPH_PAGE),
            _ if from + GRAPH_PAGE < found.len() && skip > 0 => Some(from + GRAPH_PAGE),
            _ => None,
        };
        let context = "https://graph.microsoft.com/v1.0/$metadata#auditLogs/signIns";
        let mut body = json!({"@odata.context": context, "value": page});
        if let Some(next) = next {
            let rest = asked.query.split("&$skiptoken").next().unwrap_or_default();
            let link = format!("{}?{rest}&$skiptoken={next}", asked.url);
            body = json!({"@odata.context": context, "@odata.nextLink": link, "value": page});
        }
        Reply::json(StatusCode::OK, &body)
    }

    fn take(&mut self, asked: &ReceivedRequest) -> Reply {
        let mut text = String::new();
        if asked.field("token").is_none() || GzDecoder::new(asked.body.as_slice()).read_to_string(&mut text).is_err() {
            return Reply::empty(StatusCode::UNAUTHORIZED);
        }
        let arrived = &mut self.arrived;
        arrived.batches += 1;
        arrived.wire_bytes += asked.body.len() as u64;
        arrived.bytes += text.len() as u64;
        for line in text.lines() {
            let record: Value = serde_json::from_str(line).unwrap_or_default();
            let word =
                |key: &str| record.get(key).map_or_else(String::new, Value::to_string).trim_matches('"').to_owned();
            *arrived.counts.entry((word("type"), word("id"))).or_default() += 1;
            arrived.sample.get_or_insert_with(|| line.to_owned());
        }
        Reply::empty(StatusCode::OK)
    }
}
