//! How etcd is reached, and who asks.

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

use crate::plan::{ClusterPlan, ClusterTls, ClusterUser};

/// How etcd is reached, and who asks.
#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    /// The nodes, as `https://HOST:PORT`. Without a scheme the port speaks TLS where [`Self::tls`] is there.
    pub endpoints: Vec<String>,
    /// How the nodes prove who they are, and this process does.
    pub tls: Option<ClusterTls>,
    /// Who asks, where etcd wants to know it.
    pub user: Option<ClusterUser>,
}

impl EtcdOptions {
    /// As a plan has them.
    #[must_use]
    pub fn of(plan: &ClusterPlan) -> Self {
        Self { endpoints: plan.endpoints.clone(), tls: plan.tls.clone(), user: plan.user.clone() }
    }

    /// For the client of one endpoint. A pause between pings can't be set: etcd hangs up on clients that ping more often than
    /// every 5 s (`--grpc-keepalive-min-time`), and who hangs must be noticed earlier.
    pub(super) fn connect(&self, endpoint: &str, needs_leader: bool) -> ConnectOptions {
        let mut options = ConnectOptions::new().with_require_leader(needs_leader).with_auto_token_refresh(true);
        if let Some(user) = &self.user {
            options = options.with_user(user.name.clone(), user.password.expose());
        }
        match &self.tls {
            Some(tls) => options.with_tls(client_tls(Some(tls))),
            None if endpoint.starts_with("https://") => options.with_tls(client_tls(None)),
            None => options,
        }
    }
}

/// The same, as the client wants it.
fn client_tls(tls: Option<&ClusterTls>) -> TlsOptions {
    let options = match tls.and_then(|tls| tls.authorities.as_ref()) {
        Some(authorities) => TlsOptions::new().ca_certificate(Certificate::from_pem(authorities)),
        None => TlsOptions::new().with_native_roots(),
    };
    match tls.and_then(|tls| tls.identity.as_ref()) {
        Some(own) => options.identity(Identity::from_pem(&own.certificate, own.key.expose())),
        None => options,
    }
}
