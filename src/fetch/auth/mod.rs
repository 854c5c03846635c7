//! How requests prove who asks.
//!
//! A kind is one file: where its proof comes from, how it goes into a request, and what to do where it is refused. They
//! meet in the matches of this file alone. A token's way is longer: it is asked for (`ask`), its answer is read (`login`),
//! and it is kept while it lasts (`slot`).

mod ask;
mod basic;
mod login;
mod own_header;
mod slot;
mod token;

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use ring::rand::{SecureRandom, SystemRandom};

pub(super) use login::LoginAnswer;
pub use slot::{TokenCache, TokenSlot};

use super::refusal::Refusal;
use super::{FetchError, Waits};
use crate::plan::{Auth, Plan};
use crate::template::{
    Cookies, Login, ProofScope, ProofValues, Request, RequestError, RequestTemplate, Scope, Variable,
};
use crate::text::{Redactor, Secret, is_secret_name};
use crate::transport::Transport;

/// How many random bytes a nonce is made of: written in hexadecimal digits, 64 characters.
const NONCE_BYTES: usize = 32;

/// What makes a request an authorised one.
#[derive(Debug)]
pub(crate) struct Credentials {
    login: Option<Arc<Login>>,
    /// The number of the token, where it is one that can be renewed.
    number: Option<u64>,
    /// Knows what is secret in them.
    pub(crate) redactor: Redactor,
    /// Whether a tape answers what is sent with them.
    is_replayed: bool,
}

/// A request with all that it is sent with.
pub(crate) struct AuthorizedRequest {
    pub(super) request: Request,
    /// The cookies of the login, for its origin.
    pub(super) cookies: Option<Cookies>,
    /// Knows what is secret in it.
    pub(super) redactor: Redactor,
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
            Auth::Basic { .. } | Auth::OwnHeader => {
                Ok(Credentials { is_replayed: transport.is_replay(), ..Credentials::by_config(plan) })
            }
            Auth::Token(request) => {
                let got = token.get(transport, request, &plan.redactor, waits, &plan.name).await;
                let (number, login) = got.map_err(FetchError::of_token)?;
                let is_replayed = transport.is_replay();
                Ok(Credentials { number: Some(number), is_replayed, ..Credentials::by_login(plan, login) })
            }
        }
    }

    /// Notes that a request was refused because of its credentials. Gives whether other ones are worth a try.
    pub(super) fn renews(&self, refused: &Credentials, refusal: Refusal) -> bool {
        refused.number.is_some_and(|number| self.token.refuse(number, refusal, self.transport.clock().instant()))
    }
}

impl Credentials {
    /// By what the config itself says.
    pub(super) fn by_config(plan: &Plan) -> Self {
        Self { login: None, number: None, redactor: plan.redactor.clone(), is_replayed: false }
    }

    /// By what a token request gave.
    pub(super) fn by_login(plan: &Plan, login: Arc<Login>) -> Self {
        let redactor = plan.redactor.and(secrets(&plan.request, &login));
        Self { login: Some(login), number: None, redactor, is_replayed: false }
    }

    /// A request of the plan with what proves who asks; `template` is the plan's own, or one that was made of it.
    ///
    /// # Errors
    /// [`RequestError`], where a variable has no value, or one that can't stand where it should.
    pub(crate) fn request(
        &self,
        plan: &Plan,
        template: &RequestTemplate,
        scope: &Scope<'_>,
    ) -> Result<AuthorizedRequest, RequestError> {
        let (nonce, login) = (nonce(self.is_replayed), self.login.as_deref());
        let values =
            ProofValues { login, refresh_token: None, assertion: None, nonce: &nonce, unsigned: None, signature: None };
        let signature = template.signature(&Scope { proof: ProofScope::Of(values), ..*scope })?;
        let proof = ProofScope::Of(ProofValues { signature: signature.as_deref(), ..values });
        let scope = Scope { proof, ..*scope };
        let mut request = template.build(&scope)?;
        if !request.headers.contains_key(AUTHORIZATION)
            && let Some(value) = authorization(&plan.auth, template, &scope, login)?
        {
            request.headers.insert(AUTHORIZATION, value);
        }
        let cookies = login.and_then(|login| login.cookies.clone());
        let redactor = match signature {
            Some(signature) => self.redactor.and([Secret::new(signature)]),
            None => self.redactor.clone(),
        };
        Ok(AuthorizedRequest { request, cookies, redactor })
    }
}

/// The header `Authorization`, where the kind has one.
fn authorization(
    auth: &Auth,
    template: &RequestTemplate,
    scope: &Scope<'_>,
    login: Option<&Login>,
) -> Result<Option<HeaderValue>, RequestError> {
    match auth {
        Auth::Basic { id, key } => basic::authorization(id, key, scope),
        Auth::OwnHeader => Ok(None),
        Auth::Token(_) => Ok(token::authorization(template, login)),
    }
}

/// What must not be seen of a login: its token, its cookies, whatever else its answer names a token, and the values of it that
/// requests carry. The host that it tells isn't hidden.
fn secrets(template: &RequestTemplate, login: &Login) -> Vec<Secret> {
    let in_url: Vec<&Variable> = template.url_variables().collect();
    let paths = template.variables().filter_map(|variable| match variable {
        Variable::Login(path) if !in_url.contains(&variable) || is_secret_name(path.text()) => Some(path),
        _ => None,
    });
    let values = paths.filter_map(|path| login.find(path)).map(|value| Secret::new(value.text()));
    let cookies = login.cookies.iter().filter_map(|cookies| cookies.header.to_str().ok());
    let cookies = cookies.flat_map(|header| header.split("; ")).filter_map(|pair| pair.split_once('='));
    let cookies = cookies.map(|(_, value)| Secret::new(value));
    let named = login::credentials_in(login.answer.expose(), &HeaderMap::new());
    login.token.iter().cloned().chain(values).chain(cookies).chain(named).collect()
}

/// What to do where the API says that it doesn't know who asks (401).
pub(super) fn refused_hint(auth: &Auth) -> &'static str {
    match auth {
        Auth::Basic { .. } => basic::REFUSED,
        Auth::OwnHeader => own_header::REFUSED,
        Auth::Token(_) => token::REFUSED,
    }
}

/// What to do where there is no token.
pub(super) fn token_hint(error: &FetchError, auth: &Auth) -> Option<&'static str> {
    let has_refresh_token = matches!(auth, Auth::Token(request) if request.refresh_token.is_some());
    token::hint(error, has_refresh_token)
}

/// 64 random characters, for one attempt; the same ones always in a replay, which asks as was recorded.
fn nonce(is_replayed: bool) -> String {
    let mut bytes = [0; NONCE_BYTES];
    if is_replayed {
        return "0".repeat(2 * NONCE_BYTES);
    }
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Without the system's own, at least no two are the same.
        bytes.iter_mut().for_each(|byte| *byte = fastrand::u8(..));
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The header `Authorization`, unless the secret can't stand in one.
fn header(scheme: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", secret.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}
