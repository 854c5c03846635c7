//! How the API leads to its next page, as far as one answer shows it, also where this version can't follow. Pure.
//!
//! Enters: a page, whether its headers hold a next link, and how many records it has. Leaves: what was seen, in words that
//! name paths and no values.

use super::suggest::{page_values, plain};
use crate::record::answer::{More, more};
use crate::record::json::{JsonType, RawJson};
use crate::text::Redactor;

/// What this version follows.
pub(super) const FOLLOWED: &str = "this version follows only a link in the body (json_paths.next_url)";
/// What becomes of the rest.
pub(super) const LOST: &str = "so only the first page is read, and the records on later pages are missing";

/// What the number of a page is usually called, without what people put between words.
const PAGE_NAMES: [&str; 6] = ["page", "currentpage", "pagenumber", "pageno", "pagenum", "pageindex"];
/// What the number of records before a page is usually called.
const OFFSET_NAMES: [&str; 6] = ["offset", "currentoffset", "startat", "startindex", "startoffset", "skip"];

/// One way in which the API says that more follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PagingSign {
    /// The header `Link`, with rel="next".
    LinkHeader,
    /// A link at this path.
    Link(String),
    /// A cursor or token at this path.
    Token(String),
    /// A number of a page, and what says that there are more.
    Page { number: String, more: Option<String> },
    /// A number of records before the page, and what says that there are more.
    Offset { number: String, more: Option<String> },
    /// A flag at this path.
    Flag(String),
    /// A number of records or pages at this path.
    Count(String),
}

impl PagingSign {
    /// What was seen, as a clause.
    pub(super) fn words(&self) -> String {
        let beside = |more: &Option<String>| more.as_ref().map(|more| format!(", with `{more}`")).unwrap_or_default();
        match self {
            Self::LinkHeader => "the header `Link` names the next page (rel=\"next\")".to_owned(),
            Self::Link(path) => format!("`{path}` looks like a link to the next page"),
            Self::Token(path) => format!("`{path}` looks like a token (cursor) for the next page"),
            Self::Page { number, more } => format!("`{number}` is a page number{}", beside(more)),
            Self::Offset { number, more } => format!("`{number}` is an offset{}", beside(more)),
            Self::Flag(path) => format!("`{path}` says that more pages follow"),
            Self::Count(path) => format!("`{path}` says that there is more than this page"),
        }
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::LinkHeader => (None, None),
            Self::Link(path) | Self::Token(path) | Self::Flag(path) | Self::Count(path) => (Some(path), None),
            Self::Page { number, more } | Self::Offset { number, more } => (Some(number), more.as_ref()),
        };
        first.into_iter().chain(second).map(String::as_str)
    }
}

/// Everything on the page that shows that more follows; nothing of which a path may not be shown.
pub(super) fn seen(root: RawJson<'_>, has_next_header: bool, records: usize, redactor: &Redactor) -> Vec<PagingSign> {
    let in_body = more(root, records).map(|more| in_body(root, more));
    let all = has_next_header.then_some(PagingSign::LinkHeader).into_iter().chain(in_body);
    all.filter(|paging| !paging.paths().any(|path| redactor.finds_in(path))).collect()
}

/// Numbers tell more than the flag or the total beside them.
fn in_body(root: RawJson<'_>, more: More) -> PagingSign {
    let numbers: Vec<(String, String)> = page_values(root)
        .into_iter()
        .filter(|(_, value)| value.scalar().is_some_and(|text| text.parse::<u64>().is_ok()))
        .filter(|(_, value)| matches!(value.kind(), JsonType::Number | JsonType::Text))
        .filter_map(|(keys, _)| Some((plain(keys.last()?), keys.join("."))))
        .collect();
    let named = |names: &[&str]| numbers.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, path)| path);
    let (path, is_token) = match more {
        More::Link(path) => return PagingSign::Link(path),
        More::Token(path) => (path, true),
        More::Flag(path) | More::Count(path) if named(&PAGE_NAMES).is_none() && named(&OFFSET_NAMES).is_none() => {
            let is_number = numbers.iter().any(|(_, known)| *known == path);
            return if is_number { PagingSign::Count(path) } else { PagingSign::Flag(path) };
        }
        More::Flag(path) | More::Count(path) => (path, false),
    };
    if is_token {
        // `next_page: 2`, `next_offset: 100`: no token, but a number.
        let number = numbers.iter().find(|(_, known)| *known == path).map(|(name, _)| name.as_str());
        return match number {
            Some(name) if name.contains("page") => PagingSign::Page { number: path, more: None },
            Some(name) if ["offset", "skip", "start"].iter().any(|part| name.contains(part)) => {
                PagingSign::Offset { number: path, more: None }
            }
            _ => PagingSign::Token(path),
        };
    }
    match (named(&OFFSET_NAMES), named(&PAGE_NAMES)) {
        (Some(number), _) => PagingSign::Offset { number: number.clone(), more: Some(path) },
        (None, Some(number)) => PagingSign::Page { number: number.clone(), more: Some(path) },
        (None, None) => PagingSign::Count(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(page: &str, has_next_header: bool, expected: &[&str]) {
        let root = RawJson::parse(page).expect("JSON");
        let seen: Vec<String> =
            seen(root, has_next_header, 2, &Redactor::default()).iter().map(PagingSign::words).collect();
        assert_eq!(seen, expected, "{page}");
    }

    #[test]
    fn each_way_to_the_next_page_is_named() {
        let header = "the header `Link` names the next page (rel=\"next\")";
        check("[]", true, &[header]);
        check(
            r#"{"meta":{"next_cursor":"abc"}}"#,
            true,
            &[header, "`meta.next_cursor` looks like a token (cursor) for the next page"],
        );
        check(r#"{"links":{"next":"/v1?p=2"}}"#, false, &["`links.next` looks like a link to the next page"]);
        check(r#"{"page":1,"total_pages":5}"#, false, &["`page` is a page number, with `total_pages`"]);
        check(
            r#"{"meta":{"page":"1","has_more":true}}"#,
            false,
            &["`meta.page` is a page number, with `meta.has_more`"],
        );
        check(r#"{"next_page":2}"#, false, &["`next_page` is a page number"]);
        check(
            r#"{"paging":{"offset":0,"limit":2,"total":9}}"#,
            false,
            &["`paging.offset` is an offset, with `paging.total`"],
        );
        check(r#"{"next_offset":2}"#, false, &["`next_offset` is an offset"]);
        check(r#"{"has_more":true}"#, false, &["`has_more` says that more pages follow"]);
        check(r#"{"total":9}"#, false, &["`total` says that there is more than this page"]);
    }

    #[test]
    fn a_last_page_shows_nothing() {
        for page in [r#"{"page":1,"total_pages":1}"#, r#"{"offset":0,"total":2}"#, r#"{"has_more":false,"page":1}"#] {
            check(page, false, &[]);
        }
    }
}
