//! The files that hold certificates and keys.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::api::Entries;
use super::keys;
use super::reader::Reader;
use super::section::Section;
use super::value::Text;
use super::{expand, plain};
use crate::assertion::{Assertion, AssertionOptions};
use crate::http::ClientIdentity;

/// Opens the files that a config names.
#[derive(Clone, Copy)]
pub(super) struct ConfigFiles<'v> {
    pub(super) reader: &'v Reader<'v>,
    /// Where relative names start from; `None` where none is opened.
    pub(super) directory: Option<&'v Path>,
}

impl ConfigFiles<'_> {
    /// The authorities that a file names.
    pub(super) fn roots(self, file: &Text) -> Option<Vec<CertificateDer<'static>>> {
        let certificates = self.certificates(file)?;
        let mut roots = RootCertStore::empty();
        if certificates.iter().any(|certificate| roots.add(certificate.clone()).is_err()) {
            self.reader.error(&file.spot, "a certificate in the file can't be used", None);
        }
        Some(certificates)
    }

    /// The certificates in a file; at least one, or an error is noted.
    pub(super) fn certificates(self, file: &Text) -> Option<Vec<CertificateDer<'static>>> {
        let bytes = self.bytes(file)?;
        match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
            Ok(certificates) => {
                if certificates.is_empty() {
                    let what = format!("{} holds no certificate in PEM form", named(file));
                    self.reader.error(&file.spot, what, None);
                }
                Some(certificates)
            }
            // The error quotes what is in the file, which may be a key.
            Err(_) => {
                self.reader.error(&file.spot, format!("{} is not in PEM form", named(file)), None);
                None
            }
        }
    }

    /// The private key in a file.
    pub(super) fn private_key(self, file: &Text) -> Option<PrivateKeyDer<'static>> {
        let bytes = self.bytes(file)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes);
        if key.is_err() {
            let hint = "a key that a password protects can't be used: decrypt it with `openssl pkcs8 -in KEY -out NEW`";
            let what = format!("{} holds no private key in PEM form", named(file));
            self.reader.error(&file.spot, what, Some(hint.to_owned()));
        }
        key.ok()
    }

    /// A certificate with its key, and authorities, that fit; else the error is noted as one of `file`.
    pub(super) fn identity(
        self,
        own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
        roots: Vec<CertificateDer<'static>>,
        file: &Text,
    ) -> Option<ClientIdentity> {
        let identity = ClientIdentity::new(own, roots);
        if identity.is_err() {
            let what = format!("the key in {} is not the certificate's, or can't be used", named(file));
            self.reader.error(&file.spot, what, Some("certificate and key must belong together".to_owned()));
        }
        identity.ok()
    }

    /// What is in a file that belongs to the config.
    fn bytes(self, file: &Text) -> Option<Vec<u8>> {
        self.reader.names_file(&file.value);
        let opened = match self.directory {
            Some(directory) => expand::read_small(&directory.join(&file.value)),
            None => Err("is not opened in a replay".to_owned()),
        };
        match opened {
            Ok(bytes) => Some(bytes),
            Err(what) => {
                self.reader.error(&file.spot, format!("{} {what}", named(file)), None);
                None
            }
        }
    }
}

/// A file by its name. What isn't a path may be the value itself, by a slip.
fn named(file: &Text) -> String {
    let is_shown = file.value.contains(['/', '.']) || plain::is_plain(&file.value);
    if is_shown { format!("the file {}", file.value) } else { "the file".to_owned() }
}

impl Entries<'_> {
    /// The certificates of the entry's own; `None` where one of them has an error, which is noted.
    pub(super) fn identity(&self, entry: &Section<'_>) -> Option<Option<Arc<ClientIdentity>>> {
        let [cert, key, ca] = [&keys::CERT_FILE, &keys::KEY_FILE, &keys::ENTRY_CA_FILE].map(|key| entry.read(key));
        if cert.is_none() && key.is_none() && ca.is_none() {
            return Some(None);
        }
        let files = self.files();
        let roots = match &ca {
            Some(file) => files.roots(file)?,
            None => Vec::new(),
        };
        let own = match (&cert, &key) {
            (None, None) => None,
            (None, Some(_)) => {
                let hint = Some("tls.cert_file names the certificate that belongs to the key".to_owned());
                self.reader.error(&entry.spot_of(&keys::CERT_FILE), "a key without its certificate", hint);
                return None;
            }
            (Some(cert), key) => {
                let key = key.as_ref().unwrap_or(cert);
                Some((files.certificates(cert)?, files.private_key(key)?))
            }
        };
        let identity = files.identity(own, roots, key.as_ref().or(cert.as_ref()).or(ca.as_ref())?)?;
        Some(Some(Arc::new(identity)))
    }

    fn files(&self) -> ConfigFiles<'_> {
        ConfigFiles { reader: self.reader, directory: self.directory }
    }

    /// How to make the assertions of the token request; `None` where its file has an error, which is noted.
    pub(super) fn assertion(&self, entry: &Section<'_>, scope: Option<&str>) -> Option<Option<Box<Assertion>>> {
        let Some(file) = entry.read(&keys::ASSERTION_FILE) else {
            if let Some(found) = entry.find(&keys::ASSERTION_SUBJECT).or_else(|| entry.find(&keys::ASSERTION_AUDIENCE))
            {
                found.refuse::<()>("there is no file to sign with", Some("set token_http_request.assertion.file"));
            }
            return Some(None);
        };
        let text = |key| entry.read(key);
        let (subject, audience) = (text(&keys::ASSERTION_SUBJECT), text(&keys::ASSERTION_AUDIENCE));
        let (key_id, client_id) = (text(&keys::ASSERTION_KEY_ID), entry.read(&keys::CLIENT_ID));
        let url = entry.find(&keys::TOKEN_URL).and_then(|found| found.text()).unwrap_or_default();
        let options = AssertionOptions {
            subject: subject.as_deref(),
            audience: audience.as_deref(),
            scope,
            client_id: client_id.as_deref(),
            key_id: key_id.as_deref(),
            token_url: &url,
        };
        if self.directory.is_none() {
            return Some(Some(Box::new(Assertion::stand_in(&options))));
        }
        let bytes = self.files().bytes(&file)?;
        match Assertion::read(&bytes, &options) {
            Ok(assertion) => Some(Some(Box::new(assertion))),
            Err(what) => {
                self.reader.error(&file.spot, format!("{} {what}", named(&file)), None);
                None
            }
        }
    }
}
