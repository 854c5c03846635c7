//! The requests of an entry: URL, method, headers, body and credentials.

use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_yaml::Value;

use super::api::Entries;
use super::catalog::NamedType;
use super::filters::WrittenStart;
use super::keys::{self, ALIASES, ConfigKey};
use super::kinds::request::{HOST_HINT, NextUrl};
use super::kinds::step;
use super::section::Section;
use super::value::{Found, Text};
use crate::hosts::{self, HostRule};
use crate::http::Timeouts;
use crate::template::query::{self, QueryField};
use crate::template::{
    BodyTemplate, JsonTemplate, RequestParts, RequestTemplate, Template, UrlTemplate, VariableError, VariableSet,
};

pub(super) const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl Entries<'_> {
    /// The data request, and the start date that stands in the filters.
    pub(super) fn request(
        &self,
        entry: &Section<'_>,
        named: &NamedType,
    ) -> Option<(RequestTemplate, Option<DateTime<Utc>>)> {
        self.refuse_two_names(entry);
        let url = self.url(entry);
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
            append: None,
        };
        let hosts = self.hosts(entry, url.as_ref().map(|(_, url)| url));
        let next = self.next_request(entry, &first, method.as_ref(), (url.as_ref().map(|(_, url)| url), &hosts));
        let iteration =
            self.iteration_request(entry, &first, method.as_ref(), (url.as_ref().map(|(_, url)| url), &hosts));
        let has_start = |parts: &RequestParts| parts.templates().iter().any(|template| template.has_start_date());
        let in_steps = entry.top_level("steps").is_some_and(step::holds_start);
        let in_later = |later: &Option<(RequestParts, Option<Vec<QueryField>>)>| {
            later.as_ref().is_some_and(|(parts, _)| has_start(parts))
        };
        let has_source = in_steps || has_start(&first) || in_later(&next) || in_later(&iteration);
        let (query, WrittenStart { configured, format: start_format, style }) =
            self.window(entry, named, has_source)?;
        first.query = query;
        let later = |(mut parts, own_query): (RequestParts, Option<Vec<QueryField>>)| {
            parts.query = own_query.unwrap_or_else(|| first.query.clone());
            parts.write_start_dates(&start_format);
            Box::new(parts)
        };
        let (next, iteration) = (next.map(&later), iteration.map(&later));
        let iteration = iteration.map(|first| Box::new(self.iteration_requests(entry, *first, next.as_deref())));
        first.write_start_dates(&start_format);
        let timeout = entry.read(&keys::TIMEOUT).unwrap_or(Timeouts::default().idle);
        self.require_hosts(
            entry,
            [Some(&first), next.as_deref(), iteration.as_ref().map(|parts| &parts.first)],
            &hosts,
        );
        let sign = self.sign(entry).map(|mut sign| {
            sign.text.change_variables(&mut |variable| variable.write_start_date(&start_format));
            sign
        });
        let (method, (_, url)) = (method?, url?);
        let mut request = RequestTemplate { method, url, first, next, iteration, start_format, sign, hosts, timeout };
        style.iter().for_each(|style| request.write_like_records(style));
        Some((request, configured))
    }

    /// The URL of the data request, and the one that fixes the origin.
    fn url(&self, entry: &Section<'_>) -> Option<(UrlTemplate, Url)> {
        let (template, url) = match entry.has_section_of(&keys::URL) {
            true => entry.read(&keys::URL),
            false => {
                let hint = "`data_http_request.url` means the same as `http_request.url`".to_owned();
                self.reader.error(&entry.spot_of(&keys::URL), "a required key is missing", Some(hint));
                None
            }
        }?;
        // Where the login tells the origin, credentials go to that of the login, and as far as `hosts` says.
        let login_url = entry
            .top_level("token_http_request")
            .and_then(|_| entry.find(&keys::TOKEN_URL))
            .and_then(|found| found.text());
        let login_url = login_url.and_then(|text| Url::parse(&text).ok());
        let Some(url) = url.or(login_url) else {
            let what = "`{login}` stands in it, and no token request gives it a value";
            let hint = Some("add `token_http_request`, in an entry of `oauth_apis`".to_owned());
            self.reader.error(&entry.spot_of(&keys::URL), what, hint);
            return None;
        };
        Some((template, url))
    }

    /// The second page's request, where it differs, and its own query.
    fn next_request(
        &self,
        entry: &Section<'_>,
        first: &RequestParts,
        method: Option<&Method>,
        (first_url, hosts): (Option<&Url>, &[HostRule]),
    ) -> Option<(RequestParts, Option<Vec<QueryField>>)> {
        let url = self.later_url(entry, &keys::NEXT_REQUEST_URL, (first_url, hosts));
        let append = entry.read(&keys::NEXT_REQUEST_APPEND);
        if append.is_some() && url.is_some() {
            let what = "`next_request.url` is there, too, and says all of the URL";
            self.reader.error(&entry.spot_of(&keys::NEXT_REQUEST_APPEND), what, Some("keep one of them".to_owned()));
        }
        self.next_parts(entry, first, method, (url, append))
    }

    /// The URL of a later request, which may lead to another origin as far as `hosts` says so.
    pub(super) fn later_url(
        &self,
        entry: &Section<'_>,
        key: &ConfigKey<NextUrl>,
        (first_url, hosts): (Option<&Url>, &[HostRule]),
    ) -> Option<UrlTemplate> {
        let (url, origin) = entry.read(key)?;
        let origins = origin.as_ref().zip(first_url);
        Some(match origins.filter(|(next, first)| first.origin() != next.origin()) {
            Some((next, first)) if hosts::reach(next, first, hosts).is_none() => {
                let what = "it leads to another origin than http_request.url";
                let hint = format!("add `{}` to the entry", hosts::line_for(next));
                self.reader.error(&entry.spot_of(key), what, Some(hint));
                url
            }
            Some(_) => url.opened(),
            None => url,
        })
    }

    /// The parts of `next_request`, of an entry or a step, and its own query; nothing where it says nothing.
    pub(super) fn next_parts(
        &self,
        entry: &Section<'_>,
        first: &RequestParts,
        method: Option<&Method>,
        (url, append): (Option<UrlTemplate>, Option<Template>),
    ) -> Option<(RequestParts, Option<Vec<QueryField>>)> {
        let is_there = url.is_some()
            || append.is_some()
            || entry.has(&keys::NEXT_REQUEST_FILTERS)
            || entry.has(&keys::NEXT_REQUEST_HEADERS)
            || entry.has(&keys::NEXT_REQUEST_BODY);
        if !is_there {
            return None;
        }
        let mut next = RequestParts { append, ..first.clone() };
        if let Some(url) = url {
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

    /// A text with its variables, without blanks around it; one with a format that it can't have is an error.
    pub(super) fn template(
        &self,
        text: &Text,
        parse: impl FnOnce(&str) -> Result<Template, VariableError>,
    ) -> Template {
        self.template_as_is(text, |text| parse(text.trim()))
    }

    /// The same with its blanks.
    pub(super) fn template_as_is(
        &self,
        text: &Text,
        parse: impl FnOnce(&str) -> Result<Template, VariableError>,
    ) -> Template {
        parse(&text.value).unwrap_or_else(|error| {
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

    /// An origin that an answer tells gets credentials only where the entry says which it may be.
    fn require_hosts(&self, entry: &Section<'_>, parts: [Option<&RequestParts>; 3], hosts: &[HostRule]) {
        let is_told = parts.into_iter().flatten().any(|parts| matches!(parts.url, UrlTemplate::Told(_)));
        if is_told && !hosts.iter().any(HostRule::has_credentials) {
            let what = "the login tells the host, and no entry of `hosts` says which it may be";
            let hint = "like hosts: [{host: '*.my.vendor.example', credentials: true}]".to_owned();
            self.reader.error(&entry.spot_of(&keys::HOSTS), what, Some(hint));
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
}

/// The body of a data request, with its content type where the headers have none.
pub(super) fn data_body(found: &Found<'_>, method: Option<&Method>, headers: &mut HeaderMap) -> Option<BodyTemplate> {
    if method == Some(&Method::GET) {
        found.warn("a GET request carries this body, which many servers ignore or refuse", "method: POST");
    }
    let template = |made: Result<BodyTemplate, VariableError>| match made {
        Ok(body) => Some(body),
        Err(error) => found.refuse(&error.to_string(), None),
    };
    let (body, content_type) = match found.value {
        Value::Mapping(_) | Value::Sequence(_) => (template(json_body(&found.json()?, None, VariableSet::Data))?, JSON),
        _ => {
            let text = found.text()?;
            let is_form = headers.get(CONTENT_TYPE).map_or(text.contains('='), is_form_type);
            match (serde_json::from_str::<serde_json::Value>(&text), is_form) {
                (Ok(json), _) => (template(json_body(&json, Some(&text), VariableSet::Data))?, JSON),
                (Err(_), _) if json_text(&text).is_some() => (json_text(&text)?, JSON),
                (Err(_), true) => (template(form_body(&text, VariableSet::Data))?, FORM),
                (Err(_), false) => (template(Template::parse(&text).map(BodyTemplate::Text))?, PLAIN),
            }
        }
    };
    headers.entry(CONTENT_TYPE).or_insert(content_type);
    Some(body)
}

/// A body that is JSON with any values of the page before in the places of its variables.
fn json_text(text: &str) -> Option<BodyTemplate> {
    BodyTemplate::json_text(&Template::parse(text).ok()?)
}

/// A JSON body. Without variables it is sent as it was written.
pub(super) fn json_body(
    json: &serde_json::Value,
    written: Option<&str>,
    set: VariableSet,
) -> Result<BodyTemplate, VariableError> {
    let template = JsonTemplate::of(json, set)?;
    Ok(match template.templates().is_empty() {
        true if written.is_some_and(|text| text.contains("{'{'}")) => BodyTemplate::Json(template),
        true => BodyTemplate::Text(Template::text(written.map_or_else(|| json.to_string(), str::to_owned))),
        false => BodyTemplate::Json(template),
    })
}

/// A form. Without variables what is encoded already stays as it is.
pub(super) fn form_body(text: &str, set: VariableSet) -> Result<BodyTemplate, VariableError> {
    let body = BodyTemplate::form(text, set)?;
    let has_variables = body.templates().iter().any(|template| template.variables().next().is_some());
    Ok(if has_variables { body } else { BodyTemplate::Text(Template::text(query::form_from_text(text))) })
}

pub(super) fn is_json_type(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("json"))
}

pub(super) fn is_form_type(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
}
