//! The cluster that a fetcher is a member of: `cluster`.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificates::ConfigFiles;
use super::document::Spot;
use super::keys::{self, ConfigKey};
use super::kinds::Kind;
use super::reader::Reader;
use super::section::Section;
use super::value::Text;
use crate::plan::{ClusterIdentity, ClusterPlan, ClusterTls, ClusterUser};
use crate::text::Secret;

/// The name of a cluster that has none of its own.
const NAME_DEFAULT: &str = "default";

/// The cluster, or `Some(None)` where there is none; `None` where it has an error, which is noted. `directory` is where
/// relative names of files start from, `None` where none is opened; `is_built` says whether this build can be
/// a member at all.
pub(super) fn read_cluster(
    reader: &Reader<'_>,
    top: &Section<'_>,
    directory: Option<&Path>,
    is_built: bool,
) -> Option<Option<ClusterPlan>> {
    // What is there and no mapping is an error already.
    if !top.has_section_of(&keys::CLUSTER_ETCD) {
        return Some(None);
    }
    if !is_built {
        let hint = "build with `--features cluster`, or use the image, which has it".to_owned();
        reader.error(&Spot::default().key("cluster"), "this build can't run in a cluster", Some(hint));
    }
    let urls = top.require(&keys::CLUSTER_ETCD);
    let name = top.read_or(&keys::CLUSTER_NAME, NAME_DEFAULT.to_owned());
    let member = top.read_or_none(&keys::CLUSTER_MEMBER);
    let user = together(top, &keys::CLUSTER_USER, &keys::CLUSTER_PASSWORD);
    let tls = read_tls(reader, top, directory);
    let urls = urls?;
    if has_tls(top) && urls.iter().any(|url| url.scheme() != "https") {
        let hint = "write https:// in all URLs of cluster.etcd, or take cluster.tls out".to_owned();
        let spot = top.spot_of(&keys::CLUSTER_ETCD);
        reader.error(&spot, "cluster.tls is there, and not all URLs begin with https://", Some(hint));
        return None;
    }
    let user = user?.map(|(name, password)| ClusterUser { name, password });
    let endpoints = urls.iter().map(|url| url.origin().ascii_serialization()).collect();
    Some(Some(ClusterPlan { endpoints, name: name?, member: member?, tls: tls?, user }))
}

/// Whether anything is said of TLS.
fn has_tls(top: &Section<'_>) -> bool {
    [&keys::CLUSTER_CA_FILE, &keys::CLUSTER_CERT_FILE, &keys::CLUSTER_KEY_FILE].iter().any(|key| top.has(key))
}

/// The values of two keys of which none may stand alone, or `Some(None)` where neither is there; `None` where one has an error.
fn together<'v, A: Kind, B: Kind>(
    top: &Section<'v>,
    one: &ConfigKey<A>,
    other: &ConfigKey<B>,
) -> Option<Option<(A::Value<'v>, B::Value<'v>)>> {
    if !top.has(one) && !top.has(other) {
        return Some(None);
    }
    let (one, other) = (top.require(one), top.require(other));
    Some(Some((one?, other?)))
}

/// Who is trusted and what is shown, or `Some(None)` where nothing is said of it; `None` where a file has an error.
fn read_tls(reader: &Reader<'_>, top: &Section<'_>, directory: Option<&Path>) -> Option<Option<ClusterTls>> {
    let own = together(top, &keys::CLUSTER_CERT_FILE, &keys::CLUSTER_KEY_FILE);
    let ca = top.read_or_none(&keys::CLUSTER_CA_FILE);
    let (own, ca): (Option<(Text, Text)>, Option<Text>) = (own?, ca?);
    let Some(file) = own.as_ref().map(|(_, key)| key).or(ca.as_ref()) else { return Some(None) };
    let files = ConfigFiles { reader, directory };
    let ca = ca.as_ref().map(|file| files.roots(file));
    let own = own.as_ref().map(|(cert, key)| Some((files.certificates(cert)?, files.private_key(key)?)));
    // All of them are read, so that all that is wrong is told.
    let (ca, own) = (ca.map_or(Some(None), |ca| ca.map(Some))?, own.map_or(Some(None), |own| own.map(Some))?);
    let authorities = ca.as_deref().map(pem_of);
    let identity = own
        .as_ref()
        .map(|(certificates, key)| ClusterIdentity { certificate: pem_of(certificates), key: pem_of_key(key) });
    files.identity(own, ca.unwrap_or_default(), file)?;
    Some(Some(ClusterTls { authorities, identity }))
}

/// Certificates as PEM, without what else was in their file: that may be a key.
fn pem_of(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    certificates.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect::<String>().into_bytes()
}

/// A private key as PEM.
fn pem_of_key(key: &PrivateKeyDer<'_>) -> Secret {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    Secret::new(pem(label, key.secret_der()))
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes are a line of 64 letters.
    for part in der.chunks(48) {
        let _ = writeln!(text, "{}", STANDARD.encode(part));
    }
    text + &format!("-----END {label}-----\n")
}
