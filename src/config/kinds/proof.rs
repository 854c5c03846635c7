//! How requests prove who asks: client authentication, signatures.

use serde_json::Value;

use super::pattern::{filled, spelled_in_any_case};
use super::{Kind, Traits};
use crate::config::place::Place;
use crate::config::value::{Found, Text};
use crate::template::{HashName, SignEncoding};

/// How the token request says which client asks (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::config) enum ClientAuth {
    /// In the body.
    #[default]
    Body,
    /// By HTTP Basic.
    Basic,
}

impl Kind for ClientAuth {
    type Value<'v> = Self;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Self> {
        match found.text()?.to_ascii_lowercase().as_str() {
            "body" => Some(Self::Body),
            "basic" => Some(Self::Basic),
            _ => found.refuse("it should be body or basic", None),
        }
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&["body", "basic"], None)
    }
}

/// The name of a hash function.
pub(in crate::config) enum Hash {}

impl Kind for Hash {
    type Value<'v> = HashName;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<HashName> {
        match HashName::parse(&found.text()?) {
            Some(hash) => Some(hash),
            None => found.refuse("it should be sha1, sha256 or sha512", None),
        }
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&["sha1", "sha256", "sha512", "sha-1", "sha-256", "sha-512"], None)
    }
}

/// How a signature is written.
pub(in crate::config) enum Encoding {}

impl Kind for Encoding {
    type Value<'v> = SignEncoding;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<SignEncoding> {
        match found.text()?.to_ascii_lowercase().as_str() {
            "hex" => Some(SignEncoding::Hex),
            "base64" => Some(SignEncoding::Base64),
            _ => found.refuse("it should be hex or base64", None),
        }
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&["hex", "base64"], None)
    }
}

/// The text that is signed: as it is written, line breaks too.
pub(in crate::config) enum SignedText {}

impl Kind for SignedText {
    type Value<'v> = Text;

    fn read(found: &Found<'_>) -> Option<Text> {
        let text = found.as_is()?;
        match text.is_empty() {
            true => found.refuse("it is empty", None),
            false => Some(Text { value: text, spot: found.spot.clone() }),
        }
    }

    fn schema(_: Place) -> Value {
        filled()
    }
}
