//! Which values beside the records are likely links to the next page. Pure.

use reqwest::Url;

use super::walk::{Lists, PAGE_NODES_MAX, plain, values};
use super::{CANDIDATES_MAX, Candidate, FoundValue, ranked};
use crate::hosts::HostRule;
use crate::paging::{NextLinkError, next_link};
use crate::probe::value_path::ValuePath;
use crate::record::json::{JsonType, RawJson};
use crate::record::path::JsonPath;

/// Lists of links (`[{"rel": "next", "href": …}]`) are no longer than this.
const LINKS_MAX: usize = 20;
/// Parts of the names of links that lead elsewhere.
const BACK_NAMES: [&str; 6] = ["self", "prev", "previous", "first", "last", "current"];
/// What a link to the next page is called where it is null on the last one.
const NEXT_NAMES: &[&str] =
    &["next", "nexturl", "nextlink", "nextpage", "nextpageurl", "nextpagelink", "nexthref", "nexturi", "odatanextlink"];

/// URLs outside of the records: those called like a next link, then others on the origin; ways back only where there is
/// nothing else.
#[must_use]
pub fn next_links(root: RawJson<'_>, page: &Url, configured: &Url, hosts: &[HostRule]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut listed = Vec::new();
    for (value_path, raw) in values(root, PAGE_NODES_MAX, Lists::Wrappers) {
        listed.extend(listed_link(root, &value_path, raw, page, (configured, hosts)));
        let names: Vec<String> = value_path.keys().map(plain).collect();
        let role = Role::of(&names);
        let why = match raw.kind() {
            JsonType::Null if names.last().is_some_and(|name| NEXT_NAMES.contains(&name.as_str())) => {
                Some(("null here: the last page".to_owned(), true))
            }
            JsonType::Text => link_why(&raw.scalar().unwrap_or_default(), page, configured, hosts),
            _ => None,
        };
        let Some((why, is_followed)) = why else { continue };
        let order = (role, raw.is_null(), !is_followed, value_path.depth());
        found.push((order, FoundValue { value_path, why, is_likely: role == Role::Next && is_followed }));
    }
    if !listed.is_empty() || found.iter().any(|((role, ..), _)| *role != Role::Back) {
        found.retain(|((role, ..), _)| *role != Role::Back);
    }
    let found = ranked(found, &[root]);
    let (likely, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|candidate| candidate.is_likely);
    likely.into_iter().chain(listed).chain(others).take(CANDIDATES_MAX).collect()
}

/// `[{"rel": "next", "href": …}]`: the link is found by its role, as its place moves from page to page.
fn listed_link(
    root: RawJson<'_>,
    value_path: &ValuePath,
    raw: RawJson<'_>,
    page: &Url,
    (configured, hosts): (&Url, &[HostRule]),
) -> Option<Candidate> {
    let is_short = raw.kind() == JsonType::Array && raw.elements().nth(LINKS_MAX).is_none();
    let mut links = raw.elements().filter(|_| is_short);
    let next = links.find(|link| link.member("rel").is_some_and(|rel| rel.is_text("next")))?;
    let name = ["href", "url", "uri"].into_iter().find(|name| next.member(name).is_some())?;
    let link = next.member(name)?;
    let (why, is_followed) = link_why(&link.scalar()?, page, configured, hosts)?;
    let path = format!("{}[?@.rel=='next'].{name}", value_path.rooted());
    let finds = JsonPath::parse(&path).ok()?.first(root)?;
    (finds.offset_in(root) == link.offset_in(root)).then_some(Candidate { path, why, is_likely: is_followed })
}

/// What a text is as a link, and whether it would be followed.
fn link_why(text: &str, page: &Url, configured: &Url, hosts: &[HostRule]) -> Option<(String, bool)> {
    let text = text.trim();
    let is_absolute = text.starts_with("https://") || text.starts_with("http://");
    let is_relative = text.starts_with(['/', '?']) || (text.contains('?') && text.contains('='));
    if !(is_absolute || is_relative) || text.contains(char::is_whitespace) {
        return None;
    }
    match next_link(text, page, configured, hosts) {
        Ok(url) if url.origin() != configured.origin() => {
            Some(("a URL on an origin that `hosts` names".to_owned(), true))
        }
        Ok(_) if is_absolute => Some(("a URL on the same origin".to_owned(), true)),
        Ok(_) => Some(("a relative URL".to_owned(), true)),
        Err(NextLinkError::NoUrl) => None,
        Err(_) => Some(("a URL on another origin, which is refused".to_owned(), false)),
    }
}

/// Which way a link leads, as its names have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Next,
    Unknown,
    Back,
}

impl Role {
    fn of(names: &[String]) -> Self {
        let is_back = |name: &String| BACK_NAMES.iter().any(|back| name.starts_with(back) || name.ends_with(back));
        match (names.last(), names.iter().any(|name| name.contains("next"))) {
            (Some(last), _) if is_back(last) && !last.contains("next") => Self::Back,
            (_, true) => Self::Next,
            _ => Self::Unknown,
        }
    }
}
