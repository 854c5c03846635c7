//! What stands behind the names of some variables: a path, a hash, a part of the request.

use ring::digest;

use crate::record::path::JsonPath;

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

/// The path in `{login.PATH}`.
#[derive(Clone, Debug)]
pub struct LoginPath(JsonPath);

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

impl LoginPath {
    /// From the text behind `login.`; `None` where that is no path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        JsonPath::parse(text).ok().map(Self)
    }

    pub(super) fn path(&self) -> &JsonPath {
        &self.0
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.text()
    }
}

impl PartialEq for LoginPath {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for LoginPath {}
