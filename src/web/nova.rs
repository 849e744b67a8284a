//! The Nova that runs the instances: told what they should know of their volumes, and asked to move what they have.

use std::time::Duration;

use anyhow::{Context, anyhow};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::{AnswerError, json_within};
use super::service_user::{OwnToken, ServiceUser};
use crate::config;
use crate::model::{AttachmentId, VolumeId, VolumeNews, World};

/// The first version: since 2.85 the same request may mean something else.
const TO_SWAP: &str = "2.1";

/// The first version that names attachments.
const WITH_ATTACHMENTS: &str = "2.89";

/// Who is shown the servers of all projects; for anybody else a server of another one is not there.
const SEES_ALL: &str = "admin";

/// No answer to a few events is longer.
const LONGEST: usize = 1 << 20;

pub struct Nova {
    user: ServiceUser,
    interface: &'static str,
    region: Option<String>,
    patience: i64,
    timeout: Duration,
}

/// Nova did not take what it was told or asked for.
#[derive(Debug, thiserror::Error)]
pub enum NovaError {
    /// It may another time.
    #[error("{0:#}")]
    Silent(anyhow::Error),
    #[error("{0:#}")]
    Refused(anyhow::Error),
}

#[derive(Deserialize)]
struct Answers {
    events: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    server_uuid: Option<String>,
    code: u16,
}

/// What a server has.
#[derive(Deserialize)]
struct Known {
    #[serde(rename = "volumeAttachment")]
    attachment: KnownAttachment,
}

#[derive(Deserialize)]
struct KnownAttachment {
    #[serde(rename = "attachment_id")]
    id: String,
}

impl Nova {
    /// `None`: it is not configured.
    pub fn new(options: &config::Nova, world: World) -> anyhow::Result<Option<Self>> {
        let Some(credentials) = options.credentials() else { return Ok(None) };
        Ok(Some(Self {
            user: ServiceUser::new(credentials, world)?,
            interface: options.interface.as_str(),
            region: options.region_name.clone(),
            patience: i64::try_from(options.migration_timeout.0).unwrap_or(i64::MAX),
            timeout: options.timeout.into(),
        }))
    }

    /// Seconds until it must have begun to move what it was asked to.
    pub fn patience(&self) -> i64 {
        self.patience
    }

    /// One request for all servers.
    pub async fn tell(
        &self,
        news: VolumeNews,
        volume: &VolumeId,
        servers: &[String],
    ) -> Result<(), NovaError> {
        let event = |server: &String| json!({"name": news.name(), "server_uuid": server, "tag": volume});
        let events: Vec<Value> = servers.iter().map(event).collect();
        let body = json!({ "events": events });
        let path = "/os-server-external-events";
        let answer = self.ask(Method::POST, path, news.microversion(), &body).await?;
        match answer.status() {
            StatusCode::OK | StatusCode::MULTI_STATUS => heard(answer).await,
            other => Err(refused(other)),
        }
    }

    /// Has the server's bytes copied from the volume that it has to another one, which it has from then on. Nova says when
    /// that is done, or that it could not be (`os-migrate_volume_completion`).
    pub async fn swap(&self, server: &str, from: &VolumeId, to: &VolumeId) -> Result<(), NovaError> {
        let body = json!({ "volumeAttachment": { "volumeId": to } });
        let path = format!("/servers/{server}/os-volume_attachments/{from}");
        let answer = self.ask(Method::PUT, &path, TO_SWAP, &body).await?;
        if answer.status() == StatusCode::ACCEPTED { Ok(()) } else { Err(refused(answer.status())) }
    }

    /// Whether it has no such server, or the server not this volume, or the volume by another attachment. Somebody waits
    /// for the answer meanwhile.
    pub async fn has_forgotten(
        &self,
        server: &str,
        volume: &VolumeId,
        attachment: &AttachmentId,
    ) -> Result<bool, NovaError> {
        let asked = self.knows_otherwise(server, volume, attachment);
        let answer = tokio::time::timeout(self.timeout, asked).await;
        answer.unwrap_or_else(|_| Err(NovaError::Silent(anyhow!("Nova does not answer in time"))))
    }

    async fn knows_otherwise(
        &self,
        server: &str,
        volume: &VolumeId,
        attachment: &AttachmentId,
    ) -> Result<bool, NovaError> {
        let own = self.user.token(None).await.map_err(NovaError::Silent)?;
        if !own.has_role(SEES_ALL) {
            return Err(NovaError::Refused(anyhow!("the user of [nova] has not the role {SEES_ALL}")));
        }
        let path = format!("/servers/{server}/os-volume_attachments/{volume}");
        let answer = self.ask(Method::GET, &path, WITH_ATTACHMENTS, &Value::Null).await?;
        match answer.status() {
            StatusCode::OK => {
                let known: Known = read(answer, "of the volume").await?;
                Ok(known.attachment.id != attachment.as_str())
            }
            // Any other web server says so too.
            StatusCode::NOT_FOUND if speaks(&answer, WITH_ATTACHMENTS) => Ok(true),
            other => Err(refused(other)),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        version: &str,
        body: &Value,
    ) -> Result<Response, NovaError> {
        let own = self.user.token(None).await.map_err(NovaError::Silent)?;
        let answer = self.send(&own, method.clone(), path, version, body).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        // Whatever the token said of its expiry.
        let own = self.user.token(Some(&own)).await.map_err(NovaError::Silent)?;
        self.send(&own, method, path, version, body).await
    }

    async fn send(
        &self,
        own: &OwnToken,
        method: Method,
        path: &str,
        version: &str,
        body: &Value,
    ) -> Result<Response, NovaError> {
        let endpoint = own.endpoint("compute", self.interface, self.region.as_deref());
        let endpoint = endpoint.context("the catalogue names no Nova (nova.interface, nova.region_name)");
        let endpoint = endpoint.map_err(NovaError::Refused)?;
        let request = self.user.http().request(method, format!("{endpoint}{path}"));
        let request = request
            .header("x-auth-token", &own.token)
            .header("openstack-api-version", format!("compute {version}"))
            .header("x-openstack-nova-api-version", version);
        let request = if body.is_null() { request } else { request.json(body) };
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        answer.context("Nova does not answer").map_err(NovaError::Silent)
    }
}

fn refused(status: StatusCode) -> NovaError {
    let answer = anyhow!("Nova answers {status}");
    if status.is_server_error() { NovaError::Silent(answer) } else { NovaError::Refused(answer) }
}

/// Whether it is Nova that answers, in this version.
fn speaks(answer: &Response, version: &str) -> bool {
    let said = answer.headers().get("openstack-api-version").and_then(|said| said.to_str().ok());
    said.is_some_and(|said| said == format!("compute {version}"))
}

/// Of some servers it may know nothing, or they may be where they cannot be told.
async fn heard(answer: Response) -> Result<(), NovaError> {
    let answers: Answers = read(answer, "of the events").await?;
    for answer in answers.events.iter().filter(|answer| answer.code != 200) {
        tracing::warn!(
            server.id = answer.server_uuid,
            code = answer.code,
            "an instance is not told of its volume"
        );
    }
    Ok(())
}

async fn read<T: DeserializeOwned>(answer: Response, what: &str) -> Result<T, NovaError> {
    json_within(answer, LONGEST).await.map_err(|error| match error {
        AnswerError::BrokenOff(error) => {
            NovaError::Silent(anyhow::Error::new(error).context("Nova broke off"))
        }
        AnswerError::TooLong(_) | AnswerError::Strange(_) => NovaError::Refused(
            anyhow::Error::new(error).context(format!("Nova answers what says nothing {what}")),
        ),
    })
}
