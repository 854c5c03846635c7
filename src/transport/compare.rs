//! What two requests differ in, part by part.

use std::collections::BTreeMap;

use reqwest::Url;

use super::TapedRequest;

/// Stands on a tape for text that isn't kept: it equals any that isn't empty.
pub const ANY: &str = "***";

/// One part of a request that isn't as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartDifference {
    /// Which part.
    pub part: String,
    /// What is recorded; nothing where the part is new.
    pub recorded: Option<String>,
    /// What was asked; nothing where the part is missing.
    pub made: Option<String>,
}

/// Every part in which a request differs from the recorded one; none where they are the same.
#[must_use]
pub fn differences(recorded: &TapedRequest, made: &TapedRequest) -> Vec<PartDifference> {
    let mut found = Vec::new();
    let compare = |found: &mut Vec<PartDifference>, part: &str, recorded: Option<&str>, made: Option<&str>| {
        let is_same = match (recorded, made) {
            (Some(recorded), Some(made)) => admits(recorded, made),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            let [recorded, made] = [recorded, made].map(|text| text.map(str::to_owned));
            found.push(PartDifference { part: part.to_owned(), recorded, made });
        }
    };
    compare(&mut found, "method", Some(&recorded.method), Some(&made.method));
    let origin = |url: &Url| url.origin().ascii_serialization();
    compare(&mut found, "host", Some(&origin(&recorded.url)), Some(&origin(&made.url)));
    compare(&mut found, "path", Some(recorded.url.path()), Some(made.url.path()));
    let (one, other) = (query(&recorded.url), query(&made.url));
    for (name, recorded, made) in paired(&one, &other) {
        compare(&mut found, &format!("query {name}"), recorded, made);
    }
    if found.is_empty() {
        // The same fields in another order, or encoded in another way.
        compare(&mut found, "URL", Some(recorded.url.as_str()), Some(made.url.as_str()));
    }
    for (name, recorded, made) in paired(&recorded.headers, &made.headers) {
        compare(&mut found, &format!("header {name}"), recorded, made);
    }
    compare(&mut found, "body", recorded.body.as_deref(), made.body.as_deref());
    found
}

/// The fields of a query, decoded, in their order.
fn query(url: &Url) -> Vec<(String, String)> {
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// What one has and the other, by name; fields of one name in their order.
fn paired<'a>(
    one: &'a [(String, String)],
    other: &'a [(String, String)],
) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
    type Sides<'a> = (Vec<&'a str>, Vec<&'a str>);
    let mut by_name: BTreeMap<&str, Sides<'_>> = BTreeMap::new();
    one.iter().for_each(|(name, value)| by_name.entry(name).or_default().0.push(value));
    other.iter().for_each(|(name, value)| by_name.entry(name).or_default().1.push(value));
    let pairs = by_name.into_iter().flat_map(|(name, (one, other))| {
        let length = one.len().max(other.len());
        (0..length).map(move |at| (name, one.get(at).copied(), other.get(at).copied())).collect::<Vec<_>>()
    });
    pairs.collect()
}

/// Whether a text is as recorded, where [`ANY`] stands for any that isn't empty.
fn admits(recorded: &str, made: &str) -> bool {
    let mut parts = recorded.split(ANY);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = made.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        // At least one character is what `ANY` stands for.
        let skipped = rest.chars().next().map_or(0, char::len_utf8);
        let from = rest.get(skipped..).unwrap_or_default();
        if skipped == 0 {
            return false;
        }
        if parts.peek().is_none() {
            return from.ends_with(part);
        }
        match from.find(part) {
            Some(at) => rest = from.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str, headers: &[(&str, &str)], body: Option<&str>) -> TapedRequest {
        TapedRequest {
            method: "GET".to_owned(),
            url: Url::parse(url).expect("a URL"),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.map(str::to_owned),
        }
    }

    #[test]
    fn requests_are_compared_part_by_part() {
        let recorded = request("https://a.example/x?from=1&page=2&page=3", &[("accept", "json")], None);
        assert_eq!(differences(&recorded, &recorded), []);
        let made = request("https://b.example/x?page=2&to=5&page=4", &[("accept", "xml")], Some("{}"));
        let parts: Vec<String> = differences(&recorded, &made).into_iter().map(|found| found.part).collect();
        assert_eq!(parts, ["host", "query from", "query page", "query to", "header accept", "body"]);
    }

    #[test]
    fn what_is_not_kept_equals_anything_but_nothing() {
        for (recorded, made, is_same) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("***", "secret", true),
            ("***", "", false),
            ("Bearer ***", "Bearer x", true),
            ("Bearer ***", "Basic x", false),
            ("id=***&key=***", "id=1&key=2", true),
            ("id=***&key=***", "id=1&code=2", false),
            ("***é", "éé", true),
        ] {
            assert_eq!(admits(recorded, made), is_same, "{recorded} {made}");
        }
    }
}
