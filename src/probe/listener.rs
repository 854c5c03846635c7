//! The listener, asked with an empty request.

use super::report::waited;
use crate::http::unreachable_advice;
use crate::ship::{Listener, ShipError};

/// Whether host and token are right, in words, and whether they are.
pub async fn listener_in_words(listener: &Listener) -> (String, bool) {
    let begun = tokio::time::Instant::now();
    let checked = listener.check().await;
    let took = waited(begun.elapsed());
    match checked {
        Ok(status) => (format!("the listener answered {status} in {took}: host and token are right"), true),
        Err(error) => {
            let advice = match &error {
                ShipError::Unreachable { cause, .. } => unreachable_advice(cause, "logzio.url"),
                ShipError::Status { status, .. } if status.is_server_error() => Some("try again later"),
                ShipError::Status { .. } | ShipError::Foreign { .. } => Some(
                    "it is not a listener, or something stands before it: check logzio.url, like https://listener.logz.io:8071",
                ),
                // What to do is in its own words.
                _ => None,
            };
            let advice = advice.map(|advice| format!("\n{advice}")).unwrap_or_default();
            (format!("{error} (after {took}){advice}"), false)
        }
    }
}
