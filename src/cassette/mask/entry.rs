//! The entry of the config: what says how the API is asked is kept, what says who asks is not.

use chrono::DateTime;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_yaml::{Mapping, Value};

use super::Mask;
use super::words;
use crate::config::catalog::{self, NamedType};
use crate::template::is_variable;
use crate::text::Redactor;

/// What the API of a cassette is called.
const NAME: &str = "recorded";
/// The keys of an entry that say how the API is asked, and nothing of who asks.
const KEPT: [&str; 8] =
    ["type", "enabled", "start_date_name", "json_paths", "response", "settings", "within", "method"];
/// The keys below a request that do.
const KEPT_OF_REQUEST: [&str; 6] = ["method", "timeout", "token", "expires_in", "stop", "max_pages"];
/// The key of certificates, which a replay has no use for.
const LEFT_OUT: &str = "tls";
/// How deep an entry is looked into.
const DEPTH_MAX: usize = 32;

/// An entry of the config, with everything filled in.
pub struct Entry {
    /// The list that it stands in.
    pub list: &'static str,
    /// Its keys and values.
    pub map: Mapping,
}

/// The entry as it is kept.
pub(in super::super) fn mask_entry(entry: &Entry, mask: &mut Mask) -> Entry {
    for named in catalog::types() {
        note_hosts(&Value::Mapping(named.entry.clone()), mask, 0);
    }
    for key in KEPT {
        note_words(entry.map.get(key), mask, 0);
    }
    // What the last answer says must be found in the answers that are kept.
    note_words(entry.map.get("next_request").and_then(|next| next.get("stop")), mask, 0);
    let named = entry.map.get("type").and_then(text_of);
    let named = named.and_then(|name| catalog::types().iter().find(|known| known.name == name));
    Entry { list: entry.list, map: keys(&entry.map, named, mask, 0) }
}

/// The entry as it is, but for what is secret in it, and for what names files.
pub(in super::super) fn without_secrets(entry: &Entry, redactor: &Redactor) -> Entry {
    let mut mask = Mask::new(redactor.clone(), DateTime::UNIX_EPOCH);
    Entry { list: entry.list, map: unsecret(&entry.map, false, &mut mask, 0) }
}

fn unsecret(map: &Mapping, is_secret: bool, mask: &mut Mask, depth: usize) -> Mapping {
    let mut kept = Mapping::new();
    for (key, value) in map {
        let name = text_of(key).unwrap_or_default();
        if name == LEFT_OUT || depth > DEPTH_MAX {
            continue;
        }
        let is_secret = is_secret || ["credentials", "refresh_token", "key"].contains(&name.as_str());
        // What the config itself takes for a secret is one wherever it stands.
        let value = match value {
            _ if KEPT.contains(&name.as_str()) => value.clone(),
            _ if name == "headers" => headers(value, mask),
            Value::Mapping(below) => Value::Mapping(unsecret(below, is_secret, mask, depth + 1)),
            Value::String(text) if is_secret || mask.is_secret(text) => Value::from(template(text, mask, true)),
            other => other.clone(),
        };
        kept.insert(key.clone(), value);
    }
    kept
}

/// The keys of an entry, or of one of its steps.
fn keys(map: &Mapping, named: Option<&NamedType>, mask: &mut Mask, depth: usize) -> Mapping {
    let mut kept = Mapping::new();
    for (key, value) in map {
        let Some(name) = text_of(key) else { continue };
        let is_secret = named
            .is_some_and(|named| named.own_parameters().any(|parameter| parameter.name == name && parameter.secret));
        let masked = match name.as_str() {
            _ if depth > DEPTH_MAX || name == LEFT_OUT => continue,
            "name" => Value::from(NAME),
            "credentials" => each(value, &mut |value| hidden(value, mask)),
            "http_request" | "data_http_request" | "next_request" | "token_http_request" => request(value, mask),
            "filters" => fields(value, mask),
            "hosts" => hosts(value, mask),
            "sign" => request(value, mask),
            "steps" => match value {
                Value::Sequence(steps) => steps.iter().map(|step| within(step, mask, depth + 1)).collect(),
                other => within(other, mask, depth + 1),
            },
            kept if KEPT.contains(&kept) => value.clone(),
            _ if is_secret => hidden(value, mask),
            _ => plain(value, mask, 0),
        };
        kept.insert(key.clone(), masked);
    }
    kept
}

fn within(value: &Value, mask: &mut Mask, depth: usize) -> Value {
    match value {
        Value::Mapping(map) => Value::Mapping(keys(map, None, mask, depth)),
        other => plain(other, mask, depth),
    }
}

/// A section that describes a request.
fn request(value: &Value, mask: &mut Mask) -> Value {
    let Value::Mapping(map) = value else { return plain(value, mask, 0) };
    let mut kept = Mapping::new();
    for (key, value) in map {
        let name = text_of(key).unwrap_or_default();
        let masked = match name.as_str() {
            "url" => each(value, &mut |value| of_text(value, |text| url(text, mask))),
            "headers" => headers(value, mask),
            "filters" => fields(value, mask),
            "refresh_token" => hidden(value, mask),
            // Of a signature: what is made, and how it is written.
            "encoding" => value.clone(),
            "hmac" | "hash" => value.clone(),
            "key" => hidden(value, mask),
            name if KEPT_OF_REQUEST.contains(&name) => value.clone(),
            _ => plain(value, mask, 0),
        };
        kept.insert(key.clone(), masked);
    }
    Value::Mapping(kept)
}

/// Headers: the values of all but a few are secrets.
fn headers(value: &Value, mask: &mut Mask) -> Value {
    let Value::Mapping(map) = value else { return hidden(value, mask) };
    let mut kept = Mapping::new();
    for (key, value) in map {
        let name = text_of(key).unwrap_or_default();
        let is_kept = [ACCEPT, CONTENT_TYPE].iter().any(|known| name.eq_ignore_ascii_case(known.as_str()));
        kept.insert(key.clone(), if is_kept { value.clone() } else { hidden(value, mask) });
    }
    Value::Mapping(kept)
}

/// Query parameters: their names are kept, and the numbers that pages are made of.
fn fields(value: &Value, mask: &mut Mask) -> Value {
    let Value::Mapping(map) = value else { return plain(value, mask, 0) };
    let mut kept = Mapping::new();
    for (key, value) in map {
        let name = text_of(key).unwrap_or_default();
        let number = text_of(value).filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let is_kept = number.is_some_and(|number| words::is_kept_number(&name, &number, mask.now));
        kept.insert(key.clone(), if is_kept { value.clone() } else { plain(value, mask, 0) });
    }
    Value::Mapping(kept)
}

/// Origins that may be asked: `host`, `*.host`, `host:8443`, `http://host:8080`, `{host: …, credentials: true}`.
fn hosts(value: &Value, mask: &mut Mask) -> Value {
    let mut one = |value: &Value| of_text(value, |text| origin(text, mask));
    match value {
        Value::Sequence(items) => items
            .iter()
            .map(|item| match item {
                Value::Mapping(map) => {
                    let mut map = map.clone();
                    if let Some(host) = map.get_mut("host") {
                        *host = one(host);
                    }
                    Value::Mapping(map)
                }
                item => one(item),
            })
            .collect(),
        other => one(other),
    }
}

/// `scheme://host:port` without a path; the scheme and the port may be missing.
fn origin(text: &str, mask: &mut Mask) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let (host, port) = rest
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or((rest, String::new()), |(host, port)| (host, format!(":{port}")));
    let host = match host.strip_prefix("*.") {
        Some(domain) => format!("*.{}", mask.hosts.domain(domain)),
        None => mask.hosts.replaced(host),
    };
    let mark = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{mark}{host}{port}")
}

/// A URL in which variables may stand anywhere.
fn url(text: &str, mask: &mut Mask) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return template(text, mask, false) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = if host.contains('{') { template(host, mask, false) } else { origin(host, mask) };
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let mut part = |part: &str| match part.contains('{') {
        true => template(part, mask, false),
        false => {
            let decoded = percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
            let masked = mask.text(&decoded);
            if masked == decoded { part.to_owned() } else { crate::template::query::encode_component(&masked) }
        }
    };
    let path: Vec<String> = path.split('/').map(&mut part).collect();
    let fields = query.map(|query| {
        let fields = query.split('&').map(|field| match field.split_once('=') {
            Some((name, value)) => format!("{name}={}", part(value)),
            None => field.to_owned(),
        });
        format!("?{}", fields.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{host}{}{}", path.join("/"), fields.unwrap_or_default())
}

/// Text whose variables stay. Where it is secret, every word of it becomes a mark.
fn template(text: &str, mask: &mut Mask, is_secret: bool) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, variable, after)) = next_variable(rest) {
        out.push_str(&literal(before, mask, is_secret));
        out.push_str(variable);
        rest = after;
    }
    out.push_str(&literal(rest, mask, is_secret));
    out
}

/// The first variable of a text, what stands before it, and what behind.
fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices('{').find_map(|(at, _)| {
        let inner = text.get(at + 1..)?;
        let end = inner.find('}')?;
        let name = inner.get(..end)?.split([':', '.']).next()?;
        let is_brace = inner.starts_with("'{'}");
        (is_brace || is_variable(name)).then_some(())?;
        let end = at + 2 + if is_brace { 3 } else { end };
        Some((text.get(..at)?, text.get(at..end)?, text.get(end..)?))
    })
}

/// What stands between variables, word by word; the names of fields stay.
fn literal(text: &str, mask: &mut Mask, is_secret: bool) -> String {
    if text.trim().is_empty() {
        return text.to_owned();
    }
    if is_secret || mask.is_secret(text) {
        let words = text.split(' ').map(|word| if word.is_empty() { String::new() } else { mask.secret(word) });
        return words.collect::<Vec<_>>().join(" ");
    }
    if mask.is_kept(text) || mask.is_link(text) {
        return mask.text(text);
    }
    let is_word = |c: char| c.is_alphanumeric() || "_@.+-".contains(c);
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_name = after.starts_with('=') || after.starts_with("\":") || after.starts_with("\" :");
        out.push_str(&if is_name { mask.key(word) } else { mask.text(word) });
        let mark = after.chars().next().map_or(0, char::len_utf8);
        let (mark, after) = after.split_at(mark);
        out.push_str(mark);
        rest = after;
    }
    out
}

/// Any value: its strings are templates.
fn plain(value: &Value, mask: &mut Mask, depth: usize) -> Value {
    match value {
        Value::String(text) => Value::from(template(text, mask, false)),
        Value::Number(number) => {
            let masked = mask.number("", &number.to_string());
            serde_yaml::from_str(&masked).unwrap_or(Value::Null)
        }
        Value::Sequence(items) if depth < DEPTH_MAX => items.iter().map(|item| plain(item, mask, depth + 1)).collect(),
        Value::Mapping(map) if depth < DEPTH_MAX => {
            let pairs = map.iter().map(|(key, value)| {
                let key = text_of(key).map_or_else(|| key.clone(), |key| Value::from(mask.key(&key)));
                (key, plain(value, mask, depth + 1))
            });
            Value::Mapping(pairs.collect())
        }
        Value::Bool(_) | Value::Null => value.clone(),
        _ => Value::Null,
    }
}

/// A value that is secret as a whole.
fn hidden(value: &Value, mask: &mut Mask) -> Value {
    each(value, &mut |value| match value {
        Value::Null => Value::Null,
        other => text_of(other).map_or(Value::Null, |text| Value::from(template(&text, mask, true))),
    })
}

fn each(value: &Value, on: &mut dyn FnMut(&Value) -> Value) -> Value {
    match value {
        Value::Mapping(map) => Value::Mapping(map.iter().map(|(key, value)| (key.clone(), on(value))).collect()),
        Value::Sequence(items) => items.iter().map(on).collect(),
        other => on(other),
    }
}

fn of_text(value: &Value, on: impl FnOnce(&str) -> String) -> Value {
    text_of(value).map_or(Value::Null, |text| Value::from(on(&text)))
}

/// A scalar as a text.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// The hosts that the catalog names are public.
fn note_hosts(value: &Value, mask: &mut Mask, depth: usize) {
    match value {
        Value::String(text) => {
            let host = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', ':']).next());
            host.filter(|host| !host.contains('{')).into_iter().for_each(|host| mask.hosts.keep(host));
        }
        Value::Mapping(map) if depth < DEPTH_MAX => map.values().for_each(|value| note_hosts(value, mask, depth + 1)),
        Value::Sequence(items) if depth < DEPTH_MAX => items.iter().for_each(|item| note_hosts(item, mask, depth + 1)),
        _ => {}
    }
}

/// The words of what is kept may stand elsewhere, too.
fn note_words(value: Option<&Value>, mask: &mut Mask, depth: usize) {
    match value {
        Some(Value::String(text)) => {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.len() > 1);
            words.for_each(|word| mask.keep(word));
        }
        Some(Value::Mapping(map)) if depth < DEPTH_MAX => {
            map.values().for_each(|value| note_words(Some(value), mask, depth + 1));
        }
        Some(Value::Sequence(items)) if depth < DEPTH_MAX => {
            items.iter().for_each(|item| note_words(Some(item), mask, depth + 1));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Secret;

    #[test]
    fn an_entry_keeps_how_it_asks_and_not_who_asks() {
        let now = DateTime::from_timestamp(1_716_900_000, 0).expect("a date");
        let mut mask = Mask::new(Redactor::new([Secret::new("t0p-secret")]), now);
        let text = r#"
type: general
name: Acme audit of Alice
credentials: {id: alice, key: hunter22}
http_request:
  url: 'https://acme.example:8443/api/v1/acme-corp/events?x={start_date}'
  headers: {Accept: application/json, X-Key: 'Token t0p-secret', X-Since: '{start_date}'}
  body: {query: 'user = "alice" since {start_date}', limit: 50}
filters: {limit: 100, owner: alice@acme.example, $filter: 'createdDateTime ge {start_date}'}
hosts: ['*.acme.example', 'files.acme.example:444']
json_paths: {data: items, data_date: createdDateTime, next_url: links.next}
settings: {time_interval: 5m}
next_request:
  append: '&page={res.result_info.page+1}&owner=alice'
  stop: {field: paging.state, condition: equals, value: finished}
  max_pages: 7
custom_fields: {type: acme, team: "Alice's"}
tls: {cert_file: /etc/alice.pem}
"#;
        let map: Mapping = serde_yaml::from_str(text).expect("YAML");
        let masked = mask_entry(&Entry { list: "auth_apis", map }, &mut mask);
        let written = serde_yaml::to_string(&masked.map).expect("YAML");
        for gone in ["acme", "Acme", "alice", "Alice", "hunter22", "t0p-secret", "Token", "pem"] {
            assert!(!written.contains(gone), "{gone}:\n{written}");
        }
        for kept in [
            "name: recorded",
            "/api/v1/",
            "?x={start_date}",
            ":8443",
            "application/json",
            "X-Since: '{start_date}'",
            "limit: 100",
            "createdDateTime ge {start_date}",
            "next_url: links.next",
            "time_interval: 5m",
            "since {start_date}",
            "&page={res.result_info.page+1}&owner=",
            "field: paging.state",
            "value: finished",
            "max_pages: 7",
        ] {
            let kept_less = kept.replace("since ", "");
            assert!(written.contains(&kept_less), "{kept}:\n{written}");
        }
        assert_eq!(mask.text("finished"), "finished", "an answer that says so still does");
    }
}
