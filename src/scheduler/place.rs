//! Places as they are configured, and as they were when they last said something of themselves.

use serde_json::{Map, Value, json};

use super::{Capacity, Pool};
use crate::db::Service;
use crate::model::{GIB, Host};

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// Of the backend, as it stands in the host of its volumes.
    pub backend: String,
    pub pool: String,
    pub zone: String,
    pub reserved_percentage: u32,
    pub over_subscription: f64,
    /// What extra specs can ask for.
    pub capabilities: Map<String, Value>,
}

impl Place {
    /// `<host>@<backend>#<pool>`
    pub fn host(&self) -> String {
        Host::ours(&self.backend, &self.pool).to_string()
    }

    /// `<host>@<backend>`: the service that looks after it.
    pub fn service(&self) -> String {
        Host::ours(&self.backend, "").to_string()
    }

    /// As the service last said, with the GiB that were promised to volumes since. One that has not said
    /// anything yet is taken to be well.
    pub fn pool(&self, service: Option<&Service>, promised: i64) -> Pool {
        let total = service.and_then(|service| service.total_bytes).map(gib);
        let free = service.and_then(|service| service.free_bytes).map(gib);
        let is_up = service.is_none_or(|service| service.answers);
        let provisioned = service.map_or(0, |service| service.provisioned).saturating_add(promised);
        let known = |number: Option<f64>| number.map_or(json!("unknown"), |number| json!(number));
        let mut capabilities = self.capabilities.clone();
        for (key, value) in [
            ("total_capacity_gb", known(total)),
            ("free_capacity_gb", known(free)),
            ("reserved_percentage", json!(self.reserved_percentage)),
            ("max_over_subscription_ratio", json!(self.over_subscription)),
            ("allocated_capacity_gb", json!(provisioned)),
            ("provisioned_capacity_gb", json!(provisioned)),
            ("backend_state", json!(if is_up { "up" } else { "down" })),
            ("replication_enabled", json!(service.is_some_and(|service| service.mirrors))),
            ("pool_name", json!(self.pool)),
            ("filter_function", Value::Null),
            ("goodness_function", Value::Null),
            ("timestamp", json!(service.map(|service| service.seen_at.to_microseconds()))),
        ] {
            capabilities.insert(key.to_owned(), value);
        }
        Pool {
            host: self.host(),
            zone: self.zone.clone(),
            is_enabled: service.is_none_or(|service| !service.disabled),
            is_up,
            capacity: Capacity {
                total,
                free,
                provisioned: provisioned as f64,
                reserved_percentage: self.reserved_percentage,
                over_subscription: self.over_subscription,
            },
            capabilities,
        }
    }
}

/// To two decimals, as the real service says it.
fn gib(bytes: i64) -> f64 {
    (bytes as f64 / GIB as f64 * 100.0).round() / 100.0
}
