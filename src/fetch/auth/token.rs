//! An access token that a token request gives: how it goes into a request, and what to do where there is none.

use reqwest::StatusCode;
use reqwest::header::HeaderValue;

use super::super::FetchError;
use super::header;
use crate::http::unreachable_advice;
use crate::template::{Login, RequestTemplate, Variable};

/// The header that carries a token (RFC 6750, section 2.1), unless the request says itself where it stands.
pub(super) fn authorization(template: &RequestTemplate, login: Option<&Login>) -> Option<HeaderValue> {
    let has_own_place = template.variables().any(|variable| *variable == Variable::Token);
    header("Bearer", login?.token.as_ref().filter(|_| !has_own_place)?)
}

/// What to do where a token is refused by the API that it is for.
pub(super) const REFUSED: &str =
    "there is a token, but not for this API: check token_http_request.scope and the permissions";

/// What to do where there is no token.
pub(super) fn hint(error: &FetchError, has_refresh_token: bool) -> Option<&'static str> {
    match error {
        FetchError::Broken { cause, .. } => return unreachable_advice(cause, "token_http_request.url"),
        FetchError::Status { .. } => {}
        FetchError::Credentials(cause) if cause.is_shared() => {
            return Some("look at etcd with `logzio-api-fetcher cluster status`; it must answer, and have room");
        }
        FetchError::Credentials(_) => {
            return Some("make room on the disk, or fix the file or the permissions of the config's directory");
        }
        FetchError::Assertion { .. } => return Some("check token_http_request.assertion.file: its private key"),
        FetchError::Limited { .. } => return Some("nothing: it is asked again at that time"),
        _ => return Some("check token_http_request.url: it must be the token endpoint"),
    }
    Some(match error.status()? {
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED if has_refresh_token => {
            "the refresh token may be expired or revoked: log in again, and put the new one into \
             token_http_request.refresh_token; else check the client's id and secret"
        }
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "check credentials.id and credentials.key (the secret's value, not its id), and token_http_request.scope; secrets \
             expire"
        }
        StatusCode::NOT_FOUND => "check token_http_request.url",
        StatusCode::TOO_MANY_REQUESTS => "the token server limits requests: make settings.time_interval longer",
        status if status.is_server_error() => "the token server returned a server error; the fetcher keeps retrying",
        _ => return None,
    })
}
