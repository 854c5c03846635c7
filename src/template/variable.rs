//! The variables, and how they are written in the config.

use super::DateFormat;
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

const DATE_FORMATS: &str =
    "it may be unix, unix_ms, unix_us, unix_ns, day, rfc2822, rfc3339_ms, or a strftime pattern in quotes";
const NO_FORMATS: &str = "it may be raw, or nothing";

/// All names.
pub const NAMES: [&str; 7] = ["start_date", "end_date", "now", "next_token", "page", "offset", "cursor"];

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
        }
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
    /// Writes a date whose pattern names no zone as a clock in this one shows it.
    pub(super) fn write_in_zone(&mut self, zone: Zone) {
        match self {
            Self::StartDate(format) | Self::EndDate(format) | Self::Now(format) | Self::NextToken(Some(format)) => {
                format.write_in_zone(zone);
            }
            Self::NextToken(None) | Self::Page { .. } | Self::Offset { .. } | Self::Cursor => {}
        }
    }
}

/// Reads a variable at the beginning of a text, from its brace on. Gives it, whether it is raw, and its length in bytes;
/// `None` where there is no known name.
pub(super) fn parse(text: &str) -> Result<Option<(Variable, bool, usize)>, VariableError> {
    let Some(inside) = text.strip_prefix('{') else { return Ok(None) };
    let length = inside.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(inside.len());
    let (name, rest) = inside.split_at(length);
    let Some(name) = NAMES.iter().find(|known| **known == name) else { return Ok(None) };
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
        _ => plain(Variable::Cursor),
    }
}
