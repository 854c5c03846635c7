//! The text of a config for one API: what is known of it, and why, as YAML. Pure.
//!
//! Enters: what was given on the command line, and what was chosen. Leaves: a config that can be compiled but for its
//! placeholders. What always holds: a secret that was given as it is stands in no config that is shown; foreign text
//! ends where its line does.

use super::bounds::Bounds;
use super::choice::Choice;
use super::paging::PagingRule;
use super::writer::{ConfigText, For, placeholder};
use super::yaml;
use crate::config::carries_credentials;
use crate::config::catalog::{self, List, NamedType};
use crate::template::query::START_DATE_MARK;
use crate::text::is_secret_name;

/// Headers whose values are no secret.
const PUBLIC_HEADERS: [&str; 3] = ["accept", "accept-language", "content-type"];

/// What was given to reach an API, as it was written: `${VARIABLE}` is not filled in yet.
#[derive(Clone)]
pub struct ProbeTarget {
    /// The URL that lists the events.
    pub url: String,
    /// How to prove who asks.
    pub auth: TargetAuth,
    /// Names and values of headers.
    pub headers: Vec<(String, String)>,
}

/// Credentials, as they were written.
#[derive(Clone)]
pub enum TargetAuth {
    /// None but what the headers hold.
    None,
    /// For HTTP Basic.
    Basic {
        /// The user.
        id: String,
        /// The password or key.
        key: String,
    },
    /// For OAuth 2.0 client credentials.
    Token {
        /// The token endpoint.
        url: String,
        /// The client id.
        id: String,
        /// The client secret.
        key: String,
        /// The scope to ask for.
        scope: Option<String>,
    },
}

/// Splits `ID:SECRET` at the first colon outside of `${…}`.
#[must_use]
pub fn id_and_secret(text: &str) -> Option<(String, String)> {
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let colon = rest.find(':')?;
        match rest.find("${").filter(|mark| *mark < colon) {
            Some(mark) => from += mark + rest.get(mark..)?.find('}')? + 1,
            None => return Some((text.get(..from + colon)?.to_owned(), rest.get(colon + 1..)?.to_owned())),
        }
    }
}

impl TargetAuth {
    /// The list of the config that such credentials stand in.
    fn list(&self) -> Option<List> {
        match self {
            Self::None => None,
            Self::Basic { .. } => Some(List::AuthApis),
            Self::Token { .. } => Some(List::OauthApis),
        }
    }
}

/// Which type of the config an API gets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    General,
    Named(&'static NamedType),
}

impl Kind {
    /// By the host, among the types of the list that the credentials belong to. One with parameters of its own can't be
    /// written out of a URL: it is named in a comment.
    pub(super) fn of_host(url: &reqwest::Url, auth: &TargetAuth) -> Self {
        let host = url.host_str().unwrap_or_default();
        let mut types = auth.list().into_iter().flat_map(catalog::types_of);
        let named = types.find(|named| named.has_host(host) && named.own_parameters().next().is_none());
        named.map_or(Self::General, Self::Named)
    }

    /// The type of an OData service, where the credentials' list has one.
    pub(super) fn of_odata(auth: &TargetAuth) -> Self {
        let mut types = auth.list().into_iter().flat_map(catalog::types_of);
        types.find(|named| named.odata).map_or(Self::General, Self::Named)
    }

    pub(super) fn is_general(self) -> bool {
        matches!(self, Self::General)
    }

    fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Named(named) => &named.name,
        }
    }

    fn why(self) -> Option<&'static str> {
        match self {
            Self::General => None,
            Self::Named(named) => Some(&named.probe.comment),
        }
    }
}

/// What was chosen for an API.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) data: Choice,
    pub(super) date: Choice,
    pub(super) next: Choice,
    pub(super) id: Choice,
    pub(super) start_name: Choice,
    /// The start date in the filters, which also says how start dates are written.
    pub(super) first_start: Option<String>,
    pub(super) overlap: Choice,
    /// The window that the API demands to be asked for.
    pub(super) bounds: Option<Bounds>,
    /// What the bodies are, where they are no JSON documents.
    pub(super) format: Choice,
    /// What leads to the next page, where no link in the body does.
    pub(super) paging: Option<PagingRule>,
    /// Whether pages follow that can't be read.
    pub(super) has_unread: bool,
    /// Whether it is known that a start date is honoured.
    pub(super) is_start_told: bool,
}

impl Draft {
    /// Whether nothing is left to find out, but for secrets.
    pub(super) fn is_complete(&self) -> bool {
        self.is_start_told
            && !self.has_unread
            && ![&self.data, &self.date, &self.start_name].into_iter().any(Choice::is_open)
    }

    /// The same for an API that demands a window.
    pub(super) fn within(self, bounds: Bounds) -> Self {
        let start_name = if bounds.format.is_some() { Choice::default() } else { Choice::given(bounds.start) };
        Self { bounds: Some(bounds), start_name, ..self }
    }

    /// Notes why no start date was found to be honoured; where its name isn't given otherwise, it is left to the user.
    pub(super) fn open_start(&mut self, is_known: bool, why: Vec<String>) {
        self.is_start_told = false;
        let value = self.start_name.value.take().filter(|_| self.bounds.is_some());
        self.start_name = Choice { value, comments: why };
        if !is_known {
            let what = "name the query parameter that takes a start date; the API's documentation has it";
            self.start_name.comments.push(what.to_owned());
            self.start_name.value = Some("<<START-DATE-PARAMETER>>".to_owned());
        }
    }
}

impl ProbeTarget {
    /// The config.
    pub(super) fn config(&self, draft: &Draft, is_for: For) -> String {
        let mut text = ConfigText { text: String::new(), is_for };
        text.head(self.base());
        let list = self.auth.list().unwrap_or(List::AuthApis);
        text.line(0, &format!("{}:", list.key()));
        draft.kind.why().into_iter().for_each(|why| text.comment(4, why));
        if draft.kind.is_general() {
            self.types_of_host().for_each(|named| {
                let (what, name) = (&named.probe.comment, &named.name);
                text.comment(4, &format!("built in: {what}; see `logzio-api-fetcher catalog show {name}`"));
            });
        }
        text.line(2, &format!("- type: {}", draft.kind.name()));
        text.pair(4, "name", &self.name());
        self.credentials(&mut text);
        self.request(&mut text);
        self.filters(draft, &mut text);
        text.choice(4, "start_date_name", &draft.start_name);
        let paths = [("data", &draft.data), ("data_date", &draft.date), ("next_url", &draft.next), ("id", &draft.id)];
        if paths.iter().any(|(_, choice)| choice.value.is_some()) {
            text.line(4, "json_paths:");
        }
        paths.into_iter().for_each(|(key, choice)| text.choice(6, key, choice));
        let of_paging = draft.paging.iter().flat_map(PagingRule::lines);
        let of_paging = of_paging.filter(|(section, key, _)| *section == "json_paths" && key != "next_url");
        of_paging.for_each(|(_, key, value)| text.pair(6, &key, value));
        if draft.format.value.is_some() {
            text.line(4, "response:");
            text.choice(6, "format", &draft.format);
        }
        text.line(4, "settings:");
        text.comment(6, "minutes between two iterations");
        text.line(6, "time_interval: 5");
        text.choice(6, "overlap", &draft.overlap);
        if let Some(longest) = draft.bounds.as_ref().and_then(|bounds| bounds.longest.as_deref()) {
            text.comment(6, "the API's answer speaks of this limit");
            text.pair(6, "max_window", longest);
        }
        text.text
    }

    /// The types of the catalog that collect something of the URL's host.
    fn types_of_host(&self) -> impl Iterator<Item = &'static NamedType> {
        let host = reqwest::Url::parse(self.base()).ok().and_then(|url| url.host_str().map(str::to_owned));
        let named = catalog::named_types();
        named.filter(move |named| host.as_deref().is_some_and(|host| named.has_host(host)))
    }

    /// Whether the URL itself says where the start date goes.
    pub(super) fn has_start_mark(&self) -> bool {
        self.query().any(|(_, value)| value.contains(START_DATE_MARK))
    }

    /// The host and the last piece of the path.
    fn name(&self) -> String {
        let base = self.base();
        let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
        let mut pieces = rest.split('/').filter(|piece| !piece.is_empty());
        let host = pieces.next().and_then(|host| host.split(':').next()).unwrap_or("api");
        let name: Vec<String> = std::iter::once(host)
            .chain(pieces.next_back())
            .map(|piece| piece.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(60).collect())
            .collect();
        name.join(" ").trim().to_owned()
    }

    fn base(&self) -> &str {
        self.url.split(['?', '#']).next().unwrap_or_default()
    }

    fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = self.url.split('#').next().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
        query.split('&').filter(|field| !field.is_empty()).map(|field| field.split_once('=').unwrap_or((field, "")))
    }

    fn credentials(&self, text: &mut ConfigText) {
        match &self.auth {
            TargetAuth::None => {
                if !self.headers.iter().any(|(name, _)| carries_credentials(name)) {
                    text.comment(4, "no Basic credentials given, so none are sent");
                    text.line(4, "credentials: {}");
                }
            }
            TargetAuth::Basic { id, key } => text.credentials(id, key, ["<<ID>>", "<<KEY>>"]),
            TargetAuth::Token { url, id, key, scope } => {
                text.credentials(id, key, ["<<CLIENT-ID>>", "<<CLIENT-SECRET>>"]);
                text.line(4, "token_http_request:");
                text.pair(6, "url", &text.secretless_url(url));
                if let Some(scope) = scope {
                    text.pair(6, "scope", scope);
                }
            }
        }
    }

    fn request(&self, text: &mut ConfigText) {
        text.line(4, "http_request:");
        text.pair(6, "url", self.base());
        if !self.headers.is_empty() {
            text.line(6, "headers:");
        }
        for (name, value) in &self.headers {
            let is_public = PUBLIC_HEADERS.contains(&name.to_ascii_lowercase().as_str());
            let value = match is_public {
                true => value.clone(),
                false if name.eq_ignore_ascii_case("authorization") => text.authorization(value),
                false => text.hidden(value, &placeholder(name)),
            };
            text.pair(8, &yaml::scalar(name), &value);
        }
    }

    /// The URL's query, and the first start date.
    fn filters(&self, draft: &Draft, text: &mut ConfigText) {
        let first = draft.first_start.as_ref().zip(draft.start_name.value.as_ref());
        let mut named: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, value) in self.query().filter(|(name, _)| first.is_none_or(|(_, start)| start.as_str() != *name)) {
            match named.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => named.push((name, vec![value])),
            }
        }
        let of_paging = draft.paging.as_ref().and_then(|rule| rule.filter.as_ref());
        if named.is_empty() && first.is_none() && draft.bounds.is_none() && of_paging.is_none() {
            return;
        }
        text.line(4, "filters:");
        for (name, values) in named {
            let shown = values.iter().map(|value| match is_secret_name(name) {
                true => text.hidden(value, &placeholder(name)),
                false => (*value).to_owned(),
            });
            let shown: Vec<String> = shown.map(|value| yaml::scalar(&value)).collect();
            let value = if let [one] = shown.as_slice() { one.clone() } else { format!("[{}]", shown.join(", ")) };
            text.line(6, &format!("{}: {value}", yaml::scalar(name)));
        }
        if let Some(bounds) = &draft.bounds {
            text.comment(6, "the API demands the window's start and end");
            for (name, variable) in [(bounds.start, "start_date"), (bounds.end, "end_date")] {
                match bounds.format {
                    Some(format) => text.pair(6, name, &format!("{{{variable}:{format}}}")),
                    None if variable == "end_date" => text.pair(6, name, "{end_date}"),
                    None => {}
                }
            }
        }
        if let Some((name, value)) = of_paging {
            text.comment(6, "what leads to the next page");
            text.pair(6, &yaml::scalar(name), value);
        }
        if let Some((date, name)) = first {
            text.comment(6, "where the first iteration begins; start dates are sent in this form");
            text.pair(6, &yaml::scalar(name), date);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_the_catalog_is_named_by_its_host() {
        let url = "https://api.slack.com/audit/v1/logs".to_owned();
        let target = ProbeTarget { url, auth: TargetAuth::None, headers: Vec::new() };
        assert!(target.types_of_host().any(|named| named.name == "slack_audit"));
    }

    #[test]
    fn an_id_ends_at_the_first_colon_that_is_its_own() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            assert_eq!(id_and_secret(text), expected.map(|(id, key)| (id.to_owned(), key.to_owned())), "{text}");
        };
        check("a:b:c", Some(("a", "b:c")));
        check("${file:/run/id}:${file:/run/key}", Some(("${file:/run/id}", "${file:/run/key}")));
        check("a${X}:", Some(("a${X}", "")));
        check("a", None);
        check("${file:/run/id}", None);
        check("${file:/run/id", None);
    }
}
