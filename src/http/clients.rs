//! The clients, each with connections of its own: a request takes the one that suits it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Url};
use rustls::pki_types::CertificateDer;

use super::guard::{Guard, proxy_hosts};
use super::{ClientError, ClientIdentity, PrivateAddress, Timeouts, builder, tell_bundles, tls};

/// The clients of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clients {
    /// For nearly everything, the listener too; silent for as long as [`Timeouts::idle`], it gives up.
    pub usual: Client,
    /// The same for whoever minds the silence itself.
    patient: Client,
    /// For servers that refuse HTTP/2 (RFC 9113, section 7: `HTTP_1_1_REQUIRED`).
    http1: Client,
    /// For hosts that the config doesn't spell out: it connects to public addresses alone. By HTTP/1.1.
    guarded: Client,
    limits: Timeouts,
    guard: Guard,
    /// What is trusted besides the system's.
    extra_roots: Arc<[CertificateDer<'static>]>,
}

/// How a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientChoice {
    /// Whether the config spells the host out: then it may be anywhere.
    pub is_named: bool,
    /// Whether the server refused HTTP/2.
    pub is_http1: bool,
    /// How long the server may be silent, the first byte included.
    pub idle: Duration,
}

/// The clients of a config.
///
/// # Errors
/// Where a certificate is unusable, or a proxy variable of the environment is.
pub fn clients(extra_roots: &[CertificateDer<'static>], timeouts: Timeouts) -> Result<Clients, ClientError> {
    tell_bundles();
    made(extra_roots.into(), None, timeouts)
}

fn made(
    extra_roots: Arc<[CertificateDer<'static>]>,
    identity: Option<&ClientIdentity>,
    timeouts: Timeouts,
) -> Result<Clients, ClientError> {
    let tls = tls(&extra_roots, identity)?;
    let mut http1 = tls.clone();
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    let guard = Guard::new(proxy_hosts(|name| std::env::var(name).ok()));
    Ok(Clients {
        usual: builder(tls.clone(), timeouts)?.read_timeout(timeouts.idle).build()?,
        patient: builder(tls, timeouts)?.build()?,
        http1: builder(http1.clone(), timeouts)?.http1_only().build()?,
        guarded: builder(http1, timeouts)?.http1_only().dns_resolver(guard.clone()).build()?,
        limits: timeouts,
        guard,
        extra_roots,
    })
}

impl Clients {
    /// Clients of its own for an entry that shows a certificate, or trusts other ones.
    ///
    /// # Errors
    /// As [`clients`].
    pub fn with_identity(&self, identity: &ClientIdentity) -> Result<Self, ClientError> {
        made(Arc::clone(&self.extra_roots), Some(identity), self.limits)
    }

    /// The client for a request that goes this way, and how long a whole answer may take then.
    #[must_use]
    pub fn on(&self, way: ClientChoice) -> (&Client, Duration) {
        let client = match way {
            ClientChoice { is_named: false, .. } => &self.guarded,
            ClientChoice { is_http1: true, .. } => &self.http1,
            ClientChoice { idle, .. } if idle > self.limits.idle => &self.patient,
            _ => &self.usual,
        };
        // Whoever allows a long silence allows as long an answer.
        (client, self.limits.whole.max(way.idle.saturating_mul(2)))
    }

    /// Makes sure that a host that the config doesn't spell out isn't an inner one, as far as that can be known before the
    /// connection is made; the rest is checked on the address that is connected to.
    ///
    /// # Errors
    /// [`PrivateAddress`], where it is one.
    pub async fn admit(&self, url: &Url) -> Result<(), PrivateAddress> {
        self.guard.admit(url).await
    }
}
