//! Services of the catalogue.

pub(super) mod list;
pub(super) mod show;

use serde::Serialize;
use utoipa::ToSchema;

use super::Service;
use crate::identity_api::links::{Base, SelfLink};

#[derive(Serialize, ToSchema)]
struct ServiceView {
    name: &'static str,
    id: String,
    #[serde(rename = "type")]
    service_type: &'static str,
    enabled: bool,
    links: SelfLink,
}

impl ServiceView {
    fn new(service: Service, base: &Base) -> Self {
        Self {
            name: service.name,
            service_type: service.service_type,
            enabled: true,
            links: SelfLink::new(base, &format!("services/{}", service.id)),
            id: service.id,
        }
    }
}
