//! The requests of an entry of `apis` in our own words: that of the records, its pages, and that of the login.

use serde_yaml::{Mapping, Value};

use super::super::kinds::apis::{PageCount, PagingPlace, YesNo};
use super::super::kinds::stop::{StopConditionKind, StopConditionName};
use super::draft::{EntryDraft, in_own_words, over};
use super::path::ParsedPath;
use super::text::{OldTextPlace, has_variables, whole_variable};

/// How many calls follow the first one where nothing says when they end, as in the original.
const CALLS_MAX: u64 = 100;

/// Scheme, host and port of a template, where it names them.
fn origin_of(text: &str) -> Option<String> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty() && !host.contains(['{', '@']))?;
    Some(format!("{}://{}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase()))
}

impl EntryDraft<'_> {
    /// The request of the records.
    pub(super) fn request(&mut self) {
        let old = self.old;
        let key = |name: &str| old.data_key(name);
        let (url, method, headers, body) = (key("url"), key("method"), key("headers"), key("body"));
        let (data, within) = (key("response_data_path"), self.old.named.dialect.request.as_str());
        let section = if within.is_empty() { self.old.spot.clone() } else { self.old.spot.key(within) };
        for name in ["http_request", "next_request", "next_iteration"] {
            self.came_from(&[name], &section, None);
        }
        // What is missing is missing there.
        self.came_from(&["http_request", "url"], &self.old.spot_of(&url), None);
        self.came_from(&["json_paths", "next_url"], &self.old.spot_of(&key("pagination")), None);
        self.take_text(&url, &["http_request", "url"], OldTextPlace::First);
        self.take(&method, &["http_request", "method"]);
        self.take_all(&headers, &["http_request", "headers"], OldTextPlace::First);
        self.take_all(&body, &["http_request", "body"], OldTextPlace::First);
        self.records_path(&data);
        if !within.is_empty() {
            self.records_path("response_data_path");
        }
        self.pages();
    }

    /// The path of the records, where it is there. Lines and rows are records as they are, so nothing is looked for in them;
    /// where answers of the type may come without a list, they may under another name, too.
    fn records_path(&mut self, from: &str) {
        let Some((found, text)) = self.old.find(from).and_then(|found| Some((found.clone(), found.text()?))) else {
            return;
        };
        let of_type = |section: &str, key: &str| self.old.named.entry.get(section)?.get(key)?.as_str();
        let format = self.old.text("format").or_else(|| of_type("response", "format").map(str::to_owned));
        if let Some(format) = format.filter(|format| !format.eq_ignore_ascii_case("json")) {
            let what = format!("it isn't used: answers are {format}, in which each line is a record");
            return found.warn(&what, "leave it out; for answers that are one JSON value, write `format: json`");
        }
        let is_optional = of_type("json_paths", "data").is_some_and(|path| path.ends_with('?'));
        let path = ParsedPath::parse(&text).written() + if is_optional { "?" } else { "" };
        self.put(&["json_paths", "data"], path, &found.spot);
    }

    /// A path in our own words, where it is there.
    fn path(&mut self, from: &str, way: &[&str]) {
        if let Some((found, text)) = self.old.find(from).and_then(|found| Some((found.clone(), found.text()?))) {
            self.put(way, ParsedPath::parse(&text).written(), &found.spot);
        }
    }

    /// How one page leads to the next.
    fn pages(&mut self) {
        let old = self.old;
        let key = |name: &str| old.data_key(&format!("pagination.{name}"));
        let Some(paging) = self.old.find(&self.old.data_key("pagination")) else { return };
        if !paging.value.is_mapping() {
            return;
        }
        self.came_from(&["next_request"], &paging.spot, None);
        let Some(kind) = self.old.find(&key("type")) else {
            return self.old.reader.error(&self.old.spot_of(&key("type")), "a required key is missing", None);
        };
        let format = match self.old.read::<PagingPlace>(&key("type")) {
            Some("url") => key("url_format"),
            Some("body") => key("body_format"),
            Some(_) => key("headers_format"),
            None => return,
        };
        let Some(found) = self.old.find(&format) else {
            let hint = format!("`pagination.type: {}` needs it", kind.text().unwrap_or_default());
            return self.old.reader.error(&self.old.spot_of(&format), "a required key is missing", Some(hint));
        };
        let is_appended = self.old.read::<YesNo>(&key("update_first_url")).unwrap_or_default();
        match format.rsplit('.').next() {
            Some("url_format") if is_appended => {
                self.take_text(&format, &["next_request", "append"], OldTextPlace::FromAnswer);
            }
            Some("url_format") => match found.text().as_deref().and_then(whole_variable) {
                // The template is a link.
                Some(path) => self.put(&["json_paths", "next_url"], path.written(), &found.spot),
                None => self.take_text(&format, &["next_request", "url"], OldTextPlace::FromAnswer),
            },
            Some("body_format") => self.body(&format, &["next_request", "body"]),
            _ => self.next_headers(&format),
        }
        self.stop(&key("stop_indication"));
        if let Some(written) = self.old.find(&key("max_calls")) {
            let count = self.old.read::<PageCount>(&key("max_calls"));
            count.into_iter().for_each(|count| self.put(&["next_request", "max_pages"], count, &written.spot));
        } else if !has_variables(found.value) && !self.old.has(&key("stop_indication")) {
            self.put(&["next_request", "max_pages"], CALLS_MAX, &found.spot);
        }
    }

    /// Headers that are set beside the entry's own.
    fn next_headers(&mut self, from: &str) {
        let Some(found) = self.old.find(from) else { return };
        let Value::Mapping(_) = found.value else { return found.refuse_as_no_mapping() };
        let own = self.map.get("http_request").and_then(|request| request.get("headers"));
        let own = own.and_then(Value::as_mapping).cloned().unwrap_or_default();
        if let Value::Mapping(next) = in_own_words(found.value, OldTextPlace::FromAnswer, &self.old.words(false)) {
            self.put(&["next_request", "headers"], over(own, &next), &found.spot);
        }
    }

    /// A body that is made from an answer. Within names and values a variable is always text, as in the original.
    pub(super) fn body(&mut self, from: &str, way: &[&str]) {
        let is_text = self.old.find(from).is_some_and(|found| found.value.is_string());
        self.take_all(from, way, if is_text { OldTextPlace::FromAnswer } else { OldTextPlace::Field });
    }

    fn stop(&mut self, within: &str) {
        let key = |name: &str| format!("{within}.{name}");
        let Some(rule) = self.old.find(within) else { return };
        if !rule.value.is_mapping() {
            return;
        }
        for name in ["field", "condition"] {
            if !self.old.has(&key(name)) {
                self.old.reader.error(&self.old.spot_of(&key(name)), "a required key is missing", None);
            }
        }
        self.path(&key("field"), &["next_request", "stop", "field"]);
        let Some(condition) = self.old.read::<StopConditionName>(&key("condition")) else { return };
        self.take(&key("condition"), &["next_request", "stop", "condition"]);
        match self.old.find(&key("value")) {
            Some(value) if condition != StopConditionKind::Empty => {
                self.put(&["next_request", "stop", "value"], value.value.clone(), &value.spot);
            }
            None if condition != StopConditionKind::Empty => {
                let hint = Some("`equals` and `contains` need it".to_owned());
                self.old.reader.error(&self.old.spot_of(&key("value")), "a required key is missing", hint);
            }
            _ => {}
        }
    }

    /// The hosts that templates name beside that of the URL: who writes them there means them to be asked.
    pub(super) fn named_hosts(&mut self) {
        let key = |name: &str| self.old.data_key(name);
        let own = self.old.text(&key("url")).and_then(|text| origin_of(&text));
        let found = ["next_url", "pagination.url_format"].iter().filter_map(|name| self.old.find(&key(name)));
        let others = found.filter_map(|found| Some((origin_of(&found.text()?)?, found.spot)));
        let others: Vec<_> = others.filter(|(origin, _)| own.as_ref().is_some_and(|own| own != origin)).collect();
        let Some((_, spot)) = others.first().filter(|_| !self.old.has("hosts")) else { return };
        let rule = |origin: &String| {
            Value::Mapping(Mapping::from_iter([
                ("host".into(), origin.trim_start_matches("https://").into()),
                ("credentials".into(), true.into()),
            ]))
        };
        let rules: Vec<Value> = others.iter().map(|(origin, _)| rule(origin)).collect();
        self.put(&["hosts"], rules, spot);
    }

    /// The login of an entry that has a request for it.
    pub(super) fn login(&mut self) {
        let Some(login) = self.old.find("token_request") else { return };
        self.came_from(&["token_http_request"], &login.spot, None);
        self.came_from(&["token_http_request", "url"], &login.spot.key("url"), None);
        self.take_text("token_request.url", &["token_http_request", "url"], OldTextPlace::First);
        self.take_all("token_request.headers", &["token_http_request", "headers"], OldTextPlace::First);
        self.take("token_request.method", &["token_http_request", "method"]);
        match self.old.has("token_request.body") {
            true => self.take("token_request.body", &["token_http_request", "body"]),
            // The headers or the URL say who asks.
            false => self.put(&["token_http_request", "body"], Mapping::new(), &login.spot),
        }
        let Some(within) = self.old.text("token_request.response_data_path") else { return };
        for (name, field) in [("token", "access_token"), ("expires_in", "expires_in")] {
            let path = ParsedPath::parse(&format!("{within}.{field}")).written();
            self.put(&["token_http_request", name], path, &login.spot.key("response_data_path"));
        }
    }
}
