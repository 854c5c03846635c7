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
    CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};

use crate::record::json::RawJson;

/// What stands for a web page.
const WEB_PAGE: &str = "<!DOCTYPE html><html><head><title>A web page</title></head><body></body></html>";

impl Mask {
    /// The body of an answer, as it is kept. What comes of a token request holds nothing but secrets.
    pub(super) fn body(&mut self, body: &str, is_token: bool) -> String {
        let trimmed = body.trim_start_matches('\u{feff}').trim();
        if trimmed.is_empty() {
            return String::new();
        }
        if let Ok(root) = RawJson::parse(trimmed) {
            return self.json(root, is_token);
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

    fn cell(&mut self, cell: &str) -> String {
        match cell.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inner) => format!("\"{}\"", self.text(inner)),
            None => self.text(cell),
        }
    }

    /// The headers of an answer that are kept; `named` are those that the entry reads.
    pub(super) fn headers(&mut self, headers: &HeaderMap, named: &[HeaderName]) -> HeaderMap {
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
