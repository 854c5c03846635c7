//! The other origins that an entry may ask (`hosts`).

use reqwest::Url;
use serde_yaml::Value;

use super::api::Entries;
use super::document::Place as Spot;
use super::reader::{Section, key_text, written};
use crate::hosts::HostRule;

impl<'r, 'd> Entries<'r, 'd> {
    /// One host, or a list of them.
    pub(super) fn hosts(&self, entry: &Section<'r, 'd>, configured: Option<&Url>) -> Vec<HostRule> {
        let spot = entry.spot.key("hosts");
        let items: Vec<(Spot, &Value)> = match entry.value("hosts") {
            None => Vec::new(),
            Some(Value::Sequence(items)) => items.iter().enumerate().map(|(at, item)| (spot.index(at), item)).collect(),
            Some(one) => vec![(spot, one)],
        };
        items.into_iter().filter_map(|(spot, item)| self.host(item, &spot, configured)).collect()
    }

    fn host(&self, item: &Value, spot: &Spot, configured: Option<&Url>) -> Option<HostRule> {
        let hint = || Some("like 'files.example.com', '*.example.com', or {host: …, credentials: true}".to_owned());
        let error = |what: &str| self.reader.error(spot, what, hint());
        let (host, credentials) = match item {
            Value::Mapping(pairs) => {
                let other =
                    pairs.keys().filter_map(key_text).find(|key| !matches!(key.as_str(), "host" | "credentials"));
                if other.is_some() {
                    error("only `host` and `credentials` may stand here");
                    return None;
                }
                let text = |key: &str| pairs.get(key).filter(|value| !value.is_null()).and_then(written);
                match text("credentials").as_deref().map(str::trim) {
                    None | Some("false") => (text("host"), false),
                    Some("true") => (text("host"), true),
                    Some(_) => {
                        error("`credentials` should be true or false");
                        return None;
                    }
                }
            }
            other => (written(other), false),
        };
        let Some(host) = host else {
            error("a host should be here");
            return None;
        };
        match HostRule::parse(&host, credentials) {
            Ok(rule) if rule.sends_credentials_openly() && configured.is_some_and(|url| url.scheme() == "https") => {
                error("the configured URL is https, and credentials don't go from there to http");
                None
            }
            Ok(rule) => Some(rule),
            Err(what) => {
                error(what);
                None
            }
        }
    }
}
