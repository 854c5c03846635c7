//! What people write by a slip that is valid all the same: told of as warnings. Pure.

use reqwest::Url;

use super::diagnostic::Diagnostic;
use super::plain::shown_key;
use super::secrets::is_secret_name;

/// A warning, and what to do.
pub(super) type Slip = (&'static str, &'static str);

/// In a credential, which is never shown.
pub(super) fn in_credential(value: &str) -> Option<Slip> {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    match () {
        () if value.strip_prefix('$').is_some_and(is_name) => Some((
            "it looks like the name of an environment variable, and is taken as it stands",
            "write ${NAME} to fill in a variable",
        )),
        () if value.starts_with(['“', '”', '‘', '’', '„', '«']) => Some((
            "it begins with a typographic quote, which counts as part of the value",
            "use straight quotes: ' or \"",
        )),
        () => None,
    }
}

/// In the listener's URL.
pub(super) fn in_listener(url: &Url) -> Option<Slip> {
    let host = url.host_str()?;
    let is_logz = host == "logz.io" || host.ends_with(".logz.io");
    match () {
        () if is_logz && !host.starts_with("listener") => Some((
            "this host of Logz.io is no listener",
            "like https://listener.logz.io:8071, or listener-REGION.logz.io for another region",
        )),
        () if is_logz && url.port().is_none() => {
            Some(("there is no port in it", "the listener takes https at port 8071, and http at 8070"))
        }
        () => None,
    }
}

/// In the URL of a token endpoint.
pub(super) fn in_token_url(url: &Url) -> Option<Slip> {
    let host = url.host_str()?;
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    (url.scheme() == "http" && !is_local).then_some((
        "the client secret goes over the network unencrypted",
        "use https, where the token endpoint has it",
    ))
}

/// How many values that are cut are told of.
const CUT_MAX: usize = 20;

/// Values that look like secrets or URLs and end where YAML takes the rest for a comment: `key: abc #def`. Such a value is
/// valid, and wrong. Who writes a comment leaves a blank behind the `#`.
pub(super) fn cut_by_comment(text: &str) -> Vec<Diagnostic> {
    let mut block: Option<usize> = None;
    let cut = text.lines().enumerate().filter_map(|(at, line)| {
        let indent = line.len() - line.trim_start_matches([' ', '-']).len();
        // The lines of a block (`|`, `>`) are text, comments and all.
        if block.is_some_and(|outer| indent > outer || line.trim().is_empty()) {
            return None;
        }
        block = None;
        let (key, value) = line.get(indent..)?.split_once(": ")?;
        let value = value.trim_start();
        block = value.starts_with(['|', '>']).then_some(indent);
        is_cut(key, value).then(|| Diagnostic {
            path: shown_key(key).to_owned(),
            line: Some(at + 1),
            what: "the value ends before the `#`: behind a blank it begins a comment".to_owned(),
            hint: Some("if the rest belongs to the value, put the whole value into quotes".to_owned()),
        })
    });
    cut.take(CUT_MAX).collect()
}

/// Whether a value without quotes is cut. What is filled in is whole before the `#`.
fn is_cut(key: &str, value: &str) -> bool {
    let Some((before, after)) = value.split_once(" #") else { return false };
    let is_text = !value.starts_with(['\'', '"', '|', '>', '{', '[', '&', '*', '!', '#']);
    let is_whole = before.trim_end().ends_with(['}', '>']);
    let is_comment = after.chars().next().is_none_or(|c| c.is_whitespace() || c == '#');
    let is_likely = is_secret_name(key) || ["id", "url"].contains(&key) || value.starts_with("http");
    let is_text = is_text && !key.starts_with('#');
    is_text && is_likely && !is_whole && !is_comment
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_that_is_cut_at_a_comment_is_told() {
        let lines = |text: &str| cut_by_comment(text).into_iter().filter_map(|cut| cut.line).collect::<Vec<_>>();
        let text = "a:\n  key: abc #def\n  - id: x #y\n  url: https://api.example/a #b\n  Next: http://x #y\n";
        assert_eq!(lines(text), [2, 3, 4, 5]);
        for fine in [
            "key: abc # a comment",
            "key: abc#def",
            "key: 'abc #def'",
            "key: \"abc #def\"",
            "key: ${KEY} #production",
            "key: <<KEY>> #yours",
            "key: abc ##",
            "key: abc #",
            "key: #nothing",
            "name: events #2",
            "# key: abc #def",
            "token: |\n  key: abc #def\n\n  key: abc #def",
        ] {
            assert_eq!(lines(fine), [0_usize; 0], "{fine}");
        }
        assert_eq!(lines("token: |\n  key: abc #def\nkey: abc #def"), [3]);
        let many = "key: abc #def\n".repeat(100);
        assert_eq!(lines(&many).len(), CUT_MAX);
    }

    #[test]
    fn no_text_is_shown_that_is_cut() {
        proptest!(|(text in "[a-c: #'\"|\n-]{0,40}")| {
            for cut in cut_by_comment(&text) {
                prop_assert!(cut.line.is_some_and(|line| line <= text.lines().count()));
            }
        });
        let shown = cut_by_comment("hunter2_key: abc #def").pop().expect("it is cut").to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("abc") && !shown.contains("def"), "{shown}");
    }

    #[test]
    fn slips_are_told_from_what_is_meant() {
        let credential = |value: &str| in_credential(value).is_some();
        assert!(credential("$API_KEY") && credential("“abc”"));
        assert!(!credential("$2y$10$abc") && !credential("$") && !credential("abc$API_KEY") && !credential("a“"));
        let listener = |url: &str| in_listener(&Url::parse(url).expect("a URL")).map(|(what, _)| what);
        assert_eq!(listener("https://app.logz.io:8071"), Some("this host of Logz.io is no listener"));
        assert_eq!(listener("https://listener-eu.logz.io"), Some("there is no port in it"));
        assert_eq!(listener("https://listener.logz.io:8071"), None);
        assert_eq!((listener("https://relay.example"), listener("http://127.0.0.1:1")), (None, None));
        let token = |url: &str| in_token_url(&Url::parse(url).expect("a URL")).is_some();
        assert!(token("http://login.example/token") && !token("https://login.example/token"));
        assert!(!token("http://127.0.0.1:9/token") && !token("http://localhost/token"));
    }
}
