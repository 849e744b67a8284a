//! Where certificates come from: a directory of the operator's, and Barbican.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use axum::http::HeaderValue;
use openssl::x509::X509;
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use super::{Signature, SignatureError, Signed, unusable};
use crate::web::Barbican;

/// No certificate is longer.
const LONGEST: u64 = 256 << 10;

/// In either form.
///
/// # Errors
/// When it is none.
pub fn read_certificate(bytes: &[u8]) -> Result<X509, SignatureError> {
    let read = X509::from_pem(bytes).or_else(|_| X509::from_der(bytes));
    read.map_err(|_| unusable("Invalid certificate format: it is no X.509"))
}

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// Holds `<uuid>.pem`.
    directory: Option<PathBuf>,
    barbican: Option<Barbican>,
}

impl Certificates {
    pub fn new(directory: Option<PathBuf>, barbican: Option<Barbican>) -> Self {
        Self { directory, barbican }
    }

    /// What the bytes of an image with these properties must be. `None`: it is not signed.
    ///
    /// # Errors
    /// When it says that it is, and nobody can tell by whom.
    pub async fn signed(
        &self,
        properties: &BTreeMap<String, String>,
        token: Option<&HeaderValue>,
    ) -> Result<Option<Signed>, SignatureError> {
        let Some(signature) = Signature::of(properties)? else { return Ok(None) };
        let certificate = self.find(signature.certificate(), token).await?;
        signature.by(&certificate).map(Some)
    }

    /// The certificate of this name, which must be a UUID; Barbican is asked with the caller's own token.
    pub async fn find(&self, name: &str, token: Option<&HeaderValue>) -> Result<X509, SignatureError> {
        let found = match Uuid::try_parse(name) {
            Ok(id) => self.look_up(id, token).await,
            Err(_) => Ok(None),
        };
        match found {
            Ok(Some(bytes)) => read_certificate(&bytes),
            Ok(None) => Err(unusable(format!("Certificate not found with ID: {name}"))),
            Err(error) => {
                tracing::error!(certificate.id = %name, error = format!("{error:#}"),
                    "a certificate cannot be had");
                Err(unusable(format!("Unable to retrieve certificate with ID: {name}")))
            }
        }
    }

    async fn look_up(&self, id: Uuid, token: Option<&HeaderValue>) -> anyhow::Result<Option<Vec<u8>>> {
        if let Some(directory) = &self.directory {
            let path = directory.join(format!("{id}.pem"));
            match tokio::fs::File::open(&path).await {
                Ok(file) => {
                    let mut bytes = Vec::new();
                    file.take(LONGEST).read_to_end(&mut bytes).await?;
                    return Ok(Some(bytes));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
            }
        }
        match &self.barbican {
            Some(barbican) => barbican.secret(id, token).await,
            None if self.directory.is_some() => Ok(None),
            None => bail!("neither images.certificates_directory nor barbican.barbican_endpoint is set"),
        }
    }
}
