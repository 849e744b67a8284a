//! Asking the other services of the cloud, at addresses that the operator wrote down.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Certificate, Client, ClientBuilder};

use super::roots;

/// A client that believes the certificates of `cafile`, beside those of the system. `timeout` is that of an answer as
/// a whole.
pub fn client_of_the_cloud(timeout: Duration, cafile: Option<&Path>) -> anyhow::Result<Client> {
    Ok(builder_of_the_cloud(cafile)?.timeout(timeout).build()?)
}

/// Redirects are not followed: tokens would go along. A proxy named in the environment is for the world outside.
pub(super) fn builder_of_the_cloud(cafile: Option<&Path>) -> anyhow::Result<ClientBuilder> {
    let Some(file) = cafile else { return Ok(roots::builder()?) };
    let pem = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let bundle = Certificate::from_pem_bundle(&pem);
    let bundle = bundle.with_context(|| format!("{} holds no certificates", file.display()))?;
    Ok(bundle
        .into_iter()
        .fold(roots::plain(), |client, certificate| client.add_root_certificate(certificate)))
}
