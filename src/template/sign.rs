//! The signature of a request, over exactly what is sent. Pure.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};

use super::proof::hex;
use super::{HashName, ProofScope, ProofValues, Request, Scope, Template, UnboundVariable, Unsigned};
use crate::text::Secret;

/// How requests are signed (`sign`). It is never printed.
#[derive(Clone, PartialEq)]
pub struct Sign {
    /// What is made of the text.
    pub kind: SignKind,
    /// The key: of the HMAC, and `{key}` in the text.
    pub key: Secret,
    /// What the HMAC's own key is made of first, by the same HMAC with [`Self::key`], as Akamai's EdgeGrid does of the time.
    pub key_text: Option<Template>,
    /// What is signed.
    pub text: Template,
    /// How the signature is written.
    pub encoding: SignEncoding,
}

/// What is made of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignKind {
    /// An HMAC (RFC 2104) with the key.
    Hmac(HashName),
    /// A hash; a key has to stand in the text.
    Hash(HashName),
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignEncoding {
    /// In hexadecimal digits, small ones.
    #[default]
    Hex,
    /// In base64, with its padding.
    Base64,
}

impl Sign {
    /// The signature of a request that is sent as it is, but for what the signature itself fills in.
    ///
    /// # Errors
    /// [`UnboundVariable`], where a variable in the text has no value.
    pub fn signature(&self, scope: &Scope<'_>, request: &Request) -> Result<String, UnboundVariable> {
        let url = &request.url;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = format!("{}{port}", url.host_str().unwrap_or_default());
        let unsigned = Unsigned {
            method: request.method.as_str(),
            host: &host,
            path: url.path(),
            query: url.query().unwrap_or_default(),
            body: request.body.as_ref().map(Secret::expose).unwrap_or_default(),
            key: &self.key,
        };
        let proof = match scope.proof {
            ProofScope::Of(values) => ProofScope::Of(ProofValues { unsigned: Some(unsigned), ..values }),
            other => other,
        };
        let scope = Scope { proof, ..*scope };
        let render = |template: &Template| Ok(template.render(&scope, str::to_owned)?.unwrap_or_default());
        let made = self.key_text.as_ref().map(render).transpose()?;
        let made = made.map(|text| Secret::new(self.of(&self.key, text.as_bytes())));
        Ok(self.of(made.as_ref().unwrap_or(&self.key), render(&self.text)?.as_bytes()))
    }

    fn of(&self, key: &Secret, text: &[u8]) -> String {
        match self.kind {
            SignKind::Hmac(hash) => {
                let algorithm = match hash {
                    HashName::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                    HashName::Sha256 => hmac::HMAC_SHA256,
                    HashName::Sha512 => hmac::HMAC_SHA512,
                };
                let key = hmac::Key::new(algorithm, key.expose().as_bytes());
                self.encoding.write(hmac::sign(&key, text).as_ref())
            }
            SignKind::Hash(hash) => self.encoding.write(digest::digest(hash.digest(), text).as_ref()),
        }
    }
}

impl SignEncoding {
    fn write(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}

impl fmt::Debug for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sign").field("kind", &self.kind).field("encoding", &self.encoding).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: SignKind, encoding: SignEncoding, expected: &str) {
        let key = Secret::new("Jefe");
        let sign = Sign { kind, key: key.clone(), key_text: None, text: Template::default(), encoding };
        assert_eq!(sign.of(&key, b"what do ya want for nothing?"), expected, "{kind:?} {encoding:?}");
    }

    /// The second case of RFC 2202 and RFC 4231, and the same text's plain hashes.
    #[test]
    fn signatures_are_those_of_the_standards() {
        let hex = SignEncoding::Hex;
        check(SignKind::Hmac(HashName::Sha1), hex, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        check(
            SignKind::Hmac(HashName::Sha256),
            hex,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        check(
            SignKind::Hmac(HashName::Sha512),
            hex,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        );
        check(SignKind::Hmac(HashName::Sha1), SignEncoding::Base64, "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    }
}
