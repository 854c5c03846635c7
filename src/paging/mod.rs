//! From a page to the request for the next one: a closed list of kinds. Pure.
//!
//! Enters: where the chain stands, and what its page said. Leaves: where it stands next, or that this was the last page.
//! What always holds: a link is held to the origins that the entry names; a kind says only where the next page would be,
//! never that a page which came is the last, which the chain decides by the answer itself.

mod carried;
mod link;
mod stop;

use std::fmt;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};

pub use carried::{Carried, CarriedPosition, CarriedValue, Continuation, ValueKind, ValueSource};
pub use link::{NextLinkError, in_header, next_link};
pub use stop::{StopCondition, StopRule};

use crate::record::answer::is_link;
use crate::record::json::{JsonType, RawJson};
use crate::record::path::JsonPath;
use crate::template::{AnswerValue, AnswerValueError, AnswerValues, Captured, Position, RequestTemplate};

/// The longest cursor that is kept, as JSON: it stands on a line of a file that people read and edit, and is written there
/// with each page. Those of APIs have less than 4 KiB; what is longer is something else.
pub const CURSOR_BYTES_MAX: usize = 64 * 1024;

/// Texts and numbers of a flag that say no.
const NO_WORDS: [&str; 4] = ["", "false", "no", "0"];

/// How one page leads to the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Pagination {
    /// Not at all: one page is all that is read.
    None,
    /// By a link.
    Link(LinkSource),
    /// By a token at this place, which stands in the request as `{next_token}`.
    Token(Locator),
    /// By counting: `{page}` or `{offset}` stands in the request.
    Counted {
        /// How many records a full page has, where that is known: a shorter one is the last.
        page_size: Option<u64>,
    },
    /// By the cursor itself, which stands in the request as `{cursor}`.
    Cursor,
    /// By values of the page, which stand in the next request as `{res.PATH}`; or by none, where that is always the same.
    Values,
}

/// Where the link to the next page stands.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkSource {
    /// In the body, at `json_paths.next_url`, which is found in the same pass as the records.
    Body,
    /// In the `Link` header with `rel="next"` (RFC 8288).
    LinkHeader,
    /// In another header.
    Header(HeaderName),
    /// Put together from texts and values of the answer.
    Joined(Vec<LinkPart>),
}

/// A part of a link that is put together.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkPart {
    /// Text.
    Text(String),
    /// A value of the answer.
    Value(Locator),
}

/// Where a value of an answer is found.
#[derive(Clone, Debug, PartialEq)]
pub enum Locator {
    /// In the body.
    Body(JsonPath),
    /// In a header.
    Header(HeaderName),
}

/// As the config writes it.
impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(path) => f.write_str(path.text()),
            Self::Header(name) => write!(f, "header.{name}"),
        }
    }
}

/// A flag of the answer that says whether more follows.
#[derive(Clone, Debug, PartialEq)]
pub struct MoreFlag {
    /// Where it stands.
    pub path: JsonPath,
    /// Whether it says the opposite (`'!is_last'`).
    pub is_negated: bool,
}

/// What is looked for in an answer beside its records.
#[derive(Clone, Debug, PartialEq)]
pub struct Paging {
    /// How pages lead on.
    pub kind: Pagination,
    /// Whether more follows (`json_paths.has_more`).
    pub has_more: Option<MoreFlag>,
    /// What is kept over iterations (`json_paths.cursor`).
    pub cursor: Option<Locator>,
    /// The values of a page that stand in the next request (`{res.PATH}`). Where one is missing, the page is the last.
    pub values: Vec<AnswerValue>,
    /// What the last page says (`next_request.stop`).
    pub stop: Option<StopRule>,
    /// How many pages behind the first one are read (`next_request.max_pages`).
    pub pages_max: Option<u64>,
}

/// A page, as far as paging looks at it.
#[derive(Clone, Copy, Debug)]
pub struct PageFacts<'p> {
    /// The answer's headers.
    pub headers: &'p HeaderMap,
    /// The body, where it is JSON.
    pub root: Option<RawJson<'p>>,
    /// What `json_paths.next_url` found.
    pub next_url: Option<&'p str>,
    /// What relative links refer to.
    pub base: &'p Url,
    /// How many records it had.
    pub records: u64,
}

/// Why the next page can't be asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum PaginationError {
    /// The link leads where nothing is asked.
    Link(NextLinkError),
    /// What stands at the link's place is no link.
    Token,
    /// A value can't stand in the next request.
    Value(AnswerValueError),
}

impl Locator {
    /// The value, where it is there and says something.
    #[must_use]
    pub fn find(&self, headers: &HeaderMap, root: Option<RawJson<'_>>) -> Option<Captured> {
        match self {
            Self::Body(path) => Captured::of_json(path.first(root?)?.text()),
            Self::Header(name) => {
                headers.get(name)?.to_str().ok().filter(|text| !text.is_empty()).map(Captured::of_text)
            }
        }
    }
}

impl MoreFlag {
    /// What it says; `None` where it is missing.
    #[must_use]
    pub fn read(&self, root: RawJson<'_>) -> Option<bool> {
        let said = self.path.first(root)?;
        let is_true = match said.kind() {
            JsonType::Bool => said.text() == "true",
            JsonType::Null => false,
            _ => said.scalar().is_none_or(|text| !NO_WORDS.contains(&text.trim().to_ascii_lowercase().as_str())),
        };
        Some(is_true != self.is_negated)
    }
}

impl Paging {
    /// Nothing beside the records is looked at, and one page is all.
    #[must_use]
    pub fn none() -> Self {
        Self { kind: Pagination::None, has_more: None, cursor: None, values: Vec::new(), stop: None, pages_max: None }
    }

    /// By links at `json_paths.next_url`.
    #[must_use]
    pub fn by_links() -> Self {
        Self { kind: Pagination::Link(LinkSource::Body), ..Self::none() }
    }

    /// Whether pages are counted, so that there is always a next one to ask for.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        match self.kind {
            Pagination::Counted { .. } => true,
            Pagination::Values => self.values.iter().any(AnswerValue::counts),
            Pagination::None | Pagination::Link(_) | Pagination::Token(_) | Pagination::Cursor => false,
        }
    }

    /// Whether the config says where the pages end, whatever else an answer shows.
    #[must_use]
    pub fn says_end(&self) -> bool {
        self.stop.is_some() || self.pages_max.is_some()
    }

    /// How many pages an iteration reads before it leaves the rest to the next one: where an answer says where the pages end,
    /// the number that is configured doesn't.
    #[must_use]
    pub fn pages_per_iteration(&self) -> Option<u64> {
        self.pages_max.filter(|max| self.stop.is_some() && *max > 0).map(|max| max.saturating_add(1))
    }

    /// Behind how many pages the chain ends, whatever the answer says.
    fn last_page(&self) -> Option<u64> {
        self.pages_max.filter(|max| self.stop.is_none() || *max == 0)
    }

    /// Whether the answer's body is looked at beside its records and its link.
    #[must_use]
    pub fn needs_root(&self) -> bool {
        let in_body = |locator: &Locator| matches!(locator, Locator::Body(_));
        let by_kind = match &self.kind {
            Pagination::Token(locator) => in_body(locator),
            Pagination::Link(LinkSource::Joined(parts)) => {
                parts.iter().any(|part| matches!(part, LinkPart::Value(value) if in_body(value)))
            }
            _ => false,
        };
        by_kind
            || self.has_more.is_some()
            || self.stop.is_some()
            || !self.values.is_empty()
            || self.cursor.as_ref().is_some_and(in_body)
    }

    /// The cursor after a page: the one that it gives, else the one before.
    #[must_use]
    pub fn cursor_after(&self, before: Option<&Captured>, page: &PageFacts<'_>) -> Option<Captured> {
        let found = self.cursor.as_ref().and_then(|cursor| cursor.find(page.headers, page.root));
        found.or_else(|| before.cloned())
    }

    /// Where the chain stands behind a page; `None` behind the last one.
    ///
    /// # Errors
    /// [`PaginationError`], where the page names a next one that can't be asked for.
    pub fn next(
        &self,
        request: &RequestTemplate,
        position: &Position,
        page: &PageFacts<'_>,
    ) -> Result<Option<Position>, PaginationError> {
        let says = self.has_more.as_ref().zip(page.root).and_then(|(flag, root)| flag.read(root));
        let is_last = says == Some(false) || self.stop.as_ref().is_some_and(|stop| stop.holds(page.root));
        if is_last || self.last_page().is_some_and(|last| position.page >= last) {
            return Ok(None);
        }
        let values = AnswerValues::of(&self.values, page.root).map_err(PaginationError::Value)?;
        let Some(values) = values else { return Ok(None) };
        let on = Position {
            next_url: None,
            next_token: None,
            page: position.page.saturating_add(1),
            offset: position.offset.saturating_add(page.records),
            cursor: self.cursor_after(position.cursor.as_ref(), page),
            continued: position.continued.clone(),
            values,
        };
        match &self.kind {
            Pagination::None => Ok(None),
            Pagination::Link(source) => match source.find(page) {
                None => Ok(None),
                Some(link) if *source == LinkSource::Body && !is_link(&link) => Err(PaginationError::Token),
                Some(link) => {
                    let url =
                        next_link(&link, page.base, &request.url, &request.hosts).map_err(PaginationError::Link)?;
                    Ok(Some(Position { next_url: Some(url.to_string()), ..on }))
                }
            },
            Pagination::Token(locator) => {
                let token = locator.find(page.headers, page.root);
                Ok(token.map(|token| Position { next_token: Some(token), ..on }))
            }
            Pagination::Counted { page_size } => {
                let is_short = page_size.is_some_and(|size| page.records < size);
                Ok((says == Some(true) || !is_short).then_some(on))
            }
            Pagination::Cursor => {
                let found = self.cursor.as_ref().and_then(|cursor| cursor.find(page.headers, page.root));
                Ok(found.is_some().then_some(on))
            }
            // Where there is nothing yet, the number of a next page says nothing.
            Pagination::Values => {
                let is_bare = self.is_counted() && position.is_first() && page.records == 0;
                Ok((!is_bare).then_some(on))
            }
        }
    }
}

impl LinkSource {
    /// The link as the answer wrote it.
    fn find(&self, page: &PageFacts<'_>) -> Option<String> {
        match self {
            Self::Body => page.next_url.map(str::to_owned),
            Self::LinkHeader => in_header(page.headers),
            Self::Header(name) => {
                page.headers.get(name)?.to_str().ok().filter(|text| !text.trim().is_empty()).map(str::to_owned)
            }
            Self::Joined(parts) => {
                let part = |part: &LinkPart| match part {
                    LinkPart::Text(text) => Some(text.clone()),
                    LinkPart::Value(value) => value.find(page.headers, page.root).map(|value| value.text()),
                };
                parts.iter().map(part).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderValue, LINK};

    use super::*;

    fn path(text: &str) -> JsonPath {
        JsonPath::parse(text).expect("a path")
    }

    fn template() -> RequestTemplate {
        RequestTemplate::plain(Url::parse("https://api.example/v1/events").expect("a URL"))
    }

    #[track_caller]
    fn next(paging: &Paging, position: &Position, headers: &HeaderMap, body: &str, records: u64) -> Option<Position> {
        let root = RawJson::parse(body).expect("JSON");
        let base = Url::parse("https://api.example/v1/events?x=1").expect("a URL");
        let next_url = path("next").first(root).and_then(|found| found.scalar().map(|text| text.into_owned()));
        let facts = PageFacts { headers, root: Some(root), next_url: next_url.as_deref(), base: &base, records };
        paging.next(&template(), position, &facts).expect("a position")
    }

    fn of(kind: Pagination) -> Paging {
        Paging { kind, ..Paging::none() }
    }

    #[test]
    fn links_are_found_in_the_body_in_headers_and_put_together() {
        let first = Position::default();
        let none = HeaderMap::new();
        let url = |position: Option<Position>| position.and_then(|position| position.next_url);
        let body = r#"{"next":"?page=2","host":"https://api.example","c":"a b"}"#;
        let expected = Some("https://api.example/v1/events?page=2".to_owned());
        assert_eq!(url(next(&Paging::by_links(), &first, &none, body, 5)), expected);
        let mut headers = HeaderMap::new();
        headers.insert(LINK, HeaderValue::from_static("</v1/events?page=2>; rel=\"next\""));
        headers.insert("x-next", HeaderValue::from_static("/v1/events?page=2"));
        assert_eq!(url(next(&of(Pagination::Link(LinkSource::LinkHeader)), &first, &headers, "{}", 5)), expected);
        let other = LinkSource::Header(HeaderName::from_static("x-next"));
        assert_eq!(url(next(&of(Pagination::Link(other)), &first, &headers, "{}", 5)), expected);
        let joined = LinkSource::Joined(vec![
            LinkPart::Value(Locator::Body(path("host"))),
            LinkPart::Text("/v1/events?page=2&c=".to_owned()),
            LinkPart::Value(Locator::Body(path("c"))),
        ]);
        let found = url(next(&of(Pagination::Link(joined.clone())), &first, &none, body, 5));
        assert_eq!(found.as_deref(), Some("https://api.example/v1/events?page=2&c=a%20b"));
        assert_eq!(next(&of(Pagination::Link(joined)), &first, &none, r#"{"c":null}"#, 5), None, "a value is missing");
    }

    #[test]
    fn a_token_that_says_nothing_ends_the_pages() {
        let paging = of(Pagination::Token(Locator::Body(path("meta.next"))));
        let none = HeaderMap::new();
        let found = next(&paging, &Position::default(), &none, r#"{"meta":{"next":[17,"x"]}}"#, 2).expect("a page");
        assert_eq!(found.next_token.map(|token| token.json().to_owned()).as_deref(), Some(r#"[17,"x"]"#));
        assert_eq!((found.page, found.offset), (1, 2));
        for body in [r#"{"meta":{"next":null}}"#, r#"{"meta":{"next":""}}"#, "{}"] {
            assert_eq!(next(&paging, &Position::default(), &none, body, 2), None, "{body}");
        }
    }

    #[test]
    fn a_flag_that_says_no_ends_every_kind() {
        let flag = |text: &str, is_negated| Some(MoreFlag { path: path(text), is_negated });
        let counted = of(Pagination::Counted { page_size: Some(100) });
        let none = HeaderMap::new();
        let goes_on =
            |paging: &Paging, body, records| next(paging, &Position::default(), &none, body, records).is_some();
        let by_flag = Paging { has_more: flag("more", false), ..counted.clone() };
        assert!(goes_on(&by_flag, r#"{"more":true}"#, 3), "the flag knows better than the size");
        assert!(!goes_on(&by_flag, r#"{"more":false}"#, 100));
        assert!(goes_on(&by_flag, "{}", 100) && !goes_on(&by_flag, "{}", 99), "without the flag the size tells");
        let by_opposite = Paging { has_more: flag("is_last", true), ..counted };
        assert!(!goes_on(&by_opposite, r#"{"is_last":true}"#, 100) && goes_on(&by_opposite, r#"{"is_last":false}"#, 1));
    }

    fn by_values(paths: &[&str]) -> Paging {
        let values = paths.iter().map(|path| AnswerValue::parse(path, false).expect("a path"));
        Paging { values: values.collect(), ..of(Pagination::Values) }
    }

    #[test]
    fn values_of_the_page_lead_on_until_one_is_missing() {
        let none = HeaderMap::new();
        let paging = by_values(&["next", "meta.page+1"]);
        let body = r#"{"next":"n/2","meta":{"page":1}}"#;
        let found = next(&paging, &Position::default(), &none, body, 2).expect("a page");
        let saved = serde_json::to_string(&found.values).expect("JSON");
        assert_eq!((saved.as_str(), found.page), (r#"{"meta.page":"1","next":"\"n/2\""}"#, 1));
        for body in [r#"{"next":null,"meta":{"page":1}}"#, r#"{"next":"n"}"#, "[]"] {
            assert_eq!(next(&paging, &Position::default(), &none, body, 2), None, "{body}");
        }
    }

    #[test]
    fn an_empty_first_page_is_followed_where_it_names_what_follows_and_not_where_it_counts() {
        let none = HeaderMap::new();
        let second = Position { page: 1, ..Position::default() };
        let body = r#"{"next":"n","page":1}"#;
        assert!(next(&by_values(&["next"]), &Position::default(), &none, body, 0).is_some());
        assert!(next(&by_values(&["page+1"]), &Position::default(), &none, body, 0).is_none());
        assert!(next(&by_values(&["page+1"]), &second, &none, body, 0).is_some(), "one in the middle");
    }

    #[test]
    fn a_stop_rule_is_asked_of_the_first_page_too_and_a_number_of_pages_ends_them_only_without_one() {
        let none = HeaderMap::new();
        let at = |page| Position { page, ..Position::default() };
        let stop = Some(StopRule { field: path("more"), condition: StopCondition::Equals(false.into()) });
        let paging = Paging { stop, ..by_values(&["page+1"]) };
        let goes_on = |paging: &Paging, page, body| next(paging, &at(page), &none, body, 1).is_some();
        let (more, last) = (r#"{"page":1,"more":true}"#, r#"{"page":1,"more":false}"#);
        assert!(goes_on(&paging, 0, more) && !goes_on(&paging, 0, last) && goes_on(&paging, 7, more));
        let capped = Paging { pages_max: Some(2), ..paging };
        assert!(goes_on(&capped, 2, more), "the next iteration goes on");
        assert_eq!(capped.pages_per_iteration(), Some(3));
        let ended = Paging { stop: None, ..capped };
        assert!(goes_on(&ended, 1, last) && !goes_on(&ended, 2, more));
        assert_eq!(ended.pages_per_iteration(), None);
        let only_first = Paging { pages_max: Some(0), ..ended };
        assert!(!goes_on(&only_first, 0, more));
    }

    #[test]
    fn a_cursor_is_kept_where_a_page_gives_none() {
        let paging = Paging { cursor: Some(Locator::Body(path("c"))), ..of(Pagination::Cursor) };
        let none = HeaderMap::new();
        let begun = Position { cursor: Some(Captured::of_text("old")), ..Position::default() };
        let on = next(&paging, &begun, &none, r#"{"c":"new"}"#, 1).expect("a page");
        assert_eq!(on.cursor, Some(Captured::of_text("new")));
        assert_eq!(next(&paging, &begun, &none, "{}", 0), None);
        let base = Url::parse("https://api.example/").expect("a URL");
        let empty = PageFacts { headers: &none, root: None, next_url: None, base: &base, records: 0 };
        assert_eq!(paging.cursor_after(begun.cursor.as_ref(), &empty), begun.cursor);
    }
}
