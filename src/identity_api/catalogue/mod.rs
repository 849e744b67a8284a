//! Which services there are, and where: ours. It is made from the configuration, so it can only be read.

mod endpoints;
mod regions;
mod services;

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use crate::http::host;

/// The same services at the same addresses for everybody: who manages them, who lives beside them, who comes from
/// outside.
const INTERFACES: [&str; 3] = ["public", "internal", "admin"];

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(services::list::list))
        .routes(routes!(services::show::show))
        .routes(routes!(endpoints::list::list))
        .routes(routes!(endpoints::show::show))
        .routes(routes!(regions::list))
        .routes(routes!(regions::show))
}

/// As this client sees it.
pub(super) struct Catalogue {
    region: String,
    identity: String,
    image: String,
    volume: String,
}

/// A service with its addresses.
#[derive(Serialize, ToSchema)]
pub(super) struct Service {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) service_type: &'static str,
    pub(super) name: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) interface: &'static str,
    pub(super) region_id: String,
    pub(super) url: String,
    pub(super) region: String,
}

impl FromRequestParts<Api> for Catalogue {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Infallible> {
        let config = &api.app.config;
        let host = host(config, parts);
        let root = |configured: &Option<String>, path: &str| match configured {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("{}://{host}{path}", config.scheme()),
        };
        Ok(Self {
            region: config.identity.region.clone(),
            identity: format!("{}/v3", api.app.identity_address(parts)),
            image: root(&config.api.image_public_endpoint, "/image"),
            volume: format!("{}/v3", root(&config.api.volume_public_endpoint, "/volume")),
        })
    }
}

impl Catalogue {
    pub(super) fn services(self) -> Vec<Service> {
        // Block storage has the name it should have, and the one that clients ask for.
        let services = [
            ("identity", "keystone", &self.identity),
            ("image", "glance", &self.image),
            ("block-storage", "cinder", &self.volume),
            ("volumev3", "cinderv3", &self.volume),
        ];
        let service =
            |(at, (service_type, name, url)): (usize, (&'static str, &'static str, &String))| Service {
                endpoints: (INTERFACES.iter().enumerate())
                    .map(|(interface_at, interface)| Endpoint {
                        id: id(at + 1, interface_at + 1),
                        interface,
                        region_id: self.region.clone(),
                        url: url.clone(),
                        region: self.region.clone(),
                    })
                    .collect(),
                id: id(at + 1, 0),
                service_type,
                name,
            };
        services.into_iter().enumerate().map(service).collect()
    }
}

/// The same in every process.
fn id(service: usize, endpoint: usize) -> String {
    format!("{service:016x}{endpoint:016x}")
}
