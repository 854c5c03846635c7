//! How etcd is reached, and who asks.

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

use crate::plan::{ClusterIdentity, ClusterPlan, ClusterTls, ClusterUser};
use crate::text::Secret;

/// How etcd is reached, and who asks.
#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    /// The nodes, as `https://HOST:PORT`. Without a scheme the port speaks TLS where [`Self::tls`] is there.
    pub endpoints: Vec<String>,
    /// How the nodes prove who they are, and this process does.
    pub tls: Option<EtcdTls>,
    /// Who asks, where etcd wants to know it.
    pub user: Option<EtcdUser>,
}

/// Who is trusted, and what is shown.
#[derive(Clone, Debug, Default)]
pub struct EtcdTls {
    /// The authorities that vouch for the nodes, as PEM; without them the system's do.
    pub authorities: Option<Vec<u8>>,
    /// What this process shows.
    pub identity: Option<EtcdIdentity>,
}

/// A certificate with its key, both as PEM.
#[derive(Clone, Debug)]
pub struct EtcdIdentity {
    /// The certificate, and those between it and an authority.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Secret,
}

/// A user of etcd.
#[derive(Clone, Debug)]
pub struct EtcdUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Secret,
}

impl EtcdOptions {
    /// As a plan has them.
    #[must_use]
    pub fn of(plan: &ClusterPlan) -> Self {
        let identity = |of: &ClusterIdentity| EtcdIdentity { certificate: of.certificate.clone(), key: of.key.clone() };
        let tls = |of: &ClusterTls| EtcdTls {
            authorities: of.authorities.clone(),
            identity: of.identity.as_ref().map(identity),
        };
        let user = |of: &ClusterUser| EtcdUser { name: of.name.clone(), password: of.password.clone() };
        Self { endpoints: plan.endpoints.clone(), tls: plan.tls.as_ref().map(tls), user: plan.user.as_ref().map(user) }
    }

    /// For the client of one endpoint. A pause between pings can't be set: etcd hangs up on clients that ping more often than
    /// every 5 s (`--grpc-keepalive-min-time`), and who hangs must be noticed earlier.
    pub(super) fn connect(&self, endpoint: &str, needs_leader: bool) -> ConnectOptions {
        let mut options = ConnectOptions::new().with_require_leader(needs_leader).with_auto_token_refresh(true);
        if let Some(user) = &self.user {
            options = options.with_user(user.name.clone(), user.password.expose());
        }
        match &self.tls {
            Some(tls) => options.with_tls(tls.client()),
            None if endpoint.starts_with("https://") => options.with_tls(EtcdTls::default().client()),
            None => options,
        }
    }
}

impl EtcdTls {
    fn client(&self) -> TlsOptions {
        let options = match &self.authorities {
            Some(authorities) => TlsOptions::new().ca_certificate(Certificate::from_pem(authorities)),
            None => TlsOptions::new().with_native_roots(),
        };
        match &self.identity {
            Some(own) => options.identity(Identity::from_pem(&own.certificate, own.key.expose())),
            None => options,
        }
    }
}
