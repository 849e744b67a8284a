//! Where every client begins: with the certificates that the system trusts, which are read once a process. They are
//! some hundred files' worth to parse, and a download makes a client for each request.

use std::sync::OnceLock;

use native_tls::TlsConnector;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

/// A client of the certificates that the system trusted when the first one was made. It follows no redirects, and
/// takes no proxy from the environment.
pub(super) fn builder() -> Result<ClientBuilder, native_tls::Error> {
    Ok(plain().tls_backend_preconfigured(of_the_system()?))
}

/// The same, with certificates still to be read.
pub(super) fn plain() -> ClientBuilder {
    Client::builder().no_proxy().redirect(Policy::none())
}

fn of_the_system() -> Result<TlsConnector, native_tls::Error> {
    static READ: OnceLock<TlsConnector> = OnceLock::new();
    match READ.get() {
        Some(connector) => Ok(connector.clone()),
        None => {
            let connector = TlsConnector::new()?;
            Ok(READ.get_or_init(|| connector).clone())
        }
    }
}
