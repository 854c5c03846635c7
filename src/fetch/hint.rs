//! What whoever is on call, or writes a config, can do about a page that didn't come.

use reqwest::StatusCode;

use super::FetchError;
use super::auth::{refused_hint, token_hint};
use crate::http::unreachable_advice;
use crate::plan::Auth;
use crate::window::is_too_old;

impl FetchError {
    /// What can be done about it; nothing where its own words say it. `auth` tells which credentials were sent.
    #[must_use]
    pub fn hint(&self, auth: &Auth) -> Option<&'static str> {
        match self {
            Self::Token(error) => token_hint(error, auth),
            Self::Status { status, error_body, .. } => of_status(*status, error_body, auth),
            Self::Broken { cause, .. } => unreachable_advice(cause, "http_request.url"),
            Self::Limited { .. } | Self::Held { .. } => Some(
                "nothing: it is asked again at that time; to need fewer requests, make settings.time_interval longer",
            ),
            Self::Request(_) => Some("check the variables in the entry: each needs a value where it stands"),
            Self::Credentials(_) => token_hint(self, auth),
            Self::HeldUp => Some("look at the listener of the API's other output"),
            Self::Lost(_) | Self::Behind => Some("nothing, if the next iteration goes through"),
            Self::WebPage { .. } => {
                Some("check http_request.url, and the credentials: gateways and login pages answer so, too")
            }
            Self::Memory { .. } => Some("nothing, if it passes; else raise limits.memory, or ask for smaller pages"),
            Self::Outage { .. } => Some("see what the APIs say that could not ship: the listener is down"),
            Self::Empty { .. } => Some("nothing, if it passes; else check http_request.url"),
            Self::NotReady { .. } => Some(
                "nothing, if it passes; else check response.retry_header, which the API may need to know the request by",
            ),
            Self::Undecoded { cause, .. } if cause.is_cut() => {
                Some("nothing, if it passes; else ask for smaller pages")
            }
            Self::Undecoded { .. } => Some("check what the API sends: NDJSON, CSV, gzip and zip files are decoded"),
            Self::Login { .. } => Some("check the credentials: the API wants somebody to log in"),
            Self::OtherOrigin { .. } | Self::Private { .. } => {
                Some("add that line to the entry if the API is right to lead there")
            }
            Self::Elsewhere { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. } => Some(
                "if that host is to get the credentials, say so in the entry: `hosts: [{host: NAME, credentials: true}]`",
            ),
            _ => None,
        }
    }
}

fn of_status(status: StatusCode, error_body: &str, auth: &Auth) -> Option<&'static str> {
    Some(match status {
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY
            if is_too_old(error_body) =>
        {
            "the start date lies too far back: the fetcher looks for the earliest that is taken; lower settings.days_back_fetch"
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            "the API does not take the request: check filters and start_date_name"
        }
        StatusCode::UNAUTHORIZED => refused_hint(auth),
        StatusCode::FORBIDDEN => "authenticated, but not authorized: check the permissions of the account",
        StatusCode::NOT_FOUND => "nothing is there: check http_request.url",
        StatusCode::METHOD_NOT_ALLOWED => "check http_request.method",
        StatusCode::TOO_MANY_REQUESTS => "too many requests: try again later, and make settings.time_interval longer",
        status if status.is_server_error() => "the API returned a server error; the fetcher keeps retrying",
        _ => return None,
    })
}
