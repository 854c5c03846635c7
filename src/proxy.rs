//! Which proxy a request goes through, as the environment says.
//!
//! A variable that can't be understood is an error: to ask directly instead would send credentials, and records, a way
//! that nobody allowed. Its value may hold a password and is never shown.

use std::env::VarError;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{ClientBuilder, NoProxy, Proxy, Url};

/// The variables for each kind of request; the first that isn't empty counts. The last is for both.
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
/// Who is asked directly.
const NONE: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A variable that can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} can't be used: {what}; its value is not shown")]
pub struct ProxyError {
    name: &'static str,
    what: &'static str,
}

/// The proxies of the environment.
#[derive(Debug)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    /// Hosts, domains and networks, separated by commas.
    direct: String,
    matcher: Matcher,
}

impl Proxies {
    /// Those of this process's environment.
    ///
    /// # Errors
    /// Where one of its variables can't be understood.
    pub fn of_environment() -> Result<Self, ProxyError> {
        Self::of(std::env::var)
    }

    /// Those that variables give.
    ///
    /// # Errors
    /// Where one of them can't be understood.
    pub fn of(variable: impl Fn(&'static str) -> Result<String, VarError>) -> Result<Self, ProxyError> {
        let read = |names: [&'static str; 2]| {
            let mut first = None;
            for name in names {
                match variable(name) {
                    Ok(text) if text.trim_end_matches(['\r', '\n']).is_empty() => {}
                    Ok(text) => first = first.or(Some((name, text.trim_end_matches(['\r', '\n']).to_owned()))),
                    Err(VarError::NotPresent) => {}
                    Err(VarError::NotUnicode(_)) => return Err(ProxyError { name, what: "it is not UTF-8" }),
                }
            }
            Ok(first)
        };
        let proxy = |names| match read(names)? {
            Some((name, text)) => proxy_url(&text).map(Some).map_err(|what| ProxyError { name, what }),
            None => Ok(None),
        };
        let (all, http, https) = (proxy(ALL)?, proxy(HTTP)?, proxy(HTTPS)?);
        let direct = match read(NONE)? {
            Some((name, text)) => directly(&text).map_err(|what| ProxyError { name, what })?,
            None => Some(String::new()),
        };
        let Some(direct) = direct else { return Ok(Self::none()) };
        let (http, https) = (http.or_else(|| all.clone()), https.or(all));
        let text = |url: &Option<String>| url.clone().unwrap_or_default();
        let matcher = Matcher::builder().http(text(&http)).https(text(&https)).no(direct.as_str()).build();
        Ok(Self { http, https, direct, matcher })
    }

    /// No proxy at all.
    #[must_use]
    pub fn none() -> Self {
        Self { http: None, https: None, direct: String::new(), matcher: Matcher::builder().build() }
    }

    /// Makes a client use these, and none besides.
    ///
    /// # Errors
    /// Where the client can't.
    pub fn apply(&self, builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        let direct = || NoProxy::from_string(&self.direct);
        let mut builder = builder.no_proxy();
        if let Some(url) = &self.http {
            builder = builder.proxy(Proxy::http(url)?.no_proxy(direct()));
        }
        if let Some(url) = &self.https {
            builder = builder.proxy(Proxy::https(url)?.no_proxy(direct()));
        }
        Ok(builder)
    }

    /// Host and port of the proxy that a request goes through, where there is one; without user and password.
    #[must_use]
    pub fn between(&self, url: &Url) -> Option<String> {
        let uri: Uri = url.as_str().parse().ok()?;
        self.matcher.intercept(&uri)?.uri().authority().map(ToString::to_string)
    }
}

/// A proxy's URL, as the client takes it; what it would read otherwise than it is meant is refused.
fn proxy_url(text: &str) -> Result<String, &'static str> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("there is a blank or a line break in it");
    }
    if text.contains(['"', '\'', '`']) {
        return Err("there are quotes in it; some tools keep those of an env file: leave them out");
    }
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let marks = "it should be like http://host:3128 or http://user:password@host:3128, with other marks than letters, digits and \
                 -._~ percent-encoded in user and password";
    let uri: Uri = text.parse().map_err(|_| marks)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("it should begin with http:// or https://; other kinds of proxies are not supported");
    }
    let authority = uri.authority().ok_or(marks)?.as_str();
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.matches('@').count() > 1 {
        return Err(marks);
    }
    // The client reads it once more, by other rules.
    let url = Url::parse(&text).map_err(|_| marks)?;
    let is_same = url.host_str().is_some_and(|host| uri.host().is_some_and(|other| host.eq_ignore_ascii_case(other)));
    let port = authority.rsplit('@').next().and_then(|host| host.rsplit_once(':')).map(|(_, port)| port);
    let has_port = port.is_none_or(|port| port.ends_with(']') || port.parse::<u16>().is_ok());
    if is_same && has_port { Ok(text) } else { Err(marks) }
}

/// Who is asked directly, as the client takes it; nothing where that is everybody.
fn directly(text: &str) -> Result<Option<String>, &'static str> {
    if text.contains(['"', '\'', '`']) {
        return Err("there are quotes in it; some tools keep those of an env file: leave them out");
    }
    let entries = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
    let entries: Vec<&str> =
        entries.map(|entry| entry.strip_prefix('*').filter(|rest| !rest.is_empty()).unwrap_or(entry)).collect();
    Ok(if entries.contains(&"*") { None } else { Some(entries.join(",")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        let found =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Proxies::of(|name| found(name).ok_or(VarError::NotPresent))
    }

    #[track_caller]
    fn check(variables: &[(&str, &str)], asked: &str, expected: Option<&str>) {
        let between = proxies(variables).expect("they are understood").between(&Url::parse(asked).expect("a URL"));
        assert_eq!(between.as_deref(), expected, "{variables:?}: {asked}");
    }

    #[test]
    fn finds_the_proxy_of_a_request() {
        check(&[], "http://a.example", None);
        check(&[("HTTP_PROXY", "http://p:1")], "http://a.example", Some("p:1"));
        check(&[("HTTP_PROXY", "http://p:1")], "https://a.example", None);
        check(&[("https_proxy", "http://u:p%5Ew@p:1/")], "https://a.example", Some("p:1"));
        check(&[("HTTPS_PROXY", ""), ("https_proxy", "p.corp:3128\n")], "https://a.example", Some("p.corp:3128"));
        check(&[("all_proxy", "https://[::1]:3128")], "https://a.example", Some("[::1]:3128"));
        check(&[("ALL_PROXY", "http://p"), ("HTTP_PROXY", "http://q")], "http://a.example", Some("q"));
        for no in ["*", "b.example, *", "a.example", ".example", "*.example", "b a.example\r\n"] {
            check(&[("ALL_PROXY", "http://p:1"), ("NO_PROXY", no)], "http://a.example", None);
        }
        for no in ["*", "127.0.0.0/8", "127.0.0.1"] {
            check(&[("ALL_PROXY", "http://p:1"), ("no_proxy", no)], "http://127.0.0.1:8080", None);
        }
        check(&[("ALL_PROXY", "http://p:1"), ("NO_PROXY", "b.example")], "http://a.example", Some("p:1"));
    }

    #[test]
    fn refuses_what_is_not_understood_and_never_shows_it() {
        for value in [
            " http://p:1",
            "\"http://p:1\"",
            "'http://p:1'",
            "http://CORP\\pass:pw@p:1",
            "http://u:pass^w@p:1",
            "http://u:pass w@p:1",
            "http://u:pass/w@p:1",
            "http://u:pass@w@p:1",
            "http://u:pass#w@p:1",
            "http://u:pass?w@p:1",
            "http://u:pass\nw@p:1",
            "socks5://pass:1",
            "http://p:pass",
            "http://",
            "http:///pass",
            "pass://p",
        ] {
            for name in ["HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
                let error = proxies(&[(name, value)]).map(|_| ()).expect_err(value).to_string();
                assert!(error.contains(name) && !error.contains("pass:") && !error.contains("CORP"), "{error}");
                assert!(error.replace("password", "").matches("pass").count() == 0, "{error}");
            }
        }
        let quoted = proxies(&[("NO_PROXY", "\"localhost\"")]).map(|_| ()).expect_err("quotes");
        assert!(quoted.to_string().starts_with("the environment variable NO_PROXY can't be used: there are quotes"));
    }

    #[test]
    fn makes_a_client_of_whatever_it_understands() {
        for value in ["http://p:1", "p", "u:p%5E@p:3128/", "https://[::1]:3128", "http://user@p.corp:8080"] {
            let proxies = proxies(&[("ALL_PROXY", value)]).expect(value);
            assert!(proxies.apply(reqwest::Client::builder()).is_ok(), "{value}");
        }
    }
}
