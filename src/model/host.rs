//! Where a volume lies, as Cinder writes it.

use std::fmt;

use uuid::{Uuid, uuid};

/// Where the names of services are names.
const SERVICES: Uuid = uuid!("b6a1d4b5-5f0f-4c55-9d0c-0c9d6a1f7f2e");

/// `<host>@<backend>#<pool>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    pub host: &'a str,
    pub backend: &'a str,
    pub pool: &'a str,
}

impl<'a> Host<'a> {
    /// What we call all our processes: they see the same stores.
    pub const OURS: &'static str = "pumice";

    pub fn ours(backend: &'a str, pool: &'a str) -> Self {
        Self { host: Self::OURS, backend, pool }
    }

    /// Parts that are missing are empty.
    pub fn parse(text: &'a str) -> Self {
        let (place, pool) = text.split_once('#').unwrap_or((text, ""));
        let (host, backend) = place.split_once('@').unwrap_or((place, ""));
        Self { host, backend, pool }
    }

    /// Of the service that looks after it: made from its name, for that never changes, and kept nowhere.
    pub fn service_id(&self) -> Uuid {
        let name = Host { pool: "", ..*self }.to_string();
        Uuid::new_v5(&SERVICES, name.as_bytes())
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host)?;
        for (mark, part) in [('@', self.backend), ('#', self.pool)] {
            if !part.is_empty() {
                write!(f, "{mark}{part}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        for (text, parts) in [
            ("pumice@rbd#volumes", ("pumice", "rbd", "volumes")),
            ("pumice@rbd", ("pumice", "rbd", "")),
            ("pumice", ("pumice", "", "")),
            ("", ("", "", "")),
        ] {
            let host = Host::parse(text);
            assert_eq!((host.host, host.backend, host.pool), parts);
            assert_eq!(host.to_string(), text);
        }
    }

    #[test]
    fn a_service_has_one_id_for_ever() {
        let id = |host| Host::parse(host).service_id().to_string();
        assert_eq!(id("pumice@rbd#volumes"), "14436dfe-2f76-5616-b84c-73b6fecc06b1");
        assert_eq!(id("pumice@rbd#volumes"), id("pumice@rbd#other"));
        assert_ne!(id("pumice@rbd"), id("pumice@fast"));
    }
}
