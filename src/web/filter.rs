//! Which addresses may be asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

use crate::config::ImportFiltering;

/// How long a name may take to be resolved.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is allowed; when that is empty, all but what is disallowed.
#[derive(Clone, Debug, Default)]
pub struct Lists<T> {
    pub allowed: Vec<T>,
    pub disallowed: Vec<T>,
}

/// `import_filtering_opts`, and what is never asked unless its host is named there: addresses that are not public.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub schemes: Lists<String>,
    pub hosts: Lists<String>,
    pub ports: Lists<u16>,
}

/// Why an address is not asked. Does not repeat it: it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it is no address of a web server")]
    Malformed,
    #[error("it holds a user name or password")]
    Credentials,
    #[error("its scheme is not allowed")]
    Scheme,
    #[error("its host is not allowed")]
    Host,
    #[error("its port is not allowed")]
    Port,
    #[error("its host cannot be resolved")]
    Unresolved,
    #[error("its host has no public address")]
    NotPublic,
}

/// An address that may be asked, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub url: Url,
    /// Never empty.
    pub at: Vec<SocketAddr>,
}

impl<T: PartialEq> Lists<T> {
    fn allow(&self, item: &T) -> bool {
        if self.allowed.is_empty() { !self.disallowed.contains(item) } else { self.allowed.contains(item) }
    }
}

impl From<&ImportFiltering> for Filter {
    fn from(options: &ImportFiltering) -> Self {
        let lower = |schemes: &[String]| schemes.iter().map(|scheme| scheme.to_ascii_lowercase()).collect();
        let hosts = |hosts: &[String]| hosts.iter().map(|host| plain(host)).collect();
        Self {
            schemes: Lists {
                allowed: lower(&options.allowed_schemes),
                disallowed: lower(&options.disallowed_schemes),
            },
            hosts: Lists {
                allowed: hosts(&options.allowed_hosts),
                disallowed: hosts(&options.disallowed_hosts),
            },
            ports: Lists {
                allowed: options.allowed_ports.clone(),
                disallowed: options.disallowed_ports.clone(),
            },
        }
    }
}

impl Filter {
    /// Whether this address may be asked now.
    pub async fn check(&self, uri: &str) -> Result<(), Refused> {
        self.resolve(uri).await.map(drop)
    }

    pub(super) async fn resolve(&self, uri: &str) -> Result<Place, Refused> {
        let url = Url::parse(uri).map_err(|_| Refused::Malformed)?;
        if !self.schemes.allow(&url.scheme().to_owned()) || !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let host = url.host().ok_or(Refused::Malformed)?;
        let name = match &host {
            Host::Domain(name) => plain(name),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        if !self.hosts.allow(&name) {
            return Err(Refused::Host);
        }
        let port = url.port_or_known_default().ok_or(Refused::Malformed)?;
        if !self.ports.allow(&port) {
            return Err(Refused::Port);
        }
        let found = match host {
            Host::Ipv4(address) => vec![SocketAddr::new(address.into(), port)],
            Host::Ipv6(address) => vec![SocketAddr::new(address.into(), port)],
            // Without the dot at its end, which resolvers of files do not know.
            Host::Domain(_) => look_up(&name, port).await?,
        };
        let is_named = self.hosts.allowed.contains(&name);
        let is_banned = |address: IpAddr| {
            let names = [address, meant(address)].map(|address| address.to_string());
            self.hosts.allowed.is_empty() && names.iter().any(|name| self.hosts.disallowed.contains(name))
        };
        let may_be_asked = |at: &SocketAddr| is_named || is_public(at.ip()) && !is_banned(at.ip());
        let at: Vec<SocketAddr> = found.into_iter().filter(may_be_asked).collect();
        if at.is_empty() { Err(Refused::NotPublic) } else { Ok(Place { url, at }) }
    }
}

/// A host as lists have it: in lower case, without the brackets of IPv6 and the dot at the end.
fn plain(host: &str) -> String {
    let host = host.trim().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => host.trim_end_matches('.').to_ascii_lowercase(),
    }
}

async fn look_up(name: &str, port: u16) -> Result<Vec<SocketAddr>, Refused> {
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(_)) | Err(_) => Err(Refused::Unresolved),
    }
}

/// Whether an address is one of the internet, as far as its form says.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // This network, carriers' own, protocol assignments, measurements, reserved.
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(embedded) = embedded(address) {
        return is_public_v4(embedded);
    }
    match address.segments() {
        // Of the global unicast range, without Teredo and documentation.
        [0x2001, 0 | 0xdb8, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Who is asked in the end. To be banned by: nobody is let in under another address than was said.
fn meant(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => embedded(address).map_or(address.into(), IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The IPv4 address in it: mapped, compatible, behind NAT64, in 6to4. No host has an address that begins with 0.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => (high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high > 0xff => (high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_our_own_networks_are_not_public() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.8",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    fn like_glance() -> Filter {
        let allowed = |allowed| Lists { allowed, disallowed: Vec::new() };
        Filter {
            schemes: Lists {
                allowed: vec!["http".to_owned(), "https".to_owned()],
                disallowed: vec!["http".to_owned()],
            },
            hosts: Lists::default(),
            ports: allowed(vec![80, 443]),
        }
    }

    #[tokio::test]
    async fn what_is_refused_and_why() {
        let filter = like_glance();
        for (uri, refused) in [
            ("", Refused::Malformed),
            ("no address", Refused::Malformed),
            ("file:///etc/passwd", Refused::Scheme),
            ("ftp://8.8.8.8/", Refused::Scheme),
            ("http://user@8.8.8.8/", Refused::Credentials),
            ("http://:secret@8.8.8.8/", Refused::Credentials),
            ("http://8.8.8.8:22/", Refused::Port),
            ("http://127.0.0.1/", Refused::NotPublic),
            ("http://2130706433/", Refused::NotPublic),
            ("http://0x7f.1/", Refused::NotPublic),
            ("http://[::1]/", Refused::NotPublic),
            ("http://[::ffff:169.254.169.254]/", Refused::NotPublic),
            ("http://localhost/", Refused::NotPublic),
            ("http://LOCALHOST./", Refused::NotPublic),
        ] {
            assert_eq!(filter.check(uri).await, Err(refused), "{uri}");
        }
        assert_eq!(filter.check("https://8.8.8.8/a?b").await, Ok(()));
    }

    #[tokio::test]
    async fn a_host_that_is_named_may_have_any_address() {
        let mut filter = like_glance();
        filter.hosts.allowed = vec!["localhost".to_owned(), "::1".to_owned()];
        filter.hosts.disallowed = vec!["localhost".to_owned()];
        assert_eq!(filter.check("http://LocalHost./").await, Ok(()));
        assert_eq!(filter.check("http://[::1]/").await, Ok(()));
        assert_eq!(filter.check("http://127.0.0.1/").await, Err(Refused::Host));
        filter.ports = Lists { allowed: Vec::new(), disallowed: vec![81] };
        assert_eq!(filter.check("http://localhost:8000/").await, Ok(()));
        assert_eq!(filter.check("http://localhost:81/").await, Err(Refused::Port));
    }

    #[tokio::test]
    async fn a_banned_address_is_banned_under_every_name() {
        let mut filter = like_glance();
        filter.hosts.disallowed = vec!["8.8.8.8".to_owned(), "example.org".to_owned()];
        assert_eq!(filter.check("http://8.8.8.8/").await, Err(Refused::Host));
        assert_eq!(filter.check("http://0x08080808/").await, Err(Refused::Host));
        assert_eq!(filter.check("http://EXAMPLE.org./").await, Err(Refused::Host));
        for other in ["[::ffff:8.8.8.8]", "[::ffff:808:808]", "[64:ff9b::808:808]", "[2002:808:808::1]"] {
            assert_eq!(filter.check(&format!("http://{other}/")).await, Err(Refused::NotPublic), "{other}");
        }
    }

    #[test]
    fn hosts_are_compared_in_one_form() {
        assert_eq!(plain("[0:0::1]"), "::1");
        assert_eq!(plain(" Example.ORG. "), "example.org");
    }
}
