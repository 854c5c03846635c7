//! The steps of an entry: requests for each entry of the answers before them.

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use serde_yaml::Value;

use super::api::Entries;
use super::keys;
use super::kinds::step::WITHIN_DEFAULT;
use super::parts::{EntryParts, StepParts, response};
use super::place::Place;
use super::request::data_body;
use super::section::Section;
use super::value::Found;
use crate::hosts;
use crate::plan::Poll;
use crate::record::path::JsonPath;
use crate::record::{ErrorRule, IdPaths, Paths};
use crate::template::{DateFormat, RequestParts, RequestTemplate, Template};

impl Entries<'_> {
    /// The steps of an entry; none where it has none, and `None` where one has an error.
    pub(super) fn steps(&self, entry: &Section<'_>, of: EntryParts<'_>) -> Option<Vec<StepParts>> {
        let found = entry.read_or(&keys::STEPS, Vec::new())?;
        let steps: Vec<Option<StepParts>> = found.iter().map(|step| self.step(step, of)).collect();
        steps.into_iter().collect()
    }

    fn step(&self, found: &Found<'_>, of: EntryParts<'_>) -> Option<StepParts> {
        let Value::Mapping(own) = found.value else {
            return found.refuse("a step should be here, with keys and values", None);
        };
        let step = Section::new(self.reader, own, found.spot.clone(), Place::Step);
        step.check_keys(None);
        let request = self.step_request(&step, of);
        let paging = self.paging_of(&step, request.as_ref(), of.page_size);
        let paths = self.step_paths(&step, of);
        let response = response(&step);
        let poll = self.poll(&step);
        let (request, (paging, next_url)) = (request?, paging?);
        Some(StepParts { request, response, paths: Paths { next_url, ..paths? }, paging, poll: poll? })
    }

    fn step_request(&self, step: &Section<'_>, of: EntryParts<'_>) -> Option<RequestTemplate> {
        let url = step.read(&keys::STEP_URL);
        let method = step.read_or(&keys::STEP_METHOD, reqwest::Method::GET);
        let own = step.read_or(&keys::STEP_HEADERS, Default::default())?;
        let (mut headers, filled_headers) = with_headers_of(of.request, own);
        let body = step.read(&keys::STEP_BODY).and_then(|found| data_body(&found, method.as_ref(), &mut headers));
        let query = self.query(step.read_or(&keys::STEP_FILTERS, Vec::new()).unwrap_or_default());
        let (url, origin) = url?;
        self.require_host(step, &keys::STEP_URL, origin.as_ref(), of.request);
        let mut first = RequestParts { url, query, headers, filled_headers, body, append: None };
        let next_url = step.read(&keys::STEP_NEXT_REQUEST_URL);
        let next_origin = next_url.as_ref().and_then(|(_, origin)| origin.as_ref());
        self.require_host(step, &keys::STEP_NEXT_REQUEST_URL, next_origin, of.request);
        let next = self.next_parts(step, &first, method.as_ref(), (next_url.map(|(url, _)| url), None));
        let mut next =
            next.map(|(next, query)| RequestParts { query: query.unwrap_or_else(|| first.query.clone()), ..next });
        let start_format: &DateFormat = &of.request.start_format;
        std::iter::once(&mut first).chain(&mut next).for_each(|parts| parts.write_start_dates(start_format));
        let timeout = step.read(&keys::STEP_TIMEOUT).unwrap_or(of.request.timeout);
        Some(RequestTemplate {
            method: method?,
            first,
            next: next.map(Box::new),
            iteration: None,
            timeout,
            ..of.request.clone()
        })
    }

    /// A step leads to the configured origin, or to one that `hosts` names.
    fn require_host<K: super::kinds::Kind>(
        &self,
        step: &Section<'_>,
        key: &keys::ConfigKey<K>,
        origin: Option<&Url>,
        of: &RequestTemplate,
    ) {
        let Some(url) = origin.filter(|url| hosts::reach(url, &of.url, &of.hosts).is_none()) else { return };
        let hint = format!("add `{}` to the API's entry; it is asked without credentials then", hosts::line_for(url));
        self.reader.error(&step.spot_of(key), "it leads to another origin than the API's own", Some(hint));
    }

    fn step_paths(&self, step: &Section<'_>, of: EntryParts<'_>) -> Option<Paths> {
        let whole = || JsonPath::parse("$").ok().map(|path| (path, false));
        let data = if step.has(&keys::STEP_DATA) { step.read(&keys::STEP_DATA) } else { whole() };
        let date = step.read_or_none(&keys::STEP_DATE);
        let id = step.read_or_none(&keys::STEP_ID);
        let error = match (step.is_null(&keys::STEP_ERROR), step.read(&keys::STEP_ERROR)) {
            (true, _) => ErrorRule::Never,
            (false, None) => of.error.clone(),
            (false, Some(path)) => ErrorRule::At(path),
        };
        let (data, is_data_optional) = data?;
        Some(Paths {
            data,
            date: date?,
            id: id?.and_then(|path| IdPaths::new(vec![path])),
            next_url: None,
            is_data_optional,
            error,
            zone: of.zone,
        })
    }

    /// How a job is asked whether it is done; `Some(None)` where the step is none.
    fn poll(&self, step: &Section<'_>) -> Option<Option<Poll>> {
        let (until, fails) = (step.read_or_none(&keys::UNTIL)?, step.read_or(&keys::FAILS, Vec::new())?);
        let within = step.read_or(&keys::WITHIN, WITHIN_DEFAULT)?;
        if until.is_none() {
            for key in [step.find(&keys::FAILS), step.find(&keys::WITHIN)].into_iter().flatten() {
                key.warn("it says nothing without `until`", "until: {PATH: VALUE}");
            }
        }
        Some(until.map(|until| Poll { until, fails, within }))
    }
}

/// The headers of an entry, and those of a step over them. The content type is that of the step's own body.
fn with_headers_of(
    of: &RequestTemplate,
    (own, own_filled): (HeaderMap, Vec<(HeaderName, Template)>),
) -> (HeaderMap, Vec<(HeaderName, Template)>) {
    let is_own = |name: &HeaderName| {
        own.contains_key(name) || own_filled.iter().any(|(known, _)| known == name) || *name == CONTENT_TYPE
    };
    let mut headers: HeaderMap = HeaderMap::new();
    for (name, value) in of.first.headers.iter().filter(|(name, _)| !is_own(name)) {
        headers.append(name.clone(), value.clone());
    }
    let kept = of.first.filled_headers.iter().filter(|(name, _)| !is_own(name)).cloned().collect::<Vec<_>>();
    for (name, value) in &own {
        headers.append(name.clone(), value.clone());
    }
    (headers, kept.into_iter().chain(own_filled).collect())
}
