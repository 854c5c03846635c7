//! One page of an answer: its records and where the next page is.

use super::json::{Kind, Raw};
use super::path::{JsonPath, Missing};

/// The most records of one page: a page of the largest size has fewer, unless it is meant to exhaust the memory.
const RECORDS_MAX: usize = 1_000_000;

/// Where things stand in an API's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Paths {
    /// From the page: the records.
    pub data: JsonPath,
    /// From a record: the event date.
    pub date: JsonPath,
    /// From a record: its id.
    pub id: Option<JsonPath>,
    /// From the page: the next page's URL.
    pub next_url: Option<JsonPath>,
}

/// A page, taken apart.
#[derive(Debug)]
pub struct Page<'a> {
    /// The records in the order of the page.
    pub records: Vec<Raw<'a>>,
    /// The next page's URL as the API wrote it; absolute or relative.
    pub next_url: Option<String>,
}

/// Why a page can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The answer is no JSON, or was cut off.
    #[error("the answer is no valid JSON: {0}")]
    NotJson(serde_json::Error),
    /// The place of the records is missing.
    #[error(transparent)]
    Data(#[from] Missing),
    /// More than a million.
    #[error("the page has more than {RECORDS_MAX} records; ask for smaller pages, by a filter like `limit`")]
    TooMany,
    /// What stands at the next link's place is no link.
    #[error("json path `{path}` finds {found} where the next page's URL should be")]
    NextUrl {
        /// The path as it was written.
        path: String,
        /// What stands there.
        found: &'static str,
    },
}

/// What is said in place of the keys of a page that holds a secret.
pub const KEYS_HIDDEN: &str = "the keys there are not shown, as the answer holds a secret of the config";

impl PageError {
    /// The same without the page's keys, where they may not be shown.
    #[must_use]
    pub fn shown(self, may_show: impl FnOnce() -> bool) -> Self {
        match self {
            Self::Data(Missing::Absent { path, .. }) if !may_show() => {
                Self::Data(Missing::Absent { path, there: KEYS_HIDDEN.to_owned() })
            }
            other => other,
        }
    }
}

impl<'a> Page<'a> {
    /// Takes a page's text apart.
    ///
    /// An array at the data path is its elements, a single value one record, `null` none. Text without any content (an
    /// answer of status 204) is a page without records.
    ///
    /// # Errors
    /// [`PageError`], where the text is no JSON or lacks what the paths name.
    pub fn read(text: &'a str, paths: &Paths) -> Result<Self, PageError> {
        let root = Raw::parse(text).map_err(PageError::NotJson)?;
        let mut records = Vec::new();
        for found in paths.data.all(root)? {
            match found.kind() {
                Kind::Array => {
                    let left = RECORDS_MAX + 1 - records.len().min(RECORDS_MAX);
                    records.extend(found.elements().filter(|element| !element.is_null()).take(left));
                }
                Kind::Null => {}
                _ => records.push(found),
            }
        }
        if records.len() > RECORDS_MAX {
            return Err(PageError::TooMany);
        }
        let next_url = paths.next_url.as_ref().map_or(Ok(None), |path| next_url(root, path))?;
        Ok(Self { records, next_url })
    }

    /// A page without records that nothing follows.
    #[must_use]
    pub fn empty() -> Self {
        Self { records: Vec::new(), next_url: None }
    }
}

/// The next link: absent, null, false and empty text all mean that this page is the last.
fn next_url(root: Raw<'_>, path: &JsonPath) -> Result<Option<String>, PageError> {
    let Some(found) = path.first(root) else { return Ok(None) };
    let wrong = |found| Err(PageError::NextUrl { path: path.text().to_owned(), found });
    match found.kind() {
        Kind::Text => {
            let link = found.scalar().unwrap_or_default();
            let link = link.trim();
            Ok((!link.is_empty()).then(|| link.to_owned()))
        }
        Kind::Bool if found.text() == "false" => Ok(None),
        Kind::Bool | Kind::Null => wrong("true"),
        Kind::Number => wrong("a number"),
        Kind::Object => wrong("an object"),
        Kind::Array if found.elements().next().is_none() => Ok(None),
        Kind::Array => wrong("an array"),
    }
}
