//! Where docs/troubleshooting.md explains why a page didn't come.

use reqwest::StatusCode;

use super::FetchError;
use crate::http::unreachable_anchor;
use crate::paging::NextLinkError;
use crate::window::is_too_old;

impl FetchError {
    /// The anchor of its entry.
    #[must_use]
    pub fn anchor(&self) -> &'static str {
        match self {
            Self::Broken { cause, .. } => unreachable_anchor(cause).unwrap_or("no-answer"),
            Self::Status { status, error_body, .. } => of_status(*status, error_body),
            Self::Elsewhere { .. } | Self::OtherOrigin { .. } | Self::Private { .. } => "other-host",
            Self::Limited { .. } | Self::Held { .. } => "waiting",
            Self::Request(_) => "request-not-made",
            Self::Lost(_) => "answer-lost",
            Self::Behind => "output-behind",
            Self::HeldUp => "output-queue-full",
            Self::WebPage { .. } => "web-page",
            Self::Empty { .. } => "empty-body",
            Self::NotReady { .. } => "not-ready",
            Self::TooLarge { .. } => "page-too-large",
            Self::Undecoded { .. } => "body-not-decoded",
            Self::Redirect { .. } => "redirect",
            Self::Login { .. } => "login-page",
            Self::Token(cause) if cause.until().is_some() => "waiting",
            Self::Token(cause) if matches!(**cause, Self::Credentials(_)) => "credentials-file",
            Self::Credentials(_) => "credentials-file",
            Self::Token(_) | Self::Assertion { .. } | Self::NoToken { .. } => "no-access-token",
            Self::Memory { .. } => "memory-budget",
            Self::Outage { .. } => "listener-down",
            Self::Stopped => "stopped",
            Self::Recalled => "recalled",
        }
    }
}

impl NextLinkError {
    /// The anchor of its entry.
    #[must_use]
    pub fn anchor(&self) -> &'static str {
        match self {
            Self::NoUrl => "next-link-wrong",
            Self::OtherOrigin { .. } | Self::Downgrade(_) => "other-host",
        }
    }
}

fn of_status(status: StatusCode, error_body: &str) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY
            if is_too_old(error_body) =>
        {
            "start-too-old"
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "request-refused",
        StatusCode::UNAUTHORIZED => "credentials-refused",
        StatusCode::FORBIDDEN => "permission-missing",
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
        StatusCode::TOO_MANY_REQUESTS => "rate-limited",
        status if status.is_server_error() => "api-error",
        _ => "no-answer",
    }
}
