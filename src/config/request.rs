//! The requests of an entry: URL, method, headers, body and credentials.

use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_yaml::Value;

use super::api::Entries;
use super::catalog::NamedType;
use super::keys::{self, ALIASES};
use super::kinds::request::HOST_HINT;
use super::section::Section;
use super::value::{Found, Text};
use crate::hosts::HostRule;
use crate::http::Timeouts;
use crate::plan::{Auth, TokenRequest};
use crate::template::query::{self, QueryField};
use crate::template::{
    BodyTemplate, JsonTemplate, RequestParts, RequestTemplate, Template, UrlTemplate, VariableError,
};
use crate::text::Secret;

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl Entries<'_> {
    /// The data request, and the start date that stands in the filters.
    pub(super) fn request(
        &self,
        entry: &Section<'_>,
        named: &NamedType,
    ) -> Option<(RequestTemplate, Option<DateTime<Utc>>)> {
        self.refuse_two_names(entry);
        let url = match entry.has_section_of(&keys::URL) {
            true => entry.read(&keys::URL),
            false => {
                let hint = "`data_http_request.url` means the same as `http_request.url`".to_owned();
                self.reader.error(&entry.spot_of(&keys::URL), "a required key is missing", Some(hint));
                None
            }
        };
        let method = entry.read_or(&keys::METHOD, Method::GET);
        let (mut headers, filled_headers) = entry.read_or(&keys::HEADERS, Default::default()).unwrap_or_default();
        let body = entry.read(&keys::BODY).and_then(|found| data_body(&found, method.as_ref(), &mut headers));
        let url_template = url.as_ref().map(|(template, _)| template.clone());
        let mut first = RequestParts {
            url: url_template.unwrap_or_else(|| UrlTemplate::Filled(Template::default())),
            query: Vec::new(),
            headers,
            filled_headers,
            body,
        };
        let next = self.next_request(entry, &first, method.as_ref(), url.as_ref().map(|(_, url)| url));
        let has_start = |parts: &RequestParts| parts.templates().iter().any(|template| template.has_start_date());
        let has_source = has_start(&first) || next.as_ref().is_some_and(|(next, _)| has_start(next));
        let (query, configured, start_format) = self.window(entry, named, has_source)?;
        first.query = query;
        let next = next.map(|(mut next, own_query)| {
            next.query = own_query.unwrap_or_else(|| first.query.clone());
            next.write_start_dates(&start_format);
            Box::new(next)
        });
        first.write_start_dates(&start_format);
        let timeout = entry.read(&keys::TIMEOUT).unwrap_or(Timeouts::default().idle);
        let hosts = self.hosts(entry, url.as_ref().map(|(_, url)| url));
        let (method, (_, url)) = (method?, url?);
        Some((RequestTemplate { method, url, first, next, start_format, hosts, timeout }, configured))
    }

    /// The second page's request, where it differs, and its own query.
    fn next_request(
        &self,
        entry: &Section<'_>,
        first: &RequestParts,
        method: Option<&Method>,
        first_url: Option<&Url>,
    ) -> Option<(RequestParts, Option<Vec<QueryField>>)> {
        let is_there = entry.has(&keys::NEXT_REQUEST_URL)
            || entry.has(&keys::NEXT_REQUEST_FILTERS)
            || entry.has(&keys::NEXT_REQUEST_HEADERS)
            || entry.has(&keys::NEXT_REQUEST_BODY);
        if !is_there {
            return None;
        }
        let mut next = first.clone();
        if let Some((url, configured)) = entry.read(&keys::NEXT_REQUEST_URL) {
            if first_url.is_some_and(|first| first.origin() != configured.origin()) {
                let what = "it leads to another origin than http_request.url";
                self.reader.error(&entry.spot_of(&keys::NEXT_REQUEST_URL), what, None);
            }
            next.url = url;
        }
        if let Some((headers, filled)) = entry.read(&keys::NEXT_REQUEST_HEADERS) {
            let own_type = first.headers.get(CONTENT_TYPE).cloned();
            (next.headers, next.filled_headers) = (headers, filled);
            if let Some(own_type) = own_type {
                next.headers.entry(CONTENT_TYPE).or_insert(own_type);
            }
        }
        if let Some(found) = entry.read(&keys::NEXT_REQUEST_BODY) {
            next.body = data_body(&found, method, &mut next.headers);
        }
        let query = entry.read(&keys::NEXT_REQUEST_FILTERS).map(|filters| self.query(filters));
        Some((next, query))
    }

    /// Filters as a query.
    pub(super) fn query(&self, filters: Vec<(String, Text)>) -> Vec<QueryField> {
        let field = |(name, text): (String, Text)| QueryField {
            name: query::query_name(name.trim()),
            value: self.template(&text, query::query_value),
        };
        filters.into_iter().map(field).collect()
    }

    /// A text with its variables; one with a format that it can't have is an error.
    pub(super) fn template(
        &self,
        text: &Text,
        parse: impl FnOnce(&str) -> Result<Template, VariableError>,
    ) -> Template {
        parse(text.value.trim()).unwrap_or_else(|error| {
            self.reader.error(&text.spot, error.to_string(), None);
            Template::default()
        })
    }

    /// The section of the data request has two names, of which only one may be used.
    fn refuse_two_names(&self, entry: &Section<'_>) {
        for (alias, name) in ALIASES {
            if entry.top_level(name).is_some() && entry.top_level(alias).is_some() {
                let what = format!("`{name}` is there, too, and means the same");
                self.reader.error(&entry.spot.key(alias), what, Some("keep one of them".to_owned()));
            }
        }
    }

    /// Credentials don't go to other hosts by http where the API itself is asked by https.
    fn hosts(&self, entry: &Section<'_>, configured: Option<&Url>) -> Vec<HostRule> {
        let is_https = configured.is_some_and(|url| url.scheme() == "https");
        let mut rules = Vec::new();
        for (rule, found) in entry.read(&keys::HOSTS).unwrap_or_default() {
            if rule.sends_credentials_openly() && is_https {
                let what = "the configured URL is https, and credentials don't go from there to http";
                self.reader.error(&found.spot, what, Some(HOST_HINT.to_owned()));
            } else {
                rules.push(rule);
            }
        }
        rules
    }

    pub(super) fn basic(&self, entry: &Section<'_>) -> Option<Auth> {
        let (id, key) = (entry.require(&keys::USER), entry.require(&keys::PASSWORD));
        Some(Auth::Basic { id: id?, key: Secret::new(key?) })
    }

    pub(super) fn token_request(&self, entry: &Section<'_>) -> Option<Auth> {
        let (id, key) = (entry.read(&keys::CLIENT_ID), entry.read(&keys::CLIENT_SECRET));
        let url = entry.read(&keys::TOKEN_URL);
        let method = entry.read_or(&keys::TOKEN_METHOD, Method::POST);
        let mut headers = entry.read_or(&keys::TOKEN_HEADERS, HeaderMap::new()).unwrap_or_default();
        let form = self.token_form(entry, &headers, id.as_deref(), key.as_deref());
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
        entry: &Section<'_>,
        headers: &HeaderMap,
        id: Option<&str>,
        key: Option<&str>,
    ) -> Option<(String, HeaderValue)> {
        let scope = entry.read(&keys::TOKEN_SCOPE);
        let Some(found) = entry.read(&keys::TOKEN_BODY) else { return own_form(headers, id?, key?, scope.as_deref()) };
        match found.value {
            Value::Mapping(_) if headers.get(CONTENT_TYPE).is_some_and(is_json_type) => {
                Some((found.json()?.to_string(), JSON))
            }
            Value::Mapping(_) => {
                let credential = |text: Text| Found { spot: text.spot, ..found.clone() }.credential(text.value);
                let pairs = found.pairs().into_iter().map(|(name, text)| Some((name, credential(text)?)));
                let pairs = pairs.collect::<Option<Vec<(String, String)>>>()?;
                let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                Some((query::form_from_pairs(pairs), FORM))
            }
            _ => {
                let text = found.text()?;
                let own_type = headers.get(CONTENT_TYPE).is_some_and(|own| !is_form_type(own));
                Some(if own_type { (text, FORM) } else { (query::form_from_text(&text), FORM) })
            }
        }
    }
}

/// The body of a data request, with its content type where the headers have none.
fn data_body(found: &Found<'_>, method: Option<&Method>, headers: &mut HeaderMap) -> Option<BodyTemplate> {
    if method == Some(&Method::GET) {
        found.warn("a GET request carries no body, ignored", "method: POST");
        return None;
    }
    let template = |made: Result<BodyTemplate, VariableError>| match made {
        Ok(body) => Some(body),
        Err(error) => found.refuse(&error.to_string(), None),
    };
    let (body, content_type) = match found.value {
        Value::Mapping(_) | Value::Sequence(_) => (template(json_body(&found.json()?, None))?, JSON),
        _ => {
            let text = found.text()?;
            let is_form = headers.get(CONTENT_TYPE).map_or(text.contains('='), is_form_type);
            match (serde_json::from_str::<serde_json::Value>(&text), is_form) {
                (Ok(json), _) => (template(json_body(&json, Some(&text)))?, JSON),
                (Err(_), true) => (template(form_body(&text))?, FORM),
                (Err(_), false) => (template(Template::parse(&text).map(BodyTemplate::Text))?, PLAIN),
            }
        }
    };
    headers.entry(CONTENT_TYPE).or_insert(content_type);
    Some(body)
}

/// A JSON body. Without variables it is sent as it was written.
fn json_body(json: &serde_json::Value, written: Option<&str>) -> Result<BodyTemplate, VariableError> {
    let template = JsonTemplate::of(json)?;
    Ok(match template.templates().is_empty() {
        true if written.is_some_and(|text| text.contains("{'{'}")) => BodyTemplate::Json(template),
        true => BodyTemplate::Text(Template::text(written.map_or_else(|| json.to_string(), str::to_owned))),
        false => BodyTemplate::Json(template),
    })
}

/// A form. Without variables what is encoded already stays as it is.
fn form_body(text: &str) -> Result<BodyTemplate, VariableError> {
    let body = BodyTemplate::form(text)?;
    let has_variables = body.templates().iter().any(|template| template.variables().next().is_some());
    Ok(if has_variables { body } else { BodyTemplate::Text(Template::text(query::form_from_text(text))) })
}

/// The form of client credentials.
fn own_form(headers: &HeaderMap, id: &str, key: &str, scope: Option<&str>) -> Option<(String, HeaderValue)> {
    let own = [("client_id", id), ("client_secret", key)];
    // One way of client authentication at a time (RFC 6749, section 2.3).
    let own = own.into_iter().filter(|_| !headers.contains_key(AUTHORIZATION));
    let scope = scope.map(|scope| ("scope", scope));
    let fields = std::iter::once(("grant_type", "client_credentials")).chain(own).chain(scope);
    Some((query::form_from_pairs(fields), FORM))
}

fn is_json_type(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("json"))
}

fn is_form_type(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
}
