//! What a cassette keeps of the answers and of the entry: by permission, not by prohibition.
//!
//! Kept are structure, kinds, lengths and dates, the names of keys, and the few words and numbers that paging and errors
//! are made of ([`words`]). Every other text becomes letters and digits of the same form, one to one: the same text the
//! same wherever it stands, so that a token or an id leads on as it did. Secrets become numbered marks that tell nothing,
//! not even their length. Requests aren't kept at all: they are what the pipeline asks for, given what is kept.

mod entry;
mod hosts;
mod json;
mod links;
mod text;
mod words;

pub use entry::Entry;
pub(super) use entry::{mask_entry, without_secrets};
pub(super) use text::Mask;

use reqwest::header::{
    CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};

use crate::decode::Content;
use crate::record::json::RawJson;
use crate::transport::ANSWERS_BYTES_MAX;

/// What stands for a web page.
const WEB_PAGE: &str = "<!DOCTYPE html><html><head><title>A web page</title></head><body></body></html>";

/// How the body of an answer is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BodyKind {
    /// Whether it came of a token request: it holds nothing but secrets then.
    pub(super) is_token: bool,
    /// Whether each line is a value of its own, also where there is one line alone.
    pub(super) is_lines: bool,
}

impl Mask {
    /// The body of an answer, as it is kept; what is in its archives, too.
    pub(super) fn bytes(&mut self, body: &[u8], kind: BodyKind) -> Vec<u8> {
        let mut change = |name: &str, bytes: Vec<u8>| {
            let kind = BodyKind { is_lines: kind.is_lines || has_lines(name), ..kind };
            self.body(&String::from_utf8_lossy(&bytes), kind).into_bytes()
        };
        let changed = Content::of(body, ANSWERS_BYTES_MAX).changed(&mut change, &file_name);
        changed.packed().unwrap_or_default()
    }

    /// A text of it, as it is kept.
    pub(super) fn body(&mut self, body: &str, kind: BodyKind) -> String {
        let BodyKind { is_token, is_lines } = kind;
        let trimmed = body.trim_start_matches('\u{feff}').trim();
        if trimmed.is_empty() {
            return String::new();
        }
        if let Ok(root) = RawJson::parse(trimmed) {
            return if is_lines { self.json_line(root, is_token) + "\n" } else { self.json(root, is_token) };
        }
        let lines: Option<Vec<RawJson<'_>>> = trimmed
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| RawJson::parse(line).ok())
            .collect();
        match lines {
            Some(lines) => {
                let lines = lines.into_iter().map(|line| self.json_line(line, is_token) + "\n");
                lines.collect()
            }
            None if trimmed.starts_with('<') => WEB_PAGE.to_owned(),
            None if is_token => self.secret(trimmed),
            None => self.table(trimmed),
        }
    }

    /// Text that is no JSON: CSV, whose first line names the columns.
    fn table(&mut self, text: &str) -> String {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let Some(delimiter) = [',', ';', '\t', '|'].into_iter().find(|mark| first.contains(*mark)) else {
            return text.lines().map(|line| self.text(line) + "\n").collect();
        };
        let header: Vec<String> = cells(first, delimiter).map(|cell| self.key(cell)).collect();
        let mut out = header.join(&delimiter.to_string()) + "\n";
        for line in lines {
            let masked: Vec<String> = cells(line, delimiter).map(|cell| self.cell(cell)).collect();
            out.push_str(&masked.join(&delimiter.to_string()));
            out.push('\n');
        }
        out
    }

    /// A cookie of a login: its name, and a mark.
    fn cookie(&mut self, text: &str) -> Option<String> {
        let (name, value) = text.split(';').next()?.split_once('=')?;
        Some(format!("{}={}", self.key(name.trim()), self.secret(value.trim())))
    }

    fn cell(&mut self, cell: &str) -> String {
        match cell.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inner) => format!("\"{}\"", self.text(inner)),
            None => self.text(cell),
        }
    }

    /// The headers of an answer that are kept; `named` are those that the entry reads. Those of a token request's answer hold
    /// the token and its cookies.
    pub(super) fn headers(&mut self, headers: &HeaderMap, named: &[HeaderName], is_token: bool) -> HeaderMap {
        let mut kept = HeaderMap::new();
        for (name, value) in headers {
            let Ok(text) = value.to_str() else { continue };
            let masked = match name {
                _ if *name == CONTENT_TYPE => Some(media_type(text)),
                _ if *name == DATE || *name == RETRY_AFTER => words::is_plain_wait(text).then(|| text.to_owned()),
                _ if *name == LINK => Some(self.link_header(text)),
                _ if *name == LOCATION => Some(self.link(text)),
                _ if *name == WWW_AUTHENTICATE => Some(words::challenge(text)),
                _ if words::is_limit_header(name.as_str()) => Some(words::limits(text)),
                _ if *name == SET_COOKIE && is_token => self.cookie(text),
                _ if named.contains(name) && is_token => Some(self.secret(text)),
                _ if named.contains(name) => Some(self.text(text)),
                _ => None,
            };
            if let Some(value) = masked.and_then(|text| HeaderValue::from_str(&text).ok()) {
                kept.append(name.clone(), value);
            }
        }
        kept
    }
}

/// The name of a file in an archive, as it is kept: its ending says how it is read.
fn file_name(number: usize, name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let inner = name.strip_suffix(".gz").unwrap_or(&name);
    let ending = [".csv", ".ndjson", ".jsonl", ".json"].into_iter().find(|ending| inner.ends_with(ending));
    let gzip = if inner.len() < name.len() { ".gz" } else { "" };
    format!("file-{number}{}{gzip}", ending.unwrap_or_default())
}

fn has_lines(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.ends_with(".ndjson") || name.ends_with(".jsonl")
}

/// The cells of a line; a delimiter in quotes parts nothing.
fn cells(line: &str, delimiter: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    line.split(move |c: char| {
        is_quoted ^= c == '"';
        c == delimiter && !is_quoted
    })
}

/// A content type without its parameters, where it is one of those that say how a body is read.
fn media_type(text: &str) -> String {
    let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = name == "application/json" || name.ends_with("+json");
    let known =
        ["application/x-ndjson", "application/ndjson", "application/jsonl", "text/csv", "text/plain", "text/html"];
    match known.into_iter().find(|known| *known == name) {
        Some(known) => known.to_owned(),
        None if is_json => "application/json".to_owned(),
        None => "application/octet-stream".to_owned(),
    }
}
