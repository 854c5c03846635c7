//! How a fetcher is one of several.

use crate::text::Secret;

/// The cluster that a fetcher is a member of (`cluster`).
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    /// The nodes of etcd that hold its state, as `https://HOST:PORT` (`cluster.etcd`).
    pub endpoints: Vec<String>,
    /// The cluster's name: several may be held by one etcd (`cluster.name`).
    pub name: String,
    /// This member's name; nothing where it is the host's (`cluster.member`).
    pub member: Option<String>,
    /// How the nodes prove who they are, and this process does (`cluster.tls`).
    pub tls: Option<ClusterTls>,
    /// Who asks (`cluster.user`, `cluster.password`).
    pub user: Option<ClusterUser>,
}

/// Who is trusted, and what is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterTls {
    /// The authorities that vouch for the nodes, as PEM; without them the system's do (`ca_file`).
    pub authorities: Option<Vec<u8>>,
    /// What this process shows (`cert_file`, `key_file`).
    pub identity: Option<ClusterIdentity>,
}

/// A certificate with its key, both as PEM.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterIdentity {
    /// The certificate, and those between it and an authority.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Secret,
}

/// A user of etcd.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Secret,
}
