//! What an answer says beside its records: that it failed, although its status is 200; or that more follows. Pure.
//!
//! Each look is bounded, and none goes into the records.

use super::json::{JsonType, RawJson};
use super::paths::{ErrorRule, Paths};

/// The members of the root by which answers tell of an error.
pub(super) const ERROR_KEYS: [&str; 4] = ["error", "errors", "success", "status"];
/// How deep beside the records is looked for lists and links: answers hold them near the top.
const DEPTH_MAX: usize = 4;
/// How many values are looked at.
const NODES_MAX: usize = 2_000;

/// Names of tokens for a next page that don't have `next` in them, without what people put between words.
const TOKEN_NAMES: [&str; 11] = [
    "cursor",
    "endcursor",
    "continuation",
    "continuationtoken",
    "paginationtoken",
    "pagetoken",
    "scrollid",
    "searchafter",
    "skiptoken",
    "resumetoken",
    "marker",
];
/// Below these `after` is a token, too.
const TOKEN_HOLDERS: [&str; 4] = ["paging", "pagination", "cursors", "next"];
/// Names of flags that say whether more follows.
const FLAG_NAMES: [&str; 7] =
    ["hasmore", "hasnext", "hasnextpage", "more", "moreresults", "moreitemsinnextpage", "istruncated"];
/// Names of the number of all records, or of all pages.
const TOTAL_NAMES: [&str; 7] =
    ["total", "totalcount", "totalresults", "totalrecords", "totalitems", "totalhits", "totalelements"];
const PAGES_NAMES: [&str; 5] = ["totalpages", "pagecount", "pages", "lastpage", "numpages"];

/// What an answer tells of an error; nothing where all is well.
pub(super) fn error<'a>(root: RawJson<'a>, paths: &Paths, has_records: bool) -> Option<RawJson<'a>> {
    match &paths.error {
        ErrorRule::Never => None,
        ErrorRule::At(path) => path.first(root).filter(|found| is_something(*found)),
        // What is a record itself has members of its own.
        ErrorRule::Usual if paths.data.as_keys().is_some_and(|path| path.keys.is_empty()) => None,
        ErrorRule::Usual => usual_error(root, has_records),
    }
}

/// A value that isn't null, false, zero or empty under the usual names. `success` and `status` say less, and count only
/// where there are no records.
fn usual_error(root: RawJson<'_>, has_records: bool) -> Option<RawJson<'_>> {
    let named = ["error", "errors"].into_iter().filter_map(|name| root.member(name)).find(|found| is_something(*found));
    if named.is_some() || has_records {
        return named;
    }
    let has_failed = root.member("success").is_some_and(|value| value.text() == "false");
    let status = root.member("status").and_then(RawJson::scalar);
    let is_error = status.is_some_and(|status| ["error", "fail", "failed"].contains(&status.to_lowercase().as_str()));
    (has_failed || is_error).then_some(root)
}

fn is_something(found: RawJson<'_>) -> bool {
    match found.kind() {
        JsonType::Null => false,
        JsonType::Bool => found.text() == "true",
        JsonType::Number => found.text().parse::<f64>().is_ok_and(|number| number != 0.0),
        JsonType::Text => found.scalar().is_some_and(|text| !text.trim().is_empty()),
        JsonType::Object => found.members().next().is_some(),
        JsonType::Array => found.elements().next().is_some(),
    }
}

/// Whether there is a list somewhere that isn't empty.
pub(super) fn holds_a_list(root: RawJson<'_>) -> bool {
    let mut is_found = false;
    walk(root, &mut |_, value| is_found |= value.kind() == JsonType::Array && value.elements().next().is_some());
    is_found
}

/// What shows that another page follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum More {
    /// A link at this path.
    Link(String),
    /// A token at this path.
    Token(String),
    /// A flag at this path that says so.
    Flag(String),
    /// A number of records or pages at this path, which may count something else.
    Count(String),
}

impl More {
    /// The path, as the config writes it.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Link(path) | Self::Token(path) | Self::Flag(path) | Self::Count(path) => path,
        }
    }
}

/// What an answer of so many records shows of a next page. A flag that says no outweighs a token, which may be for the
/// next poll.
#[must_use]
pub fn more(root: RawJson<'_>, records: usize) -> Option<More> {
    let (mut says_no, mut link, mut token, mut flag, mut count) = (false, None, None, None, None);
    walk(root, &mut |path, value| {
        let name = path.last().map(|key| plain(key)).unwrap_or_default();
        let is_holder = ["href", "url", "uri", "link"].contains(&name.as_str());
        let above = path.len().checked_sub(2).and_then(|at| path.get(at)).map(|key| plain(key));
        let is_after = name == "after" && above.as_ref().is_some_and(|above| TOKEN_HOLDERS.contains(&above.as_str()));
        let holder = above.filter(|_| is_holder);
        let is_next = [Some(&name), holder.as_ref()].into_iter().flatten().any(|name| name.contains("next"));
        let text = value.scalar().filter(|text| !text.trim().is_empty() && text.as_ref() != "0");
        let number = value.scalar().and_then(|text| text.parse::<f64>().ok());
        let place = || path.join(".");
        let is_flag = FLAG_NAMES.contains(&name.as_str());
        if is_flag && value.kind() == JsonType::Bool {
            says_no |= value.text() == "false";
            if value.text() == "true" {
                flag.get_or_insert(More::Flag(place()));
            }
        } else if is_next && value.kind() != JsonType::Bool && text.as_deref().is_some_and(is_link) {
            link.get_or_insert(More::Link(place()));
        } else if (is_next || is_after || TOKEN_NAMES.contains(&name.as_str())) && text.is_some() {
            token.get_or_insert(More::Token(place()));
        } else if TOTAL_NAMES.contains(&name.as_str()) && number.is_some_and(|total| total > records as f64)
            || PAGES_NAMES.contains(&name.as_str()) && number.is_some_and(|pages| pages > 1.0)
        {
            count.get_or_insert(More::Count(place()));
        }
    });

    if says_no { None } else { link.or(token).or(flag).or(count).filter(|_| records > 0) }
}

/// Whether a flag of this name says whether more follows.
#[must_use]
pub fn is_more_flag(key: &str) -> bool {
    FLAG_NAMES.contains(&plain(key).as_str())
}

/// Whether a text reads as a link, absolute or relative, rather than as a token. An absolute one may hold blanks that
/// should have been encoded, as Trend Micro's do.
#[must_use]
pub fn is_link(text: &str) -> bool {
    let text = text.trim();
    let is_absolute = ["http://", "https://"].iter().any(|start| text.starts_with(start));
    let begins = is_absolute || ["/", "?", "./", "../", "&"].iter().any(|start| text.starts_with(start));
    let has_query = text.split_once('?').is_some_and(|(_, query)| query.contains('='));
    let is_path = text.contains('/') && !text.ends_with('=');
    let is_foreign = |c: char| c.is_whitespace() && !(c == ' ' && is_absolute);
    (begins || has_query || is_path) && !text.contains(is_foreign)
}

/// A key without what people put between its words.
fn plain(key: &str) -> String {
    key.chars().take(60).filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Visits the values of objects near the root, not those inside of lists.
fn walk<'a>(root: RawJson<'a>, visit: &mut impl FnMut(&[String], RawJson<'a>)) {
    let mut waiting = vec![(Vec::new(), root)];
    let mut left = NODES_MAX;
    while let Some((path, value)) = waiting.pop() {
        visit(&path, value);
        if path.len() >= DEPTH_MAX || value.kind() != JsonType::Object {
            continue;
        }
        for member in value.members().take(left) {
            left -= 1;
            let mut below = path.clone();
            below.extend(member.key.scalar().map(std::borrow::Cow::into_owned));
            waiting.push((below, member.value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::path::JsonPath;

    fn paths(error: ErrorRule) -> Paths {
        let path = |text| JsonPath::parse(text).expect("a path");
        Paths { error, ..Paths::new(path("data"), path("date")) }
    }

    #[track_caller]
    fn check_error(rule: &ErrorRule, text: &str, has_records: bool, expected: bool) {
        let found = error(RawJson::parse(text).expect("JSON"), &paths(rule.clone()), has_records);
        assert_eq!(found.is_some(), expected, "{text}: {found:?}");
    }

    #[test]
    fn an_error_in_a_good_answer_is_found_and_an_empty_one_is_none() {
        let usual = ErrorRule::Usual;
        for text in [
            r#"{"data":null,"errors":[{"message":"timed out"}]}"#,
            r#"{"error":{"code":503}}"#,
            r#"{"error":"ratelimited","ok":false}"#,
            r#"{"success":false,"data":[]}"#,
            r#"{"status":"error"}"#,
        ] {
            check_error(&usual, text, false, true);
            check_error(&ErrorRule::Never, text, false, false);
        }
        for text in [
            r#"{"errors":[],"success":true}"#,
            r#"{"error":null}"#,
            r#"{"error":""}"#,
            r#"{"error":{}}"#,
            r#"{"error":false}"#,
            r#"{"error":0}"#,
            r#"{"status":"ok"}"#,
            "[]",
        ] {
            check_error(&usual, text, false, false);
        }
        check_error(&usual, r#"{"success":false,"data":[1]}"#, true, false);
        check_error(&usual, r#"{"errors":["shard 3"],"data":[1]}"#, true, true);
        let own = ErrorRule::At(JsonPath::parse("meta.fault").expect("a path"));
        check_error(&own, r#"{"meta":{"fault":"x"},"error":null}"#, false, true);
        check_error(&own, r#"{"error":"x"}"#, false, false);
    }

    #[track_caller]
    fn check_more(text: &str, records: usize, expected: Option<More>) {
        assert_eq!(more(RawJson::parse(text).expect("JSON"), records), expected, "{text}");
    }

    #[test]
    fn what_shows_that_more_follows_is_found() {
        check_more(
            r#"{"data":[1],"links":{"next":"/v1?page=2","self":"/v1"}}"#,
            1,
            Some(More::Link("links.next".into())),
        );
        check_more(r#"{"next":{"href":"https://a/b?p=2"}}"#, 1, Some(More::Link("next.href".into())));
        check_more(r#"{"meta":{"next_cursor":"eyJpZCI6MTIzfQ=="}}"#, 5, Some(More::Token("meta.next_cursor".into())));
        check_more(r#"{"paging":{"next":{"after":"NTI1"}}}"#, 5, Some(More::Token("paging.next.after".into())));
        check_more(r#"{"after":"2024-05-28"}"#, 5, None);
        check_more(r#"{"cursor":"abc","has_more":false}"#, 5, None);
        check_more(r#"{"has_more":true}"#, 5, Some(More::Flag("has_more".into())));
        check_more(r#"{"total":7}"#, 5, Some(More::Count("total".into())));
        check_more(r#"{"total":5,"page":1,"total_pages":1,"next":null,"cursor":""}"#, 5, None);
        check_more(r#"{"next_cursor":"abc"}"#, 0, None);
        check_more(r#"{"data":[{"next":"/x?y=1"}]}"#, 1, None);
    }

    #[test]
    fn a_link_is_told_from_a_token() {
        for link in
            ["https://a/b", "https://a/b?sort=date asc&p=2", "/v1?x=1", "?page=2", "events?page=2", "v1/events", "../x"]
        {
            assert!(is_link(link), "{link}");
        }
        for token in ["eyJpZCI6MTIzfQ==", "abc", "12", "QX/c3+x=", "two words/x", "https://a/b\nc"] {
            assert!(!is_link(token), "{token}");
        }
    }
}
