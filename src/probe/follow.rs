//! Trying what might lead to the next page: only what brings other records is proposed.

use reqwest::StatusCode;

use super::choice::Choice;
use super::draft::{compile, without_start};
use super::explore::Asking;
use super::first_page::FirstPage;
use super::paging::{LOST, PagingRule, PagingSign, flag};
use super::propose::Draft;
use crate::fetch::{Answer, FetchError, PageOnce, page_once};
use crate::paging::PageFacts;
use crate::record::json::RawJson;
use crate::record::path::JsonPath;
use crate::template::{Position, ProofScope, Scope};

/// How many requests may be made to find the way to the next page.
const TRIES_MAX: usize = 4;

/// What came of a rule.
enum Followed {
    /// Other records came.
    Yes,
    /// The page was empty: it may be the last one.
    Empty,
    /// The same records came.
    Ignored,
    /// Nothing can be told of it.
    Refused,
    /// The API wants fewer requests.
    Limited,
}

impl Asking<'_> {
    /// Finds out what leads to the next page, where no link in the body does, and notes it.
    pub(super) async fn find_paging(&self, draft: &mut Draft, seen: &FirstPage<'_>, first: &Answer) {
        let path = draft.data.value.as_deref().and_then(|path| JsonPath::parse(path).ok());
        let list = path.and_then(|path| path.first(seen.root));
        if !draft.kind.is_general() || draft.next.value.is_some() {
            return;
        }
        let records: Vec<&str> = list.into_iter().flat_map(RawJson::elements).map(RawJson::text).collect();
        let signs = seen.signs(records.len());
        let is_told = signs.iter().any(PagingSign::is_sure);
        let flag = flag(seen.root, seen.redactor);
        let mut tried: Vec<String> = Vec::new();
        for (sign, rule) in
            signs.iter().flat_map(|sign| sign.rules(flag.as_deref()).into_iter().map(move |rule| (sign, rule)))
        {
            if tried.len() >= TRIES_MAX {
                break;
            }
            let name =
                rule.filter.as_ref().map(|(name, _)| name).or(rule.next_url.as_ref()).cloned().unwrap_or_default();
            tracing::info!("trying what leads to the next page: {name}");
            match self.follow(draft, &rule, seen, first, &records).await {
                Followed::Yes => return draft.page_by(sign, rule, "other records came"),
                Followed::Empty if matches!(sign, PagingSign::Token(_) | PagingSign::LinkHeader) => {
                    return draft.page_by(sign, rule, "the next page was empty");
                }
                Followed::Limited => break,
                Followed::Empty | Followed::Ignored | Followed::Refused => tried.push(name),
            }
        }
        if is_told {
            draft.has_unread = true;
            let words = signs.iter().map(PagingSign::words);
            let tried = format!("tried without success: {}", tried.join(", "));
            draft.next.comments = words.chain([tried, LOST.to_owned()]).collect();
        }
    }

    /// Asks for the next page by a rule.
    async fn follow(
        &self,
        draft: &Draft,
        rule: &PagingRule,
        seen: &FirstPage<'_>,
        first: &Answer,
        records: &[&str],
    ) -> Followed {
        let next = Choice { value: rule.next_url.clone(), ..Choice::default() };
        let attempt = Draft { next, paging: Some(rule.clone()), ..draft.clone() };
        let Ok(plan) = compile(self.target, &attempt) else { return Followed::Refused };
        let next_url = plan.paths.next_url.as_ref().and_then(|path| path.first(seen.root)?.scalar());
        let facts = PageFacts {
            headers: &first.headers,
            root: Some(seen.root),
            next_url: next_url.as_deref(),
            base: &first.base,
            records: records.len() as u64,
        };
        let Ok(Some(position)) = plan.paging.next(&plan.request, &Position::default(), &facts) else {
            return Followed::Refused;
        };
        let (template, start) = without_start(&attempt, &plan.request, self.now);
        let (end, now) = (Some(self.now), self.now);
        let scope = Scope { start, end, now, position: &position, entry: None, proof: ProofScope::None };
        let page = PageOnce { template: &template, scope };
        let text = match page_once(self.transport, &plan, self.access, page).await {
            Ok((answer, _)) => answer.text().unwrap_or_default().to_owned(),
            Err(refused) => {
                let status = match refused.error {
                    FetchError::Status { status, .. } => Some(status),
                    _ => None,
                };
                return if status == Some(StatusCode::TOO_MANY_REQUESTS) {
                    Followed::Limited
                } else {
                    Followed::Refused
                };
            }
        };
        let Ok(root) = RawJson::parse(&text) else { return Followed::Refused };
        let Some(list) = plan.paths.data.first(root) else { return Followed::Empty };
        match list.elements().next() {
            None => Followed::Empty,
            Some(_) if list.elements().all(|record| records.contains(&record.text())) => Followed::Ignored,
            Some(_) => Followed::Yes,
        }
    }
}

impl Draft {
    /// Notes what leads to the next page.
    fn page_by(&mut self, sign: &PagingSign, rule: PagingRule, outcome: &str) {
        self.next = Choice { value: rule.next_url.clone(), comments: vec![format!("{}; {outcome}", sign.words())] };
        self.paging = Some(rule);
    }
}
