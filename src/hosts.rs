//! Which other origins an entry may ask (`hosts`): one rule for next links and redirects. Pure.

use reqwest::Url;

/// One entry of `hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    /// `http` or `https`.
    scheme: String,
    /// As a URL writes it; for `*.host` what follows the star, with its dot.
    host: String,
    port: u16,
    is_wildcard: bool,
    /// Whether headers, body and credentials of the config go there, too.
    credentials: bool,
}

/// How a URL may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedHosts {
    /// With headers, body and credentials of the config; else with nothing of it.
    pub has_credentials: bool,
    /// Whether the config spells the host out: then it may lie anywhere, also at a private address.
    pub is_named: bool,
}

impl HostRule {
    /// Reads `host`, `*.host`, `host:8443` or `http://host:8080`; `https` and its port unless it says another.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, credentials: bool) -> Result<Self, &'static str> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let is_wildcard = rest.starts_with("*.");
        let rest = rest.strip_prefix("*.").unwrap_or(rest);
        if rest.contains('*') {
            return Err("a star may only stand for everything before a dot, like *.host.example");
        }
        let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|_| "it is not a host")?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let port = url.port_or_known_default().filter(|_| matches!(url.scheme(), "http" | "https"));
        let (Some(host), Some(port)) = (url.host_str().filter(|host| !host.is_empty()), port) else {
            return Err("it is not a host");
        };
        if !is_bare || !url.username().is_empty() || url.password().is_some() {
            return Err("only a host should stand here, perhaps with scheme and port");
        }
        if is_wildcard && (!host.contains('.') || url.domain().is_none()) {
            return Err("a star needs a domain with a dot in it behind it, like *.host.example");
        }
        let host = if is_wildcard { format!(".{host}") } else { host.to_owned() };
        Ok(Self { scheme: url.scheme().to_owned(), host, port, is_wildcard, credentials })
    }

    /// Whether credentials go there.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.credentials
    }

    /// Whether credentials would go there without encryption.
    #[must_use]
    pub fn sends_credentials_openly(&self) -> bool {
        self.credentials && self.scheme == "http"
    }

    fn allows(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let is_host = if self.is_wildcard { host.ends_with(&self.host) } else { host == self.host };
        is_host && url.scheme() == self.scheme && url.port_or_known_default() == Some(self.port)
    }
}

/// How a URL may be asked by an entry of this configured URL and these `hosts`; not at all where they don't name it.
#[must_use]
pub fn reach(url: &Url, configured: &Url, hosts: &[HostRule]) -> Option<AllowedHosts> {
    if url.origin() == configured.origin() {
        return Some(AllowedHosts { has_credentials: true, is_named: true });
    }
    // What names the host counts before what only covers it.
    let mut allowing: Vec<&HostRule> = hosts.iter().filter(|rule| rule.allows(url)).collect();
    allowing.sort_by_key(|rule| rule.is_wildcard);
    let rule = allowing.first()?;
    let is_named = !rule.is_wildcard || url.host_str() == configured.host_str();
    let is_downgrade = configured.scheme() == "https" && url.scheme() == "http";
    Some(AllowedHosts { has_credentials: rule.credentials && !is_downgrade, is_named })
}

/// The line that would allow a URL.
#[must_use]
pub fn line_for(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let scheme = if url.scheme() == "https" { String::new() } else { format!("{}://", url.scheme()) };
    format!("hosts: ['{scheme}{host}{port}']")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[track_caller]
    fn check(rules: &[(&str, bool)], to: &str, expected: Option<(bool, bool)>) {
        let rules: Vec<HostRule> =
            rules.iter().map(|(text, credentials)| HostRule::parse(text, *credentials).expect("a host")).collect();
        let found = reach(&url(to), &url("https://api.example/v1"), &rules);
        assert_eq!(found.map(|reach| (reach.has_credentials, reach.is_named)), expected, "{to}");
    }

    #[test]
    fn a_host_is_asked_as_far_as_the_entry_names_it() {
        check(&[], "https://api.example/x", Some((true, true)));
        check(&[], "https://other.example/x", None);
        check(&[("other.example", false)], "https://OTHER.example/x", Some((false, true)));
        check(&[("other.example", false)], "https://other.example:8443/x", None);
        check(&[("other.example", false)], "http://other.example/x", None);
        check(&[("other.example", false)], "https://a.other.example/x", None);
        check(&[("other.example:8443", true)], "https://other.example:8443/x", Some((true, true)));
        check(&[("http://other.example:8080", false)], "http://other.example:8080/x", Some((false, true)));
        check(&[("*.blob.example", false)], "https://a.b.blob.example/x", Some((false, false)));
        check(&[("*.blob.example", false)], "https://blob.example/x", None);
        check(&[("*.blob.example", false)], "https://evilblob.example/x", None);
        check(&[("*.blob.example", true), ("a.blob.example", false)], "https://a.blob.example/", Some((false, true)));
        check(&[("[::1]:8443", false)], "https://[::1]:8443/", Some((false, true)));
        check(&[("api.example:444", false)], "https://api.example:444/", Some((false, true)));
    }

    #[test]
    fn credentials_never_go_from_https_down_to_http() {
        check(&[("http://other.example", true)], "http://other.example/x", Some((false, true)));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "*.com",
            "*.*.example",
            "a.*.example",
            "host/path",
            "https://u@host",
            "ftp://host",
            "host?x",
            "a b",
            "*.10.0.0.1",
        ] {
            assert!(HostRule::parse(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn the_line_that_is_named_allows_what_was_refused() {
        for to in
            ["https://other.example/x?y", "https://other.example:8443/", "http://127.0.0.1:8080/", "https://[::1]/"]
        {
            let line = line_for(&url(to));
            let host = line.trim_start_matches("hosts: ['").trim_end_matches("']");
            check(&[(host, false)], to, Some((false, true)));
        }
    }
}
