//! Where the services of a cloud are, as its Keystone says.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Catalogue(Vec<Service>);

#[derive(Debug, Deserialize)]
struct Service {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    interface: String,
    region: Option<String>,
    region_id: Option<String>,
    url: String,
}

impl Endpoint {
    /// Case does not matter, as in Keystone.
    fn is_in(&self, region: &str) -> bool {
        let own = self.region.as_ref().or(self.region_id.as_ref());
        own.is_some_and(|own| own.to_lowercase() == region.to_lowercase())
    }
}

impl Catalogue {
    /// The address of a service, without a slash at its end. Without a region the first there is.
    pub(super) fn endpoint(&self, kind: &str, interface: &str, region: Option<&str>) -> Option<&str> {
        let services = self.0.iter().filter(|service| service.kind == kind);
        let mut endpoints = services.flat_map(|service| &service.endpoints);
        let found = endpoints.find(|endpoint| {
            endpoint.interface == interface && region.is_none_or(|region| endpoint.is_in(region))
        });
        found.map(|endpoint| endpoint.url.trim_end_matches('/'))
    }
}
