//! Where a client on this machine finds the service.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;

use crate::config::Config;

/// Where everything is served, for commands on this machine.
pub fn address(config: &Config) -> String {
    format!("{}://{}", config.scheme(), reachable(config.api.listen))
}

/// A client for that. It believes the service's own certificate, which names another host than loopback.
pub fn client(config: &Config) -> anyhow::Result<reqwest::ClientBuilder> {
    // A proxy named in the environment is for other machines.
    let client = reqwest::Client::builder().no_proxy();
    let Some(file) = &config.ssl.cert_file else { return Ok(client) };
    let pem = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem)?;
    Ok(client.tls_certs_merge(certificates).tls_danger_accept_invalid_hostnames(true))
}

/// Where a listener on all addresses is reached from this machine.
pub(super) fn reachable(mut listener: SocketAddr) -> SocketAddr {
    if listener.ip().is_unspecified() {
        listener.set_ip(match listener.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listener
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        let reached = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:8080"), "[::1]:8080");
        assert_eq!(reached("10.0.0.7:80"), "10.0.0.7:80");
    }
}
