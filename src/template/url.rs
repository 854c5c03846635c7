//! The URL of a request, perhaps with variables in its path and query, or told by the login.

use std::fmt;

use reqwest::Url;

use super::query::encode_in_url;
use super::{Piece, ProofScope, RequestError, Scope, Template, Variable, VariableError};

/// What stands in for an origin that the login tells (RFC 6761: nobody has such a name).
const NOWHERE: &str = "https://login.invalid/";

/// A URL, perhaps with variables.
#[derive(Clone, PartialEq)]
pub enum UrlTemplate {
    /// Without variables.
    Plain(Url),
    /// With variables in its path and query.
    Filled(Template),
    /// With an origin that the login tells. Only hosts that the entry names are asked there.
    Told(Template),
    /// Of a step or a next page: the entry that is asked about, or the page before, may name the origin, which is held to the
    /// API's `hosts` when it is asked.
    Open(Template),
}

impl UrlTemplate {
    /// From a text of the config. Gives the URL that fixes the origin, too, unless the login tells it.
    ///
    /// # Errors
    /// `Err(None)` where it is no URL, or has another variable in its host; else what is wrong with a variable.
    pub fn parse(text: &str) -> Result<(Self, Option<Url>), Option<VariableError>> {
        let template = Template::parse(text).map_err(Some)?;
        if template.variables().next().is_none() {
            let url = Url::parse(&template.texts()).map_err(|_| None)?;
            return Ok((Self::Plain(url.clone()), Some(url)));
        }
        if let Some(told) = told(&template) {
            return Ok((Self::Told(told), None));
        }
        let filled = |by: &str| {
            let text: String = template
                .pieces()
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.as_str(),
                    Piece::Variable { .. } => by,
                })
                .collect();
            Url::parse(&text).map_err(|_| None)
        };
        let (one, other) = (filled("0")?, filled("1")?);
        if one.origin() != other.origin() || one.username() != other.username() || one.password() != other.password() {
            return Err(None);
        }
        Ok((Self::Filled(template), Some(one)))
    }

    /// The same where it may lead to another origin, as far as `hosts` says so when it is asked.
    #[must_use]
    pub fn opened(self) -> Self {
        match self {
            Self::Plain(url) => Self::Open(Template::text(url)),
            Self::Filled(template) => Self::Open(template),
            other => other,
        }
    }

    pub(super) fn render(&self, scope: &Scope<'_>, configured: &Url) -> Result<Url, RequestError> {
        let rendered = |template: &Template| {
            let text = template.render_in_place(scope, encode_in_url)?.unwrap_or_default();
            let url = Url::parse(&text);
            match (self, scope.proof) {
                // Only compared, and never sent.
                (Self::Told(_), ProofScope::StandIn) => url.or_else(|_| Url::parse(&format!("{NOWHERE}{text}"))),
                _ => url,
            }
            .map_err(|_| RequestError::Url)
        };
        let is_fine = |url: &Url| match self {
            Self::Plain(_) => true,
            Self::Filled(_) => url.origin() == configured.origin(),
            // An answer has no say in who asks; whether the host may be asked is decided where the request is sent.
            Self::Told(_) => matches!(url.scheme(), "http" | "https") && url.username().is_empty(),
            Self::Open(_) => true,
        };
        let url = match self {
            Self::Plain(url) => url.clone(),
            Self::Open(template) => of_answer(template, scope, configured)?,
            Self::Filled(template) | Self::Told(template) => rendered(template)?,
        };
        if is_fine(&url) { Ok(url) } else { Err(RequestError::Url) }
    }

    /// The template, where it has variables.
    pub(super) fn template(&self) -> Option<&Template> {
        match self {
            Self::Plain(_) => None,
            Self::Filled(template) | Self::Told(template) | Self::Open(template) => Some(template),
        }
    }

    /// Its texts alone, joined.
    #[must_use]
    pub fn texts(&self) -> String {
        match self {
            Self::Plain(url) => url.to_string(),
            Self::Filled(template) | Self::Told(template) | Self::Open(template) => template.texts(),
        }
    }

    pub(super) fn template_mut(&mut self) -> Option<&mut Template> {
        match self {
            Self::Plain(_) => None,
            Self::Filled(template) | Self::Told(template) | Self::Open(template) => Some(template),
        }
    }
}

/// A URL with a text behind all of it, whatever that begins with: fields go into its query, what begins with `/` behind its
/// path.
pub(super) fn appended(mut url: Url, text: &Template, scope: &Scope<'_>) -> Result<Url, RequestError> {
    // What stands there is a query, whatever it begins with; of a path only what follows its `?` is.
    let is_path = text.texts().trim_start().starts_with('/');
    let encode = |variable: &Variable, before: &str, value: &str| match is_path {
        true => encode_in_url(variable, before, value),
        false => encode_in_url(variable, &format!("?{before}"), value),
    };
    let text = text.render_in_place(scope, encode)?.unwrap_or_default();
    let text = text.trim();
    let (path, fields) = if is_path { text.split_once('?').unwrap_or((text, "")) } else { ("", text) };
    if is_path {
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    }
    let own = url.query().map(|query| query.trim_end_matches('&').to_owned());
    let fields = fields.trim_start_matches(['?', '&']);
    let query = own.iter().map(String::as_str).chain([fields]).filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let query = query.join("&");
    url.set_query((!query.is_empty()).then_some(query.as_str()));
    Ok(url)
}

/// A URL that an answer may name: a relative one refers to the configured one.
fn of_answer(template: &Template, scope: &Scope<'_>, configured: &Url) -> Result<Url, RequestError> {
    let text = template.render_in_place(scope, encode_in_url)?.unwrap_or_default();
    let mut url = configured.join(text.trim()).map_err(|_| RequestError::Url)?;
    let is_own = url.origin() == configured.origin();
    // Who asks isn't for the answer to say.
    let (user, password) = if is_own { (configured.username(), configured.password()) } else { ("", None) };
    let kept = url.set_username(user).and_then(|()| url.set_password(password));
    kept.map_err(|()| RequestError::Url)?;
    url.set_fragment(None);
    Ok(url)
}

/// A template whose scheme, host or port are values of the login, and no others; there they stand as they are.
fn told(template: &Template) -> Option<Template> {
    let mut shown = String::new();
    let mut starts = Vec::new();
    for piece in template.pieces() {
        starts.push(shown.len());
        match piece {
            Piece::Text(text) => shown.push_str(text),
            Piece::Variable { .. } => shown.push('0'),
        }
    }
    let scheme_end = shown.find("://").map_or(0, |at| at + "://".len());
    let rest = shown.get(scheme_end..).unwrap_or_default();
    let origin_end = scheme_end + rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let mut has_told = false;
    let mut pieces = Vec::new();
    for (piece, start) in template.pieces().iter().zip(starts) {
        pieces.push(match piece {
            Piece::Variable { variable: Variable::Login(path), .. } if start < origin_end => {
                has_told = true;
                Piece::Variable { variable: Variable::Login(path.clone()), is_raw: true }
            }
            Piece::Variable { .. } if start < origin_end => return None,
            other => other.clone(),
        });
    }
    has_told.then_some(Template { pieces })
}

impl fmt::Debug for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlTemplate")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AnswerValue, AnswerValues, Position};
    use super::*;
    use crate::record::json::RawJson;

    #[track_caller]
    fn check_appended(url: &str, text: &str, expected: &str) {
        let value = AnswerValue::parse("v", false).expect("a path");
        let root = RawJson::parse(r#"{"v": "a b&c=d"}"#).expect("JSON");
        let values = AnswerValues::of([&value], Some(root)).expect("usable").expect("there");
        let position = Position { values, page: 1, ..Position::default() };
        let now = chrono::DateTime::UNIX_EPOCH;
        let scope = Scope { start: now, end: None, now, position: &position, entry: None, proof: ProofScope::None };
        let template = Template::parse(text).expect("a template");
        let found = appended(Url::parse(url).expect("a URL"), &template, &scope).expect("a URL");
        assert_eq!(found.as_str(), expected, "{text} behind {url}");
    }

    #[test]
    fn a_text_is_appended_properly_whatever_it_begins_with() {
        for text in ["&page=2", "?page=2", "page=2", "&&page=2", " &page=2 "] {
            check_appended("https://a.example/v1", text, "https://a.example/v1?page=2");
            check_appended("https://a.example/v1?", text, "https://a.example/v1?page=2");
            check_appended("https://a.example/v1?size=1", text, "https://a.example/v1?size=1&page=2");
            check_appended("https://a.example/v1?size=1&", text, "https://a.example/v1?size=1&page=2");
        }
        check_appended("https://a.example/v1/?x=1", "/page/2?y=2", "https://a.example/v1/page/2?x=1&y=2");
        check_appended("https://a.example/v1", "&c={res.v}", "https://a.example/v1?c=a%20b%26c=d");
        check_appended("https://a.example/v1", "{res.v}", "https://a.example/v1?a%20b&c=d");
        check_appended("https://a.example/v1", "&d=%2B+x", "https://a.example/v1?d=%2B+x");
    }

    #[test]
    fn a_variable_stands_in_the_host_only_where_the_login_tells_it() {
        let kind = |text: &str| match UrlTemplate::parse(text) {
            Ok((UrlTemplate::Plain(_), Some(_))) => "plain",
            Ok((UrlTemplate::Filled(_), Some(_))) => "filled",
            Ok((UrlTemplate::Told(_), None)) => "told",
            Ok(_) => "wrong",
            Err(_) => "refused",
        };
        for (text, expected) in [
            ("https://a.example/v1", "plain"),
            ("https://a.example/{login.tenant}/v1", "filled"),
            ("https://a.example/v1?to={now}", "filled"),
            ("https://{login.host}/v1", "told"),
            ("https://{login.region}.a.example/v1", "told"),
            ("{login.instance_url}/services", "told"),
            ("{login.instance_url:raw}/services/{page}", "told"),
            ("https://{page}.a.example/v1", "refused"),
            ("https://{token}/v1", "refused"),
            ("{next_token}", "refused"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
