//! Paths with alternatives, `a | b`: the first that finds something.

use super::parse::first_outside;
use super::{JsonPath, Missing, RawJson};

/// A text cut at each ` | ` that is neither in quotes nor in brackets.
pub(super) fn alternatives(text: &str) -> Vec<&str> {
    let (mut found, mut begins, mut from) = (Vec::new(), 0, 0);
    while let Some(at) = text.get(from..).and_then(|rest| first_outside(rest, '|')).map(|at| from + at) {
        let (before, behind) = (text.get(begins..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        if before.ends_with(' ') && behind.starts_with(' ') {
            found.push(before.trim());
            begins = at + 1;
        }
        from = at + 1;
    }
    found.push(text.get(begins..).unwrap_or_default().trim());
    found
}

/// What the first of the paths finds that finds anything but null; else of the first that has its place in the page, or that
/// can't be followed. Nothing where the page has none of the places.
pub(super) fn first_found<'a>(paths: &[JsonPath], root: RawJson<'a>) -> Option<Result<Vec<RawJson<'a>>, Missing>> {
    let found: Vec<_> = paths.iter().map(|path| path.all(root)).collect();
    let says = |found: &Result<Vec<RawJson<'_>>, Missing>| {
        found.as_ref().is_ok_and(|found| found.iter().any(|value| !value.is_null()))
    };
    let is_unasked = |found: &Result<Vec<RawJson<'_>>, Missing>| matches!(found, Err(Missing::Query { .. }));
    let there = || found.iter().position(Result::is_ok).or_else(|| found.iter().position(is_unasked));
    let at = found.iter().position(says).or_else(there)?;
    found.into_iter().nth(at)
}

#[cfg(test)]
mod tests {
    use super::super::PathError;
    use super::*;

    fn found(path: &str, page: &str) -> Option<Vec<String>> {
        let path = JsonPath::parse(path).expect("a path");
        let root = RawJson::parse(page).expect("JSON");
        let found = path.all(root).ok()?;
        let first = found.iter().find(|value| !value.is_null()).map(|value| value.text());
        assert_eq!(path.first(root).map(|value| value.text()), first, "{path} in {page}");
        Some(found.into_iter().map(|value| value.text().to_owned()).collect())
    }

    #[test]
    fn the_first_that_is_there_counts() {
        for (page, expected) in [
            (r#"{"d":{"results":[1]},"value":[2]}"#, Some("[1]")),
            (r#"{"d":{"results":null},"value":[2]}"#, Some("[2]")),
            (r#"{"d":{},"value":[]}"#, Some("[]")),
            (r#"{"d":{"results":null}}"#, Some("null")),
            (r#"{"d.results | value":3,"value":[2]}"#, Some("3")),
            (r#"{"e":1}"#, None),
        ] {
            let expected = expected.map(|text| vec![text.to_owned()]);
            assert_eq!(found("d.results | value", page), expected, "{page}");
        }
        assert_eq!(found("$.x[0:1] | 'a | b'", r#"{"a | b":[4]}"#), Some(vec!["[4]".to_owned()]));
    }

    #[test]
    fn only_a_bar_between_blanks_parts_them() {
        for (text, expected) in [
            ("a | b|c | d", &["a", "b|c", "d"][..]),
            ("'a | b'", &["'a | b'"]),
            ("$.a[?@.b || @.c]", &["$.a[?@.b || @.c]"]),
            ("a || b", &["a || b"]),
        ] {
            assert_eq!(alternatives(text), expected, "{text}");
        }
        assert_eq!(JsonPath::parse("a |  | b"), Err(PathError::Empty));
    }
}
