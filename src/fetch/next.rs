//! The next page's URL: resolved, and held to the configured origin.

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};

/// Why a next link isn't followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NextLinkError {
    /// It is no URL.
    #[error("the next link is no URL")]
    NoUrl,
    /// It leads to another origin.
    #[error("the next link leads to {0}, not to the configured origin {1}; credentials don't go there")]
    OtherOrigin(String, String),
    /// It leads from https to http.
    #[error("the next link leads from https down to http; credentials don't go there")]
    Downgrade,
}

/// Resolves a next link against the page that holds it. Only the origin (RFC 6454: scheme, host, port) of the configured
/// URL is accepted.
///
/// # Errors
/// [`NextLinkError`], where it leads elsewhere.
pub fn next_link(link: &str, page: &Url, configured: &Url) -> Result<Url, NextLinkError> {
    let mut url = page.join(link).map_err(|_| NextLinkError::NoUrl)?;
    if configured.scheme() == "https" && url.scheme() == "http" {
        return Err(NextLinkError::Downgrade);
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NextLinkError::NoUrl);
    }
    if url.origin() != configured.origin() {
        let name = |url: &Url| url.origin().ascii_serialization();
        return Err(NextLinkError::OtherOrigin(name(&url), name(configured)));
    }
    // The answer has no say in who asks: user and password are those of the configured URL.
    url.set_fragment(None);
    let kept = url.set_username(configured.username()).and_then(|()| url.set_password(configured.password()));
    kept.map_err(|()| NextLinkError::NoUrl)?;
    Ok(url)
}

/// Whether a `Link` header names a next page (RFC 8288), and doesn't say that it has no results, as Sentry's does.
#[must_use]
pub(super) fn is_in_header(headers: &HeaderMap) -> bool {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(",<"));
    let mut links = links.flat_map(|text| text.split(", <"));
    links.any(|link| {
        let parameters: Vec<String> =
            link.split(';').skip(1).map(|part| part.trim().to_lowercase().replace(['"', '\''], "")).collect();
        let is_next = parameters
            .iter()
            .any(|part| part.strip_prefix("rel=").is_some_and(|rel| rel.split_whitespace().any(|rel| rel == "next")));
        is_next && !parameters.iter().any(|part| part == "results=false")
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_next_page_in_a_header_is_seen() {
        let has = |values: &[&'static str]| {
            let all = values.iter().map(|value| (LINK, HeaderValue::from_static(value)));
            is_in_header(&all.collect::<HeaderMap>())
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
        let found = next_link(link, &page, &configured);
        assert_eq!(found.map(|url| url.to_string()), expected.map(str::to_owned), "{link}");
    }

    #[test]
    fn stays_within_the_origin() {
        check("https://api.example:8443/v1/events?offset=500", Ok("https://api.example:8443/v1/events?offset=500"));
        check("https://API.example:8443/x?$skiptoken=a%2Bb+c#f", Ok("https://api.example:8443/x?$skiptoken=a%2Bb+c"));
        check("?offset=500", Ok("https://api.example:8443/v1/events?offset=500"));
        check("/v2?x", Ok("https://api.example:8443/v2?x"));
        check("https://evil@api.example:8443/", Ok("https://api.example:8443/"));
        let other = |origin: &str| NextLinkError::OtherOrigin(origin.into(), "https://api.example:8443".into());
        check("https://api.example/v1", Err(other("https://api.example")));
        check("//evil.example/v1", Err(other("https://evil.example")));
        check("https://api.example:8443@evil.example/", Err(other("https://evil.example")));
        check("http://api.example:8443/v1", Err(NextLinkError::Downgrade));
        check("file:///etc/passwd", Err(NextLinkError::NoUrl));
        check("https://", Err(NextLinkError::NoUrl));
    }
}
