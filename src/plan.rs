//! What is to be done: the compiled form of the config, complete and valid.
//!
//! Everything behind `config` works on these types alone. A named type of the config leaves no trace here: it has filled in
//! the same fields that a general entry writes out.

mod cluster;
mod output;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderName};
use rustls::pki_types::CertificateDer;

pub use cluster::{ClusterIdentity, ClusterPlan, ClusterTls, ClusterUser};
pub use output::{Acknowledge, Inputs, Output, OutputName};

use crate::assertion::Assertion;
use crate::decode::Format;
use crate::http::ClientIdentity;
use crate::pace::Rate;
use crate::paging::{Continuation, Locator, Paging};
use crate::record::json::RawJson;
use crate::record::path::JsonPath;
use crate::record::{CustomFields, Fingerprint, Paths, Zone};
use crate::template::{Granularity, Position, RequestTemplate, Template, Variable};
use crate::text::{Redactor, Secret};

/// The whole config, compiled.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// Where records go, in the order of the config; no two of one name.
    pub outputs: Vec<Output>,
    /// Certificates trusted besides the system's (`tls.ca_file`).
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Where the status page is served (`status.listen`), if it is wanted.
    pub status_listen: Option<SocketAddr>,
    /// What pages, records and batches of all APIs may take in memory (`limits.memory`), in bytes.
    pub memory_bytes: u64,
    /// The APIs to ask, in the order of the config; no two of one name.
    pub apis: Vec<Arc<Plan>>,
    /// What is wrong with the entries that don't run, where the others do: in entries of `apis`.
    pub faulty: Vec<String>,
    /// The names of the APIs whose entries are those of the original (`apis`).
    pub of_original: Vec<String>,
    /// The names of the entries that rest, as they are not enabled or no output gets their records: they aren't asked, and
    /// their state stays.
    pub resting: Vec<String>,
    /// The cluster that this fetcher is a member of, where it isn't alone.
    pub cluster: Option<ClusterPlan>,
}

/// One API: one entry of the config.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its unique name, which also names it in `last_start_dates.txt`.
    pub name: String,
    /// From the end of an iteration to the start of the next.
    pub interval: Duration,
    /// How requests prove who asks.
    pub auth: Auth,
    /// What is asked, page by page.
    pub request: RequestTemplate,
    /// How often its host may be asked with its login, by all entries together (`settings.rate_limit`).
    pub rate: Option<Rate>,
    /// The certificates of its own (`tls`).
    pub identity: Option<Arc<ClientIdentity>>,
    /// Where an iteration begins.
    pub start: StartPolicy,
    /// Records dated then or later are left out (`once --until`).
    pub until: Option<DateTime<Utc>>,
    /// How answers are read.
    pub response: ResponseRule,
    /// Where things stand in the answers.
    pub paths: Paths,
    /// How one page leads to the next.
    pub paging: Paging,
    /// What the next iteration goes on with (`next_iteration`).
    pub next_iteration: Option<Continuation>,
    /// What is asked for each entry of the answers, in their order; where there is any, the last one's answers hold the
    /// records.
    pub steps: Vec<StepPlan>,
    /// How many entries are asked about at a time (`settings.parallel`).
    pub parallel: usize,
    /// What is added to every record.
    pub custom_fields: CustomFields,
    /// Hides this API's secrets.
    pub redactor: Redactor,
}

/// A request for each entry of the answer before (`steps`).
#[derive(Clone, Debug, PartialEq)]
pub struct StepPlan {
    /// The API's own plan, with this step's request, response, paths and paging in their places, and without steps: a step
    /// is asked like an API of its own.
    pub plan: Plan,
    /// Until when it is asked again; nothing where any answer counts.
    pub poll: Option<Poll>,
}

/// How a job is asked whether it is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Poll {
    /// It is done when all of these hold (`until`).
    pub until: Vec<Condition>,
    /// It has failed when one of these holds (`fails`).
    pub fails: Vec<Condition>,
    /// How long it may take (`within`).
    pub within: Duration,
}

/// A value that an answer should have.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Where it stands.
    pub path: JsonPath,
    /// One of these texts.
    pub values: Vec<String>,
}

/// How answers are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResponseRule {
    /// What their bodies are (`response.format`).
    pub format: Format,
    /// What is taken for a record (`response.records`).
    pub records: RecordRule,
    /// Where the names of the columns stand, of rows that are arrays (`response.columns`).
    pub columns: Option<JsonPath>,
    /// The statuses of answers without records (`response.empty_statuses`), besides 204. They are believed unless a web
    /// page comes with them.
    pub empty_statuses: Vec<StatusCode>,
    /// The statuses of answers that aren't ready (`response.retry_statuses`): the same is asked again.
    pub retry_statuses: Vec<StatusCode>,
    /// The header of such an answer that goes along when the same is asked again (`response.retry_header`).
    pub retry_header: Option<HeaderName>,
}

/// What is taken for a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordRule {
    /// What JSON says it is: a text is a text.
    #[default]
    Strict,
    /// Whatever comes: texts that hold JSON are opened, and an answer that is no JSON is a record.
    Any,
}

/// Where a request's credentials come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Auth {
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user-id.
        id: Template,
        /// The password; it may be the signature of the request.
        key: Template,
    },
    /// None but what stands among the request's headers: an `Authorization` or a key of the user's own, or nothing at all.
    OwnHeader,
    /// What a token request gives: an access token (RFC 6749), a cookie, or more.
    Token(Box<TokenRequest>),
}

/// How to get an access token.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRequest {
    /// What is asked: POST, unless the config says GET. It never leaves its origin.
    pub request: RequestTemplate,
    /// Where the answer holds the token.
    pub token: Locator,
    /// Whether there must be one: an answer may hold cookies alone.
    pub is_token_required: bool,
    /// Where the answer says how many seconds the token lasts.
    pub expires_in: JsonPath,
    /// The first refresh token. Servers may give another one with each answer, which counts from then on.
    pub refresh_token: Option<Secret>,
    /// How to make the signed JWT that stands in it.
    pub assertion: Option<Box<Assertion>>,
    /// Tells the certificates that it shows.
    pub identity: Option<Fingerprint>,
}

/// Where an iteration begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartPolicy {
    /// The start date that stands in the filters.
    pub configured: Option<DateTime<Utc>>,
    /// How far back to begin where no start is known (`settings.days_back_fetch`).
    pub back: TimeDelta,
    /// How far before the checkpoint to look again (`settings.overlap`).
    pub overlap: Overlap,
    /// How fine a start date is written: what is sent again lies one unit of it before the checkpoint.
    pub granularity: Granularity,
    /// Where a window ends.
    pub end: EndPolicy,
    /// What a checkpoint is (`settings.checkpoint`).
    pub checkpoint: CheckpointKind,
    /// How far back the API lets a start lie (`settings.max_age`).
    pub max_age: Option<TimeDelta>,
}

/// How far a start stays away from the earliest one that an API takes: that moves with the clock, and requests take their time.
pub const AGE_MARGIN: TimeDelta = TimeDelta::minutes(1);

/// What a checkpoint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckpointKind {
    /// The newest event date delivered.
    #[default]
    Newest,
    /// The end of the window that was asked for: the API filters by a clock of its own, such as arrival, and event dates say
    /// nothing about what a window holds.
    WindowEnd,
    /// None: the API keeps the position itself and moves on with each answer, as a queue does.
    Server,
    /// None: the request never changes, and each iteration reads all that the API lists.
    Snapshot(Repeat),
}

/// What becomes of records that an earlier reading of a list brought (`settings.repeat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// Each reading is shipped whole: the state of things at that moment.
    #[default]
    Ship,
    /// They are left out: the list is one of events.
    Skip,
}

/// Where a window ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndPolicy {
    /// How long before now (`settings.end_delay`).
    pub delay: TimeDelta,
    /// The longest span that one request may ask for (`settings.max_window`): a longer window is asked slice by slice.
    pub longest: Option<TimeDelta>,
    /// How fine the request writes the end; `None` where it names none.
    pub written: Option<Granularity>,
}

impl StartPolicy {
    /// Whether the API's own clock tells what a window holds, and not the dates of records.
    #[must_use]
    pub fn goes_by_arrival(&self) -> bool {
        match self.checkpoint {
            CheckpointKind::Newest => false,
            CheckpointKind::WindowEnd | CheckpointKind::Server | CheckpointKind::Snapshot(_) => true,
        }
    }

    /// Whether known records of a list that is read again and again are left out.
    #[must_use]
    pub fn skips_known(&self) -> bool {
        self.checkpoint == CheckpointKind::Snapshot(Repeat::Skip)
    }
}

/// How far before the checkpoint to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Not beyond one unit of the start date, as records have no id by which they are known again.
    Unit,
    /// As far as the config says.
    Fixed(TimeDelta),
    /// As far as records have been late (`auto`).
    Measured {
        /// How far until enough of them are measured.
        until_measured: TimeDelta,
    },
}

impl Config {
    /// The outputs that get the records of an API.
    pub fn outputs_of<'c>(&'c self, api: &'c str) -> impl Iterator<Item = &'c Output> {
        self.outputs.iter().filter(move |output| output.takes(api))
    }

    /// The names of all entries, those that rest among them.
    #[must_use]
    pub fn names(&self) -> HashSet<String> {
        self.apis.iter().map(|plan| plan.name.clone()).chain(self.resting.iter().cloned()).collect()
    }
}

impl Plan {
    /// Tells whom its requests reach as whom: entries that agree in it share the limits of both.
    #[must_use]
    pub fn host_and_login(&self) -> Fingerprint {
        let origin = self.request.url.origin().ascii_serialization();
        match &self.auth {
            Auth::Basic { id, key } => Fingerprint::of(&[
                origin.as_bytes(),
                b"basic",
                id.written().as_bytes(),
                key.written().as_bytes(),
                self.request.sign.as_ref().map_or("", |sign| sign.key.expose()).as_bytes(),
            ]),
            Auth::OwnHeader => {
                let headers = &self.request.first.headers;
                let own = headers.iter().filter(|(_, value)| value.is_sensitive());
                let own = own.filter(|(name, _)| **name == AUTHORIZATION || !headers.contains_key(AUTHORIZATION));
                let own = own.flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
                Fingerprint::of(&[origin.as_bytes(), b"header"].into_iter().chain(own).collect::<Vec<_>>())
            }
            Auth::Token(request) => Fingerprint::of(&[origin.as_bytes(), b"token", request.fingerprint().bytes()]),
        }
    }
}

impl Auth {
    /// Has patterns of dates that name no zone written as a clock in this one shows them, as those of all other requests are.
    pub fn write_in_zone(&mut self, zone: Zone) {
        match self {
            Self::Basic { id, key } => [id, key].into_iter().for_each(|template| template.write_in_zone(zone)),
            Self::OwnHeader => {}
            Self::Token(request) => request.request.write_in_zone(zone),
        }
    }
}

impl TokenRequest {
    /// Tells token requests apart, without what is secret in them.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let where_found = format!("{:?} {:?} {}", self.token, self.expires_in, self.is_token_required);
        let refresh_token = self.refresh_token.as_ref().map_or("", Secret::expose);
        let request = self.request.whole_fingerprint();
        let assertion = self.assertion.as_ref().map(|assertion| assertion.fingerprint());
        let others = format!("{assertion:?} {:?}", self.identity);
        Fingerprint::of(&[request.bytes(), where_found.as_bytes(), refresh_token.as_bytes(), others.as_bytes()])
    }

    /// Tells the refresh tokens apart that the first one leads to, whatever else of the token request is edited; nothing
    /// where there is none. A new first one has no successors yet.
    #[must_use]
    pub fn refresh_source(&self) -> Option<Fingerprint> {
        let url = &self.request.url;
        let place = format!("{}{}", url.origin().ascii_serialization(), url.path());
        let first = self.refresh_token.as_ref()?;
        Some(Fingerprint::of(&[b"refresh token", place.as_bytes(), first.expose().as_bytes()]))
    }
}

impl Plan {
    /// Whether where it goes on is kept in a position that moves with what it answers, and not in the dates of its records:
    /// what was answered before can't be asked for again, or not for long.
    #[must_use]
    pub fn keeps_position(&self) -> bool {
        let names_cursor = || self.request.variables().any(|name| *name == Variable::Cursor);
        self.start.checkpoint == CheckpointKind::Server || names_cursor()
    }

    /// Whether its logins use up refresh tokens.
    #[must_use]
    pub fn has_refresh_token(&self) -> bool {
        matches!(&self.auth, Auth::Token(request) if request.refresh_token.is_some())
    }

    /// Whether it can be told to begin at a date.
    #[must_use]
    pub fn can_begin_at_date(&self) -> bool {
        let by_value = self.next_iteration.as_ref().is_none_or(|rule| rule.date_value().is_some());
        let is_snapshot = matches!(self.start.checkpoint, CheckpointKind::Snapshot(_));
        !is_snapshot && (by_value || self.names_start(&Position::default()))
    }

    /// Whether records may turn out to have no dates, as only the next iteration's request says where they would be.
    #[must_use]
    pub fn guesses_date(&self) -> bool {
        self.next_iteration.as_ref().is_some_and(|rule| rule.guesses_date)
    }

    /// Whether dates in its requests are written as records write theirs.
    #[must_use]
    pub fn follows_date_text(&self) -> bool {
        let by_value = self.next_iteration.as_ref().is_some_and(|rule| rule.date_value().is_some());
        by_value || self.request.writes_like_records()
    }

    /// What becomes of the answers, in a line, where the request never changes: that isn't seen from the config alone.
    #[must_use]
    pub fn snapshot_words(&self) -> Option<&'static str> {
        match self.start.checkpoint {
            CheckpointKind::Snapshot(Repeat::Ship) => Some(
                "its request never changes, so each answer is shipped whole, with what was shipped before; \
                 `repeat: skip` leaves that out",
            ),
            CheckpointKind::Snapshot(Repeat::Skip) => Some(
                "its request never changes, and what was shipped before is left out; `repeat: ship` ships each \
                 answer whole",
            ),
            _ => None,
        }
    }

    /// What tells whether the requests are still those that a saved place belongs to; credentials may change.
    #[must_use]
    pub fn requests_fingerprint(&self) -> Fingerprint {
        let paths = format!("{:?}", self.paths);
        let own = Fingerprint::of(&[self.request.fingerprint().bytes(), paths.as_bytes()]);
        if self.steps.is_empty() {
            return own;
        }
        let steps: Vec<Fingerprint> = self.steps.iter().map(|step| step.plan.requests_fingerprint()).collect();
        Fingerprint::of(&std::iter::once(&own).chain(&steps).map(|of| of.bytes().as_slice()).collect::<Vec<_>>())
    }

    /// Tells forms of the entry apart that don't reach the same places: what it asks, where things stand in the answers, and
    /// what its checkpoint is. Credentials, intervals and fields may change.
    #[must_use]
    pub fn form(&self) -> u64 {
        let kind = format!("{:?} {:?}", self.start.checkpoint, self.start.configured);
        let whole = Fingerprint::of(&[self.requests_fingerprint().bytes(), kind.as_bytes()]);
        whole.bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Whether the answers of its first requests list partitions (tenants, sets) or a job, and no dated entries: then its
    /// steps are asked in each iteration, and it is their records that lie in the window.
    #[must_use]
    pub fn has_partitions(&self) -> bool {
        !self.steps.is_empty() && self.paths.date.is_none()
    }

    /// Whether the request at a position says where the window begins, or one of a partition does.
    #[must_use]
    pub fn names_start(&self, position: &Position) -> bool {
        let in_steps = || self.steps.iter().any(|step| step.plan.request.names_start(&Position::default()));
        self.request.names_start(position) || (self.has_partitions() && in_steps())
    }
}

impl Condition {
    /// What stands there, as text, where it is a single value.
    #[must_use]
    pub fn find(&self, root: RawJson<'_>) -> Option<String> {
        let found = self.path.first(root)?;
        Some(found.scalar().map_or_else(|| found.text().to_owned(), |text| text.into_owned()))
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, root: RawJson<'_>) -> bool {
        self.find(root).is_some_and(|found| self.values.contains(&found))
    }
}
