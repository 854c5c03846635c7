//! What failures have in common: `401 from login.microsoftonline.com` says more of forty APIs than forty lines do.

use std::fmt::{self, Display, Formatter};

/// What went wrong, and with whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailureCause {
    kind: CauseKind,
    /// With its port, where that isn't the usual one; nothing where no host is to blame.
    host: Option<String>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum CauseKind {
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
    Replaced,
    Bug,
    Other,
}

/// What a text says, the first that is found counts; both in lower case.
const SIGNS: &[(&str, CauseKind)] = &[
    ("no room for its page", CauseKind::Memory),
    ("the listener has taken nothing", CauseKind::ListenerDown),
    ("checkpoint can't be saved", CauseKind::State),
    ("can't be looked up", CauseKind::State),
    ("another member of the cluster", CauseKind::Replaced),
    ("the cluster's engine", CauseKind::State),
    ("state in the cluster", CauseKind::State),
    ("can't be decoded", CauseKind::NotJson),
    ("login page", CauseKind::Login),
    ("a web page", CauseKind::WebPage),
    ("without an `access_token`", CauseKind::NoToken),
    ("tells of an error", CauseKind::ErrorTold),
    ("connection refused", CauseKind::Refused),
    ("timed out", CauseKind::Timeout),
    ("timeout", CauseKind::Timeout),
    ("can't resolve", CauseKind::Unresolved),
    ("lookup address", CauseKind::Unresolved),
    ("name or service not known", CauseKind::Unresolved),
    ("dns", CauseKind::Unresolved),
    ("certificate", CauseKind::Tls),
    ("tls", CauseKind::Tls),
    ("corrupt message", CauseKind::Tls),
    ("gave no complete answer", CauseKind::Broken),
    ("gave no answer", CauseKind::Broken),
    ("more than", CauseKind::TooLarge),
    ("leads to", CauseKind::Elsewhere),
    ("redirects", CauseKind::Elsewhere),
    ("json", CauseKind::NotJson),
    ("internal error", CauseKind::Bug),
];

impl FailureCause {
    /// Of what is said of a failed iteration; who was asked is told by the URL in it, else by the API's own.
    #[must_use]
    pub fn of(text: &str, api_url: &str) -> Self {
        let lower = text.to_lowercase();
        let sign = || SIGNS.iter().find(|(sign, _)| lower.contains(sign)).map_or(CauseKind::Other, |(_, kind)| *kind);
        let kind = status(&lower).map_or_else(sign, CauseKind::Status);
        let host = match kind {
            CauseKind::Memory | CauseKind::ListenerDown | CauseKind::State | CauseKind::Replaced | CauseKind::Bug => {
                None
            }
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

impl Display for FailureCause {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (what, link) = match self.kind {
            CauseKind::Status(status) => return self.with_host(out, &status.to_string(), "from"),
            CauseKind::Refused => ("connection refused", "by"),
            CauseKind::Timeout => ("timeout", "of"),
            CauseKind::Unresolved => ("host name can't be resolved:", ""),
            CauseKind::Tls => ("TLS error", "with"),
            CauseKind::Broken => ("no complete answer", "from"),
            CauseKind::WebPage => ("web page instead of data", "from"),
            CauseKind::Login => ("login page", "from"),
            CauseKind::NoToken => ("no access token", "from"),
            CauseKind::ErrorTold => ("error in the answer", "of"),
            CauseKind::NotJson => ("unreadable answer", "from"),
            CauseKind::TooLarge => ("page too large", "from"),
            CauseKind::Elsewhere => ("link to another host", "from"),
            CauseKind::Memory => ("memory budget used up", ""),
            CauseKind::ListenerDown => ("the listener is down", ""),
            CauseKind::State => ("state can't be read or saved", ""),
            CauseKind::Replaced => ("another member of the cluster has it", ""),
            CauseKind::Bug => ("internal error", ""),
            CauseKind::Other => ("error", "with"),
        };
        self.with_host(out, what, link)
    }
}

impl FailureCause {
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
    use crate::cluster::UnwrittenError;

    #[track_caller]
    fn assert_cause(text: &str, cause: &str) {
        assert_eq!(FailureCause::of(text, "https://api.example.com/v1/events").to_string(), cause, "of {text}");
    }

    #[test]
    fn what_the_cluster_says_is_blamed_on_no_host() {
        assert_cause(&UnwrittenError::Lost.to_string(), "another member of the cluster has it");
        for error in [UnwrittenError::Edited, UnwrittenError::TooLarge, UnwrittenError::Unanswered] {
            assert_cause(&error.to_string(), "state can't be read or saved");
        }
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
        let broken = |cause| format!("page 1: https://a.example/x gave no complete answer: {cause}");
        assert_cause("page 1: https://a.example/x: connection refused", "connection refused by a.example");
        assert_cause("https://a.example/x: can't resolve the host name", "host name can't be resolved: a.example");
        assert_cause(&broken("Connection refused (os error 111)"), "connection refused by a.example");
        assert_cause(&broken("operation timed out"), "timeout of a.example");
        assert_cause(&broken("Name or service not known"), "host name can't be resolved: a.example");
        assert_cause(&broken("invalid peer certificate: Expired"), "TLS error with a.example");
        assert_cause(&broken("connection closed"), "no complete answer from a.example");
        assert_cause(
            "page 1: https://a.example/ answered with a web page \"Sign in\", not with data",
            "web page instead of data from a.example",
        );
        assert_cause(
            "page 1: the answer has status 200 and tells of an error: x",
            "error in the answer of api.example.com",
        );
        assert_cause(
            "page 1: https://a.example/ answered with a body that can't be decoded: there are more than 2 archives in each other",
            "unreadable answer from a.example",
        );
        assert_cause("no room for its page for 30 s: pages of all APIs take the 8 MiB", "memory budget used up");
        assert_cause("something new", "error with api.example.com");
        assert_cause("internal error", "internal error");
    }

    #[test]
    fn understands_any_text() {
        for text in
            ["", "answered ", "answered 4é1", "http://", "https:// answered 401", "http://@: x", "\u{130}http://é/"]
        {
            let _ = FailureCause::of(text, "").to_string();
        }
        assert_eq!(FailureCause::of("x", "").to_string(), "error");
    }
}
