//! The question whether the listener can be used, before there is something to lose.

use std::sync::Arc;
use std::time::Duration;

use crate::iteration::Services;
use crate::process::stop::{Stop, Waited};
use crate::ship::Listener;

/// When the listener is asked by an empty request, from the start or a reload on: what APIs have had to ship has mostly
/// shown by then whether it takes anything, and their first requests come before it.
const CHECKED_AFTER: Duration = Duration::from_secs(5);

/// Says soon what is wrong with an output, where no batch has shown it by then.
pub fn check_listeners(services: &Services) {
    for listener in &services.listeners {
        tokio::spawn(check_listener(Arc::clone(listener), services.listeners.len() > 1, services.stop.clone()));
    }
}

async fn check_listener(listener: Arc<Listener>, is_one_of_several: bool, stop: Stop) {
    if stop.wait(CHECKED_AFTER).await == Waited::Stopped || !listener.is_unheard() {
        return;
    }
    if let Some(Err(error)) = stop.until_end(listener.check()).await {
        let output = is_one_of_several.then(|| listener.name().as_str());
        tracing::error!(output, cause = %error, advice = error.hint(), "the listener was asked by an empty request, and can't be used");
    }
}
