//! The requests of an entry: URL, method, headers, body and credentials.

use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_yaml::Value;

use super::api::Entries;
use super::catalog::NamedType;
use super::keys::{self, ALIASES};
use super::kinds::request::HOST_HINT;
use super::section::{Found, Section, Text};
use crate::hosts::HostRule;
use crate::http::Timeouts;
use crate::plan::{Auth, TokenRequest};
use crate::secret::Secret;
use crate::template::query;
use crate::template::{BodyTemplate, RequestParts, RequestTemplate, Template, UrlTemplate, VariableError};

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
        let mut headers = entry.read_or(&keys::HEADERS, HeaderMap::new()).unwrap_or_default();
        let body = self.data_body(entry, method.as_ref(), &mut headers);
        let window = self.window(entry, named);
        let (mut query, configured, start_format) = window?;
        for field in &mut query {
            field.value = std::mem::take(&mut field.value).with_start_format(&start_format);
        }
        let timeout = entry.read(&keys::TIMEOUT).unwrap_or(Timeouts::default().idle);
        let hosts = self.hosts(entry, url.as_ref());
        let (method, url) = (method?, url?);
        let first =
            RequestParts { url: UrlTemplate::Plain(url.clone()), query, headers, filled_headers: Vec::new(), body };
        Some((RequestTemplate { method, url, first, next: None, start_format, hosts, timeout }, configured))
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

    fn data_body(&self, entry: &Section<'_>, method: Option<&Method>, headers: &mut HeaderMap) -> Option<BodyTemplate> {
        let found = entry.read(&keys::BODY)?;
        if method == Some(&Method::GET) {
            found.warn("a GET request carries no body, ignored", "method: POST");
            return None;
        }
        let (body, content_type) = match found.value {
            Value::Mapping(_) | Value::Sequence(_) => (found.json()?.to_string(), JSON),
            _ => {
                let text = found.text()?;
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
        Some(BodyTemplate::Text(Template::text(body)))
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
