//! Asking the other services of the cloud, at addresses that the operator wrote down.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};

/// A client that believes the certificates of `cafile`, beside those of the system. `timeout` is that of an answer as
/// a whole.
pub fn client_of_the_cloud(timeout: Duration, cafile: Option<&Path>) -> anyhow::Result<Client> {
    Ok(builder_of_the_cloud(cafile)?.timeout(timeout).build()?)
}

/// Redirects are not followed: tokens would go along.
pub(super) fn builder_of_the_cloud(cafile: Option<&Path>) -> anyhow::Result<ClientBuilder> {
    // A proxy named in the environment is for the world outside.
    let mut client = Client::builder().no_proxy().redirect(Policy::none());
    if let Some(file) = cafile {
        let pem = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let bundle = Certificate::from_pem_bundle(&pem);
        let bundle = bundle.with_context(|| format!("{} holds no certificates", file.display()))?;
        client =
            bundle.into_iter().fold(client, |client, certificate| client.add_root_certificate(certificate));
    }
    Ok(client)
}
