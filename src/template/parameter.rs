//! What stands behind the names of some variables: a path, a hash, a part of the request.

use std::borrow::Cow;
use std::sync::Arc;

use ring::digest;

use super::Captured;
use crate::record::json::RawJson;
use crate::record::path::{JsonPath, PathError};

/// A part of the request that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsignedPart {
    /// `{method}`
    Method,
    /// `{host}`
    Host,
    /// `{path}`
    Path,
    /// `{query}`
    Query,
    /// `{body}`, or a hash of it in hexadecimal digits.
    Body(Option<HashName>),
    /// `{key}`
    Key,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashName {
    /// SHA-1: broken for documents, but what some APIs ask for.
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-512
    Sha512,
}

/// The path in `{login.PATH}`, `{item.PATH}`, `{parent.PATH}` or `{res.PATH}`. Paths are equal where they are written in the same way.
#[derive(Clone, Debug)]
pub struct VariablePath(Arc<JsonPath>);

impl HashName {
    /// By its name in the config.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().replace('-', "").as_str() {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(super) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl VariablePath {
    /// By its text, as JSON paths are written.
    ///
    /// # Errors
    /// Where the text is no path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        JsonPath::parse(text).map(|path| Self(Arc::new(path)))
    }

    /// The value there, where it says something.
    #[must_use]
    pub fn find(&self, root: RawJson<'_>) -> Option<Captured> {
        Captured::of_json(self.0.first(root)?.text())
    }

    /// The value there as JSON text, also where a text on the way holds JSON.
    #[must_use]
    pub fn find_unfolded<'a>(&self, root: RawJson<'a>) -> Option<Cow<'a, str>> {
        self.0.first_unfolded(root)
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.text()
    }
}

impl PartialEq for VariablePath {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for VariablePath {}
