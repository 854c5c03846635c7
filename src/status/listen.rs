//! Where the page is served: as the config says, also when it changes its mind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{BODY_BYTES_MAX, Extent, StatusRegistry, answer};
use crate::server::serve_on;

/// How long an address that can't be listened on is left alone.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Serves the page, where and while it is wanted.
#[derive(Debug)]
pub struct StatusServer {
    registry: Arc<StatusRegistry>,
    serving: Option<(SocketAddr, JoinHandle<()>)>,
}

impl StatusServer {
    /// Listens nowhere.
    #[must_use]
    pub fn new(registry: Arc<StatusRegistry>) -> Self {
        Self { registry, serving: None }
    }

    /// Listens there, or nowhere, from now on. An address that can't be had is tried again: the page is no reason to
    /// keep records waiting.
    pub fn listen(&mut self, address: Option<SocketAddr>) {
        if self.serving.as_ref().map(|(served, _)| *served) == address {
            return;
        }
        let before = self.serving.take().map(|(_, serving)| serving);
        if let Some(before) = &before {
            before.abort();
        }
        let Some(address) = address else {
            tracing::info!("the status page is no longer served");
            return;
        };
        let registry = Arc::clone(&self.registry);
        let serving = tokio::spawn(async move {
            // Its address may be the same but for the host.
            if let Some(before) = before {
                let _ = before.await;
            }
            let listener = bound(address).await;
            serve_on(listener, BODY_BYTES_MAX, move |asked| answer(asked, &registry, Extent::All, Utc::now())).await;
        });
        self.serving = Some((address, serving));
    }
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        if let Some((_, serving)) = &self.serving {
            serving.abort();
        }
    }
}

/// Tries until the address can be had; told once.
async fn bound(address: SocketAddr) -> TcpListener {
    let mut has_told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                // The port is another than the config's where that is 0.
                let address = listener.local_addr().unwrap_or(address);
                tracing::info!("the status page is at http://{address}/");
                return listener;
            }
            Err(cause) => {
                if !std::mem::replace(&mut has_told, true) {
                    tracing::error!(
                        %address,
                        %cause,
                        "the status page can't be served there; it is tried again every {} s, and records flow without it",
                        TRY_AGAIN_AFTER.as_secs()
                    );
                }
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
            }
        }
    }
}
