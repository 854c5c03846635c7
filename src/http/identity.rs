//! The certificate by which a client proves who it is (mutual TLS, RFC 8446, section 4.4.2).

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{ClientError, tls};
use crate::record::Fingerprint;

/// What an entry's `tls` says. Its key is never printed.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The client's certificate and those that vouch for it; none where the client shows none.
    certificates: Vec<CertificateDer<'static>>,
    key: Option<Arc<PrivateKeyDer<'static>>>,
    /// The authorities that are trusted besides the others.
    pub(super) roots: Vec<CertificateDer<'static>>,
    fingerprint: Fingerprint,
}

impl ClientIdentity {
    /// Of a certificate with its key, or of neither, and of authorities that are trusted besides.
    ///
    /// # Errors
    /// Where the key is not the certificate's, or one of them can't be used.
    pub fn new(
        own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, ClientError> {
        let (certificates, key) = own.map_or((Vec::new(), None), |(certificates, key)| (certificates, Some(key)));
        let parts: Vec<&[u8]> = [b"certificates".as_slice()]
            .into_iter()
            .chain(certificates.iter().map(AsRef::as_ref))
            .chain(key.iter().map(PrivateKeyDer::secret_der))
            .chain([b"roots".as_slice()])
            .chain(roots.iter().map(AsRef::as_ref))
            .collect();
        let fingerprint = Fingerprint::of(&parts);
        let identity = Self { certificates, key: key.map(Arc::new), roots, fingerprint };
        tls(&[], Some(&identity))?;
        Ok(identity)
    }

    /// The certificate and its key.
    pub(super) fn own(&self) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        Some((self.certificates.clone(), self.key.as_ref()?.clone_key()))
    }

    /// Tells it from others.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl PartialEq for ClientIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("certificates", &self.certificates.len())
            .field("roots", &self.roots.len())
            .finish_non_exhaustive()
    }
}
