//! The next page's URL: resolved, and held to the origins that the entry names.

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};

use crate::hosts::{self, HostRule};

/// Why a next link isn't followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NextLinkError {
    /// It is no URL.
    #[error("the next link is not a valid URL")]
    NoUrl,
    /// It leads to another origin.
    #[error(
        "the next link leads to {to}, not to the configured origin {configured}; add `{line}` to the entry to allow it"
    )]
    OtherOrigin {
        /// Scheme, host and port of it.
        to: String,
        /// Those of the configured URL.
        configured: String,
        /// The line that allows it.
        line: String,
    },
    /// It leads from https to http.
    #[error("the next link leads from https down to http, and isn't followed unless the entry says `{0}`")]
    Downgrade(String),
}

/// Resolves a next link against the page that holds it. Only the origin (RFC 6454: scheme, host, port) of the configured
/// URL is accepted, and those that the entry's `hosts` names.
///
/// # Errors
/// [`NextLinkError`], where it leads elsewhere.
pub fn next_link(link: &str, page: &Url, configured: &Url, hosts: &[HostRule]) -> Result<Url, NextLinkError> {
    let mut url = page.join(link).map_err(|_| NextLinkError::NoUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NextLinkError::NoUrl);
    }
    if hosts::reach(&url, configured, hosts).is_none() {
        let (name, line) = (|url: &Url| url.origin().ascii_serialization(), hosts::line_for(&url));
        return Err(match configured.scheme() == "https" && url.scheme() == "http" {
            true => NextLinkError::Downgrade(line),
            false => NextLinkError::OtherOrigin { to: name(&url), configured: name(configured), line },
        });
    }
    // The answer has no say in who asks: user and password are those of the configured URL, and go nowhere else.
    url.set_fragment(None);
    let is_own = url.origin() == configured.origin();
    let (user, password) = if is_own { (configured.username(), configured.password()) } else { ("", None) };
    let kept = url.set_username(user).and_then(|()| url.set_password(password));
    kept.map_err(|()| NextLinkError::NoUrl)?;
    Ok(url)
}

/// The next page that a `Link` header names (RFC 8288), unless it says that there are no results, as Sentry's does.
#[must_use]
pub fn in_header(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(",<"));
    let mut links = links.flat_map(|text| text.split(", <"));
    let next = links.find(|link| {
        let parameters: Vec<String> =
            link.split(';').skip(1).map(|part| part.trim().to_lowercase().replace(['"', '\''], "")).collect();
        let is_next = parameters
            .iter()
            .any(|part| part.strip_prefix("rel=").is_some_and(|rel| rel.split_whitespace().any(|rel| rel == "next")));
        is_next && !parameters.iter().any(|part| part == "results=false")
    })?;
    let (target, _) = next.split_once('>')?;
    Some(target.trim().trim_start_matches('<').to_owned())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_next_page_in_a_header_is_seen() {
        let has = |values: &[&'static str]| {
            let all = values.iter().map(|value| (LINK, HeaderValue::from_static(value)));
            in_header(&all.collect::<HeaderMap>()).is_some()
        };
        assert!(has(&["<https://a/1?x=1,2>; rel=\"prev\", <https://a/2>; rel=\"next\""]));
        assert!(has(&["</v1?page=2>; rel=next"]) && has(&["<a>; rel=prev", "<b>; title=x; rel='next last'"]));
        assert!(!has(&[]) && !has(&["<https://a/1>; rel=\"self\""]) && !has(&["<https://a/next>; rel=\"last\""]));
        assert!(!has(&["<https://a/2>; rel=\"next\"; results=\"false\"; cursor=\"0:100:0\""]));
    }

    #[track_caller]
    fn check(link: &str, expected: Result<&str, NextLinkError>) {
        let configured = Url::parse("https://api.example:8443/v1/events").expect("a URL");
        let page = Url::parse("https://api.example:8443/v1/events?offset=0").expect("a URL");
        let found = next_link(link, &page, &configured, &[]);
        assert_eq!(found.map(|url| url.to_string()), expected.map(str::to_owned), "{link}");
    }

    #[test]
    fn stays_within_the_origin() {
        check("https://api.example:8443/v1/events?offset=500", Ok("https://api.example:8443/v1/events?offset=500"));
        check("https://API.example:8443/x?$skiptoken=a%2Bb+c#f", Ok("https://api.example:8443/x?$skiptoken=a%2Bb+c"));
        check("?offset=500", Ok("https://api.example:8443/v1/events?offset=500"));
        check("/v2?x", Ok("https://api.example:8443/v2?x"));
        check("https://evil@api.example:8443/", Ok("https://api.example:8443/"));
        let other = |origin: &str, host: &str| NextLinkError::OtherOrigin {
            to: origin.to_owned(),
            configured: "https://api.example:8443".to_owned(),
            line: format!("hosts: ['{host}']"),
        };
        check("https://api.example/v1", Err(other("https://api.example", "api.example")));
        check("//evil.example/v1", Err(other("https://evil.example", "evil.example")));
        check("https://api.example:8443@evil.example/", Err(other("https://evil.example", "evil.example")));
        let downgrade = NextLinkError::Downgrade("hosts: ['http://api.example:8443']".to_owned());
        check("http://api.example:8443/v1", Err(downgrade));
        check("file:///etc/passwd", Err(NextLinkError::NoUrl));
        check("https://", Err(NextLinkError::NoUrl));
    }

    #[test]
    fn follows_to_hosts_that_the_entry_names_and_takes_no_user_along() {
        let configured = Url::parse("https://u:p@api.example/v1").expect("a URL");
        let hosts = [HostRule::parse("*.blob.example", false).expect("a host")];
        let found =
            next_link("https://x:y@a.blob.example/2", &configured, &configured, &hosts).map(|url| url.to_string());
        assert_eq!(found.as_deref(), Ok("https://a.blob.example/2"));
        assert!(next_link("https://blob.example/2", &configured, &configured, &hosts).is_err());
    }
}
