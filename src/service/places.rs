//! The places for volumes that the configuration names, as the scheduler knows them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::block::Backends;
use crate::config::{Backend, Config, StoreKind};
use crate::scheduler::Place;

pub(super) fn places(config: &Config, backends: &Backends) -> Arc<[Place]> {
    let zone = &config.volumes.storage_availability_zone;
    let place = |(name, options): (&str, Backend)| {
        // Pools that were opened by somebody else have the names they have.
        let store = backends.named(name).map(|backend| backend.store.pool().to_owned());
        Place {
            backend: name.to_owned(),
            pool: store.unwrap_or_else(|| options.rbd_pool.clone()),
            zone: options.backend_availability_zone.clone().unwrap_or_else(|| zone.clone()),
            reserved_percentage: options.reserved_percentage,
            over_subscription: options.max_over_subscription_ratio,
            capabilities: capabilities(options.volume_backend_name.as_deref().unwrap_or(name), options.store),
        }
    };
    config.all_backends().map(place).collect()
}

/// What does not depend on how it goes there.
fn capabilities(label: &str, store: StoreKind) -> Map<String, Value> {
    let is_ceph = store == StoreKind::Rbd;
    [
        ("volume_backend_name", json!(label)),
        ("vendor_name", json!("Open Source")),
        ("driver_version", json!(env!("CARGO_PKG_VERSION"))),
        ("storage_protocol", json!(if is_ceph { "ceph" } else { "file" })),
        ("multiattach", json!(true)),
        ("thin_provisioning_support", json!(true)),
        ("thick_provisioning_support", json!(false)),
        ("online_extend_support", json!(true)),
        ("qos_support", json!(is_ceph)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
