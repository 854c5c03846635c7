//! What is looked for in an answer, and where.

use super::Zone;
use super::path::JsonPath;

/// Where things stand in an API's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Paths {
    /// From the page: the records.
    pub data: JsonPath,
    /// From a record: the event date; `None` where the API is followed by something else, and records need no date.
    pub date: Option<JsonPath>,
    /// From a record: its id.
    pub id: Option<IdPaths>,
    /// From the page: the next page's URL.
    pub next_url: Option<JsonPath>,
    /// Whether a page may lack the place of the records (`data: items?`).
    pub is_data_optional: bool,
    /// From the page: an error that it tells of.
    pub error: ErrorRule,
    /// The zone of dates that name none.
    pub zone: Zone,
}

/// The places in a record whose values tell it from others: together, where there are several.
#[derive(Clone, Debug, PartialEq)]
pub struct IdPaths {
    /// The first one, which is all there is for most.
    pub first: JsonPath,
    /// The others. Where a record lacks one of them it is known by all that it holds, as if it had no id: records that differ
    /// in nothing but what is missing must not be taken for one.
    pub others: Vec<JsonPath>,
}

impl IdPaths {
    /// Of one place or several; `None` of none.
    #[must_use]
    pub fn new(paths: Vec<JsonPath>) -> Option<Self> {
        let mut paths = paths.into_iter();
        Some(Self { first: paths.next()?, others: paths.collect() })
    }
}

impl From<JsonPath> for IdPaths {
    fn from(first: JsonPath) -> Self {
        Self { first, others: Vec::new() }
    }
}

/// How an answer of status 200 says that it failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ErrorRule {
    /// As most do: `error`, `errors`, `success: false` or `status: error` at the top.
    #[default]
    Usual,
    /// It never does (`json_paths.error: null`).
    Never,
    /// By a value at this path that is not null, false or empty.
    At(JsonPath),
}

impl Paths {
    /// Where records and their dates stand; nothing else is known.
    #[must_use]
    pub fn new(data: JsonPath, date: JsonPath) -> Self {
        Self {
            data,
            date: Some(date),
            id: None,
            next_url: None,
            is_data_optional: false,
            error: ErrorRule::default(),
            zone: Zone::Utc,
        }
    }

    /// Whether a page is parsed to a tree of values, which takes many times its text.
    #[must_use]
    pub fn has_tree(&self) -> bool {
        let of_error = match &self.error {
            ErrorRule::At(path) => Some(path),
            ErrorRule::Usual | ErrorRule::Never => None,
        };
        [Some(&self.data), self.next_url.as_ref(), of_error].into_iter().flatten().any(JsonPath::has_tree)
    }
}
