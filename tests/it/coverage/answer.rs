//! The answers of an API, in its documented shape.

use std::io::Write;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::description::{Endpoint, Format, Lines, Login};
use super::log::{Event, Listed};
use super::pattern::{Form, Said, write, write_json};
use super::service::LOGIN_TOKEN;
use crate::harness::{Asked, Reply, decoded};

/// What an answer says beside its records.
#[derive(Default)]
pub struct Context {
    /// The address of the host that files are on.
    pub files: String,
    /// The number of the job.
    pub job: u64,
    /// How many parts it made, once it is finished.
    pub chunks: Option<usize>,
}

pub fn login(login: &Login) -> Reply {
    let value = |name: &str, _: Option<&str>| (name == "login").then(|| Value::from(LOGIN_TOKEN));
    let body = write_json(&login.answer, &value).unwrap_or_default();
    let reply = Reply::json(&body.to_string()).with("Content-Type", "application/json");
    with_headers(reply, &login.headers, &value)
}

/// What a record holds: texts with `{number}`, `{date:FORM}` and `{arrived:FORM}`.
fn record(template: &Value, event: &Event, base: &str, files: &str) -> Value {
    let value = |name: &str, form: Option<&str>| match (name, form) {
        ("base", None) => Some(base.into()),
        // Another one at each read.
        ("read", None) => Some(Form::Rfc3339.write(chrono::Utc::now()).into()),
        ("files", None) => Some(files.into()),
        ("number", None) => Some(event.number.into()),
        ("number", Some(digits)) => {
            let width = digits.parse::<usize>().expect("a number of digits");
            Some(format!("{:0width$}", event.number).into())
        }
        ("id", None) => Some((6_455_442_249_407_790_000 + event.number).into()),
        ("date" | "arrived", Some(form)) => {
            let form: Form = form.parse().unwrap_or_else(|why| panic!("{why}"));
            let text = form.write(if name == "date" { event.at } else { event.arrived });
            Some(if form.is_number() { text.parse::<i64>().map_or(Value::Null, Value::from) } else { text.into() })
        }
        _ => panic!("`{name}` is no value of a record"),
    };
    write_json(template, &value).unwrap_or_default()
}

pub fn page(endpoint: &Endpoint, asked: (&Asked, &Said), listed: &Listed, context: &Context) -> Reply {
    if listed.is_behind && endpoint.behind != 200 {
        return Reply::status(endpoint.behind, "{\"message\":\"no such page\"}");
    }
    if listed.events.is_empty() && endpoint.empty != 200 {
        return Reply::status(endpoint.empty, "");
    }
    let base = base(asked.0);
    let record = |event| record(&endpoint.record, event, &base, &context.files);
    let records: Vec<Value> = listed.events.iter().map(record).collect();
    let value = |name: &str, _: Option<&str>| match name {
        "job" => Some(context.job.into()),
        "status" => Some(if context.chunks.is_some() { "FINISHED" } else { "PROCESSING" }.into()),
        "chunks" => Some((1..=context.chunks.unwrap_or(0)).map(Value::from).collect()),
        _ => value_of(name, endpoint, asked, listed, &records),
    };
    let (kind, body) = match endpoint.format {
        Format::Json => ("application/json", write_json(&endpoint.answer, &value).unwrap_or_default().to_string()),
        Format::Ndjson => {
            let tail = (!endpoint.answer.is_null()).then(|| write_json(&endpoint.answer, &value).unwrap_or_default());
            let lines = records.iter().chain(&tail).map(|line| format!("{line}\n"));
            ("application/x-ndjson", lines.collect())
        }
        Format::Csv => ("text/csv", table(&endpoint.record, &records)),
    };
    let reply = match endpoint.gzip {
        false => Reply::json(&body).with("Content-Type", kind),
        true => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(body.as_bytes()).expect("it is in memory");
            let body = gzip.finish().expect("it is in memory");
            Reply::Full { status: 200, headers: vec![("Content-Type".into(), "application/gzip".into())], body }
        }
    };
    with_headers(reply, &endpoint.headers, &value)
}

fn base(asked: &Asked) -> String {
    format!("http://{}", asked.header("host").unwrap_or_default())
}

fn with_headers(
    reply: Reply,
    headers: &std::collections::BTreeMap<String, Lines>,
    value: &dyn Fn(&str, Option<&str>) -> Option<Value>,
) -> Reply {
    let lines = headers.iter().flat_map(|(name, lines)| lines.iter().map(move |line| (name, line)));
    lines.fold(reply, |reply, (name, line)| match write(line, value) {
        Some(Value::String(text)) => reply.with(name, &text),
        Some(other) => reply.with(name, &other.to_string()),
        None => reply,
    })
}

fn value_of(
    name: &str,
    endpoint: &Endpoint,
    (asked, said): (&Asked, &Said),
    listed: &Listed,
    records: &[Value],
) -> Option<Value> {
    let base = || base(asked);
    match name {
        "records" => Some(records.to_vec().into()),
        "records or nothing" => (!records.is_empty()).then(|| records.to_vec().into()),
        "records by name" => {
            let members = records.iter().enumerate().map(|(at, record)| (format!("Event{}", at + 1), record.clone()));
            Some(Value::Object(members.collect()))
        }
        "columns" => {
            let columns = endpoint.record.as_object().expect("an object").keys();
            Some(columns.map(|name| json!({"name": name})).collect())
        }
        "rows" => {
            let row =
                |record: &Value| Value::Array(record.as_object().into_iter().flat_map(Map::values).cloned().collect());
            Some(records.iter().map(row).collect())
        }
        "next_token" => listed.next.clone(),
        "next_path" => Some(next_path(endpoint, asked, listed.next.as_ref()?).into()),
        "next_url" => Some(format!("{}{}", base(), next_path(endpoint, asked, listed.next.as_ref()?)).into()),
        "self_url" => Some(format!("{}{}?{}", base(), asked.path, asked.query).into()),
        "base" => Some(base().into()),
        "more" => Some(listed.has_more.into()),
        "last" => Some((!listed.has_more).into()),
        "total" => Some(listed.total.into()),
        "count" => Some(records.len().into()),
        "limit" => Some(endpoint.pages.size.into()),
        "page" => Some((said.page.unwrap_or(0) + 1).into()),
        "offset" => Some(said.offset.unwrap_or(0).into()),
        "end" => said.end.map(|end| Form::Zulu.write(end).into()),
        _ => panic!("`{name}` is no value of an answer"),
    }
}

/// The request's own path and query, with the token in its place.
fn next_path(endpoint: &Endpoint, asked: &Asked, token: &Value) -> String {
    let pages = &endpoint.pages;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let is_kept = |field: &&str| {
        let name = decoded(field.split('=').next().unwrap_or_default());
        !field.is_empty() && name != pages.parameter && !pages.without.contains(&name)
    };
    let mut fields: Vec<String> = asked.query.split('&').filter(is_kept).map(str::to_owned).collect();
    let text = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
    fields.push(format!("{}={}", encoded(&pages.parameter), encoded(&text)));
    let path = format!("{}?{}", pages.path.as_deref().unwrap_or(&asked.path), fields.join("&"));
    if pages.blanks { path.replace("%20", " ").replace('+', " ") } else { path }
}

fn table(columns: &Value, records: &[Value]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let row = |values: Vec<String>| values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(",") + "\r\n";
    let empty = Map::new();
    let names = columns.as_object().unwrap_or(&empty).keys().cloned().collect();
    let values = records.iter().map(|record| {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        row(record.as_object().unwrap_or(&empty).values().map(text).collect())
    });
    std::iter::once(row(names)).chain(values).collect()
}
