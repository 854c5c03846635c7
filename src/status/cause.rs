//! What failures have in common: `401 from login.microsoftonline.com` says more of forty APIs than forty lines do.

use std::fmt::{self, Display, Formatter};

/// What went wrong, and with whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    kind: Kind,
    /// With its port, where that isn't the usual one; nothing where no host is to blame.
    host: Option<String>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Status(u16),
    Refused,
    Timeout,
    Unresolved,
    Tls,
    Broken,
    WebPage,
    Login,
    NoToken,
    ErrorTold,
    NotJson,
    TooLarge,
    Elsewhere,
    Memory,
    ListenerDown,
    State,
    Bug,
    Other,
}

/// What a text says, the first that is found counts; both in lower case.
const SIGNS: &[(&str, Kind)] = &[
    ("no room for its page", Kind::Memory),
    ("the listener has taken nothing", Kind::ListenerDown),
    ("checkpoint can't be saved", Kind::State),
    ("can't be looked up", Kind::State),
    ("login page", Kind::Login),
    ("a web page", Kind::WebPage),
    ("without an `access_token`", Kind::NoToken),
    ("tells of an error", Kind::ErrorTold),
    ("connection refused", Kind::Refused),
    ("timed out", Kind::Timeout),
    ("timeout", Kind::Timeout),
    ("lookup address", Kind::Unresolved),
    ("name or service not known", Kind::Unresolved),
    ("dns", Kind::Unresolved),
    ("certificate", Kind::Tls),
    ("tls", Kind::Tls),
    ("corrupt message", Kind::Tls),
    ("gave no whole answer", Kind::Broken),
    ("gave no answer", Kind::Broken),
    ("more than", Kind::TooLarge),
    ("leads to", Kind::Elsewhere),
    ("redirects", Kind::Elsewhere),
    ("json", Kind::NotJson),
    ("a bug", Kind::Bug),
];

impl Cause {
    /// Of what is said of a failed iteration; who was asked is told by the URL in it, else by the API's own.
    #[must_use]
    pub fn of(text: &str, api_url: &str) -> Self {
        let lower = text.to_lowercase();
        let sign = || SIGNS.iter().find(|(sign, _)| lower.contains(sign)).map_or(Kind::Other, |(_, kind)| *kind);
        let kind = status(&lower).map_or_else(sign, Kind::Status);
        let host = match kind {
            Kind::Memory | Kind::ListenerDown | Kind::State | Kind::Bug => None,
            _ => host(text).or_else(|| host(api_url)),
        };
        Self { kind, host }
    }
}

/// The HTTP status of an answer that is no success: `… answered 401 Unauthorized`, `… refuses the token (401 …`.
fn status(text: &str) -> Option<u16> {
    ["answered ", "refuses the token ("].into_iter().find_map(|before| {
        let digits = text.split_once(before)?.1.get(..3)?;
        digits.parse().ok().filter(|status| (300..600).contains(status))
    })
}

/// The host of the first URL in a text.
fn host(text: &str) -> Option<String> {
    let (scheme, rest) = ["https://", "http://"]
        .into_iter()
        .filter_map(|scheme| text.find(scheme).map(|at| (at, scheme)))
        .min()
        .and_then(|(at, scheme)| Some((scheme, text.get(at + scheme.len()..)?)))?;
    let is_end = |mark: char| mark.is_whitespace() || mark.is_control() || "/?#,;\"'`()<>".contains(mark);
    let authority = rest.split(is_end).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).trim_end_matches([':', '.']);
    let usual = if scheme == "https://" { ":443" } else { ":80" };
    let host = host.strip_suffix(usual).unwrap_or(host).to_lowercase();
    Some(host).filter(|host| !host.is_empty())
}

impl Display for Cause {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (what, link) = match self.kind {
            Kind::Status(status) => return self.with_host(out, &status.to_string(), "from"),
            Kind::Refused => ("connection refused", "by"),
            Kind::Timeout => ("timeout", "of"),
            Kind::Unresolved => ("host name can't be resolved:", ""),
            Kind::Tls => ("TLS error", "with"),
            Kind::Broken => ("no whole answer", "from"),
            Kind::WebPage => ("web page instead of data", "from"),
            Kind::Login => ("login page", "from"),
            Kind::NoToken => ("no access token", "from"),
            Kind::ErrorTold => ("error in the answer", "of"),
            Kind::NotJson => ("unreadable answer", "from"),
            Kind::TooLarge => ("page too large", "from"),
            Kind::Elsewhere => ("link to another host", "from"),
            Kind::Memory => ("memory budget used up", ""),
            Kind::ListenerDown => ("the listener is down", ""),
            Kind::State => ("state can't be read or saved", ""),
            Kind::Bug => ("internal error", ""),
            Kind::Other => ("error", "with"),
        };
        self.with_host(out, what, link)
    }
}

impl Cause {
    fn with_host(&self, out: &mut Formatter<'_>, what: &str, link: &str) -> fmt::Result {
        match (&self.host, link) {
            (None, _) => out.write_str(what),
            (Some(host), "") => write!(out, "{what} {host}"),
            (Some(host), link) => write!(out, "{what} {link} {host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_cause(text: &str, cause: &str) {
        assert_eq!(Cause::of(text, "https://api.example.com/v1/events").to_string(), cause, "of {text}");
    }

    #[test]
    fn names_the_host_that_answered_and_its_status() {
        assert_cause(
            "page 1: no access token: https://login.microsoftonline.com/7/oauth2 answered 401 Unauthorized: AADSTS7000215",
            "401 from login.microsoftonline.com",
        );
        assert_cause(
            "page 12: https://API.example.com:443/v1 answered 503 Service Unavailable",
            "503 from api.example.com",
        );
        assert_cause(
            "page 1: http://127.0.0.1:8080/a answered 403 Forbidden: see https://help",
            "403 from 127.0.0.1:8080",
        );
        assert_cause(
            "the listener https://l.logz.io:8071/ refuses the token (401 Unauthorized)",
            "401 from l.logz.io:8071",
        );
        assert_cause("https://[::1]:81/x answered 500", "500 from [::1]:81");
        assert_cause("https://u:p@h.example answered 404 Not Found", "404 from h.example");
    }

    #[test]
    fn says_what_else_there_was() {
        let broken = |cause| format!("page 1: https://a.example/x gave no whole answer: {cause}");
        assert_cause(&broken("Connection refused (os error 111)"), "connection refused by a.example");
        assert_cause(&broken("operation timed out"), "timeout of a.example");
        assert_cause(&broken("Name or service not known"), "host name can't be resolved: a.example");
        assert_cause(&broken("invalid peer certificate: Expired"), "TLS error with a.example");
        assert_cause(&broken("connection closed"), "no whole answer from a.example");
        assert_cause(
            "page 1: https://a.example/ answered with a web page \"Sign in\", not with data",
            "web page instead of data from a.example",
        );
        assert_cause(
            "page 1: the answer has status 200 and tells of an error: x",
            "error in the answer of api.example.com",
        );
        assert_cause("no room for its page for 30 s: pages of all APIs take the 8 MiB", "memory budget used up");
        assert_cause("something new", "error with api.example.com");
        assert_cause("a bug", "internal error");
    }

    #[test]
    fn understands_any_text() {
        for text in
            ["", "answered ", "answered 4é1", "http://", "https:// answered 401", "http://@: x", "\u{130}http://é/"]
        {
            let _ = Cause::of(text, "").to_string();
        }
        assert_eq!(Cause::of("x", "").to_string(), "error");
    }
}
