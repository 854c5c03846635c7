//! HTTP Basic (RFC 7617): the user and the key of the config.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

use super::header;
use crate::text::Secret;

/// What to do where they are refused.
pub(super) const REFUSED: &str = "check credentials.id and credentials.key: wrong, expired, or of another region";

/// The header that carries them.
pub(super) fn authorization(id: &str, key: &Secret) -> Option<HeaderValue> {
    header("Basic", &Secret::new(STANDARD.encode(format!("{id}:{}", key.expose()))))
}
