//! Text that people read: numbers and dates as they read them, and what must not be in it.

pub mod humanize;
mod redact;
mod secret;

pub use redact::Redactor;
pub use secret::Secret;

use percent_encoding::percent_decode_str;

/// What a query or form says, decoded.
#[must_use]
pub fn form_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
