//! Whether this member of a cluster reaches the outputs: asked only where one fails here, or fails another member.

use std::sync::Arc;

use crate::cluster::{MemberHandle, Reach};
use crate::iteration::Services;
use crate::ship::ShipError;

/// Looks, and says what it found.
pub(super) async fn look_around(services: Arc<Services>, member: MemberHandle) {
    let is_failing = services.listeners.iter().any(|listener| listener.outage().is_failing());
    if !is_failing && !member.summary().is_anybody_cut {
        return member.reach(Reach::Untold);
    }
    for listener in &services.listeners {
        match listener.check().await {
            // Who refuses the token is there, and refuses it to all members.
            Ok(_) | Err(ShipError::Token { .. }) => {}
            Err(cause) => {
                tracing::debug!(%cause, "an output isn't reached");
                return member.reach(Reach::Cut);
            }
        }
    }
    member.reach(Reach::Reached);
}
