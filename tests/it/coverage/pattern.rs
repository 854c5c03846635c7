//! The texts that an API takes and gives, with `{role:form}` where a value stands: read strictly, written exactly.

use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use serde_json::Value;

/// What a request said, by the roles of its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub start: Option<DateTime<Utc>>,
    pub end: Option<DateTime<Utc>>,
    pub limit: Option<usize>,
    pub page: Option<usize>,
    pub offset: Option<usize>,
    /// The number of the last event that the client has.
    pub after: Option<u64>,
    /// The number of the last event of the page before.
    pub behind: Option<u64>,
    pub token: Option<String>,
    /// Which entry of a list is asked about.
    pub item: Option<u64>,
    pub chunk: Option<usize>,
}

/// How a date is written; nothing else is taken for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Any RFC 3339.
    Rfc3339,
    /// RFC 3339 with `Z` and whole seconds.
    Zulu,
    /// RFC 3339 with `Z` and milliseconds.
    ZuluMilliseconds,
    /// RFC 3339 with `Z` and seven digits.
    Zulu7,
    /// RFC 3339 with `+00:00` and whole seconds.
    Offset,
    /// With milliseconds and `+0000`.
    MillisecondsOffset,
    /// `2024-05-28T12:40:00`
    Naive,
    /// `2024-05-28 12:40:00`
    Blank,
    /// The same in a zone of its own.
    Local(Tz),
    /// `20240528124000`
    Compact,
    Day,
    Rfc2822,
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

const BLANK: &str = "%Y-%m-%d %H:%M:%S";
const COMPACT_CHARS: usize = 14;

impl FromStr for Form {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "rfc3339" => Self::Rfc3339,
            "zulu" => Self::Zulu,
            "zulu_ms" => Self::ZuluMilliseconds,
            "zulu_7" => Self::Zulu7,
            "offset" => Self::Offset,
            "ms_offset" => Self::MillisecondsOffset,
            "naive" => Self::Naive,
            "blank" => Self::Blank,
            "compact" => Self::Compact,
            "day" => Self::Day,
            "rfc2822" => Self::Rfc2822,
            "unix" => Self::Seconds,
            "unix_ms" => Self::Milliseconds,
            "unix_us" => Self::Microseconds,
            "unix_ns" => Self::Nanoseconds,
            _ => match name.strip_prefix("blank in ").and_then(|zone| zone.parse().ok()) {
                Some(zone) => Self::Local(zone),
                None => return Err(format!("`{name}` is no form of a date")),
            },
        })
    }
}

impl Form {
    pub fn write(self, date: DateTime<Utc>) -> String {
        match self {
            Self::Rfc3339 => date.to_rfc3339_opts(SecondsFormat::Micros, false),
            Self::Zulu => date.to_rfc3339_opts(SecondsFormat::Secs, true),
            Self::ZuluMilliseconds => date.to_rfc3339_opts(SecondsFormat::Millis, true),
            Self::Zulu7 => format!("{}0000Z", date.format("%Y-%m-%dT%H:%M:%S%.3f")),
            Self::Offset => date.to_rfc3339_opts(SecondsFormat::Secs, false),
            Self::MillisecondsOffset => date.format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string(),
            Self::Naive => date.format("%Y-%m-%dT%H:%M:%S").to_string(),
            Self::Blank => date.format(BLANK).to_string(),
            Self::Local(zone) => date.with_timezone(&zone).format(BLANK).to_string(),
            Self::Compact => date.format("%Y%m%d%H%M%S").to_string(),
            Self::Day => date.format("%Y-%m-%d").to_string(),
            Self::Rfc2822 => date.to_rfc2822(),
            Self::Seconds => date.timestamp().to_string(),
            Self::Milliseconds => date.timestamp_millis().to_string(),
            Self::Microseconds => date.timestamp_micros().to_string(),
            Self::Nanoseconds => date.timestamp_nanos_opt().unwrap().to_string(),
        }
    }

    /// The date; only where the text is what this form would have written of it.
    fn read(self, text: &str) -> Result<DateTime<Utc>, String> {
        let number = || text.parse::<i64>().ok();
        let naive = |pattern: &str| NaiveDateTime::parse_from_str(text, pattern).ok();
        let date = match self {
            Self::Rfc3339 => {
                let has_t = text.contains('T');
                let date = DateTime::parse_from_rfc3339(text).ok().filter(|_| has_t);
                return date.map(|date| date.to_utc()).ok_or_else(|| format!("`{text}` is not RFC 3339"));
            }
            Self::Zulu | Self::ZuluMilliseconds | Self::Zulu7 | Self::Offset => {
                DateTime::parse_from_rfc3339(text).ok().map(|date| date.to_utc())
            }
            Self::MillisecondsOffset => naive("%Y-%m-%dT%H:%M:%S%.3f+0000").map(|date| date.and_utc()),
            Self::Naive => naive("%Y-%m-%dT%H:%M:%S").map(|date| date.and_utc()),
            Self::Blank => naive(BLANK).map(|date| date.and_utc()),
            Self::Local(zone) => naive(BLANK)
                .and_then(|date| zone.from_local_datetime(&date).latest())
                .map(|date: DateTime<Tz>| date.to_utc()),
            Self::Compact => naive("%Y%m%d%H%M%S").map(|date| date.and_utc()),
            Self::Day => format!("{text}T00:00:00Z").parse().ok(),
            Self::Rfc2822 => DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc()),
            Self::Seconds => number().and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
            Self::Milliseconds => number().and_then(DateTime::from_timestamp_millis),
            Self::Microseconds => number().and_then(DateTime::from_timestamp_micros),
            Self::Nanoseconds => number().map(DateTime::from_timestamp_nanos),
        };
        // A number of seconds is no number of milliseconds.
        let is_near = |date: &DateTime<Utc>| (2020..2100).contains(&chrono::Datelike::year(date));
        let date = date.filter(|date| self.write(*date) == text && is_near(date));
        date.ok_or_else(|| format!("`{text}` is not written as {self:?}"))
    }

    pub fn is_number(self) -> bool {
        matches!(self, Self::Seconds | Self::Milliseconds | Self::Microseconds | Self::Nanoseconds)
    }
}

/// A part of a pattern.
enum Piece<'p> {
    Text(&'p str),
    Value { role: &'p str, form: Option<&'p str> },
}

fn pieces(pattern: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest) = (Vec::new(), pattern);
    while let Some(at) = rest.find('{') {
        let end = at + rest[at..].find('}').unwrap_or_else(|| panic!("a brace is open in `{pattern}`"));
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        let (role, form) = match rest[at + 1..end].split_once(':') {
            Some((role, form)) => (role, Some(form)),
            None => (&rest[at + 1..end], None),
        };
        pieces.push(Piece::Value { role, form });
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// Reads a text by a pattern; what it says goes into `said`.
pub fn read(pattern: &str, text: &str, said: &mut Said) -> Result<(), String> {
    let pieces = pieces(pattern);
    let mut rest = text;
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(expected) => {
                rest = rest.strip_prefix(expected).ok_or_else(|| format!("`{text}` is not like `{pattern}`"))?;
            }
            Piece::Value { role, form } => {
                let end = match (form, pieces.get(index + 1)) {
                    (Some(form), Some(Piece::Value { .. })) if form.ends_with("compact") => COMPACT_CHARS,
                    (_, Some(Piece::Text(next))) => rest.find(next).unwrap_or(rest.len()),
                    _ => rest.len(),
                };
                let value = rest.get(..end).ok_or_else(|| format!("`{text}` is too short for `{pattern}`"))?;
                understand(role, *form, value, said)?;
                rest = &rest[end..];
            }
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("`{text}` is not like `{pattern}`")) }
}

fn understand(role: &str, form: Option<&str>, text: &str, said: &mut Said) -> Result<(), String> {
    let number = || text.parse::<usize>().map_err(|_| format!("{role} `{text}` is no number"));
    let least = || form.map_or(0, |form| form.parse::<usize>().unwrap());
    let date = || form.unwrap_or("rfc3339").parse::<Form>().unwrap().read(text);
    if text.is_empty() {
        return Err(format!("{role} is empty"));
    }
    match role {
        "start" => said.start = Some(date()?),
        "end" => said.end = Some(date()?),
        "now" => {
            let off = (Utc::now() - date()?).num_seconds().abs();
            return if off <= 30 { Ok(()) } else { Err(format!("`{text}` is {off} s away from now")) };
        }
        "limit" => {
            let (limit, most) = (number()?, least());
            if limit == 0 || limit > most {
                return Err(format!("a limit of {limit}, and 1 to {most} are allowed"));
            }
            said.limit = Some(limit);
        }
        "page" => said.page = Some(number()?.checked_sub(least()).ok_or("a page before the first")?),
        "offset" => said.offset = Some(number()?.checked_sub(least()).ok_or("an offset before the first")?),
        "after" => said.after = Some(number()? as u64),
        "behind" => said.behind = Some(number()? as u64),
        "token" => said.token = Some(text.to_owned()),
        "item" => said.item = Some(number()? as u64),
        "chunk" => said.chunk = Some(number()?),
        "assertion" => return super::assertion::check(text),
        "any" => {}
        _ => panic!("`{role}` is no role"),
    }
    Ok(())
}

/// Compares a JSON value with one that has patterns; a name that ends with `?` may be absent.
pub fn read_json(pattern: &Value, value: &Value, said: &mut Said) -> Result<(), String> {
    match (pattern, value) {
        (Value::Object(known), Value::Object(members)) => {
            let of = |name: &str| known.get(name).or_else(|| known.get(&format!("{name}?")));
            for (name, value) in members {
                let pattern = of(name).ok_or_else(|| format!("unknown field `{name}`"))?;
                read_json(pattern, value, said).map_err(|why| format!("{name}: {why}"))?;
            }
            match known.keys().find(|name| !name.ends_with('?') && !members.contains_key(*name)) {
                Some(name) => Err(format!("`{name}` is missing")),
                None => Ok(()),
            }
        }
        (Value::Array(known), Value::Array(values)) if known.len() == values.len() => {
            known.iter().zip(values).try_for_each(|(pattern, value)| read_json(pattern, value, said))
        }
        (Value::String(pattern), Value::String(text)) if !is_number(pattern) => read(pattern, text, said),
        (Value::String(pattern), Value::Number(number)) if is_number(pattern) => {
            read(pattern, &number.to_string(), said)
        }
        (Value::String(pattern), Value::Array(_)) if pattern == "{token}" => {
            said.token = Some(value.to_string());
            Ok(())
        }
        (pattern, value) if pattern == value => Ok(()),
        (pattern, value) => Err(format!("{value} is not {pattern}")),
    }
}

/// Whether the value that stands alone there is a number in JSON.
fn is_number(pattern: &str) -> bool {
    match pieces(pattern).as_slice() {
        [Piece::Value { role: "limit" | "page" | "offset", .. }] => true,
        [Piece::Value { form: Some("number"), .. }] => true,
        [Piece::Value { form: Some(form), .. }] => form.parse::<Form>().is_ok_and(Form::is_number),
        _ => false,
    }
}

/// Fills in a text; `None` where a value is not there.
pub fn write(template: &str, value_of: &dyn Fn(&str, Option<&str>) -> Option<Value>) -> Option<Value> {
    let pieces = pieces(template);
    if let [Piece::Value { role, form }] = pieces.as_slice() {
        return match role.split_once(" or ") {
            Some((role, other)) => value_of(role, *form).or_else(|| serde_json::from_str(other).ok()),
            None => value_of(role, *form),
        };
    }
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Value { role, form } => match value_of(role, form)? {
                Value::String(part) => text.push_str(&part),
                other => text.push_str(&other.to_string()),
            },
        }
    }
    Some(text.into())
}

/// Fills in a JSON value; members whose name ends with `?` are left out where they have no value, others are null.
pub fn write_json(template: &Value, value_of: &dyn Fn(&str, Option<&str>) -> Option<Value>) -> Option<Value> {
    match template {
        Value::String(text) => write(text, value_of),
        Value::Array(values) => Some(values.iter().filter_map(|value| write_json(value, value_of)).collect()),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| match (name.strip_suffix('?'), write_json(value, value_of))
            {
                (Some(name), value) => value.map(|value| (name.to_owned(), value)),
                (None, value) => Some((name.clone(), value.unwrap_or_default())),
            };
            Some(Value::Object(members.iter().filter_map(member).collect()))
        }
        other => Some(other.clone()),
    }
}
