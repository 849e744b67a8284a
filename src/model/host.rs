//! Where a volume lies, as Cinder writes it.

use std::fmt;

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
}
