//! The requests of an entry: URL, method, headers, body and credentials.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_yaml::Value;

use super::api::Entries;
use super::catalog::NamedType;
use super::reader::{Section, Text, json};
use super::slips;
use crate::http::Timeouts;
use crate::plan::{Auth, TokenRequest};
use crate::secret::Secret;
use crate::template::query;
use crate::template::{BodyTemplate, RequestParts, RequestTemplate, Template, UrlTemplate, VariableError};

/// The longest `http_request.timeout`: who says nothing for an hour won't say anything any more.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl<'r, 'd> Entries<'r, 'd> {
    /// The section of the data request, by either of its names.
    pub(super) fn http_section(&self, entry: &Section<'r, 'd>) -> Section<'r, 'd> {
        let (this, that) = ("http_request", "data_http_request");
        if entry.has(this) && entry.has(that) {
            self.reader.error(
                &entry.spot.key(that),
                format!("`{this}` is there, too, and means the same"),
                Some("keep one of them".to_owned()),
            );
        }
        entry.section(if entry.has(that) { that } else { this })
    }

    /// The data request, and the start date that stands in the filters.
    pub(super) fn request(
        &self,
        entry: &Section<'r, 'd>,
        named: &NamedType,
    ) -> Option<(RequestTemplate, Option<DateTime<Utc>>)> {
        let http = &self.http_section(entry);
        let url = if http.is_absent() {
            let hint = "`data_http_request.url` means the same as `http_request.url`".to_owned();
            self.reader.error(&http.spot.key("url"), "a required key is missing", Some(hint));
            None
        } else {
            self.url(http.required_filled("url"))
        };
        let method = self.method(http, Method::GET);
        let mut headers = self.headers(http);
        let body = self.data_body(http, method.as_ref(), &mut headers);
        let window = self.window(entry, named);
        let (mut query, configured, start_format) = window?;
        for field in &mut query {
            field.value = std::mem::take(&mut field.value).with_start_format(&start_format);
        }
        let timeout = http.seconds("timeout", TIMEOUT_MAX).unwrap_or(Timeouts::default().idle);
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

    fn url(&self, text: Option<Text>) -> Option<Url> {
        let text = text?;
        if self.reader.is_poisoned(&text.spot) {
            return None;
        }
        match web_url(&text.value) {
            Ok(url) => Some(url),
            Err(what) => {
                let hint = "like https://host.example/path".to_owned();
                self.reader.error(&text.spot, what, Some(hint));
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
                self.reader.error(&text.spot, "it should be GET or POST", None);
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
                (Err(_), _) => self.reader.error(&text.spot, "it is not a valid HTTP header name", None),
                (_, Err(_)) => self.reader.error(&text.spot, "its value can't stand in an HTTP header", None),
            }
        }
        headers
    }

    fn data_body(
        &self,
        http: &Section<'r, 'd>,
        method: Option<&Method>,
        headers: &mut HeaderMap,
    ) -> Option<BodyTemplate> {
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
                    self.reader.error(&spot, "it can't be written as JSON", None);
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
        Some(BodyTemplate::Text(Template::text(body)))
    }

    pub(super) fn basic(&self, entry: &Section<'r, 'd>) -> Option<Auth> {
        let (id, key) = self.credentials(entry);
        Some(Auth::Basic { id: id?, key: Secret::new(key?) })
    }

    fn credentials(&self, entry: &Section<'r, 'd>) -> (Option<String>, Option<String>) {
        let credentials = entry.section("credentials");
        let text = |key| self.reader.credential(credentials.required_as_is(key)?).map(|text| text.value);
        (text("id"), text("key"))
    }

    pub(super) fn token_request(&self, entry: &Section<'r, 'd>) -> Option<Auth> {
        let http = entry.section("token_http_request");
        let (id, key) = self.credentials(entry);
        let text = http.required_filled("url");
        let spot = text.as_ref().map(|text| text.spot.clone());
        let url = self.url(text);
        if let (Some(url), Some(spot)) = (&url, spot)
            && let Some((what, hint)) = slips::in_token_url(url)
        {
            self.reader.warn(&spot, what, Some(hint.to_owned()));
        }
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
            Some(body @ Value::Mapping(_)) if headers.get(CONTENT_TYPE).is_some_and(is_json_type) => {
                let json = json(body).map(|json| (json.to_string(), JSON));
                if json.is_none() {
                    self.reader.error(&http.spot.key("body"), "it can't be written as JSON", None);
                }
                json
            }
            Some(Value::Mapping(_)) => {
                let pairs = http.pairs("body").into_iter();
                let pairs: Vec<(String, Text)> =
                    pairs.map(|(name, text)| Some((name, self.reader.credential(text)?))).collect::<Option<_>>()?;
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
}

/// An http or https URL with a host; a `?` at its end is cut.
pub(super) fn web_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim_end_matches('?')).map_err(|_| "it is not a valid URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it should begin with https://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it has no host");
    }
    Ok(url)
}

fn is_json_type(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("json"))
}

fn is_form_type(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
}
