//! Secrets of users, in Barbican. It is asked with the caller's own token, so that it decides who may have what.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode};
use serde::Deserialize;
use uuid::Uuid;

use super::answer::{bytes_within, json_within};
use super::client_of_the_cloud;
use crate::config;

/// No certificate and no key is longer.
const LONGEST: usize = 256 << 10;

const UNREADABLE: &str = "what Barbican answers is of no use";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Barbican {
    client: Client,
    /// Of the version, without a slash at its end.
    root: String,
}

/// What it says of a secret.
#[derive(Deserialize)]
struct Secret {
    content_types: Option<ContentTypes>,
}

#[derive(Deserialize)]
struct ContentTypes {
    default: String,
}

impl Barbican {
    /// `None`: it is not configured.
    pub fn new(options: &config::Barbican) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = &options.barbican_endpoint else { return Ok(None) };
        let client = client_of_the_cloud(PATIENCE, options.verify_ssl_path.as_deref())?;
        let root = endpoint.trim_end_matches('/').trim_end_matches("/v1");
        Ok(Some(Self { client, root: format!("{root}/v1") }))
    }

    /// The bytes of a secret, in the form it was given; `None`: there is none of that name.
    pub async fn secret(&self, id: Uuid, token: Option<&HeaderValue>) -> anyhow::Result<Option<Vec<u8>>> {
        let path = format!("/secrets/{id}");
        let Some(answer) = self.ask(Method::GET, &path, "application/json", token).await? else {
            return Ok(None);
        };
        let secret: Secret = json_within(answer, LONGEST).await.context(UNREADABLE)?;
        let kind = secret.content_types.context("the secret has no payload")?.default;
        match self.ask(Method::GET, &format!("{path}/payload"), &kind, token).await? {
            Some(answer) => bytes_within(answer, LONGEST).await.map(Some).context(UNREADABLE),
            None => Ok(None),
        }
    }

    /// `false`: there is none of that name.
    pub async fn remove(&self, id: Uuid, token: Option<&HeaderValue>) -> anyhow::Result<bool> {
        let answer = self.ask(Method::DELETE, &format!("/secrets/{id}"), "*/*", token).await?;
        Ok(answer.is_some())
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        token: Option<&HeaderValue>,
    ) -> anyhow::Result<Option<Response>> {
        let mut request = self.client.request(method, format!("{}{path}", self.root)).header(ACCEPT, kind);
        if let Some(token) = token {
            let mut token = token.clone();
            token.set_sensitive(true);
            request = request.header("x-auth-token", token);
        }
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        let answer = answer.context("Barbican does not answer")?;
        match answer.status() {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            other => bail!("Barbican answers {other}"),
        }
    }
}
