//! The values of the variables by which a request proves who asks: what a login gave, and what a signature is made of.

use std::fmt;

use reqwest::Url;
use reqwest::header::HeaderValue;
use ring::digest;

use super::{Captured, UnsignedPart, Variable, VariablePath};
use crate::record::json::RawJson;
use crate::text::Secret;

/// What a login gave.
#[derive(Clone)]
pub struct Login {
    /// The access token; nothing where the login gives cookies alone.
    pub token: Option<Secret>,
    /// The whole answer, for `{login.PATH}`.
    pub answer: Secret,
    /// The cookies that came with it, for the origin that set them.
    pub cookies: Option<Cookies>,
}

/// The cookies of a login (RFC 6265), as a request carries them.
#[derive(Clone)]
pub struct Cookies {
    /// The URL whose origin set them; they go nowhere else.
    pub origin: Url,
    /// The header `Cookie`.
    pub header: HeaderValue,
}

/// A request before its signature, as it is going to be sent.
#[derive(Clone, Copy)]
pub struct Unsigned<'s> {
    /// `GET` or `POST`.
    pub method: &'s str,
    /// As the header `Host` has it.
    pub host: &'s str,
    /// With its first slash, percent-encoded.
    pub path: &'s str,
    /// Without the question mark, percent-encoded.
    pub query: &'s str,
    /// Empty where there is none.
    pub body: &'s str,
    /// What `sign.key` says.
    pub key: &'s Secret,
}

/// What a request proves who asks with.
#[derive(Clone, Copy, Default)]
pub enum ProofScope<'s> {
    /// Nothing: its variables have no value.
    #[default]
    None,
    /// Something stands in for each value: for requests that are compared and never sent.
    StandIn,
    /// These values.
    Of(ProofValues<'s>),
}

/// The values that there are for one attempt.
#[derive(Clone, Copy)]
pub struct ProofValues<'s> {
    /// What the login gave.
    pub login: Option<&'s Login>,
    /// For the token request itself.
    pub refresh_token: Option<&'s Secret>,
    /// For the token request itself.
    pub assertion: Option<&'s Secret>,
    /// Random characters.
    pub nonce: &'s str,
    /// What is signed, for the text that is signed.
    pub unsigned: Option<Unsigned<'s>>,
    /// The signature.
    pub signature: Option<&'s str>,
}

/// What stands in for a value.
const STAND_IN: &str = "0";

impl ProofScope<'_> {
    /// The value of a variable as JSON; `None` where it has none, or is none of these.
    pub(super) fn value(&self, variable: &Variable) -> Option<Captured> {
        match self {
            Self::None => None,
            Self::StandIn => Some(Captured::of_text(STAND_IN)),
            Self::Of(values) => values.value(variable),
        }
    }
}

impl ProofValues<'_> {
    fn value(&self, variable: &Variable) -> Option<Captured> {
        let text = match variable {
            Variable::Token => self.login?.token.as_ref()?.expose(),
            Variable::Login(path) => return self.login?.find(path),
            Variable::RefreshToken => self.refresh_token?.expose(),
            Variable::Assertion => self.assertion?.expose(),
            Variable::Nonce => self.nonce,
            Variable::Signature => self.signature?,
            Variable::Unsigned(part) => return Some(Captured::of_text(&self.unsigned?.part(*part))),
            _ => return None,
        };
        Some(Captured::of_text(text))
    }
}

impl Login {
    /// A value of the answer.
    #[must_use]
    pub fn find(&self, path: &VariablePath) -> Option<Captured> {
        path.find(RawJson::parse(self.answer.expose()).ok()?)
    }
}

impl Unsigned<'_> {
    fn part(&self, part: UnsignedPart) -> String {
        match part {
            UnsignedPart::Method => self.method.to_owned(),
            UnsignedPart::Host => self.host.to_owned(),
            UnsignedPart::Path => self.path.to_owned(),
            UnsignedPart::Query => self.query.to_owned(),
            UnsignedPart::Body(None) => self.body.to_owned(),
            UnsignedPart::Body(Some(hash)) => hex(digest::digest(hash.digest(), self.body.as_bytes()).as_ref()),
            UnsignedPart::Key => self.key.expose().to_owned(),
        }
    }
}

/// In hexadecimal digits, small ones.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Nothing of it: all of it is secret.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

impl fmt::Debug for ProofScope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofScope")
    }
}
