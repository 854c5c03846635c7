//! What the config makes of the way on that a page shows.

use super::examine::{Asked, finds_null};
use super::paging::{self, PagingSign};
use super::report::{ProbeReport, presentable};
use super::{suggest, yaml};
use crate::fetch::Answer;
use crate::paging::{LinkSource, Locator, PageFacts, Pagination, PaginationError, in_header, next_link};
use crate::record::answer::is_link;
use crate::record::json::RawJson;
use crate::record::path::JsonPath;
use crate::record::{CustomFields, Page, Paths};
use crate::template::{Position, ProofScope, Scope};

/// The width of the column of lines for the config, so that the reasons stand below each other.
const LINE_COLUMN: usize = 32;

impl Asked<'_> {
    /// Where the next page stands, or what shows that there is one.
    pub(super) fn next(&self, root: RawJson<'_>, answer: &Answer, records: usize, report: &mut ProbeReport) {
        let (page, redactor) = (&answer.base, self.redactor());
        let (configured, hosts) = (&self.plan.request.url, &self.plan.request.hosts);
        let likely: Vec<suggest::Candidate> = suggest::next_links(root, page, configured, hosts)
            .into_iter()
            .filter(|candidate| candidate.is_likely && !finds_null(&candidate.path, root))
            .collect();
        let has_better = presentable(&likely, redactor).next().is_some();
        let Some(path) = &self.plan.paths.next_url else {
            if self.plan.paging.kind != Pagination::None {
                return self.next_by_rule(root, answer, records, report);
            }
            if has_better {
                report.wrong("next", "json_paths.next_url is absent, so this page is the only one that is read");
                return report.suggest("next_url", &likely, redactor);
            }
            if !self.unread(root, answer, records, report) {
                report.well("next", "json_paths.next_url is absent, and nothing on the page looks like a next link");
            }
            return;
        };
        let whole = JsonPath::parse("$").ok();
        let paths = whole.map(|whole| Paths { data: whole, ..self.plan.paths.clone() });
        let Some(read) = paths.map(|paths| Page::read(root.text(), &paths, &CustomFields::default())) else { return };
        match read.map(|page| page.next_url) {
            Ok(Some(link)) if !is_link(&link) => {
                report.wrong("next", &format!("`{path}`: a token (cursor), not a link to the next page"));
                match has_better {
                    true => report.suggest("next_url", &likely, redactor),
                    false => propose(report, &PagingSign::Token(path.to_string()), None),
                }
            }
            Ok(Some(link)) => match next_link(&link, page, configured, hosts) {
                Ok(url) => {
                    let place = match url.origin() == configured.origin() {
                        true => "on the same origin",
                        false => "on an origin that `hosts` names",
                    };
                    let url = redactor.url(&url);
                    report.well("next", &format!("`{path}`: found, {place}: {url}"));
                }
                Err(error) => report.wrong("next", &format!("`{path}`: {}", redactor.redact(&error.to_string()))),
            },
            Ok(None) if has_better => {
                report.wrong("next", &format!("`{path}` finds nothing, but something else looks like a next link"));
                report.suggest("next_url", &likely, redactor);
            }
            Ok(None) => {
                if !self.unread(root, answer, records, report) {
                    report.well("next", &format!("`{path}`: none, so this is the last page"));
                }
            }
            Err(error) => {
                report.wrong("next", &redactor.redact(&error.to_string()));
                report.suggest("next_url", &likely, redactor);
            }
        }
    }

    /// What a token, a header or counting makes of the page.
    fn next_by_rule(&self, root: RawJson<'_>, answer: &Answer, records: usize, report: &mut ProbeReport) {
        let (plan, how) = (self.plan, in_words(&self.plan.paging.kind));
        let base = &answer.base;
        let sent = answer.text_as_sent().and_then(|text| RawJson::parse(text).ok()).or(Some(root));
        let facts = PageFacts { headers: &answer.headers, root: sent, next_url: None, base, records: records as u64 };
        match plan.paging.next(&plan.request, &Position::default(), &facts) {
            Ok(Some(position)) => {
                let scope = Scope {
                    start: self.from,
                    end: Some(self.now),
                    now: self.now,
                    position: &position,
                    entry: None,
                    proof: ProofScope::StandIn,
                };
                match plan.request.build(&scope) {
                    Ok(next) => report.well("next", &format!("{how}: {}", self.redactor().url(&next.url))),
                    Err(error) => report.wrong("next", &format!("{how}: {error}")),
                }
            }
            Ok(None) => {
                let is_other = plan.paging.says_end() || !self.unread(root, answer, records, report);
                if is_other {
                    report.well("next", &format!("{how}: none, so this is the last page"));
                }
            }
            Err(PaginationError::Link(error)) => {
                report.wrong("next", &format!("{how}: {}", self.redactor().redact(&error.to_string())));
            }
            Err(PaginationError::Token) => {
                report.wrong("next", &format!("{how}: a token, not a link to the next page"))
            }
            Err(PaginationError::Value(error)) => report.wrong("next", &format!("{how}: {error}")),
        }
    }

    /// What shows that more follows, where nothing is followed; whether anything does.
    fn unread(&self, root: RawJson<'_>, answer: &Answer, records: usize, report: &mut ProbeReport) -> bool {
        let has_next_header = in_header(&answer.headers).is_some();
        let seen = paging::seen(root, has_next_header, records, self.redactor());
        let flag = paging::flag(root, self.redactor());
        for sign in &seen {
            report.wrong("next", &sign.words());
            propose(report, sign, flag.as_deref());
        }
        if !seen.is_empty() {
            report.more(paging::LOST);
        }
        !seen.is_empty()
    }
}

/// The lines that would follow a sign.
fn propose(report: &mut ProbeReport, sign: &PagingSign, flag: Option<&str>) {
    let rules = sign.rules(flag);
    let Some(likeliest) = rules.first() else { return };
    report.more("this would follow it:");
    for (section, key, value) in likeliest.lines() {
        let line = format!("{section}: {{{}: {}}}", yaml::scalar(&key), yaml::scalar(value));
        let names: Vec<&str> =
            rules.iter().skip(1).filter_map(|rule| rule.filter.as_ref().map(|(name, _)| name.as_str())).collect();
        match section {
            "filters" if !names.is_empty() => {
                report.more(&format!(
                    "  {line:<LINE_COLUMN$} # or the name that the API has for it, like {}",
                    names.join(", ")
                ));
            }
            _ => report.more(&format!("  {line}")),
        }
    }
}

/// What leads to the next page.
fn in_words(kind: &Pagination) -> String {
    match kind {
        Pagination::None => "nothing".to_owned(),
        Pagination::Link(LinkSource::LinkHeader) => "the header `Link`".to_owned(),
        Pagination::Link(LinkSource::Header(name)) | Pagination::Token(Locator::Header(name)) => {
            format!("the header `{name}`")
        }
        Pagination::Link(LinkSource::Body | LinkSource::Joined(_)) => "json_paths.next_url".to_owned(),
        Pagination::Token(Locator::Body(path)) => format!("`{path}`"),
        Pagination::Counted { .. } => "by counting".to_owned(),
        Pagination::Cursor => "json_paths.cursor".to_owned(),
        Pagination::Values => "`{res.…}` in next_request".to_owned(),
    }
}
