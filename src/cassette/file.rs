//! The file: YAML that people read, and everything that a replay needs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};

use super::packed::{FileContent, ZippedContent};
use crate::decode::Content;
use crate::transport::{ANSWERS_BYTES_MAX, EXCHANGES_MAX, TapedAnswer, TapedExchange, TapedOutcome, TapedRequest};

/// The largest file that is read: as much as a recording keeps, written one value a line.
pub const CASSETTE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The version of the format that is written; others aren't read.
const VERSION: u32 = 1;
/// What stands at the head of a file.
const HEAD: &str = "\
# A cassette of logzio-api-fetcher: requests to one API, and its answers. `logzio-api-fetcher replay FILE` runs it.
# docs/cassettes.md says what is kept in it. Look through it before you give it away.
";

/// The iterations of one API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cassette {
    /// The version of the format.
    pub cassette: u32,
    /// How its values came about.
    pub values: CassetteKind,
    /// The config: one entry of `auth_apis` or `oauth_apis`.
    pub config: String,
    /// Where the first iteration begins; without it where the entry says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// What happened.
    pub iterations: Vec<RecordedIteration>,
}

/// How the values of a cassette came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CassetteKind {
    /// Recorded, and replaced but for what is known to tell nothing of anybody.
    Replaced,
    /// Recorded, and as they came, without credentials.
    Verbatim,
    /// Made up, in the shape that the vendor documents.
    Synthetic,
}

/// One iteration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedIteration {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How many records it shipped.
    pub shipped: u64,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Its requests, each with what came of it, in their order.
    pub exchanges: Vec<FileExchange>,
}

/// A request and what came of it, as they stand in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileExchange {
    at: DateTime<Utc>,
    /// Nothing while a cassette is being written: then it is whatever is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<FileRequest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<FileAnswer>,
    /// Without an answer: why there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    broken: Option<FileFailure>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRequest {
    method: String,
    url: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Values>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAnswer {
    status: u16,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Values>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    body: String,
    /// A body that is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    /// The body is a gzip file of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gzip: Option<Box<FileContent>>,
    /// The body is a zip file of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zip: Option<Vec<ZippedContent>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFailure {
    cause: String,
    /// Whether the request may have been done all the same.
    is_lost: bool,
}

/// The values of a header: most come once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(Vec<String>),
}

/// Why a text is no cassette.
#[derive(Debug, thiserror::Error)]
pub enum CassetteError {
    /// It isn't YAML in that form.
    #[error("it is not a cassette: {0}")]
    Form(String),
    /// Of another version.
    #[error("it is a cassette of format {0}; this version reads format {VERSION}")]
    Version(u32),
    /// It holds too much.
    #[error("it holds more than {EXCHANGES_MAX} requests")]
    TooMany,
    /// A part of it can't be used.
    #[error("request {number}: {what}")]
    Exchange {
        /// Which, from 1 on.
        number: usize,
        /// What is wrong with it.
        what: String,
    },
}

impl Cassette {
    /// A new one.
    #[must_use]
    pub fn new(values: CassetteKind, config: String, iterations: Vec<RecordedIteration>) -> Self {
        Self { cassette: VERSION, values, config, from: None, iterations }
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// [`CassetteError`], where it can't be used.
    pub fn parse(text: &str) -> Result<Self, CassetteError> {
        let cassette: Self = serde_yaml::from_str(text).map_err(|error| CassetteError::Form(error.to_string()))?;
        if cassette.cassette != VERSION {
            return Err(CassetteError::Version(cassette.cassette));
        }
        cassette.exchanges()?;
        Ok(cassette)
    }

    /// The file's text.
    ///
    /// # Errors
    /// Where it can't be written as YAML.
    pub fn to_text(&self) -> Result<String, CassetteError> {
        let text = serde_yaml::to_string(self).map_err(|error| CassetteError::Form(error.to_string()))?;
        Ok(format!("{HEAD}{text}"))
    }

    /// The same without its requests: each exchange is then whatever is asked for.
    #[must_use]
    pub fn without_requests(&self) -> Self {
        let mut open = self.clone();
        let exchanges = open.iterations.iter_mut().flat_map(|iteration| &mut iteration.exchanges);
        exchanges.for_each(|exchange| exchange.request = None);
        open
    }

    /// The same with the requests that were made, and what was shipped: how a cassette is written by hand, answers alone.
    ///
    /// # Errors
    /// [`CassetteError`], where an exchange can't be used.
    pub fn filled(&self, made: &[TapedRequest], shipped: &[u64]) -> Result<Self, CassetteError> {
        let mut filled = self.clone();
        let mut pairs = self.exchanges()?.into_iter().zip(made);
        for (iteration, shipped) in filled.iterations.iter_mut().zip(shipped) {
            iteration.shipped = *shipped;
            for (exchange, (taped, made)) in iteration.exchanges.iter_mut().zip(pairs.by_ref()) {
                exchange.request = FileExchange::of(taped.at, made, &taped.outcome).request;
            }
        }
        Ok(filled)
    }

    /// Every exchange of every iteration.
    pub(super) fn exchanges(&self) -> Result<Vec<TapedExchange>, CassetteError> {
        let all = self.iterations.iter().flat_map(|iteration| &iteration.exchanges);
        if all.clone().count() > EXCHANGES_MAX {
            return Err(CassetteError::TooMany);
        }
        let taped = all.enumerate().map(|(at, exchange)| {
            let wrong = |what| CassetteError::Exchange { number: at + 1, what };
            exchange.taped().map_err(wrong)
        });
        taped.collect()
    }
}

impl FileExchange {
    /// Of a request, and what came of it.
    pub(super) fn of(at: DateTime<Utc>, request: &TapedRequest, outcome: &TapedOutcome) -> Self {
        let request = FileRequest {
            method: request.method.clone(),
            url: request.url.to_string(),
            headers: grouped(request.headers.iter().cloned()),
            body: request.body.clone(),
        };
        let request = Some(request);
        match outcome {
            TapedOutcome::Answer(answer) => Self { at, request, answer: Some(FileAnswer::of(answer)), broken: None },
            TapedOutcome::Failure { cause, is_lost } => {
                let failure = FileFailure { cause: cause.clone(), is_lost: *is_lost };
                Self { at, request, answer: None, broken: Some(failure) }
            }
        }
    }

    fn taped(&self) -> Result<TapedExchange, String> {
        let request = self.request.as_ref().map(FileRequest::taped).transpose()?;
        let outcome = match (&self.answer, &self.broken) {
            (Some(answer), None) => TapedOutcome::Answer(answer.taped()?),
            (None, Some(FileFailure { cause, is_lost })) => {
                TapedOutcome::Failure { cause: cause.clone(), is_lost: *is_lost }
            }
            _ => return Err("it needs either `answer` or `broken`".to_owned()),
        };
        Ok(TapedExchange { at: self.at, request, outcome })
    }
}

impl FileRequest {
    fn taped(&self) -> Result<TapedRequest, String> {
        let url = Url::parse(&self.url).map_err(|error| format!("its URL can't be used: {error}"))?;
        let mut headers = spread(&self.headers);
        headers.sort();
        Ok(TapedRequest { method: self.method.clone(), url, headers, body: self.body.clone() })
    }
}

impl FileAnswer {
    fn of(answer: &TapedAnswer) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = grouped(answer.headers.iter().map(|(name, value)| (name.to_string(), text(value))));
        let FileContent { body, body_base64, gzip, zip } =
            FileContent::of(Content::of(&answer.body, ANSWERS_BYTES_MAX));
        Self { status: answer.status.as_u16(), headers, body, body_base64, gzip, zip }
    }

    fn taped(&self) -> Result<TapedAnswer, String> {
        let status = StatusCode::from_u16(self.status).map_err(|_| "its status is none".to_owned())?;
        let mut headers = HeaderMap::new();
        for (name, value) in spread(&self.headers) {
            let pair = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(&value).ok());
            let (name, value) = pair.ok_or_else(|| format!("its header {name} can't be used"))?;
            headers.append(name, value);
        }
        let content = FileContent {
            body: self.body.clone(),
            body_base64: self.body_base64.clone(),
            gzip: self.gzip.clone(),
            zip: self.zip.clone(),
        };
        let body = content.content()?.packed().map_err(|error| format!("its body can't be packed: {error}"))?;
        Ok(TapedAnswer { status, headers, body: body.into() })
    }
}

fn grouped(pairs: impl Iterator<Item = (String, String)>) -> BTreeMap<String, Values> {
    let mut grouped: BTreeMap<String, Values> = BTreeMap::new();
    for (name, value) in pairs {
        let values = match grouped.remove(&name) {
            None => Values::One(value),
            Some(Values::One(first)) => Values::Several(vec![first, value]),
            Some(Values::Several(mut all)) => {
                all.push(value);
                Values::Several(all)
            }
        };
        grouped.insert(name, values);
    }
    grouped
}

fn spread(grouped: &BTreeMap<String, Values>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, values) in grouped {
        match values {
            Values::One(value) => pairs.push((name.clone(), value.clone())),
            Values::Several(all) => pairs.extend(all.iter().map(|value| (name.clone(), value.clone()))),
        }
    }
    pairs
}
