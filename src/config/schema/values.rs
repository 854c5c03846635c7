//! What the values of the config may look like. A pattern holds for texts alone, and lets `${…}` through wherever what
//! stands there once it is filled in can't be known.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::super::catalog::{List, types_of};
use super::super::{api, reader, request};
use crate::memory;

/// What YAML has besides lists and mappings; numbers and booleans are taken as they are written.
const SCALAR: [&str; 3] = ["string", "number", "boolean"];
const NOT_BLANK: &str = r"\S";
/// How an absolute URL begins, up to its host.
const ORIGIN: &str = r"^\s*[Hh][Tt][Tt][Pp][Ss]?:[/\\]*[^/\\\s?#]";
/// How a host of `hosts` begins, perhaps with its scheme.
const HOST: &str = r"^\s*([Hh][Tt][Tt][Pp][Ss]?://)?(\*\.)?[^/\\\s?#*@]+/?\s*$";
/// Requests per span of time.
const RATE: &str =
    r"^\s*0*[1-9][0-9]{0,4}\s*/\s*([sS]|[sS][eE][cC]|second|[mM]|[mM][iI][nN]|minute|[hH]|hour|[dD]|[dD][aA][yY])\s*$";
/// A number of bytes with its unit.
const BYTES: &str = r"^\s*\+?[0-9]+\s*([kKmMgG][iI]?[bB]|[kKmMgG][iI]|[bB])?\s*$";
/// A number without an exponent.
const NUMBER: &str = r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)";
const EXPONENT: &str = "([eE][+-]?[0-9]+)";
/// The name of an HTTP header (RFC 9110, section 5.6.2: a token).
const HEADER_NAME: &str = r"^\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*$";
/// What can stand in an HTTP header.
const HEADER_VALUE: &str = r"^\s*[^\x00-\x08\x0a-\x1f\x7f]*\s*$";

/// Kinds of values, each with its schema.
macro_rules! values {
    ($($name:ident: $schema:expr;)*) => { $(
        pub(super) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )* };
}

values! {
    Text: json_schema!({ "type": SCALAR });
    Filled: json_schema!({ "type": SCALAR, "pattern": NOT_BLANK });
    Name: json_schema!({ "type": SCALAR, "pattern": r"^\s*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*\s*$" });
    Acknowledge: spelled_in_any_case(&["2xx"], None);
    AuthType: types(List::AuthApis);
    OAuthType: types(List::OauthApis);
    Method: spelled_in_any_case(&["GET", "POST"], None);
    Url: json_schema!({ "type": "string", "pattern": or_filled_in(ORIGIN) });
    ListenerUrl: json_schema!({ "type": "string", "pattern": or_filled_in(&format!(r"{ORIGIN}[^?#]*\?*\s*$")) });
    Listen: json_schema!({ "type": "string", "pattern": or_filled_in(r"^\s*\S*:[0-9]+\s*$") });
    Bytes: json_schema!({
        "type": ["integer", "string"],
        "minimum": memory::BUDGET_BYTES_MIN,
        "maximum": memory::BUDGET_BYTES_MAX,
        "pattern": or_filled_in(BYTES)
    });
    Headers: headers();
    Flag: json_schema!({ "type": ["boolean", "string"], "pattern": or_filled_in(r"^\s*(true|false)?\s*$") });
    Filters: json_schema!({ "type": "object", "additionalProperties": one_or_more(None) });
    CustomFields: json_schema!({ "type": "object" });
    Json: json_schema!({ "type": ["string", "number", "boolean", "object", "array"] });
    Form: json_schema!({
        "type": ["string", "number", "boolean", "object"],
        "additionalProperties": one_or_more(None)
    });
    Interval: json_schema!({
        "type": ["number", "string"],
        "exclusiveMinimum": 0,
        "maximum": reader::MINUTES_MAX,
        "pattern": or_filled_in(&format!(r"^\s*(?=[+0-9.]*[1-9]){}\s*$", span()))
    });
    Timeout: json_schema!({
        "type": ["number", "string"],
        "exclusiveMinimum": 0,
        "maximum": request::TIMEOUT_MAX.as_secs(),
        "pattern": or_filled_in(&format!(r"^\s*(?=[+0-9.]*[1-9]){}\s*$", span()))
    });
    Hosts: hosts();
    RateLimit: json_schema!({ "type": "string", "pattern": or_filled_in(RATE) });
    Overlap: spelled_in_any_case(&["auto"], Some(json!({
        "type": ["number", "string"],
        "minimum": 0,
        "maximum": reader::MINUTES_MAX,
        "pattern": format!(r"^\s*{}\s*$", span())
    })));
    // Numbers are offsets in hours and minutes: YAML takes `+0200` for one.
    TimeZone: json_schema!({
        "type": ["string", "number"],
        "pattern": or_filled_in(r"^\s*([A-Za-z][A-Za-z0-9_+/-]*|[+-][0-9]{1,2}(:?[0-9]{2})?)\s*$")
    });
    Days: json_schema!({
        "type": ["number", "string"],
        "minimum": 0,
        "maximum": api::DAYS_BACK_MAX,
        "pattern": or_filled_in(&format!(r"^\s*{NUMBER}{EXPONENT}?\s*$"))
    });
}

/// A scalar that isn't empty.
pub(super) fn filled() -> Value {
    json!({ "type": SCALAR, "pattern": NOT_BLANK })
}

/// What is left out where names and values are read: null, and a list of nothing else.
pub(super) fn nothing() -> Value {
    json!({ "type": ["null", "array"], "items": { "type": "null" } })
}

/// A word in capitals, in small letters, or in both.
pub(super) fn pattern_of(word: &str) -> String {
    word.chars().map(|c| format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())).collect()
}

/// A pattern, or any text with a `${…}` in it.
fn or_filled_in(pattern: &str) -> String {
    format!(r"{pattern}|\$\{{")
}

/// The text of a span of time.
fn span() -> String {
    format!(r"{NUMBER}({EXPONENT}|\s*(s|sec|m|min|h|d))?")
}

/// A scalar, or a list of them; null and what is null in a list are left out.
fn one_or_more(pattern: Option<&str>) -> Value {
    let kind = |types: &[&str]| {
        let pattern = pattern.map(|pattern| ("pattern".to_owned(), json!(pattern)));
        [("type".to_owned(), json!(types))].into_iter().chain(pattern).collect::<Map<_, _>>()
    };
    let mut one_or_more = kind(&["string", "number", "boolean", "null", "array"]);
    one_or_more.insert("items".to_owned(), kind(&["string", "number", "boolean", "null"]).into());
    one_or_more.into()
}

/// A host, or a list of them.
fn hosts() -> Schema {
    let host = || json!({ "type": "string", "pattern": or_filled_in(HOST) });
    let credentials =
        json!({ "type": ["boolean", "string", "null"], "pattern": or_filled_in(r"^\s*(true|false)\s*$") });
    let with = json!({
        "type": "object",
        "required": ["host"],
        "properties": { "host": host(), "credentials": credentials },
        "additionalProperties": false
    });
    let one = json!({ "anyOf": [host(), with] });
    json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
}

fn types(list: List) -> Schema {
    let names: Vec<&str> = types_of(list).map(|named| named.name.as_str()).collect();
    let in_blanks = or_filled_in(&format!(r"^\s*({})\s*$", names.join("|")));
    // The names for an editor to offer, the pattern for everything else that is understood.
    json_schema!({ "anyOf": [{ "enum": names }, { "type": "string", "pattern": in_blanks }] })
}

/// Words, whatever their case, or values of another kind.
fn spelled_in_any_case(words: &[&str], other: Option<Value>) -> Schema {
    let spelled: Vec<String> = words.iter().map(|word| pattern_of(word)).collect();
    let any_case = or_filled_in(&format!(r"^\s*({})\s*$", spelled.join("|")));
    let kinds = [json!({ "enum": words }), json!({ "type": "string", "pattern": any_case })].into_iter().chain(other);
    json_schema!({ "anyOf": kinds.collect::<Vec<_>>() })
}

/// Names and values; a name without a value isn't read.
fn headers() -> Schema {
    let values = one_or_more(Some(&or_filled_in(HEADER_VALUE)));
    json_schema!({ "type": "object", "patternProperties": { HEADER_NAME: values }, "additionalProperties": nothing() })
}
