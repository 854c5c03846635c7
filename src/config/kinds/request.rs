//! What requests are made of: URLs, methods, headers, bodies, hosts.

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::pattern::{HEADER_NAME, ORIGIN, filled, nothing, one_or_more, or_filled_in, spelled_in_any_case};
use super::{Kind, Traits};
use crate::config::place::Place;
use crate::config::slips;
use crate::config::value::{Found, key_text, written};
use crate::hosts::HostRule;
use crate::template::{Piece, Template, UrlTemplate, VariableSet};

/// How a host of `hosts` begins, perhaps with its scheme.
const HOST: &str = r"^\s*([Hh][Tt][Tt][Pp][Ss]?://)?(\*\.)?[^/\\\s?#*@]+/?\s*$";
/// What can stand in an HTTP header.
const HEADER_VALUE: &str = r"^\s*[^\x00-\x08\x0a-\x1f\x7f]*\s*$";

/// What a URL looks like.
pub(super) const URL_HINT: &str = "like https://host.example/path";

/// The URL of a data request, perhaps with variables in its path and query.
pub(in crate::config) enum Url {}

impl Kind for Url {
    /// With the URL that fixes the origin, unless the login tells it.
    type Value<'v> = (UrlTemplate, Option<reqwest::Url>);

    fn read(found: &Found<'_>) -> Option<Self::Value<'static>> {
        let text = found.filled()?;
        let refuse = |what: &str| found.refuse(what, Some(URL_HINT));
        match UrlTemplate::parse(text.trim_end_matches('?')) {
            Ok((template, url)) => match url.as_ref().map_or(Ok(()), is_web) {
                Ok(()) => Some((template, url)),
                Err(what) => refuse(what),
            },
            Err(Some(error)) => refuse(&error.to_string()),
            Err(None) => refuse("it is not a valid URL"),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "string", "pattern": or_filled_in(ORIGIN) })
    }
}

/// The URL of the next pages, perhaps a link that the page before gives, or relative to the first one.
pub(in crate::config) enum NextUrl {}

impl Kind for NextUrl {
    /// With the URL that fixes the origin, unless the answer tells it.
    type Value<'v> = (UrlTemplate, Option<reqwest::Url>);

    fn read(found: &Found<'_>) -> Option<Self::Value<'static>> {
        let text = found.filled()?;
        match Template::parse(&text) {
            Ok(template) if begins_in_answer(&template) => Some((UrlTemplate::Open(template), None)),
            _ => Url::read(found),
        }
    }

    fn schema(_: Place) -> Value {
        let of_answer = r"^\s*[/?]|^\s*([Hh][Tt][Tt][Pp][Ss]?://)?[^/?#{]*\{res[.\[]";
        json!({ "type": "string", "pattern": or_filled_in(&format!("{ORIGIN}|{of_answer}")) })
    }
}

/// Whether the page before tells the origin of a URL, or it is relative.
fn begins_in_answer(template: &Template) -> bool {
    match template.pieces() {
        [Piece::Variable { variable, .. }, ..] => variable.as_answer_value().is_some(),
        [Piece::Text(text), rest @ ..] => {
            let is_relative = text.starts_with(['/', '?']) && !text.starts_with("//");
            let scheme_end = ["https://", "http://"]
                .iter()
                .find(|scheme| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme)));
            let host = scheme_end.and_then(|scheme| text.get(scheme.len()..));
            let is_in_host = host.is_some_and(|host| !host.contains(['/', '?', '#']));
            let is_next =
                matches!(rest.first(), Some(Piece::Variable { variable, .. }) if variable.as_answer_value().is_some());
            is_relative || (is_in_host && is_next)
        }
        [] => false,
    }
}

/// What is put behind a URL.
pub(in crate::config) enum Append {}

impl Kind for Append {
    type Value<'v> = Template;

    fn read(found: &Found<'_>) -> Option<Template> {
        match Template::parse(&found.filled()?) {
            Ok(template) => Some(template),
            Err(error) => found.refuse(&error.to_string(), None),
        }
    }

    fn schema(_: Place) -> Value {
        filled()
    }
}

/// The URL of a token endpoint.
pub(in crate::config) enum TokenUrl {}

impl Kind for TokenUrl {
    type Value<'v> = reqwest::Url;

    fn read(found: &Found<'_>) -> Option<reqwest::Url> {
        let text = found.filled()?;
        let url = found.or_refuse(web_url(&text), URL_HINT)?;
        slips::in_token_url(&url).into_iter().for_each(|(what, hint)| found.warn(what, hint));
        Some(url)
    }

    fn schema(place: Place) -> Value {
        Url::schema(place)
    }
}

/// The method of a request.
pub(in crate::config) enum HttpMethod {}

impl Kind for HttpMethod {
    type Value<'v> = Method;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Method> {
        match found.text()?.to_ascii_uppercase().as_str() {
            "GET" => Some(Method::GET),
            "POST" => Some(Method::POST),
            _ => found.refuse("it should be GET or POST", None),
        }
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&["GET", "POST"], None)
    }
}

/// Headers of token requests: those without variables, and those with.
pub(in crate::config) enum TokenHeaders {}

impl Kind for TokenHeaders {
    type Value<'v> = (HeaderMap, Vec<(HeaderName, Template)>);
    const TRAITS: Traits = Traits::OPEN;

    fn read(found: &Found<'_>) -> Option<Self::Value<'static>> {
        Some(header_templates(found, VariableSet::Token))
    }

    fn schema(_: Place) -> Value {
        headers_schema()
    }
}

/// Headers of data requests: those without variables, and those with.
pub(in crate::config) enum HeaderTemplates {}

impl Kind for HeaderTemplates {
    type Value<'v> = (HeaderMap, Vec<(HeaderName, Template)>);
    const TRAITS: Traits = Traits::OPEN;

    fn read(found: &Found<'_>) -> Option<Self::Value<'static>> {
        Some(header_templates(found, VariableSet::Data))
    }

    fn schema(_: Place) -> Value {
        headers_schema()
    }
}

/// The headers without variables, and those with; a name without a value isn't read.
fn header_templates(found: &Found<'_>, set: VariableSet) -> (HeaderMap, Vec<(HeaderName, Template)>) {
    let (mut plain, mut filled) = (HeaderMap::new(), Vec::new());
    for (name, text) in found.pairs() {
        let refuse = |what: &str| found.reader.error(&text.spot, what, None);
        let template = match Template::parse_with(text.value.trim(), set) {
            Ok(template) => template,
            Err(error) => {
                refuse(&error.to_string());
                continue;
            }
        };
        let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes()) else {
            refuse("it is not a valid HTTP header name");
            continue;
        };
        match HeaderValue::from_str(&template.texts()) {
            Err(_) => refuse("its value can't stand in an HTTP header"),
            Ok(_) if template.variables().next().is_some() => filled.push((name, template)),
            Ok(mut value) => {
                value.set_sensitive(true);
                plain.append(name, value);
            }
        }
    }
    (plain, filled)
}

fn headers_schema() -> Value {
    let values = one_or_more(Some(&or_filled_in(HEADER_VALUE)));
    json!({ "type": "object", "patternProperties": { HEADER_NAME: values }, "additionalProperties": nothing() })
}

/// The body of a data request: how it is sent depends on the headers.
pub(in crate::config) enum Body {}

impl Kind for Body {
    type Value<'v> = Found<'v>;
    const TRAITS: Traits = Traits::OPEN;

    fn read<'v>(found: &Found<'v>) -> Option<Found<'v>> {
        Some(found.clone())
    }

    fn schema(_: Place) -> Value {
        json!({ "type": ["string", "number", "boolean", "object", "array"] })
    }
}

/// The body of a token request: how it is sent depends on the headers.
pub(in crate::config) enum Form {}

impl Kind for Form {
    type Value<'v> = Found<'v>;
    const TRAITS: Traits = Traits::OPEN;

    fn read<'v>(found: &Found<'v>) -> Option<Found<'v>> {
        Some(found.clone())
    }

    fn schema(_: Place) -> Value {
        json!({ "type": ["string", "number", "boolean", "object"], "additionalProperties": one_or_more(None) })
    }
}

/// Other origins: a host, or a list of them.
pub(in crate::config) enum Hosts {}

impl Kind for Hosts {
    /// Each with where it stands.
    type Value<'v> = Vec<(HostRule, Found<'v>)>;
    const TRAITS: Traits = Traits::OPEN;

    fn read<'v>(found: &Found<'v>) -> Option<Self::Value<'v>> {
        Some(found.items().into_iter().filter_map(|item| Some((host(&item)?, item))).collect())
    }

    fn schema(_: Place) -> Value {
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
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// What is said of a host that can't be used.
pub(in crate::config) const HOST_HINT: &str =
    "like 'files.example.com', '*.example.com', or {host: …, credentials: true}";

fn host(item: &Found<'_>) -> Option<HostRule> {
    let refuse = |what: &str| item.refuse(what, Some(HOST_HINT));
    let (host, credentials) = match item.value {
        serde_yaml::Value::Mapping(pairs) => {
            let other = pairs.keys().filter_map(key_text).find(|key| !matches!(key.as_str(), "host" | "credentials"));
            if other.is_some() {
                return refuse("only `host` and `credentials` may stand here");
            }
            let text = |key: &str| pairs.get(key).filter(|value| !value.is_null()).and_then(written);
            match text("credentials").as_deref().map(str::trim) {
                None | Some("false") => (text("host"), false),
                Some("true") => (text("host"), true),
                Some(_) => return refuse("`credentials` should be true or false"),
            }
        }
        other => (written(other), false),
    };
    let Some(host) = host else { return refuse("a host should be here") };
    item.or_refuse(HostRule::parse(&host, credentials), HOST_HINT)
}

/// An http or https URL with a host; a `?` at its end is cut.
pub(super) fn web_url(text: &str) -> Result<reqwest::Url, &'static str> {
    let url = reqwest::Url::parse(text.trim_end_matches('?')).map_err(|_| "it is not a valid URL")?;
    is_web(&url)?;
    Ok(url)
}

pub(super) fn is_web(url: &reqwest::Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it should begin with https://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it has no host");
    }
    Ok(())
}
