//! The next page's URL: resolved, and held to the configured origin.

use reqwest::Url;

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

#[cfg(test)]
mod tests {
    use super::*;

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
