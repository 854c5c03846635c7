//! What people write by a slip that is valid all the same: told of as warnings. Pure.

use reqwest::Url;

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

#[cfg(test)]
mod tests {
    use super::*;

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
