//! One entry of `auth_apis` or `oauth_apis`, compiled into a [`Plan`].

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::percent_decode_str;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_yaml::Value;

use super::document::Place as Spot;
use super::presets::{AUTH, GENERAL, OAUTH, Preset};
use super::reader::{Reader, Section, Text, json};
use super::reference::Place;
use crate::plan::{Auth, Plan, Request, StartFormat, StartRule, TokenRequest};
use crate::query::{self, Piece, QueryField};
use crate::record::path::JsonPath;
use crate::record::{CustomFields, Paths, date};
use crate::secret::{Scrubber, Secret};

/// `settings.days_back_fetch` where it is absent.
const DAYS_BACK_DEFAULT: f64 = 14.0;
/// The furthest that `settings.days_back_fetch` goes: a hundred years.
const DAYS_BACK_MAX: f64 = 36_500.0;
/// The shortest pause between iterations; a smaller number is more likely a slip than a wish.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Reads the entries of `auth_apis` and `oauth_apis`.
pub(super) struct Entries<'r, 'd> {
    reader: &'r Reader<'d>,
}

impl<'r, 'd> Entries<'r, 'd> {
    pub(super) fn new(reader: &'r Reader<'d>) -> Self {
        Self { reader }
    }

    /// One entry; nothing where it has a fault, which is noted.
    pub(super) fn read(&self, value: &'r Value, spot: Spot, place: Place) -> Option<Plan> {
        if value.as_mapping().is_none() {
            self.reader.fault(&spot, "an API should be here, with keys and values", None);
            return None;
        }
        let entry = Section::new(self.reader, value, spot, place);
        let preset = self.preset(&entry, place);
        let name = self.name(&entry);
        let interval = self.interval(&entry.section("settings"));
        let (http, requested) = self.http_section(&entry);
        let request = self.request(&entry, &http, requested, preset);
        let own_header = request.as_ref().is_some_and(|(request, _)| request.headers.contains_key(AUTHORIZATION));
        let token = (place == Place::OAuth).then(|| self.token_request(&entry));
        let auth = match (own_header, token) {
            (true, _) => Some(Auth::OwnHeader),
            (false, Some(token)) => token,
            (false, None) => self.basic(&entry),
        };
        let paths = self.paths(&entry.section("json_paths"), preset);
        let fields = entry.fields("custom_fields");
        let custom_fields = CustomFields::new(&fields).ok();
        let back = self.days_back(&entry.section("settings"));
        let overlap = self.overlap(&entry.section("settings"), preset);
        let (request, configured) = request?;
        let auth = auth?;
        Some(Plan {
            scrubber: scrubber(&request, &auth, &entry.section("credentials")),
            name: name?,
            interval: interval?,
            start: StartRule { configured, back, overlap },
            paths: paths?,
            custom_fields: custom_fields?,
            auth,
            request,
        })
    }

    /// The entry's type. Where there is none of that name, the likeliest, so that the rest can be looked at, too.
    fn preset(&self, entry: &Section<'r, 'd>, place: Place) -> &'static Preset {
        let (here, there, section) = match place {
            Place::OAuth => (OAUTH, AUTH, "auth_apis"),
            _ => (AUTH, OAUTH, "oauth_apis"),
        };
        let name = entry.required("type", None).map(|text| text.value).unwrap_or_default();
        if let Some(preset) = here.iter().find(|preset| preset.name == name) {
            return preset;
        }
        if !name.is_empty() {
            let names: Vec<String> = here.iter().map(|preset| format!("`{}`", preset.name)).collect();
            let hint = match there.iter().any(|preset| preset.name == name) {
                true => format!("`{name}` belongs into `{section}`"),
                false => format!("one of {}", names.join(", ")),
            };
            let what = format!("there is no type `{}` here", shown(&name));
            self.reader.fault(&entry.spot.key("type"), what, Some(hint));
        }
        let likeness = |preset: &&Preset| strsim::jaro_winkler(preset.name, &name.to_lowercase());
        // Of equally unlikely ones the first: it requires the least.
        here.iter().rev().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or(&GENERAL)
    }

    fn name(&self, entry: &Section<'r, 'd>) -> Option<String> {
        let name = entry.required_filled("name", None)?;
        if name.value.chars().any(char::is_control) {
            self.reader.fault(&name.spot, "a name has no line breaks or control characters in it", None);
            return None;
        }
        Some(name.value)
    }

    fn interval(&self, settings: &Section<'r, 'd>) -> Option<Duration> {
        settings.required("time_interval", None)?;
        let (interval, spot) = settings.minutes("time_interval")?;
        if interval.is_zero() {
            self.reader.fault(&spot, "it should be more than 0", Some("minutes, or text like 30s, 5m, 1h".to_owned()));
            return None;
        }
        Some(interval.max(INTERVAL_MIN))
    }

    fn days_back(&self, settings: &Section<'r, 'd>) -> TimeDelta {
        let days = settings.number("days_back_fetch", DAYS_BACK_MAX).unwrap_or(DAYS_BACK_DEFAULT);
        let span = Duration::try_from_secs_f64(days * 86_400.0).unwrap_or_default();
        TimeDelta::from_std(span).unwrap_or_default()
    }

    fn overlap(&self, settings: &Section<'r, 'd>, preset: &Preset) -> TimeDelta {
        let given = settings.minutes("overlap").map(|(span, _)| span);
        let span = given.unwrap_or(Duration::from_secs(preset.overlap_minutes * 60));
        TimeDelta::from_std(span).unwrap_or_default()
    }

    /// The section of the data request, and whether its URL is required to stand there.
    fn http_section(&self, entry: &Section<'r, 'd>) -> (Section<'r, 'd>, bool) {
        let (this, that) = ("http_request", "data_http_request");
        if entry.has(this) && entry.has(that) {
            self.reader.fault(
                &entry.spot.key(that),
                format!("`{this}` is there, too, and means the same"),
                Some("keep one of them".to_owned()),
            );
        }
        if entry.has(that) { (entry.section(that), true) } else { (entry.section(this), entry.has(this)) }
    }

    /// The data request, and the start date that stands in the filters.
    fn request(
        &self,
        entry: &Section<'r, 'd>,
        http: &Section<'r, 'd>,
        requested: bool,
        preset: &Preset,
    ) -> Option<(Request, Option<DateTime<Utc>>)> {
        let url = match (requested, preset.url) {
            (false, None) => {
                let hint = "`data_http_request.url` means the same as `http_request.url`".to_owned();
                self.reader.fault(&http.spot.key("url"), "a required key is missing", Some(hint));
                None
            }
            (_, preset_url) => self.url(http.required_filled("url", preset_url)),
        };
        let method = self.method(http, Method::GET);
        let mut headers = self.headers(http);
        let body = self.data_body(http, method.as_ref(), &mut headers);
        let window = self.window(entry, preset);
        let (query, configured, start_format) = window?;
        Some((Request { method: method?, url: url?, query, headers, body, start_format }, configured))
    }

    fn url(&self, text: Option<Text>) -> Option<Url> {
        let text = text?;
        if self.reader.is_void(&text.spot) {
            return None;
        }
        match web_url(&text.value) {
            Ok(url) => Some(url),
            Err(what) => {
                let hint = "like https://host.example/path".to_owned();
                self.reader.fault(&text.spot, what, Some(hint));
                None
            }
        }
    }

    fn method(&self, http: &Section<'r, 'd>, default: Method) -> Option<Method> {
        let Some(text) = http.text("method") else { return Some(default) };
        match text.value.to_ascii_uppercase().as_str() {
            "GET" => Some(Method::GET),
            "POST" => Some(Method::POST),
            _ => {
                self.reader.fault(&text.spot, "it should be GET or POST", None);
                None
            }
        }
    }

    fn headers(&self, http: &Section<'r, 'd>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, text) in http.pairs("headers") {
            let value = HeaderValue::from_str(text.value.trim());
            match (HeaderName::from_bytes(name.trim().as_bytes()), value) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    headers.append(name, value);
                }
                (Err(_), _) => self.reader.fault(&text.spot, "it is no name of an HTTP header", None),
                (_, Err(_)) => self.reader.fault(&text.spot, "its value can't stand in an HTTP header", None),
            }
        }
        headers
    }

    fn data_body(&self, http: &Section<'r, 'd>, method: Option<&Method>, headers: &mut HeaderMap) -> Option<Secret> {
        let value = http.value("body")?;
        let spot = http.spot.key("body");
        if method == Some(&Method::GET) {
            self.reader.warn(&spot, "a GET request carries no body, ignored", Some("method: POST".to_owned()));
            return None;
        }
        let (body, content_type) = match value {
            Value::Mapping(_) | Value::Sequence(_) => match json(value) {
                Some(json) => (json.to_string(), JSON),
                None => {
                    self.reader.fault(&spot, "it can't be written as JSON", None);
                    return None;
                }
            },
            _ => {
                let text = http.text("body")?.value;
                let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
                let is_form = headers.get(CONTENT_TYPE).map_or(text.contains('='), is_form_type);
                match (is_json, is_form) {
                    (true, _) => (text, JSON),
                    (false, true) => (query::form_from_text(&text), FORM),
                    (false, false) => (text, PLAIN),
                }
            }
        };
        headers.entry(CONTENT_TYPE).or_insert(content_type);
        Some(Secret::new(body))
    }

    /// The query, the start date that stands in the filters, and how start dates are written.
    fn window(
        &self,
        entry: &Section<'r, 'd>,
        preset: &Preset,
    ) -> Option<(Vec<QueryField>, Option<DateTime<Utc>>, StartFormat)> {
        let mut filters = entry.pairs("filters");
        let in_filters = filters.iter().any(|(_, text)| text.value.contains(query::START_DATE_MARK));
        let start_name = match (entry.text("start_date_name"), preset.odata) {
            (Some(name), _) if !name.value.is_empty() => Some(name.value),
            (_, true) => self.odata_field(&entry.section("json_paths")),
            _ => match preset.start_date_name {
                Some(name) => Some(name.to_owned()),
                None if in_filters => None,
                None => return entry.required_filled("start_date_name", None).and(None),
            },
        };
        let start_filter = start_name.as_ref().and_then(|name| self.take_start(&mut filters, name));
        let configured = start_filter.as_ref().map(|(date, _)| *date);
        let mut query: Vec<QueryField> = Vec::new();
        for (name, text) in filters {
            let name = query::query_name(name.trim());
            let name = if preset.odata { odata_name(name) } else { name };
            query.push(QueryField { name, value: query::query_value(text.value.trim()) });
        }
        let written = start_filter.map(|(_, format)| format);
        if preset.odata {
            if !in_filters {
                add_odata_clause(&mut query, start_name.as_deref()?);
            }
            return Some((query, configured, written.unwrap_or(StartFormat::Zulu)));
        }
        let default = if in_filters { StartFormat::Zulu } else { StartFormat::Offset };
        if let (false, Some(name)) = (in_filters, &start_name) {
            query.push(QueryField { name: query::query_name(name), value: vec![Piece::StartDate] });
        }
        Some((query, configured, written.unwrap_or(default)))
    }

    /// The date's field as OData names it: the keys of its path, joined by `/`.
    fn odata_field(&self, paths: &Section<'r, 'd>) -> Option<String> {
        let text = paths.text("data_date").filter(|text| !text.value.is_empty())?;
        let path = JsonPath::parse(&text.value).ok()?;
        let field = path.keys().map(|keys| keys.join("/"));
        if field.is_none() {
            let hint = "set `start_date_name` to the field that `$filter` compares".to_owned();
            self.reader.fault(&text.spot, "it names no single field, so no start date can be asked for", Some(hint));
        }
        field
    }

    /// Takes the filter out that says where to begin.
    fn take_start(&self, filters: &mut Vec<(String, Text)>, name: &str) -> Option<(DateTime<Utc>, StartFormat)> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().trim().to_owned();
        let wanted = decoded(name);
        let is_start = |text: &str| decoded(text) == wanted;
        let at =
            filters.iter().position(|(key, text)| is_start(key) && !text.value.contains(query::START_DATE_MARK))?;
        let (_, text) = filters.remove(at);
        let written = decoded(&text.value);
        let start = date::parse(&written).map(|date| (date, format_of(&written)));
        if start.is_none() && !self.reader.is_void(&text.spot) {
            let hint = "like 2021-10-05T10:10:10+00:00".to_owned();
            self.reader.fault(&text.spot, "the start date is no date", Some(hint));
        }
        start
    }

    fn basic(&self, entry: &Section<'r, 'd>) -> Option<Auth> {
        let (id, key) = self.credentials(entry);
        Some(Auth::Basic { id: id?, key: Secret::new(key?) })
    }

    fn credentials(&self, entry: &Section<'r, 'd>) -> (Option<String>, Option<String>) {
        let credentials = entry.section("credentials");
        let text = |key| credentials.required(key, None).map(|text| text.value);
        (text("id"), text("key"))
    }

    fn token_request(&self, entry: &Section<'r, 'd>) -> Option<Auth> {
        let http = entry.section("token_http_request");
        let (id, key) = self.credentials(entry);
        let url = self.url(http.required_filled("url", None));
        let method = self.method(&http, Method::POST);
        let mut headers = self.headers(&http);
        let form = self.token_form(&http, &headers, id.as_deref(), key.as_deref());
        let (mut url, method, (form, content_type)) = (url?, method?, form?);
        if method == Method::GET {
            let own = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
            url.set_query(Some(&own.into_iter().chain([form]).collect::<Vec<_>>().join("&")));
            return Some(Auth::Token(Box::new(TokenRequest { method, url, headers, body: None })));
        }
        headers.entry(CONTENT_TYPE).or_insert(content_type);
        Some(Auth::Token(Box::new(TokenRequest { method, url, headers, body: Some(Secret::new(form)) })))
    }

    /// The token request's body; made from the credentials where the config gives none.
    fn token_form(
        &self,
        http: &Section<'r, 'd>,
        headers: &HeaderMap,
        id: Option<&str>,
        key: Option<&str>,
    ) -> Option<(String, HeaderValue)> {
        let scope = http.text("scope").map(|text| text.value).filter(|scope| !scope.is_empty());
        match http.value("body") {
            Some(Value::Mapping(_)) => {
                let pairs = http.pairs("body");
                let pairs = pairs.iter().map(|(name, text)| (name.as_str(), text.value.as_str()));
                Some((query::form_from_pairs(pairs), FORM))
            }
            Some(_) => {
                let text = http.text("body")?.value;
                let own_type = headers.get(CONTENT_TYPE).is_some_and(|own| !is_form_type(own));
                Some(if own_type { (text, FORM) } else { (query::form_from_text(&text), FORM) })
            }
            None => {
                let own = [("client_id", id?), ("client_secret", key?)];
                // One way of client authentication at a time (RFC 6749, section 2.3).
                let own = own.into_iter().filter(|_| !headers.contains_key(AUTHORIZATION));
                let scope = scope.as_deref().map(|scope| ("scope", scope));
                let fields = std::iter::once(("grant_type", "client_credentials")).chain(own).chain(scope);
                Some((query::form_from_pairs(fields), FORM))
            }
        }
    }

    fn paths(&self, section: &Section<'r, 'd>, preset: &Preset) -> Option<Paths> {
        let data = self.path(section.required_filled("data", preset.data));
        let date = self.path(section.required_filled("data_date", preset.data_date));
        let optional = |key: &str, preset: Option<&str>| {
            let own = section.text(key).filter(|text| !text.value.is_empty());
            let text = own.or_else(|| Some(Text { value: preset?.to_owned(), spot: section.spot.key(key) }))?;
            self.path(Some(text))
        };
        let next_url = optional("next_url", preset.next_url);
        let id = optional("id", preset.id);
        if next_url.is_none() {
            self.reader.warn(&section.spot.key("next_url"), "absent: only the first page of an answer is read", None);
        }
        Some(Paths { data: data?, date: date?, id, next_url })
    }

    fn path(&self, text: Option<Text>) -> Option<JsonPath> {
        let text = text?;
        match JsonPath::parse(&text.value) {
            Ok(path) => Some(path),
            Err(error) => {
                self.reader.fault(&text.spot, format!("it is no JSON path: {error}"), None);
                None
            }
        }
    }
}

/// An http or https URL with a host; a `?` at its end is cut.
pub(super) fn web_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim_end_matches('?')).map_err(|_| "it is no URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it should begin with https://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it has no host");
    }
    Ok(url)
}

/// A short piece of a value that is no secret.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn is_form_type(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
}

fn odata_name(name: String) -> String {
    match name.strip_prefix("%24") {
        Some(rest) => format!("${rest}"),
        None if name.starts_with('$') => name,
        None => format!("${name}"),
    }
}

/// Makes the start date a clause of `$filter`, before the user's own.
fn add_odata_clause(query: &mut Vec<QueryField>, field: &str) {
    let own = query.iter().position(|known| known.name == "$filter").map(|at| query.remove(at).value);
    let mut value = query::query_value(&format!("{field} ge {}", query::START_DATE_MARK));
    let own: String = own.into_iter().flatten().filter_map(Piece::into_text).collect();
    if !own.is_empty() {
        // OData reads `or` as weaker than `and`.
        let has_or = query::form_decoded(&own).to_lowercase().split_whitespace().any(|word| word == "or");
        let clause = if has_or { format!("({own})") } else { own };
        value.push(Piece::Text(format!("%20and%20{clause}")));
    }
    query.insert(0, QueryField { name: "$filter".to_owned(), value });
}

/// How the user's own start date is written, so that the next ones look the same.
fn format_of(written: &str) -> StartFormat {
    let digits = written.bytes().all(|b| b.is_ascii_digit());
    match written.len() {
        9 | 10 if digits => StartFormat::UnixSeconds,
        12 | 13 if digits => StartFormat::UnixMilliseconds,
        10 if written.contains('-') => StartFormat::Day,
        _ if written.ends_with(['Z', 'z']) => StartFormat::Zulu,
        _ => StartFormat::Offset,
    }
}

/// Everything of an entry that must not be seen.
fn scrubber(request: &Request, auth: &Auth, credentials: &Section<'_, '_>) -> Scrubber {
    let text = |key| credentials.text(key).map(|text| text.value);
    let mut secrets: Vec<String> = text("key").into_iter().collect();
    secrets.extend(text("id").zip(text("key")).map(|(id, key)| format!("{id}:{key}")));
    secrets.extend(header_secrets(&request.headers));
    secrets.extend(request.body.iter().flat_map(|body| body_values(body.expose(), |_| true)));
    secrets.extend(form_values(request.url.query().unwrap_or_default(), is_secret_name));
    secrets.extend(request.url.password().map(str::to_owned));
    for field in request.query.iter().filter(|field| is_secret_name(&field.name)) {
        secrets.extend(field.value.iter().cloned().filter_map(Piece::into_text));
    }
    if let Auth::Token(token) = auth {
        let form = token.body.as_ref().map_or_else(|| token.url.query().unwrap_or_default(), Secret::expose);
        secrets.extend(body_values(form, |name| !PUBLIC_TOKEN_FIELDS.contains(&name)));
        secrets.extend(header_secrets(&token.headers));
    }
    Scrubber::new(secrets.into_iter().map(Secret::new))
}

/// Fields of a token request that an error may name, as they help to mend it.
const PUBLIC_TOKEN_FIELDS: &[&str] = &["grant_type", "scope", "client_id"];

/// The values of the user's own headers, and what follows a scheme in them.
fn header_secrets(headers: &HeaderMap) -> Vec<String> {
    let values = headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| [Some(value), value.split_once(' ').map(|(_, rest)| rest)])
        .flatten()
        .map(str::to_owned)
        .collect()
}

/// A body, and the values in it that are to be hidden: a form's fields, or all texts of a JSON document.
fn body_values(body: &str, is_hidden: impl Fn(&str) -> bool) -> Vec<String> {
    let mut values = vec![body.to_owned()];
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(json) => {
            let mut left = vec![json];
            while let Some(value) = left.pop() {
                match value {
                    serde_json::Value::String(text) => values.push(text),
                    serde_json::Value::Array(items) => left.extend(items),
                    serde_json::Value::Object(fields) => left.extend(fields.into_iter().map(|(_, value)| value)),
                    _ => {}
                }
            }
        }
        Err(_) => values.extend(form_values(body, is_hidden)),
    }
    values
}

/// The values of those fields of a form that are to be hidden.
fn form_values(form: &str, is_hidden: impl Fn(&str) -> bool) -> Vec<String> {
    let fields = form.split('&').filter_map(|field| field.split_once('='));
    fields.filter(|(name, _)| is_hidden(name)).map(|(_, value)| value.to_owned()).collect()
}

/// Names that other systems give to fields with secrets in them.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    let parts = ["secret", "pass", "pwd", "token", "key", "assertion", "auth", "sig", "cred", "code", "session"];
    parts.iter().any(|part| name.contains(part))
}
