//! Addresses in the catalogue.

pub(super) mod list;
pub(super) mod show;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Catalogue, Endpoint};
use crate::identity_api::links::{Base, SelfLink};

#[derive(Serialize, ToSchema)]
struct EndpointView {
    #[serde(flatten)]
    endpoint: Endpoint,
    service_id: String,
    enabled: bool,
    links: SelfLink,
}

impl EndpointView {
    fn all(catalogue: Catalogue, base: &Base) -> Vec<Self> {
        let mut all = Vec::new();
        for service in catalogue.services() {
            all.extend(service.endpoints.into_iter().map(|endpoint| Self {
                links: SelfLink::new(base, &format!("endpoints/{}", endpoint.id)),
                endpoint,
                service_id: service.id.clone(),
                enabled: true,
            }));
        }
        all
    }
}
