//! What a file of `tests/cases/apis` says: an entry of the config, and the API that it asks, in its documented shape.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::pattern::Form;

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// As in the list of APIs.
    pub name: String,
    /// `auth_apis`, `oauth_apis` or `apis`.
    pub list: String,
    /// The entry, as a user would write it.
    pub entry: serde_yaml::Value,
    pub mock: Mock,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mock {
    /// How each request for data must be signed.
    pub sign: Option<Sign>,
    /// Headers that each request for data must have, exactly; `{login}` is the token of the login.
    #[serde(default)]
    pub auth: BTreeMap<String, String>,
    pub login: Option<Login>,
    pub endpoints: Vec<Endpoint>,
    /// Which request is under way when the fetcher is killed.
    #[serde(default = "two")]
    pub killed_at: usize,
    /// Whether a record surfaces late.
    #[serde(default = "yes")]
    pub late: bool,
    /// Whether events share a moment.
    #[serde(default = "yes")]
    pub ties: bool,
    /// Whether what was begun before a kill is finished first: what surfaced meanwhile comes in the iteration after.
    #[serde(default)]
    pub goes_on: bool,
    /// Whether what surfaces is listed only after a moment.
    #[serde(default)]
    pub waits: bool,
    /// Warnings that the fetcher may give for good reason.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// How requests are signed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// Cisco Duo's Admin API.
    Duo,
    /// Akamai's EdgeGrid.
    EdgeGrid,
}

/// The request that gets a token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub request: String,
    pub accepts: Vec<Shape>,
    #[serde(default)]
    pub headers: BTreeMap<String, Lines>,
    pub answer: Value,
}

/// One line of a header, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Lines {
    One(String),
    Many(Vec<String>),
}

impl Lines {
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        match self {
            Self::One(line) => std::slice::from_ref(line).iter(),
            Self::Many(lines) => lines.iter(),
        }
    }
}

/// A request as it may be: everything else in it is refused. A name that ends with `?` may be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    pub json: Option<Value>,
    pub form: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Method and path.
    pub request: String,
    #[serde(default)]
    pub gives: Gives,
    /// Whether it is on another host, where no credentials may be sent.
    #[serde(default)]
    pub elsewhere: bool,
    pub accepts: Vec<Shape>,
    pub window: Window,
    pub pages: Pages,
    /// The answer around its records.
    #[serde(default)]
    pub answer: Value,
    #[serde(default)]
    pub headers: BTreeMap<String, Lines>,
    #[serde(default)]
    pub format: Format,
    /// The header of a 202, with which the same request must come again.
    pub later: Option<String>,
    /// Whether the body is a gzip file.
    #[serde(default)]
    pub gzip: bool,
    /// The status where there is nothing.
    #[serde(default = "ok")]
    pub empty: u16,
    /// The status of a page behind the last one.
    #[serde(default = "ok")]
    pub behind: u16,
    pub record: Value,
}

/// What an endpoint answers with.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Gives {
    /// Events.
    #[default]
    Events,
    /// Bundles of events: blobs, files, deployments.
    Bundles,
    /// The events of one bundle.
    Bundle,
    /// A job that makes an export.
    Job,
    /// Whether a job is done.
    Status,
    /// A part of what a job made.
    Chunk,
}

/// Which events an API lists.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    #[serde(default)]
    pub by: Clock,
    #[serde(default)]
    pub order: Order,
    /// Whether an event at the start itself belongs to it.
    #[serde(default)]
    pub start: Bound,
    #[serde(default)]
    pub end: Bound,
    pub span_max_minutes: Option<i64>,
    /// How far back a start may lie.
    pub back_max_minutes: Option<i64>,
    /// How long before now the end must lie.
    #[serde(default)]
    pub lag_seconds: i64,
    /// The unit that dates are compared in.
    #[serde(default)]
    pub compares: Unit,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The date of the event.
    #[default]
    Event,
    /// When it arrived at the API.
    Arrival,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    #[default]
    Newest,
    Oldest,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    #[default]
    Inclusive,
    Exclusive,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    #[default]
    Millisecond,
    Second,
    Day,
}

/// How the pages hang together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// How many records a page has at most, whatever limit was asked for.
    #[serde(default = "three")]
    pub size: usize,
    /// What leads to the next page.
    #[serde(default)]
    pub token: Token,
    /// The parameter that a link puts the token into.
    #[serde(default)]
    pub parameter: String,
    /// Parameters that a link leaves out.
    #[serde(default)]
    pub without: Vec<String>,
    /// The path of a link, where it is another.
    pub path: Option<String>,
    /// Whether the last page leads on, too.
    #[serde(default)]
    pub always: bool,
    /// Whether links have raw blanks in them.
    #[serde(default)]
    pub blanks: bool,
    /// Whether a place is a number of records, so that pages move where the list grows.
    #[serde(default)]
    pub counted: bool,
    /// Whether the server forgets what it gave.
    #[serde(default)]
    pub forgets: bool,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub enum Token {
    /// A text that nobody can read.
    #[default]
    Opaque,
    /// The same in two parts.
    Pair,
    /// The date of the last record, in a form.
    Date(Form),
}

impl TryFrom<String> for Token {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("date ") {
            Some(form) => Ok(Self::Date(form.parse()?)),
            None if text == "pair" => Ok(Self::Pair),
            None if text == "opaque" => Ok(Self::Opaque),
            None => Err(format!("`{text}` is no kind of token")),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Json,
    Ndjson,
    Csv,
}

fn yes() -> bool {
    true
}

fn ok() -> u16 {
    200
}

fn two() -> usize {
    2
}

fn three() -> usize {
    3
}
