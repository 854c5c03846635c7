//! How requests prove who asks.
//!
//! A kind is one file: where its proof comes from, how it goes into a request, and what to do where it is refused. They
//! meet in the matches of this file alone.

mod basic;
mod own_header;
mod token;

use reqwest::header::HeaderValue;

pub use token::{TokenCache, TokenSlot};
pub(super) use token::{hint as token_hint, try_ask};

use super::refusal::Refusal;
use super::{FetchError, Waits};
use crate::plan::{Auth, Plan};
use crate::text::{Redactor, Secret};
use crate::transport::Transport;

/// What makes a request an authorised one.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(super) authorization: Option<HeaderValue>,
    /// The number of the token in it, where it is one that can be renewed.
    token: Option<u64>,
    /// Knows what the header holds.
    pub(crate) redactor: Redactor,
}

/// Where the credentials of an API's requests come from.
#[derive(Clone, Copy)]
pub(super) struct Authenticator<'a> {
    pub(super) transport: &'a Transport,
    pub(super) plan: &'a Plan,
    /// Where its access token is kept.
    pub(super) token: &'a TokenSlot,
    pub(super) waits: &'a Waits,
}

impl Authenticator<'_> {
    /// What the next request goes with.
    ///
    /// # Errors
    /// Where there is no token.
    pub(super) async fn credentials(&self) -> Result<Credentials, FetchError> {
        let Self { transport, plan, token, waits } = *self;
        match &plan.auth {
            Auth::Basic { .. } | Auth::OwnHeader => Ok(Credentials::by_config(plan)),
            Auth::Token(request) => {
                let got = token.get(transport, request, &plan.redactor, waits, &plan.name).await;
                let (number, value) = got.map_err(FetchError::of_token)?;
                Ok(Credentials { token: Some(number), ..Credentials::by_token(plan, &value) })
            }
        }
    }

    /// Notes that a request was refused because of its credentials. Gives whether other ones are worth a try.
    pub(super) fn renews(&self, refused: &Credentials, refusal: Refusal) -> bool {
        refused.token.is_some_and(|number| self.token.refuse(number, refusal, self.transport.clock().instant()))
    }
}

impl Credentials {
    /// By what the config itself says.
    pub(super) fn by_config(plan: &Plan) -> Self {
        let authorization = match &plan.auth {
            Auth::Basic { id, key } => basic::authorization(id, key),
            Auth::OwnHeader | Auth::Token(_) => None,
        };
        Self { authorization, token: None, redactor: plan.redactor.clone() }
    }

    /// By an access token.
    pub(super) fn by_token(plan: &Plan, token: &Secret) -> Self {
        Self { authorization: token::authorization(token), token: None, redactor: plan.redactor.and([token.clone()]) }
    }
}

/// What to do where the API says that it doesn't know who asks (401).
pub(super) fn refused_hint(auth: &Auth) -> &'static str {
    match auth {
        Auth::Basic { .. } => basic::REFUSED,
        Auth::OwnHeader => own_header::REFUSED,
        Auth::Token(_) => token::REFUSED,
    }
}

/// The header `Authorization`, unless the secret can't stand in one.
fn header(scheme: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", secret.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}
