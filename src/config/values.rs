//! The kinds of value an option may have.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Url;

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub u64);

impl Seconds {
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        seconds.duration()
    }
}

/// How much may be stored, as Glance writes it: `0`, `500`, `500B`, `20GB`. A unit is 1024 times the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrText", into = "String")]
pub struct StorageQuota(u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl StorageQuota {
    pub const NONE: Self = Self(0);

    /// In bytes; `None`: there is no limit.
    pub fn bytes(self) -> Option<u64> {
        (self.0 > 0).then_some(self.0)
    }
}

impl TryFrom<NumberOrText> for StorageQuota {
    type Error = &'static str;

    fn try_from(value: NumberOrText) -> Result<Self, Self::Error> {
        const WRONG: &str = "must be a number, and may have B, KB, MB, GB or TB at its end, without a blank";
        let text = match value {
            NumberOrText::Number(bytes) => return Ok(Self(bytes)),
            NumberOrText::Text(text) => text,
        };
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let shift = match unit {
            "" | "B" => 0,
            "KB" => 10,
            "MB" => 20,
            "GB" => 30,
            "TB" => 40,
            _ => return Err(WRONG),
        };
        let number: u64 = number.parse().map_err(|_| WRONG)?;
        number.checked_mul(1 << shift).map(Self).ok_or("is more than any store holds")
    }
}

impl From<StorageQuota> for String {
    fn from(quota: StorageQuota) -> Self {
        quota.0.to_string()
    }
}

/// Where bytes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Files of this machine.
    Directory,
    /// A pool of a Ceph cluster.
    Rbd,
}

/// Where images live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageStoreKind {
    /// Files of this machine.
    Directory,
    /// A pool of a Ceph cluster.
    Rbd,
    /// Other people's web servers: only read from.
    Http,
}

impl ImageStoreKind {
    /// As Glance names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "file",
            Self::Rbd => "rbd",
            Self::Http => "http",
        }
    }
}

/// What Glance calls `os_hash_algo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashingAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl HashingAlgorithm {
    /// The name as it goes over the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Of a digest.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// How a file of protected properties says to whom something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PropertyRules {
    /// By names of roles.
    Roles,
    /// By names of rules in the policy file.
    Policies,
}

/// Which clones librbd makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloneFormat {
    /// What the cluster's minimum compatible client allows.
    #[serde(rename = "auto")]
    Auto,
    /// Clones hang on a protected snapshot.
    #[serde(rename = "1")]
    One,
    /// Clones need no protection, and a snapshot may go before its clones.
    #[serde(rename = "2")]
    Two,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Who says who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityMode {
    /// We do: users, projects and tokens of our own.
    Standalone,
    /// A Keystone that is there already.
    Keystone,
    /// Nobody: every request is the administrator of one fixed project.
    None,
}

/// Which of a service's addresses in a catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interface {
    Public,
    Internal,
    Admin,
}

impl Interface {
    pub fn as_str(self) -> &'static str {
        match self {
            Interface::Public => "public",
            Interface::Internal => "internal",
            Interface::Admin => "admin",
        }
    }
}

/// What a process does, where several share one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    All,
    /// It serves the APIs, and leaves jobs to others.
    Api,
    /// It works on jobs, and serves health and figures alone.
    Worker,
}

impl Role {
    pub fn serves(self) -> bool {
        self != Role::Worker
    }

    pub fn works(self) -> bool {
        self != Role::Api
    }
}

/// What nobody but its receiver may read: only [`Self::expose`] gives it away.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// Where the database is. May hold a password: only [`Self::expose`] gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

/// The engines Pumice works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    Sqlite,
    Postgres,
}

impl DatabaseUrl {
    /// Refuses what is no URL of a known engine. The reason does not repeat the text: it may be a secret.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        if !known {
            Err("must start with sqlite:, postgres:// or postgresql://")
        } else if Url::parse(text).is_err() {
            Err("is not a URL; reserved characters of a password are written as %XX")
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// An SQLite file.
    pub fn file(path: &str) -> Self {
        Self(format!("sqlite:{path}"))
    }

    pub fn kind(&self) -> DatabaseKind {
        if self.0.starts_with("sqlite:") { DatabaseKind::Sqlite } else { DatabaseKind::Postgres }
    }

    /// The whole of it, password included: for the connection, never for people.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Without the password, wherever it stands.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HIDDEN: &str = "***";
        if self.kind() == DatabaseKind::Sqlite {
            return f.write_str(&self.0);
        }
        let Ok(mut url) = Url::parse(&self.0) else { return f.write_str(HIDDEN) };
        if url.password().is_some() && url.set_password(Some(HIDDEN)).is_err() {
            return f.write_str(HIDDEN);
        }
        let is_secret = |key: &str| key.to_ascii_lowercase().contains("password");
        if url.query_pairs().any(|(key, _)| is_secret(&key)) {
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            let hidden =
                |(k, v): (String, String)| if is_secret(&k) { (k, HIDDEN.to_owned()) } else { (k, v) };
            url.query_pairs_mut().clear().extend_pairs(pairs.into_iter().map(hidden));
        }
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for text in [
            "postgres://pumice:s3cret@db.example/pumice",
            "postgresql://pumice@db.example/pumice?password=s3cret",
            "postgres://pumice:s3cret@%2Frun%2Fpostgresql/pumice?sslpassword=s3cret&a=b",
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!(url.expose(), text);
            let seen = format!("{url} {url:?} {}", serde_json::to_string(&url).unwrap());
            assert!(!seen.contains("s3cret"), "{seen}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_text() {
        for text in ["mysql://u:s3cret@h/d", "postgres://u:s3/cret@[::/d", "s3cret"] {
            let reason = DatabaseUrl::parse(text).unwrap_err();
            assert!(!reason.contains("cret"), "{reason}");
        }
    }

    #[test]
    fn a_file_is_shown_as_it_is() {
        let url = DatabaseUrl::parse("sqlite:pumice-data/pumice.db").unwrap();
        assert_eq!(url.to_string(), "sqlite:pumice-data/pumice.db");
        assert_eq!(url.kind(), DatabaseKind::Sqlite);
    }

    #[test]
    fn quotas_of_storage_have_units() {
        for (text, bytes) in [
            ("\"0\"", None),
            ("7", Some(7)),
            ("\"7\"", Some(7)),
            ("\"7B\"", Some(7)),
            ("\"7KB\"", Some(7 << 10)),
            ("\"7MB\"", Some(7 << 20)),
            ("\"7GB\"", Some(7 << 30)),
            ("\"7TB\"", Some(7 << 40)),
        ] {
            assert_eq!(serde_json::from_str::<StorageQuota>(text).unwrap().bytes(), bytes, "{text}");
        }
        for text in ["\"\"", "\"GB\"", "\"7 GB\"", "\"7gb\"", "\"7PB\"", "\"-7\"", "-7", "\"99999999TB\""] {
            assert!(serde_json::from_str::<StorageQuota>(text).is_err(), "{text}");
        }
    }
}
