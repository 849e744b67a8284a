//! What instances should know of their volumes, told to the Nova that runs them.

use anyhow::{Context, anyhow};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::service_user::{OwnToken, ServiceUser};
use crate::config;
use crate::model::{VolumeId, VolumeNews, World};

/// No answer to a few events is longer.
const LONGEST: usize = 1 << 20;

pub struct Nova {
    user: ServiceUser,
    interface: &'static str,
    region: Option<String>,
}

/// Nova did not take what it was told.
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

impl Nova {
    /// `None`: it is not configured.
    pub fn new(options: &config::Nova, world: World) -> anyhow::Result<Option<Self>> {
        let Some(credentials) = options.credentials() else { return Ok(None) };
        Ok(Some(Self {
            user: ServiceUser::new(credentials, world)?,
            interface: options.interface.as_str(),
            region: options.region_name.clone(),
        }))
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
        let own = self.user.token(None).await.map_err(NovaError::Silent)?;
        let mut answer = self.post(&own, news, &body).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            // Whatever the token said of its expiry.
            let own = self.user.token(Some(&own)).await.map_err(NovaError::Silent)?;
            answer = self.post(&own, news, &body).await?;
        }
        match answer.status() {
            StatusCode::OK | StatusCode::MULTI_STATUS => heard(answer).await,
            other if other.is_server_error() => Err(NovaError::Silent(anyhow!("Nova answers {other}"))),
            other => Err(NovaError::Refused(anyhow!("Nova answers {other}"))),
        }
    }

    async fn post(&self, own: &OwnToken, news: VolumeNews, body: &Value) -> Result<Response, NovaError> {
        let endpoint = own.endpoint("compute", self.interface, self.region.as_deref());
        let endpoint = endpoint.context("the catalogue names no Nova (nova.interface, nova.region_name)");
        let endpoint = endpoint.map_err(NovaError::Refused)?;
        let version = news.microversion();
        let request = self.user.http().post(format!("{endpoint}/os-server-external-events"));
        let request = request
            .header("x-auth-token", &own.token)
            .header("openstack-api-version", format!("compute {version}"))
            .header("x-openstack-nova-api-version", version)
            .json(body);
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        answer.context("Nova does not answer").map_err(NovaError::Silent)
    }
}

/// Of some servers it may know nothing, or they may be where they cannot be told.
async fn heard(mut answer: Response) -> Result<(), NovaError> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.context("Nova broke off").map_err(NovaError::Silent)? {
        if bytes.len() + piece.len() > LONGEST {
            return Err(NovaError::Refused(anyhow!("Nova answers more than {LONGEST} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    let answers: Answers = serde_json::from_slice(&bytes)
        .context("Nova answers what says nothing of the events")
        .map_err(NovaError::Refused)?;
    for answer in answers.events.iter().filter(|answer| answer.code != 200) {
        tracing::warn!(
            server.id = answer.server_uuid,
            code = answer.code,
            "an instance is not told of its volume"
        );
    }
    Ok(())
}
