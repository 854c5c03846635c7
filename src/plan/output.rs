//! Where records go: the outputs of the config.

use std::fmt;

use reqwest::Url;

use crate::record::Fingerprint;
use crate::text::{Redactor, Secret};

/// What the output of a config is called that names none, and what its state has been kept under since there was one output
/// only.
const DEFAULT_NAME: &str = "logzio";

/// The name of an output. Its state is known by it: with another URL or token it is the same output.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputName(String);

/// A Logz.io listener, and whose records it gets.
#[derive(Clone, PartialEq)]
pub struct Output {
    /// Tells it from others; no two have the same.
    pub name: OutputName,
    /// Scheme, host and port, perhaps a path; no query.
    pub url: Url,
    /// The log shipping token.
    pub token: Secret,
    /// Which answers acknowledge a batch (`logzio.acknowledge`).
    pub acknowledge: Acknowledge,
    /// Whose records it gets (`logzio.inputs`).
    pub inputs: Inputs,
    /// Hides the token, and what was filled in.
    pub redactor: Redactor,
}

/// Which answers acknowledge a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// Only those that a listener gives: a success without a body, or with a listener's counts.
    #[default]
    Listener,
    /// Any success: for relays that answer in their own words (`2xx`).
    AnySuccess,
}

/// Whose records an output gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Inputs {
    /// Those of all APIs.
    #[default]
    All,
    /// Those of the APIs of these names.
    Named(Vec<String>),
}

impl OutputName {
    /// A name of the config.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self(name)
    }

    /// The name of an output that has none of its own where it needs one: by what is known of it, its URL and its token.
    #[must_use]
    pub fn derived(url: &Url, token: &Secret) -> Self {
        let host = url.host_str().unwrap_or_default();
        let hash = Fingerprint::of(&[b"output", url.as_str().as_bytes(), token.expose().as_bytes()]);
        let hash: String = hash.bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{host}-{hash}"))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the name of an output that has none.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT_NAME
    }
}

impl Default for OutputName {
    fn default() -> Self {
        Self(DEFAULT_NAME.to_owned())
    }
}

impl fmt::Display for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Output {
    /// Whether it gets the records of an API.
    #[must_use]
    pub fn takes(&self, api: &str) -> bool {
        self.inputs.has(api)
    }
}

impl Inputs {
    /// Whether an API is one of them.
    #[must_use]
    pub fn has(&self, api: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == api),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Output");
        shown.field("name", &self.name.as_str()).field("url", &self.redactor.url(&self.url));
        shown.field("token", &self.token).field("inputs", &self.inputs).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_name_tells_outputs_apart_and_shows_no_token() {
        let name = |url: &str, token: &str| OutputName::derived(&Url::parse(url).expect("a URL"), &Secret::new(token));
        let one = name("https://listener.logz.io:8071", "secret-token");
        assert_eq!(one, name("https://listener.logz.io:8071", "secret-token"));
        assert_ne!(one, name("https://listener.logz.io:8071", "another-token"));
        assert_ne!(one, name("https://listener.logz.io:8070", "secret-token"));
        assert!(one.as_str().starts_with("listener.logz.io-") && !one.as_str().contains("secret"), "{one}");
        assert!(OutputName::default().is_default() && !one.is_default());
    }
}
