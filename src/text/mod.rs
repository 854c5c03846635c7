//! Text that people read: numbers and dates as they read them, and what must not be in it.

pub mod humanize;
mod names;
mod redact;
mod secret;

pub(crate) use names::{SECRET_NAME_PARTS, is_secret_name};
pub use redact::Redactor;
pub use secret::Secret;

use percent_encoding::percent_decode_str;

/// What a query or form says, decoded.
#[must_use]
pub fn form_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
