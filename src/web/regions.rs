//! Images of the cloud's other regions. Keystone is asked where they are, and the region for what it has, both with
//! the token of whoever imports: they may have what they can see there. The catalogue is the operator's, so its
//! addresses are asked wherever they are; redirects are not followed, for the token would go with the request.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{AnswerError, json_within};
use super::catalogue::Catalogue;
use super::fetch::Asked;
use super::sealed::Seal;
use super::{builder_of_the_cloud, client_of_the_cloud};
use crate::config::{Config, GLANCE_DOWNLOAD};
use crate::telemetry::chain;

/// No catalogue and no image's record is longer.
const LONGEST: usize = 4 << 20;

/// Cheap to clone.
#[derive(Clone)]
pub struct Regions(Arc<Inner>);

struct Inner {
    /// For answers that are short.
    client: Client,
    /// For images: how long they take is not known.
    downloads: Client,
    /// Of Keystone's version, without a slash at its end.
    keystone: String,
    seal: Seal,
}

/// Texts for users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    #[error("{interface} glance endpoint not found for region {region}")]
    NoEndpoint { region: String, interface: String },
    #[error("{of} answers {code}.")]
    Status { of: &'static str, code: u16 },
    #[error("{of} cannot be reached: {why}.")]
    Unreachable { of: &'static str, why: String },
    #[error("{of} answers what cannot be read.")]
    Strange { of: &'static str },
}

impl RegionError {
    /// Whether another try may go better.
    pub fn may_pass(&self) -> bool {
        match self {
            RegionError::Unreachable { .. } => true,
            RegionError::Status { code, .. } => matches!(code, 408 | 429 | 500..),
            RegionError::NoEndpoint { .. } | RegionError::Strange { .. } => false,
        }
    }
}

#[derive(Deserialize)]
struct Body {
    catalog: Catalogue,
}

/// What a region says of an image.
#[derive(Clone, Debug, Deserialize)]
pub struct RegionImage {
    pub status: String,
    pub size: Option<u64>,
    pub disk_format: Option<String>,
    pub container_format: Option<String>,
    pub os_hash_algo: Option<String>,
    pub os_hash_value: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// What every image has, and what only services say of one.
const NOT_A_PROPERTY: [&str; 19] = [
    "checksum",
    "created_at",
    "direct_url",
    "file",
    "id",
    "locations",
    "min_disk",
    "min_ram",
    "name",
    "os_hidden",
    "owner",
    "protected",
    "schema",
    "self",
    "stores",
    "tags",
    "updated_at",
    "virtual_size",
    "visibility",
];

impl RegionImage {
    /// The custom properties whose names begin with one of these.
    pub fn properties<'a>(&'a self, prefixes: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let own = self.others.iter().filter(|(name, _)| !NOT_A_PROPERTY.contains(&name.as_str()));
        let named = own.filter(|(name, _)| is_copied(name, prefixes));
        named.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }
}

/// Whether a property of this name comes along with an image.
pub fn is_copied(name: &str, prefixes: &[String]) -> bool {
    !name.starts_with("os_glance")
        && (1..=255).contains(&name.chars().count())
        && prefixes.iter().any(|prefix| name.starts_with(prefix))
}

impl Regions {
    /// `None`: nobody may import from there.
    pub fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        if !config.images.enabled_import_methods.iter().any(|method| method == GLANCE_DOWNLOAD) {
            return Ok(None);
        }
        let ours = config.keystone_authtoken.credentials();
        let ours = ours.context("keystone_authtoken.auth_url or its password is not set")?;
        Ok(Some(Self(Arc::new(Inner {
            client: client_of_the_cloud(ours.timeout, ours.cafile)?,
            downloads: builder_of_the_cloud(ours.cafile)?.connect_timeout(ours.timeout).build()?,
            keystone: ours.root(),
            seal: Seal::new(ours.password.expose())?,
        }))))
    }

    /// A token that can be kept where others read: only whoever knows our password at Keystone can open it, and only
    /// for the same purpose.
    pub fn seal(&self, token: &HeaderValue, nonce: [u8; 32], purpose: &str) -> anyhow::Result<String> {
        self.0.seal.close(token.as_bytes(), nonce, purpose)
    }

    /// `None`: it was sealed with another password, or for something else.
    pub fn open(&self, sealed: &str, purpose: &str) -> Option<HeaderValue> {
        let mut token = HeaderValue::from_bytes(&self.0.seal.open(sealed, purpose)?).ok()?;
        token.set_sensitive(true);
        Some(token)
    }

    /// The address of the image service there, without a slash at its end.
    pub async fn endpoint(
        &self,
        token: &HeaderValue,
        region: &str,
        interface: &str,
    ) -> Result<String, RegionError> {
        let url = format!("{}/auth/catalog", self.0.keystone);
        let Body { catalog } = self.ask("Keystone", &url, token).await?;
        let found = catalog.endpoint("image", interface, Some(region));
        found.map(|url| url.trim_end_matches("/v2").to_owned()).ok_or_else(|| RegionError::NoEndpoint {
            region: region.to_owned(),
            interface: interface.to_owned(),
        })
    }

    pub async fn image(
        &self,
        token: &HeaderValue,
        endpoint: &str,
        id: &str,
    ) -> Result<RegionImage, RegionError> {
        self.ask("The other region", &format!("{endpoint}/v2/images/{id}"), token).await
    }

    /// The bytes of an image, to be asked for with [`super::Web::get`].
    pub fn bytes(&self, token: &HeaderValue, endpoint: &str, id: &str) -> Asked {
        let url = format!("{endpoint}/v2/images/{id}/file");
        Asked::of_the_cloud(self.0.downloads.clone(), url, token.clone())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        of: &'static str,
        url: &str,
        token: &HeaderValue,
    ) -> Result<T, RegionError> {
        let unreachable = |error: reqwest::Error| {
            let why = chain(&error.without_url());
            RegionError::Unreachable { of, why }
        };
        let request = self.0.client.get(url).header(ACCEPT, "application/json").header("x-auth-token", token);
        let answer = request.send().await.map_err(unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(RegionError::Status { of, code: answer.status().as_u16() });
        }
        json_within(answer, LONGEST).await.map_err(|error| match error {
            AnswerError::BrokenOff(error) => unreachable(error),
            AnswerError::TooLong(_) | AnswerError::Strange(_) => RegionError::Strange { of },
        })
    }
}
