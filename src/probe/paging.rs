//! How the API leads to its next page, as far as one answer shows it, and what the config would say to follow. Pure.
//!
//! Enters: a page, whether its headers hold a next link, and how many records it has. Leaves: what was seen, in words that
//! name paths and no values; and the rules that would follow it, likeliest first.

use super::suggest::{page_values, plain};
use crate::record::answer::{More, is_more_flag, more};
use crate::record::json::{JsonType, RawJson};
use crate::text::Redactor;

/// What becomes of pages that nothing leads to.
pub(super) const LOST: &str = "so only the first page is read, and the records on later pages are missing";
/// How many rules are made of one sign: each costs a request.
const RULES_MAX: usize = 4;
/// How many records a full page usually has, where nothing else says that more follows.
const USUAL_PAGE_SIZES: [usize; 12] = [10, 15, 20, 25, 30, 50, 100, 200, 250, 500, 1_000, 5_000];
/// What the parameter that takes a token is usually called, where its name in the answer tells nothing.
const TOKEN_PARAMETERS: [&str; 2] = ["cursor", "page_token"];
/// What the parameter that takes a page number is usually called.
const PAGE_PARAMETERS: [&str; 2] = ["page", "pageNumber"];
/// What the parameter that takes an offset is usually called.
const OFFSET_PARAMETERS: [&str; 2] = ["offset", "start"];

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
    /// A number of a page, whether it counts from 0, and what says that there are more.
    Page { number: String, is_from_zero: bool, more: Option<String> },
    /// A number of records before the page, and what says that there are more.
    Offset { number: String, more: Option<String> },
    /// A flag at this path.
    Flag(String),
    /// A number of records or pages at this path.
    Count(String),
    /// As many records as a full page usually has.
    FullPage(usize),
}

/// What the config would say to follow the pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PagingRule {
    /// `json_paths.next_url`.
    pub(super) next_url: Option<String>,
    /// `json_paths.next_token`.
    pub(super) next_token: Option<String>,
    /// `json_paths.has_more`.
    pub(super) has_more: Option<String>,
    /// The parameter that takes what leads on, and its value.
    pub(super) filter: Option<(String, &'static str)>,
}

impl PagingRule {
    /// The lines of it for the config, each with the section that it belongs to.
    pub(super) fn lines(&self) -> Vec<(&'static str, String, &str)> {
        let paths = [("next_url", &self.next_url), ("next_token", &self.next_token), ("has_more", &self.has_more)];
        let paths = paths.into_iter().filter_map(|(key, path)| Some(("json_paths", key.to_owned(), path.as_deref()?)));
        let filter = self.filter.iter().map(|(name, value)| ("filters", name.clone(), *value));
        paths.chain(filter).collect()
    }
}

impl PagingSign {
    /// What was seen, as a clause.
    pub(super) fn words(&self) -> String {
        let beside = |more: &Option<String>| more.as_ref().map(|more| format!(", with `{more}`")).unwrap_or_default();
        match self {
            Self::LinkHeader => "the header `Link` names the next page (rel=\"next\")".to_owned(),
            Self::Link(path) => format!("`{path}` looks like a link to the next page"),
            Self::Token(path) => format!("`{path}` looks like a token (cursor) for the next page"),
            Self::Page { number, more, .. } => format!("`{number}` is a page number{}", beside(more)),
            Self::Offset { number, more } => format!("`{number}` is an offset{}", beside(more)),
            Self::Flag(path) => format!("`{path}` says that more pages follow"),
            Self::Count(path) => format!("`{path}` says that there is more than this page"),
            Self::FullPage(records) => format!("{records} records may be a full page"),
        }
    }

    /// Whether it says for sure that more follows.
    pub(super) fn is_sure(&self) -> bool {
        !matches!(self, Self::FullPage(_))
    }

    /// The rules that may follow it, the likeliest first. `flag` is the path of a flag that says whether more follows.
    pub(super) fn rules(&self, flag: Option<&str>) -> Vec<PagingRule> {
        let has_more = flag.map(str::to_owned);
        let by_names = |names: Vec<String>, value: &'static str, next_token: Option<&String>| {
            let rule = |name: String| PagingRule {
                next_token: next_token.cloned(),
                has_more: has_more.clone(),
                filter: Some((name, value)),
                ..PagingRule::default()
            };
            names.into_iter().take(RULES_MAX).map(rule).collect()
        };
        match self {
            Self::LinkHeader => vec![PagingRule { next_url: Some("header.Link".to_owned()), ..PagingRule::default() }],
            Self::Link(path) => vec![PagingRule { next_url: Some(path.clone()), has_more, ..PagingRule::default() }],
            Self::Token(path) => by_names(names(path, &TOKEN_PARAMETERS), "{next_token}", Some(path)),
            Self::Page { number, is_from_zero, .. } => {
                let value = if *is_from_zero { "{page:0}" } else { "{page}" };
                by_names(names(number, &PAGE_PARAMETERS), value, None)
            }
            Self::Offset { number, .. } => by_names(names(number, &OFFSET_PARAMETERS), "{offset}", None),
            Self::Flag(_) | Self::Count(_) | Self::FullPage(_) => {
                let pages = by_names(vec!["page".to_owned()], "{page}", None);
                pages.into_iter().chain(by_names(vec!["offset".to_owned()], "{offset}", None)).collect()
            }
        }
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::LinkHeader | Self::FullPage(_) => (None, None),
            Self::Link(path) | Self::Token(path) | Self::Flag(path) | Self::Count(path) => (Some(path), None),
            Self::Page { number, more, .. } | Self::Offset { number, more } => (Some(number), more.as_ref()),
        };
        first.into_iter().chain(second).map(String::as_str)
    }
}

/// Names for a parameter: what the value is called in the answer, without what says that it is the next one; and the usual
/// ones.
fn names(path: &str, usual: &[&str]) -> Vec<String> {
    let own = path.rsplit('.').next().unwrap_or(path);
    let mut names: Vec<String> = Vec::new();
    let stripped = ["next", "current", "end"].iter().find_map(|word| {
        let (start, rest) = (own.get(..word.len())?, own.get(word.len()..)?);
        let rest = rest.trim_start_matches(['_', '-', '.']);
        (start.eq_ignore_ascii_case(word) && !rest.is_empty()).then(|| lower_first(rest))
    });
    let is_plain =
        |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let all = stripped.into_iter().chain([own.to_owned()]).chain(usual.iter().map(|name| (*name).to_owned()));
    all.filter(is_plain).for_each(|name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Everything on the page that shows that more follows; nothing of which a path may not be shown.
pub(super) fn seen(root: RawJson<'_>, has_next_header: bool, records: usize, redactor: &Redactor) -> Vec<PagingSign> {
    let in_body = more(root, records).map(|more| in_body(root, more));
    let all = has_next_header.then_some(PagingSign::LinkHeader).into_iter().chain(in_body);
    all.filter(|paging| !paging.paths().any(|path| redactor.finds_in(path))).collect()
}

/// A page that is as long as full pages usually are, where nothing on it says whether more follows.
pub(super) fn full_page(records: usize) -> Option<PagingSign> {
    USUAL_PAGE_SIZES.contains(&records).then_some(PagingSign::FullPage(records))
}

/// The path of a flag that says whether more follows.
pub(super) fn flag(root: RawJson<'_>, redactor: &Redactor) -> Option<String> {
    let is_flag = |(keys, value): &(Vec<String>, RawJson<'_>)| {
        value.kind() == JsonType::Bool && keys.last().is_some_and(|key| is_more_flag(key))
    };
    let (keys, _) = page_values(root).into_iter().find(is_flag)?;
    Some(keys.join(".")).filter(|path| !redactor.finds_in(path))
}

/// Numbers tell more than the flag or the total beside them.
fn in_body(root: RawJson<'_>, more: More) -> PagingSign {
    let numbers: Vec<(String, String, bool)> = page_values(root)
        .into_iter()
        .filter(|(_, value)| value.scalar().is_some_and(|text| text.parse::<u64>().is_ok()))
        .filter(|(_, value)| matches!(value.kind(), JsonType::Number | JsonType::Text))
        .filter_map(|(keys, value)| Some((plain(keys.last()?), keys.join("."), value.scalar().as_deref() == Some("0"))))
        .collect();
    let named = |names: &[&str]| {
        let found = numbers.iter().find(|(name, ..)| names.contains(&name.as_str()));
        found.map(|(_, path, is_zero)| (path.clone(), *is_zero))
    };
    let (path, is_token) = match more {
        More::Link(path) => return PagingSign::Link(path),
        More::Token(path) => (path, true),
        More::Flag(path) | More::Count(path) if named(&PAGE_NAMES).is_none() && named(&OFFSET_NAMES).is_none() => {
            let is_number = numbers.iter().any(|(_, known, _)| *known == path);
            return if is_number { PagingSign::Count(path) } else { PagingSign::Flag(path) };
        }
        More::Flag(path) | More::Count(path) => (path, false),
    };
    if is_token {
        // `next_page: 2`, `next_offset: 100`: no token, but a number.
        let number = numbers.iter().find(|(_, known, _)| *known == path).map(|(name, ..)| name.as_str());
        return match number {
            Some(name) if name.contains("page") => PagingSign::Page { number: path, is_from_zero: false, more: None },
            Some(name) if ["offset", "skip", "start"].iter().any(|part| name.contains(part)) => {
                PagingSign::Offset { number: path, more: None }
            }
            _ => PagingSign::Token(path),
        };
    }
    match (named(&OFFSET_NAMES), named(&PAGE_NAMES)) {
        (Some((number, _)), _) => PagingSign::Offset { number, more: Some(path) },
        (None, Some((number, is_from_zero))) => PagingSign::Page { number, is_from_zero, more: Some(path) },
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

    #[test]
    fn each_way_on_has_rules_that_may_follow_it() {
        let rules = |page: &str| -> Vec<Vec<String>> {
            let root = RawJson::parse(page).expect("JSON");
            let redactor = Redactor::default();
            let flag = flag(root, &redactor);
            let signs = seen(root, false, 2, &redactor);
            let rules = signs.iter().flat_map(|sign| sign.rules(flag.as_deref()));
            rules.map(|rule| rule.lines().iter().map(|(_, key, value)| format!("{key}: {value}")).collect()).collect()
        };
        let token =
            |parameter: &str| vec!["next_token: meta.nextPageToken".to_owned(), format!("{parameter}: {{next_token}}")];
        assert_eq!(
            rules(r#"{"meta":{"nextPageToken":"abc"}}"#),
            ["pageToken", "nextPageToken", "cursor", "page_token"].map(token)
        );
        assert_eq!(rules(r#"{"page":0,"has_more":true}"#)[0], ["has_more: has_more", "page: {page:0}"]);
        assert_eq!(rules(r#"{"currentOffset":0,"total":9}"#)[0], ["offset: {offset}"]);
        assert_eq!(rules(r#"{"total":9}"#), [["page: {page}"], ["offset: {offset}"]]);
        assert_eq!(rules(r#"{"next":"/v1?p=2"}"#), [["next_url: next"]]);
    }
}
