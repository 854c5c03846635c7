//! HTTP Basic (RFC 7617): the user and the key of the config; some APIs take the request's signature as the key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

use super::header;
use crate::template::{RequestError, Scope, Template};
use crate::text::Secret;

/// What to do where they are refused.
pub(super) const REFUSED: &str = "check credentials.id and credentials.key: wrong, expired, or of another region";

/// The header that carries them.
pub(super) fn authorization(
    id: &Template,
    key: &Template,
    scope: &Scope<'_>,
) -> Result<Option<HeaderValue>, RequestError> {
    let value = |template: &Template| template.render(scope, str::to_owned).map(Option::unwrap_or_default);
    Ok(header("Basic", &Secret::new(STANDARD.encode(format!("{}:{}", value(id)?, value(key)?)))))
}
