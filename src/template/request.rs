//! The requests of an entry: the one for the first page, those for the next ones, and what is sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::url;
use super::{
    AnswerValue, BodyTemplate, DateFormat, DateStyle, Granularity, Position, ProofScope, ProofValues, QueryField,
    Request, RequestError, Scope, Sign, Template, UrlTemplate, Variable, VariablePath,
};
use crate::hosts::HostRule;
use crate::http::Timeouts;
use crate::record::{Fingerprint, Zone};
use crate::text::Secret;

/// What is asked, page by page.
#[derive(Clone, PartialEq)]
pub struct RequestTemplate {
    /// GET or POST.
    pub method: Method,
    /// The configured URL, which fixes the origin that credentials may go to. Where it has variables, something stands in
    /// their places.
    pub url: Url,
    /// The first page's request.
    pub first: RequestParts,
    /// The next pages' request, where it differs (`next_request`); with a cursor also the first page's.
    pub next: Option<Box<RequestParts>>,
    /// The requests from the second iteration on, where they differ (`next_iteration`).
    pub iteration: Option<Box<IterationRequest>>,
    /// How `start_date_name` and OData's clause write the start date.
    pub start_format: DateFormat,
    /// How requests are signed (`sign`).
    pub sign: Option<Box<Sign>>,
    /// The other origins that may be asked (`hosts`).
    pub hosts: Vec<HostRule>,
    /// How long the server may be silent, the first byte included (`http_request.timeout`).
    pub timeout: Duration,
}

/// The requests of an iteration that goes on where the one before ended.
#[derive(Clone, PartialEq)]
pub struct IterationRequest {
    /// The first page's.
    pub first: RequestParts,
    /// The next pages', where it differs.
    pub next: Option<RequestParts>,
}

/// The parts of a request that may have variables.
#[derive(Clone, PartialEq)]
pub struct RequestParts {
    /// The URL.
    pub url: UrlTemplate,
    /// What is added to the URL's query.
    pub query: Vec<QueryField>,
    /// The user's headers without variables, and the body's content type.
    pub headers: HeaderMap,
    /// The user's headers with variables.
    pub filled_headers: Vec<(HeaderName, Template)>,
    /// The body.
    pub body: Option<BodyTemplate>,
    /// What is put behind all of the URL, its query included (`next_request.append`).
    pub append: Option<Template>,
}

impl RequestParts {
    /// The templates in it.
    #[must_use]
    pub fn templates(&self) -> Vec<&Template> {
        let mut all: Vec<&Template> = self.url.template().into_iter().collect();
        all.extend(self.query.iter().map(|field| &field.value));
        all.extend(self.filled_headers.iter().map(|(_, template)| template));
        all.extend(self.body.iter().flat_map(BodyTemplate::templates));
        all.extend(&self.append);
        all
    }

    /// The values of the page before that stand in it, each once.
    #[must_use]
    pub fn answer_values(&self) -> Vec<AnswerValue> {
        let mut values: Vec<AnswerValue> = Vec::new();
        for template in self.templates() {
            for value in template.variables().filter_map(Variable::as_answer_value) {
                if !values.contains(value) {
                    values.push(value.clone());
                }
            }
        }
        values
    }

    /// Writes start dates that have no format of their own in this one.
    pub fn write_start_dates(&mut self, format: &DateFormat) {
        self.change_variables(&mut |variable| variable.write_start_date(format));
    }

    fn change_variables(&mut self, change: &mut dyn FnMut(&mut Variable)) {
        self.url.template_mut().into_iter().for_each(|template| template.change_variables(change));
        self.query.iter_mut().for_each(|field| field.value.change_variables(change));
        self.filled_headers.iter_mut().for_each(|(_, template)| template.change_variables(change));
        if let Some(body) = &mut self.body {
            body.change_variables(change);
        }
        self.append.iter_mut().for_each(|append| append.change_variables(change));
    }

    fn url(&self, scope: &Scope<'_>, configured: &Url) -> Result<Url, RequestError> {
        // What is appended stands behind the first page's URL, with the values of that.
        let beginning = scope.position.beginning();
        let is_behind_continued = self.append.is_some() && scope.position.continued.is_some();
        let whole = scope;
        let scope = &if is_behind_continued { Scope { position: &beginning, ..*scope } } else { *scope };
        let mut url = self.url.render(scope, configured)?;
        let own = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
        let mut fields: Vec<String> = own.into_iter().collect();
        for field in &self.query {
            fields.extend(field.render(scope)?);
        }
        let query = fields.join("&");
        url.set_query((!query.is_empty()).then_some(query.as_str()));
        match &self.append {
            Some(append) => url::appended(url, append, whole),
            None => Ok(url),
        }
    }

    fn headers(&self, scope: &Scope<'_>) -> Result<HeaderMap, RequestError> {
        let mut headers = self.headers.clone();
        for (name, template) in &self.filled_headers {
            if let Some(text) = template.render(scope, str::to_owned)? {
                let mut value = HeaderValue::from_str(&text).map_err(|_| RequestError::Header(name.clone()))?;
                value.set_sensitive(true);
                headers.append(name.clone(), value);
            }
        }
        Ok(headers)
    }
}

impl RequestTemplate {
    /// Writes dates whose patterns name no zone as a clock in this one shows them.
    pub fn write_in_zone(&mut self, zone: Zone) {
        let parts = self.parts_mut();
        parts.for_each(|parts| parts.change_variables(&mut |variable| variable.write_in_zone(zone)));
        let signed = self.sign.iter_mut().flat_map(|sign| std::iter::once(&mut sign.text).chain(&mut sign.key_text));
        signed.for_each(|text| text.change_variables(&mut |variable| variable.write_in_zone(zone)));
    }

    /// Whether dates in it are to be written as records write theirs.
    #[must_use]
    pub fn writes_like_records(&self) -> bool {
        self.variables().any(Variable::is_like_records)
    }

    /// Writes those in this form.
    pub fn write_like_records(&mut self, style: &Arc<DateStyle>) {
        let parts = self.parts_mut();
        parts.for_each(|parts| parts.change_variables(&mut |variable| variable.write_like_records(style)));
        let signed = self.sign.iter_mut().map(|sign| &mut sign.text);
        signed.for_each(|text| text.change_variables(&mut |variable| variable.write_like_records(style)));
    }

    /// A GET request of a URL, with nothing else.
    #[cfg(test)]
    pub(crate) fn plain(url: Url) -> Self {
        let first = RequestParts {
            url: UrlTemplate::Plain(url.clone()),
            query: Vec::new(),
            headers: HeaderMap::new(),
            filled_headers: Vec::new(),
            body: None,
            append: None,
        };
        Self::of(Method::GET, url, first)
    }

    /// A request that is the same for each page.
    #[must_use]
    pub fn of(method: Method, url: Url, first: RequestParts) -> Self {
        let (start_format, timeout) = (DateFormat::Zulu, Timeouts::default().idle);
        Self { method, url, first, next: None, iteration: None, start_format, sign: None, hosts: Vec::new(), timeout }
    }

    /// The request for where a chain stands.
    ///
    /// # Errors
    /// [`RequestError`], where a variable has no value, or one that can't stand where it should.
    pub fn build(&self, scope: &Scope<'_>) -> Result<Request, RequestError> {
        let headers = self.parts(scope.position).headers(scope)?;
        Ok(Request { headers, ..self.without_filled_headers(scope)? })
    }

    /// The signature of the request for where a chain stands, if it is to be signed: over the URL and the body without it.
    ///
    /// # Errors
    /// As [`RequestTemplate::build`].
    pub fn signature(&self, scope: &Scope<'_>) -> Result<Option<String>, RequestError> {
        let Some(sign) = &self.sign else { return Ok(None) };
        let proof = match scope.proof {
            ProofScope::Of(values) => ProofScope::Of(ProofValues { signature: None, ..values }),
            other => other,
        };
        let scope = Scope { proof, ..*scope };
        Ok(Some(sign.signature(&scope, &self.without_filled_headers(&scope)?)?))
    }

    fn without_filled_headers(&self, scope: &Scope<'_>) -> Result<Request, RequestError> {
        let parts = self.parts(scope.position);
        let url = match &scope.position.next_url {
            Some(link) => Url::parse(link).map_err(|_| RequestError::Url)?,
            None => parts.url(scope, &self.url)?,
        };
        let body = parts.body.as_ref().map(|body| body.render(scope)).transpose()?;
        Ok(Request { method: self.method.clone(), url, headers: parts.headers.clone(), body: body.map(Secret::new) })
    }

    /// The request for the first page of a window that begins at `start`, made at `now`: to look at, as something stands
    /// in for what proves who asks.
    ///
    /// # Errors
    /// As [`RequestTemplate::build`].
    pub fn build_first(&self, start: DateTime<Utc>, now: DateTime<Utc>) -> Result<Request, RequestError> {
        self.build(&Scope {
            start,
            end: None,
            now,
            position: &Position::default(),
            entry: None,
            proof: ProofScope::StandIn,
        })
    }

    fn all_parts(&self) -> impl Iterator<Item = &RequestParts> {
        let iteration = self.iteration.iter().flat_map(|parts| std::iter::once(&parts.first).chain(&parts.next));
        std::iter::once(&self.first).chain(self.next.as_deref()).chain(iteration)
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut RequestParts> {
        let iteration = self.iteration.iter_mut().flat_map(|parts| {
            let IterationRequest { first, next } = parts.as_mut();
            std::iter::once(first).chain(next)
        });
        std::iter::once(&mut self.first).chain(self.next.as_deref_mut()).chain(iteration)
    }

    fn parts(&self, position: &Position) -> &RequestParts {
        if let Some(iteration) = self.iteration.as_deref().filter(|_| position.continued.is_some()) {
            let next = iteration.next.as_ref().filter(|_| !position.is_first());
            return next.unwrap_or(&iteration.first);
        }
        let next = self.next.as_deref().filter(|_| !position.is_first() || position.cursor.is_some());
        next.unwrap_or(&self.first)
    }

    /// Whether the request at a position says where the window begins.
    #[must_use]
    pub fn names_start(&self, position: &Position) -> bool {
        self.parts(position).templates().iter().any(|template| template.has_start_date())
    }

    /// The templates in all its parts.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let parts = self.all_parts().flat_map(RequestParts::templates);
        parts.chain(self.sign.iter().flat_map(|sign| std::iter::once(&sign.text).chain(&sign.key_text)))
    }

    /// The templates that are signed: URL, query and body.
    pub fn templates_but_headers(&self) -> impl Iterator<Item = &Template> {
        let parts = self.all_parts();
        parts.flat_map(|parts| {
            let query = parts.query.iter().map(|field| &field.value);
            let body = parts.body.iter().flat_map(BodyTemplate::templates);
            parts.url.template().into_iter().chain(query).chain(body).chain(&parts.append)
        })
    }

    /// The variables in all its parts.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.templates().flat_map(Template::variables)
    }

    /// The values of the page before that stand in the next pages' request, each once.
    #[must_use]
    pub fn answer_values(&self) -> Vec<AnswerValue> {
        self.next.as_deref().map(RequestParts::answer_values).unwrap_or_default()
    }

    /// The variables in its URLs, queries not counted.
    pub fn url_variables(&self) -> impl Iterator<Item = &Variable> {
        let parts = self.all_parts();
        parts.filter_map(|parts| parts.url.template()).flat_map(Template::variables)
    }

    /// What it names of the answer that held an entry, as `{parent.PATH}`.
    #[must_use]
    pub fn parent_paths(&self) -> Vec<VariablePath> {
        let path = |variable: &Variable| match variable {
            Variable::Parent(path) => Some(path.clone()),
            _ => None,
        };
        self.variables().filter_map(path).collect()
    }

    /// How fine the start date is that the API gets to see: as the coarsest of those that are sent.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        let sent = self.variables().filter_map(|variable| match variable {
            Variable::StartDate(format) => Some(format.granularity()),
            _ => None,
        });
        sent.max().unwrap_or_else(|| self.start_format.granularity())
    }

    /// How fine the end of a window is that the API gets to see, as the coarsest of those that are sent; `None` where the
    /// requests name no end.
    #[must_use]
    pub fn end_granularity(&self) -> Option<Granularity> {
        let sent = self.variables().filter_map(|variable| match variable {
            Variable::EndDate(format) => Some(format.granularity()),
            _ => None,
        });
        sent.max()
    }

    /// Tells whether it is still the same, without what only credentials change.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let all = self.all_parts();
        let parts = all.map(|parts| {
            let url = match &parts.url {
                UrlTemplate::Plain(url) => url.as_str().to_owned(),
                UrlTemplate::Filled(_) | UrlTemplate::Told(_) | UrlTemplate::Open(_) => String::new(),
            };
            let names = parts
                .query
                .iter()
                .map(|field| field.name.as_str())
                .chain(parts.filled_headers.iter().map(|(name, _)| name.as_str()))
                .collect::<Vec<_>>()
                .join(" ");
            let texts = parts.templates().into_iter().map(Template::written).collect::<Vec<_>>().join("\n");
            let body = parts.body.as_ref().map(BodyTemplate::written).unwrap_or_default();
            [url, names, texts, body].join("\n")
        });
        let parts = parts.collect::<Vec<_>>().join("\n");
        Fingerprint::of(&[
            self.method.as_str().as_bytes(),
            format!("{:?}", self.start_format).as_bytes(),
            parts.as_bytes(),
        ])
    }
}

impl RequestTemplate {
    /// Tells it from others by all that it says, also by what is secret in it.
    #[must_use]
    pub fn whole_fingerprint(&self) -> Fingerprint {
        let RequestParts { query, headers, filled_headers, body, .. } = &self.first;
        let (method, url) = (self.method.as_str(), self.url.as_str());
        let query: String = query.iter().map(|field| format!("{}={}&", field.name, field.value.written())).collect();
        let filled: String =
            filled_headers.iter().map(|(name, template)| format!("{name}: {}\n", template.written())).collect();
        let body = body.as_ref().map(BodyTemplate::whole).unwrap_or_default();
        let own = self.fingerprint();
        let mut parts = vec![query.as_bytes(), filled.as_bytes(), body.as_bytes()];
        parts.extend([own.bytes().as_slice(), method.as_bytes(), url.as_bytes()]);
        parts.extend(headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]));
        Fingerprint::of(&parts)
    }
}

impl fmt::Debug for RequestTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestTemplate")
            .field("method", &self.method)
            .field("scheme", &self.url.scheme())
            .field("first", &self.first)
            .field("next", &self.next)
            .field("start_format", &self.start_format)
            .finish_non_exhaustive()
    }
}

/// Names alone: values may be secret.
impl fmt::Debug for RequestParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestParts")
            .field("query", &self.query.iter().map(|field| &field.name).collect::<Vec<_>>())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("has_body", &self.body.is_some())
            .finish_non_exhaustive()
    }
}
