//! Which version of the API a request speaks: the header `OpenStack-API-Version: volume 3.x`.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::fault::Fault;

pub const HEADER: HeaderName = HeaderName::from_static("openstack-api-version");

/// The minor number; the major one is 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microversion(pub u16);

impl Microversion {
    pub const MIN: Self = Self(0);
    pub const MAX: Self = Self(71);

    pub const UPLOAD_IMAGE_PARAMS: Self = Self(1);
    pub const BOOTABLE_FILTER: Self = Self(2);
    pub const MESSAGES: Self = Self(3);
    pub const GLANCE_METADATA_FILTER: Self = Self(4);
    pub const MESSAGE_PAGES: Self = Self(5);
    pub const MANAGEABLE: Self = Self(8);
    pub const GROUP_FILTER: Self = Self(10);
    pub const CLUSTERS: Self = Self(7);
    pub const GROUP_TYPES: Self = Self(11);
    pub const SUMMARY: Self = Self(12);
    pub const GROUPS: Self = Self(13);
    pub const GROUP_SNAPSHOTS: Self = Self(14);
    pub const ETAGS: Self = Self(15);
    pub const MANAGE_CLUSTER: Self = Self(16);
    pub const MANAGEABLE_CLUSTER: Self = Self(17);
    pub const MIGRATE_TO_CLUSTER: Self = Self(16);
    pub const PROVIDER_ID: Self = Self(21);
    pub const SNAPSHOT_METADATA_FILTER: Self = Self(22);
    pub const FORCED_DELETE: Self = Self(23);
    pub const WORKERS_CLEANUP: Self = Self(24);
    pub const REPLICATION_CLUSTERS: Self = Self(26);
    pub const ATTACHMENTS: Self = Self(27);
    pub const POOL_FILTERS: Self = Self(28);
    pub const SNAPSHOT_SORT_BY_NAME: Self = Self(30);
    pub const STRICT_FILTERS: Self = Self(31);
    pub const LOG_LEVELS: Self = Self(32);
    pub const RESOURCE_FILTERS: Self = Self(33);
    pub const POOL_TYPE_FILTER: Self = Self(35);
    pub const SUMMARY_METADATA: Self = Self(36);
    pub const LIMITS_OF_PROJECT: Self = Self(39);
    pub const REVERT: Self = Self(40);
    pub const SNAPSHOT_USER_ID: Self = Self(41);
    pub const EXTEND_IN_USE: Self = Self(42);
    pub const ATTACHMENT_COMPLETION: Self = Self(44);
    pub const COUNT: Self = Self(45);
    pub const NOVA_IMAGES: Self = Self(46);
    pub const FROM_BACKUP: Self = Self(47);
    pub const SHARED_TARGETS: Self = Self(48);
    pub const BACKEND_STATE: Self = Self(49);
    pub const TYPE_FILTERS: Self = Self(52);
    pub const STRICT_BODIES: Self = Self(53);
    pub const ATTACHMENT_MODE: Self = Self(54);
    pub const TRANSFER_SNAPSHOTS: Self = Self(55);
    pub const TRANSFER_HISTORY: Self = Self(57);
    pub const TRANSFER_PAGES: Self = Self(59);
    pub const TIME_FILTERS: Self = Self(60);
    pub const CLUSTER_NAME: Self = Self(61);
    pub const DEFAULT_TYPES: Self = Self(62);
    pub const TYPE_ID: Self = Self(63);
    pub const CONSUMES_QUOTA: Self = Self(65);
    pub const SNAPSHOT_IN_USE: Self = Self(66);
    pub const REIMAGE: Self = Self(68);
}

/// What the header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requested {
    Version(Microversion),
    /// Well formed, but not ours.
    Unsupported(String),
    Malformed(String),
    /// A header that does not speak of this service.
    Unnamed,
}

impl Requested {
    pub fn from_headers(headers: &HeaderMap) -> Self {
        if !headers.contains_key(HEADER) {
            return Requested::Version(Microversion::MIN);
        }
        // Several lines are as good as one with commas.
        let lines: Result<Vec<&str>, _> = headers.get_all(HEADER).iter().map(HeaderValue::to_str).collect();
        let Ok(lines) = lines else { return Requested::Unnamed };
        let mut parts = lines.into_iter().flat_map(|line| line.split(','));
        let Some(ours) = parts.find(|part| part.contains("volume")) else {
            return Requested::Unnamed;
        };
        let mut words = ours.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(_), Some("latest"), None) => Requested::Version(Microversion::MAX),
            (Some(_), Some(version), None) => Self::parse(version),
            _ => Requested::Unnamed,
        }
    }

    fn parse(text: &str) -> Self {
        let Some((major, minor)) = text.split_once('.').filter(|(a, b)| is_number(a) && is_number(b)) else {
            return Requested::Malformed(text.to_owned());
        };
        if major == "0" {
            return Requested::Malformed(text.to_owned());
        }
        match minor.parse::<u16>() {
            Ok(minor) if major == "3" && minor <= Microversion::MAX.0 => {
                Requested::Version(Microversion(minor))
            }
            _ => Requested::Unsupported(text.to_owned()),
        }
    }

    /// What the answer's header says; `None`: it has none.
    pub fn echo(&self) -> Option<String> {
        match self {
            Requested::Version(Microversion(minor)) => Some(format!("volume 3.{minor}")),
            Requested::Unsupported(text) => Some(format!("volume {text}")),
            Requested::Malformed(_) | Requested::Unnamed => None,
        }
    }

    pub fn version(self) -> Result<Microversion, Fault> {
        match self {
            Requested::Version(version) => Ok(version),
            Requested::Unsupported(text) => Err(Fault::UnsupportedVersion(text)),
            Requested::Malformed(text) => Err(Fault::MalformedVersion(text)),
            Requested::Unnamed => Err(Fault::Malformed),
        }
    }
}

/// Digits without a leading zero.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_as_the_real_service_reads_it() {
        use Requested::*;
        let malformed = |text: &str| Malformed(text.to_owned());
        let unsupported = |text: &str| Unsupported(text.to_owned());
        for (header, expected) in [
            ("volume 3.0", Version(Microversion(0))),
            ("volume 3.71", Version(Microversion(71))),
            ("volume latest", Version(Microversion(71))),
            ("compute 2.1, volume 3.27", Version(Microversion(27))),
            ("volume   3.27", Version(Microversion(27))),
            ("volume 3.72", unsupported("3.72")),
            ("volume 2.0", unsupported("2.0")),
            ("volume 4.0", unsupported("4.0")),
            ("volume 3.99999999999", unsupported("3.99999999999")),
            ("volume 3.x", malformed("3.x")),
            ("volume 3", malformed("3")),
            ("volume 3.01", malformed("3.01")),
            ("volume 03.1", malformed("03.1")),
            ("volume 0.1", malformed("0.1")),
            ("volume 3.1.2", malformed("3.1.2")),
            ("volume -3.1", malformed("-3.1")),
            ("volume", Unnamed),
            ("volume 3.1 3.2", Unnamed),
            ("compute 2.1", Unnamed),
            ("", Unnamed),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, header.parse().unwrap());
            assert_eq!(Requested::from_headers(&headers), expected, "{header:?}");
        }
        assert_eq!(Requested::from_headers(&HeaderMap::new()), Version(Microversion(0)));
        for (first, second) in
            [("compute 2.1", "volume 3.60"), ("volume 3.60", "volume 3.1"), ("", "volume 3.60")]
        {
            let mut headers = HeaderMap::new();
            headers.append(HEADER, first.parse().unwrap());
            headers.append(HEADER, second.parse().unwrap());
            assert_eq!(Requested::from_headers(&headers), Version(Microversion(60)), "{first:?}, {second:?}");
        }
    }
}
