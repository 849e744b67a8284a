//! The certificate that the listening ports show. It can be replaced while they are open: connections that are there keep
//! what they were shown.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, ensure};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::config::Ssl;

#[derive(Debug)]
pub struct Certificate {
    cert_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// `None`: the ports speak plain HTTP.
    pub fn load(files: &Ssl) -> anyhow::Result<Option<Arc<Self>>> {
        let (Some(cert_file), Some(key_file)) = (files.cert_file.clone(), files.key_file.clone()) else {
            return Ok(None);
        };
        let current = RwLock::new(Arc::new(read(&cert_file, &key_file)?));
        Ok(Some(Arc::new(Self { cert_file, key_file, current })))
    }

    /// Reads the files again. What cannot be used leaves the one that is there.
    pub fn reload(&self) {
        match read(&self.cert_file, &self.key_file) {
            Ok(certificate) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificate);
                tracing::info!("the certificate was read again");
            }
            Err(error) => tracing::error!("the certificate stays as it was: {error:#}"),
        }
    }

    pub(super) fn acceptor(self: Arc<Self>) -> anyhow::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// The key must be the certificate's.
fn read(cert_file: &Path, key_file: &Path) -> anyhow::Result<CertifiedKey> {
    let chain = CertificateDer::pem_file_iter(cert_file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.with_context(|| format!("{} (ssl.cert_file) cannot be read", cert_file.display()))?;
    ensure!(!chain.is_empty(), "{} (ssl.cert_file) holds no certificate", cert_file.display());
    let key = PrivateKeyDer::from_pem_file(key_file)
        .with_context(|| format!("{} (ssl.key_file) holds no key", key_file.display()))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .with_context(|| format!("{} is not the key of {}", key_file.display(), cert_file.display()))
}
