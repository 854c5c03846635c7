//! The variables, and how they are written in the config.

use std::sync::Arc;

use super::{AnswerValue, DateFormat, DateStyle, HashName, UnsignedPart, VariablePath};
use crate::record::Zone;

/// What a hole of a template is filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Where the window begins.
    StartDate(DateFormat),
    /// Where the window ends.
    EndDate(DateFormat),
    /// The moment of the attempt.
    Now(DateFormat),
    /// What `json_paths.next_token` found on the page before; a date is written in the format, where there is one.
    NextToken(Option<DateFormat>),
    /// The number of the page, the first one's as given.
    Page {
        /// The number of the first page.
        first: u64,
    },
    /// How many records came so far.
    Offset {
        /// What is added.
        plus: u64,
    },
    /// What `json_paths.cursor` found last, also in the iteration before.
    Cursor,
    /// A value of the page before.
    Answer(AnswerValue),
    /// The entry of a list that is asked about, or a value in it.
    Item(Option<VariablePath>),
    /// A value of the answer that held the entry.
    Parent(VariablePath),
    /// The access token that the token request's answer holds.
    Token,
    /// Another value of that answer.
    Login(VariablePath),
    /// The refresh token: the one that was saved last, else the config's.
    RefreshToken,
    /// The signed JWT of a token request. The config can't name it: where it stands is decided by what it is for.
    Assertion,
    /// 64 random characters, the same within an attempt.
    Nonce,
    /// What `sign` makes of the request.
    Signature,
    /// A part of the request, in the text that is signed.
    Unsigned(UnsignedPart),
}

/// Which variables there are, by where a text stands; any other brace is text there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableSet {
    /// In a data request.
    Data,
    /// In a token request.
    Token,
    /// In `credentials`.
    Credentials,
    /// In `sign.text`.
    Sign,
}

/// Every variable that a config may name, and where.
const VARIABLES: [(&str, &[VariableSet]); 21] = {
    use VariableSet::{Credentials, Data, Sign, Token};
    [
        ("start_date", &[Data, Sign]),
        ("end_date", &[Data, Sign]),
        ("now", &[Data, Token, Credentials, Sign]),
        ("next_token", &[Data, Sign]),
        ("page", &[Data, Sign]),
        ("offset", &[Data, Sign]),
        ("cursor", &[Data, Sign]),
        ("res", &[Data]),
        ("item", &[Data]),
        ("parent", &[Data]),
        ("token", &[Data, Credentials, Sign]),
        ("login", &[Data, Credentials, Sign]),
        ("refresh_token", &[Token]),
        ("nonce", &[Data, Token, Credentials, Sign]),
        ("signature", &[Data, Credentials]),
        ("method", &[Sign]),
        ("host", &[Sign]),
        ("path", &[Sign]),
        ("query", &[Sign]),
        ("body", &[Sign]),
        ("key", &[Sign]),
    ]
};

/// Whether a variable has this name, wherever it may stand.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    VARIABLES.iter().any(|(known, _)| *known == name)
}

/// Whether a variable of this name may stand in some request: not only in a text that is signed, where common words are
/// variables.
#[must_use]
pub fn is_of_request(name: &str) -> bool {
    VARIABLES.iter().any(|(known, sets)| *known == name && *sets != [VariableSet::Sign])
}

impl VariableSet {
    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        VARIABLES.iter().filter(move |(_, sets)| sets.contains(&self)).map(|(name, _)| *name)
    }

    /// Its own name for one of them.
    #[must_use]
    pub fn name(self, name: &str) -> Option<&'static str> {
        self.names().find(|known| *known == name)
    }
}

/// A variable with a format that it can't have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{{{name}}}` has no format `{format}`; {known}")]
pub struct VariableError {
    /// The variable's name.
    pub name: &'static str,
    /// What was given.
    pub format: String,
    /// What it may be.
    pub known: &'static str,
}

const DATE_FORMATS: &str = "it may be unix, unix_ms, unix_us, unix_ns, day, rfc2822, rfc3339_ms, like_records, or a strftime pattern in quotes";
const NO_FORMATS: &str = "it may be raw, or nothing";

const HASHES: &str = "it may be sha1, sha256 or sha512, like {body:sha256}, or nothing";
const LOGIN_PATHS: &str = "it is the path of a value in the token request's answer, like {login.instance_url}";
const ANSWER_PATHS: &str = "it is the path of a value in the page before, like {res.meta.next}, perhaps with a number added, like {res.page+1}";

/// Those that a path into JSON may follow, like `{item.id}`.
const WITH_PATH: [&str; 2] = ["item", "parent"];

impl Variable {
    /// Its name in the config.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::StartDate(_) => "start_date",
            Self::EndDate(_) => "end_date",
            Self::Now(_) => "now",
            Self::NextToken(_) => "next_token",
            Self::Page { .. } => "page",
            Self::Offset { .. } => "offset",
            Self::Cursor => "cursor",
            Self::Answer(_) => "res",
            Self::Item(_) => "item",
            Self::Parent(_) => "parent",
            Self::Token => "token",
            Self::Login(_) => "login",
            Self::RefreshToken => "refresh_token",
            Self::Assertion => "assertion",
            Self::Nonce => "nonce",
            Self::Signature => "signature",
            Self::Unsigned(UnsignedPart::Method) => "method",
            Self::Unsigned(UnsignedPart::Host) => "host",
            Self::Unsigned(UnsignedPart::Path) => "path",
            Self::Unsigned(UnsignedPart::Query) => "query",
            Self::Unsigned(UnsignedPart::Body(_)) => "body",
            Self::Unsigned(UnsignedPart::Key) => "key",
        }
    }

    /// Whether its value comes from the token request's answer.
    #[must_use]
    pub fn is_of_login(&self) -> bool {
        matches!(self, Self::Token | Self::Login(_))
    }

    /// Whether it counts pages or records, which by itself leads from page to page.
    #[must_use]
    pub fn is_counter(&self) -> bool {
        matches!(self, Self::Page { .. } | Self::Offset { .. })
    }

    /// Whether it may be without a value.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::NextToken(_) | Self::Cursor)
    }
}

impl Variable {
    /// Writes a start date that has no format of its own in this one.
    pub fn write_start_date(&mut self, format: &DateFormat) {
        if let Self::StartDate(own @ DateFormat::Zulu) = self {
            own.clone_from(format);
        }
    }

    /// Writes a date whose pattern names no zone as a clock in this one shows it.
    pub(super) fn write_in_zone(&mut self, zone: Zone) {
        if let Some(format) = self.date_format_mut() {
            format.write_in_zone(zone);
        }
    }

    /// The format of the date that it is.
    fn date_format_mut(&mut self) -> Option<&mut DateFormat> {
        match self {
            Self::StartDate(format) | Self::EndDate(format) | Self::Now(format) | Self::NextToken(Some(format)) => {
                Some(format)
            }
            _ => None,
        }
    }

    /// Whether it is a date that is written as records write theirs.
    #[must_use]
    pub fn is_like_records(&self) -> bool {
        match self {
            Self::StartDate(format) | Self::EndDate(format) | Self::Now(format) | Self::NextToken(Some(format)) => {
                matches!(format, DateFormat::LikeRecords(_))
            }
            _ => false,
        }
    }

    /// Writes such a date in this form.
    pub(super) fn write_like_records(&mut self, style: &Arc<DateStyle>) {
        if let Some(DateFormat::LikeRecords(own)) = self.date_format_mut() {
            *own = Some(Arc::clone(style));
        }
    }

    /// Where the page before holds it, if it is a value of that.
    #[must_use]
    pub fn as_answer_value(&self) -> Option<&AnswerValue> {
        match self {
            Self::Answer(value) => Some(value),
            _ => None,
        }
    }

    /// Whether only the requests of a step give it a value.
    #[must_use]
    pub fn is_of_entry(&self) -> bool {
        matches!(self, Self::Item(_) | Self::Parent(_))
    }
}

/// Reads a variable at the beginning of a text, from its brace on. Gives it, whether it is raw, and its length in bytes;
/// `None` where no name of the set is there.
pub(super) fn parse(text: &str, set: VariableSet) -> Result<Option<(Variable, bool, usize)>, VariableError> {
    let Some(inside) = text.strip_prefix('{') else { return Ok(None) };
    let length = inside.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(inside.len());
    let (name, rest) = inside.split_at(length);
    let Some(name) = set.name(name) else { return Ok(None) };
    if name == "login" {
        return login(rest, length);
    }
    if name == "res" {
        return answer_value(rest, length);
    }
    if WITH_PATH.contains(&name) {
        return with_path(name, rest)
            .map(|found| found.map(|(what, is_raw, behind)| (what, is_raw, length + 1 + behind)));
    }
    let (format, end) = match rest.strip_prefix(':') {
        None if rest.starts_with('}') => (None, length + 2),
        None => return Ok(None),
        Some(format) => {
            let quote = format.chars().next().filter(|first| matches!(first, '\'' | '"'));
            let close = match quote {
                Some(quote) => format.get(1..).and_then(|rest| rest.find(quote)).map(|at| at + 2),
                None => format.find('}'),
            };
            let Some(close) = close.filter(|close| format.get(*close..).is_some_and(|rest| rest.starts_with('}')))
            else {
                return Ok(None);
            };
            (format.get(..close), length + 1 + close + 2)
        }
    };
    let is_raw = format == Some("raw");
    let variable = of(name, format.filter(|_| !is_raw))?;
    Ok(Some((variable, is_raw, end)))
}

/// `{login.PATH}`, from behind its name on. Without a path it is text.
fn login(rest: &str, name_length: usize) -> Result<Option<(Variable, bool, usize)>, VariableError> {
    let Some((inside, _)) = rest.strip_prefix('.').and_then(|rest| rest.split_once('}')) else { return Ok(None) };
    let (path, is_raw) = inside.strip_suffix(":raw").map_or((inside, false), |path| (path, true));
    match VariablePath::parse(path) {
        Ok(path) => Ok(Some((Variable::Login(path), is_raw, name_length + inside.len() + "{.}".len()))),
        Err(_) => Err(VariableError { name: "login", format: path.to_owned(), known: LOGIN_PATHS }),
    }
}

/// `{res.PATH}`, from behind its name on. Without a path it is text.
fn answer_value(rest: &str, name_length: usize) -> Result<Option<(Variable, bool, usize)>, VariableError> {
    let Some(end) = closing_brace(rest) else { return Ok(None) };
    let inside = rest.get(..end).unwrap_or_default();
    let written = match inside.strip_prefix('.') {
        Some(path) => path,
        None if inside.starts_with('[') => inside,
        None => return Ok(None),
    };
    let (written, is_raw) = written.strip_suffix(":raw").map_or((written, false), |path| (path, true));
    let (written, is_text) = written.strip_suffix(":text").map_or((written, false), |path| (path, true));
    match AnswerValue::parse(written, is_text) {
        Ok(value) => Ok(Some((Variable::Answer(value), is_raw, name_length + end + "{}".len()))),
        Err(_) => Err(VariableError { name: "res", format: written.to_owned(), known: ANSWER_PATHS }),
    }
}

fn of(name: &'static str, format: Option<&str>) -> Result<Variable, VariableError> {
    let refused = |known| VariableError { name, format: format.unwrap_or_default().to_owned(), known };
    let date = || match format {
        None => Ok(DateFormat::Zulu),
        Some(format) => DateFormat::parse(format).ok_or_else(|| refused(DATE_FORMATS)),
    };
    let plain = |variable| if format.is_none() { Ok(variable) } else { Err(refused(NO_FORMATS)) };
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match name {
        "start_date" => Ok(Variable::StartDate(date()?)),
        "end_date" => Ok(Variable::EndDate(date()?)),
        "now" => Ok(Variable::Now(date()?)),
        "next_token" => Ok(Variable::NextToken(format.is_some().then(date).transpose()?)),
        "page" => match format.map(number) {
            None => Ok(Variable::Page { first: 1 }),
            Some(Some(first)) => Ok(Variable::Page { first }),
            Some(None) => Err(refused("it may be the number of the first page, like {page:0}")),
        },
        "offset" => match format.map(|format| format.strip_prefix('+').and_then(number)) {
            None => Ok(Variable::Offset { plus: 0 }),
            Some(Some(plus)) => Ok(Variable::Offset { plus }),
            Some(None) => Err(refused("it may be what is added, like {offset:+100}")),
        },
        "cursor" => plain(Variable::Cursor),
        "token" => plain(Variable::Token),
        "refresh_token" => plain(Variable::RefreshToken),
        "nonce" => plain(Variable::Nonce),
        "signature" => plain(Variable::Signature),
        "body" => match format.map(HashName::parse) {
            None => Ok(Variable::Unsigned(UnsignedPart::Body(None))),
            Some(Some(hash)) => Ok(Variable::Unsigned(UnsignedPart::Body(Some(hash)))),
            Some(None) => Err(refused(HASHES)),
        },
        "method" => plain(Variable::Unsigned(UnsignedPart::Method)),
        "host" => plain(Variable::Unsigned(UnsignedPart::Host)),
        "path" => plain(Variable::Unsigned(UnsignedPart::Path)),
        "query" => plain(Variable::Unsigned(UnsignedPart::Query)),
        _ => plain(Variable::Unsigned(UnsignedPart::Key)),
    }
}

/// Reads what follows a name that may have a path. Gives the variable, whether it is raw, and the length of what follows.
fn with_path(name: &'static str, rest: &str) -> Result<Option<(Variable, bool, usize)>, VariableError> {
    let Some(end) = closing_brace(rest) else { return Ok(None) };
    let inside = rest.get(..end).unwrap_or_default();
    let (path, is_raw) = inside.strip_suffix(":raw").map_or((inside, false), |path| (path, true));
    let written = match path.strip_prefix('.') {
        Some(path) => Some(path),
        None if path.starts_with('[') => Some(path),
        None if path.is_empty() => None,
        // Braces around something else that begins so.
        None => return Ok(None),
    };
    let refused = |path: &str| VariableError {
        name,
        format: path.to_owned(),
        known: "it may be followed by the path of a value, like {item.id}, and by :raw",
    };
    let path = written.map(|path| VariablePath::parse(path).map_err(|_| refused(path))).transpose()?;
    let variable = match (name, path) {
        ("item", path) => Variable::Item(path),
        (_, Some(path)) => Variable::Parent(path),
        (_, None) => return Ok(None),
    };
    Ok(Some((variable, is_raw, end + 1)))
}

/// Where the brace stands that ends a variable; not one in quotes.
fn closing_brace(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, char) in text.char_indices() {
        match (quote, char) {
            (None, '}') => return Some(at),
            (None, '{') => return None,
            (None, '\'' | '"') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            _ => {}
        }
    }
    None
}
