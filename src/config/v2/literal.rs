//! Where secrets stand in a text that is written out: in a URL, a form, JSON, or as a whole. Pure.
//!
//! A hole is what is no text of its own: a reference to the environment, which stands as a mark here, or a variable of a
//! request. What is nothing but holes is no secret.

use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::super::secrets::{carries_credentials, user_of};
use crate::template::{Template, VariableSet};

/// What a mark for a reference to the environment begins and ends with: no text of a config has them.
pub(super) const MARK: [char; 2] = ['\u{e000}', '\u{e001}'];
/// How credentials are told from what they are, in a header.
const SCHEMES: [&str; 8] = ["bearer", "basic", "token", "ssws", "apikey", "geniekey", "bot", "zoho-oauthtoken"];

/// A place in a text that holds a secret, and the name that tells so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    pub(super) range: Range<usize>,
    pub(super) name: String,
}

/// The marks in a text.
pub(super) fn marks(text: &str) -> Vec<Range<usize>> {
    let [open, close] = MARK;
    let found = text.match_indices(open).filter_map(|(at, _)| {
        let length = text.get(at..)?.find(close)?;
        Some(at..at + length + close.len_utf8())
    });
    found.collect()
}

/// The marks and variables in a text.
fn holes(text: &str) -> Vec<Range<usize>> {
    let mut holes = marks(text);
    for (at, _) in text.match_indices('{') {
        let rest = text.get(at..).unwrap_or_default();
        let ends = rest.match_indices('}').take(2).map(|(end, _)| end + 1);
        let is_variable = |end: &usize| {
            let inside = rest.get(..*end).unwrap_or_default();
            let sets = [VariableSet::Data, VariableSet::Token, VariableSet::Credentials, VariableSet::Sign];
            sets.into_iter()
                .any(|set| Template::parse_with(inside, set).is_ok_and(|template| template.as_variable().is_some()))
        };
        let is_open = holes.last().is_none_or(|last| last.end <= at || last.start > at);
        holes.extend(ends.into_iter().find(is_variable).filter(|_| is_open).map(|end| at..at + end));
    }
    holes.sort_by_key(|hole| hole.start);
    holes
}

/// Whether a text is nothing but holes.
pub(super) fn is_hollow(text: &str) -> bool {
    let mut at = 0;
    for hole in holes(text) {
        if !text.get(at..hole.start).unwrap_or_default().trim().is_empty() {
            return false;
        }
        at = hole.end.max(at);
    }
    text.get(at..).unwrap_or_default().trim().is_empty()
}

/// A value as a whole, behind the scheme of a header.
pub(super) fn whole(text: &str, name: &str) -> Vec<Literal> {
    let start = scheme_end(text).unwrap_or_default();
    vec![Literal { range: start..text.len(), name: name.to_owned() }]
}

/// Where a scheme of credentials ends, if a text begins with one.
pub(super) fn scheme_end(text: &str) -> Option<usize> {
    let begin = text.len() - text.trim_start().len();
    let (scheme, _) = text.get(begin..)?.split_once(' ')?;
    SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()).then_some(begin + scheme.len() + 1)
}

/// A password before the host of a URL, and the fields of its query.
pub(super) fn in_url(text: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    if let Some(user) = user_of(text) {
        let start = text.find("://").map_or(0, |at| at + 3);
        let (name, at) = user.split_once(':').map_or(("user", 0), |(user, _)| ("password", user.len() + 1));
        found.push(Literal { range: start + at..start + user.len(), name: name.to_owned() });
    }
    found.extend(fields(text, &['?', '#', '&']));
    found
}

/// A body that is one text: JSON, a form, or something else, which is secret as a whole where it gives a value to a name
/// that carries credentials.
pub(super) fn in_body(text: &str) -> Vec<Literal> {
    match () {
        () if is_json(text) => in_json(text),
        () if is_form(text) => fields(text, &['&']),
        () if gives_credentials(text) => vec![Literal { range: 0..text.len(), name: "body".to_owned() }],
        () => Vec::new(),
    }
}

/// Whether a text is names and values of a form.
fn is_form(text: &str) -> bool {
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.%[]$+".contains(c));
    let mut names = text.split('&').map(|field| field.split_once('=').map_or(field, |(name, _)| name).trim());
    text.contains('=') && names.all(is_name)
}

/// Whether a name that carries credentials stands before a colon, an equals sign, or the end of a tag.
fn gives_credentials(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut at = 0;
    text.split_inclusive(|c: char| !is_part(c)).any(|word| {
        at += word.len();
        let name = word.trim_end_matches(|c: char| !is_part(c));
        let rest = text.get(at - (word.len() - name.len())..).unwrap_or_default();
        let rest = rest.trim_start_matches(['"', '\'', ' ', '\\']);
        carries_credentials(name) && rest.starts_with([':', '=', '>'])
    })
}

/// `name=value` between separators.
fn fields(text: &str, separators: &[char]) -> Vec<Literal> {
    let mut at = 0;
    let pieces = text.split_inclusive(separators).filter_map(|piece| {
        let start = at;
        at += piece.len();
        let field = piece.trim_end_matches(separators);
        let (name, value) = field.split_once('=')?;
        let name = percent_decode_str(name.trim()).decode_utf8_lossy().into_owned();
        let start = start + field.len() - value.len();
        carries_credentials(&name).then_some(Literal { range: start..start + value.len(), name })
    });
    pieces.collect()
}

/// Whether a text is JSON, with any values in the places of its holes.
pub(super) fn is_json(text: &str) -> bool {
    let mut filled = String::new();
    let mut at = 0;
    for hole in holes(text) {
        filled.push_str(text.get(at..hole.start).unwrap_or_default());
        filled.push('0');
        at = hole.end.max(at);
    }
    filled.push_str(text.get(at..).unwrap_or_default());
    filled.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(&filled).is_ok()
}

/// What a bracket of JSON has opened.
struct Opened {
    is_object: bool,
    /// The key before the value that comes.
    key: Option<String>,
    /// The key around it that says that all of it is secret.
    secret: Option<String>,
}

/// The texts and numbers of a JSON text below keys whose names carry credentials. A text stands without its quotes.
pub(super) fn in_json(text: &str) -> Vec<Literal> {
    let holes = holes(text);
    let (mut found, mut opened) = (Vec::new(), Vec::<Opened>::new());
    let mut at = 0;
    while let Some(char) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let secret = opened
            .last()
            .and_then(|last| last.secret.clone().or_else(|| last.key.clone().filter(|key| carries_credentials(key))));
        let (end, is_text) = match (holes.iter().find(|hole| hole.start == at), char) {
            (Some(hole), _) => (hole.end, false),
            (None, '"') => (string_end(text, at, &holes), true),
            (None, '{' | '[') => {
                opened.push(Opened { is_object: char == '{', key: None, secret });
                at += 1;
                continue;
            }
            (None, '}' | ']') => {
                opened.pop();
                at += 1;
                continue;
            }
            (None, ',') => {
                opened.iter_mut().last().into_iter().for_each(|last| last.key = None);
                at += 1;
                continue;
            }
            (None, '-' | '0'..='9') => (bare_end(text, at), false),
            (None, other) => {
                at += other.len_utf8();
                continue;
            }
        };
        let inside = if is_text { at + 1..end.saturating_sub(1).max(at + 1) } else { at..end };
        match opened.last_mut() {
            Some(Opened { is_object: true, key: key @ None, .. }) => {
                let written = text.get(at..end).unwrap_or_default();
                *key = Some(serde_json::from_str(written).unwrap_or_else(|_| written.trim_matches('"').to_owned()));
            }
            _ => found.extend(secret.map(|name| Literal { range: inside, name })),
        }
        at = end.max(at + 1);
    }
    found
}

/// Behind the quote that closes a text of JSON.
fn string_end(text: &str, start: usize, holes: &[Range<usize>]) -> usize {
    let is_in_hole = |at: usize| holes.iter().any(|hole| hole.contains(&at));
    let mut is_escaped = false;
    for (offset, byte) in text.bytes().enumerate().skip(start + 1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' if !is_in_hole(offset) => return offset + 1,
            _ => {}
        }
    }
    text.len()
}

/// Behind a number of JSON.
fn bare_end(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    start + rest.find([',', '}', ']', ' ', '\n', '\r', '\t']).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: Vec<Literal>, text: &str, expected: &[(&str, &str)]) {
        let found: Vec<(&str, &str)> =
            found.iter().map(|literal| (literal.name.as_str(), text.get(literal.range.clone()).unwrap())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn finds_secrets_where_they_stand() {
        for (text, expected) in [
            ("https://x.example/a?page=1&api_key=a=b&token=c#d", &[("api_key", "a=b"), ("token", "c")][..]),
            ("https://me:pw@x.example/?q=1", &[("password", "pw")]),
            ("https://abc@x.example", &[("user", "abc")]),
            ("&api%5Fkey=x", &[("api_key", "x")]),
        ] {
            check(in_url(text), text, expected);
        }
        let text = "client_id=a &client_secret=x~?b& scope=c";
        check(in_body(text), text, &[("client_secret", "x~?b")]);
        for text in [
            "<a><password>x</password></a>",
            "{ viewer(token: \"x\") }",
            "{\"api_key\": \"c2VjcmV0==\"",
            "{'key' = 'a&b=c'}",
        ] {
            check(in_body(text), text, &[("body", text)]);
        }
        for text in ["{ viewer { code author } }", "a token of mine", "", "=", "é="] {
            check(in_body(text), text, &[]);
        }
        check(whole("Bearer abc", "A"), "Bearer abc", &[("A", "abc")]);
        check(whole("a phrase", "A"), "a phrase", &[("A", "a phrase")]);
    }

    #[test]
    fn finds_secrets_in_json() {
        for (text, expected) in [
            (r#"{"api_key": "c2VjcmV0=="}"#, &[("api_key", "c2VjcmV0==")][..]),
            (
                r#"{"a":[{"pin":1,"auth":{"x":["a\"b",-12e3,true,null]}}],"b":"c"}"#,
                &[("auth", r#"a\"b"#), ("auth", "-12e3")],
            ),
            (r#"{"p":{res.n},"to\u006ben":"x"}"#, &[("token", "x")]),
            (r#"{"key":"{res.a}","b":{res.n}}"#, &[("key", "{res.a}")]),
        ] {
            assert!(is_json(text), "{text}");
            check(in_json(text), text, expected);
        }
        for text in ["{ viewer(token: \"x\") }", "a=b", "7", "{\"a\":"] {
            assert!(!is_json(text), "{text}");
            in_json(text);
        }
    }

    #[test]
    fn what_is_nothing_but_holes_is_no_secret() {
        for text in ["", " ", "{res.a}", "{res.a} {page}", "\u{e000}1\u{e001}", "{token}"] {
            assert!(is_hollow(text), "{text}");
        }
        for text in ["{", "a{res.a}", "{'{'}page}", "{x}"] {
            assert!(!is_hollow(text), "{text}");
        }
    }
}
