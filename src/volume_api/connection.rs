//! How a hypervisor reaches a volume: what the real service's RBD driver and its manager tell.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fault::Fault;
use super::schema::check_name;
use crate::block::{Backend, BlockError, Monitor};
use crate::db::{Repository, Specs, Volume};
use crate::http::App;
use crate::model::{Access, AttachMode, Connection};
use crate::workflows::names;

/// What the cluster says of itself. It is asked before a transaction begins.
pub struct Cluster {
    backend: Backend,
    monitors: Vec<Monitor>,
    fsid: String,
}

impl Cluster {
    /// `purpose`: what a client is told when the answer is no good.
    pub async fn ask(app: &App, volume: &Volume, purpose: &'static str) -> Result<Self, Fault> {
        let found = app.stores.volumes.of(volume.host.as_deref());
        let backend = found.ok_or_else(|| Fault::internal("the volume's backend is not configured"))?.clone();
        let store = &backend.store;
        let silent = |error: BlockError| match error.is_transient() {
            true => Fault::StorageUnavailable(error),
            false => Fault::Store(purpose, Box::new(error)),
        };
        let monitors = store.monitors().await.map_err(silent)?;
        if monitors.is_empty() {
            return Err(Fault::NotAttachable);
        }
        let fsid = store.fsid().await.map_err(silent)?;
        Ok(Self { backend, monitors, fsid })
    }

    /// The way to this volume.
    pub async fn connection(
        &self,
        repository: &mut Repository,
        app: &App,
        volume: &Volume,
        mode: AttachMode,
    ) -> Result<Connection, Fault> {
        let now_in = app.stores.volumes.of(volume.host.as_deref());
        if now_in.is_none_or(|now_in| now_in.name != self.backend.name) {
            return Err(Fault::InvalidVolume(format!("Volume {} has moved to another place.", volume.id)));
        }
        let options = app.config.backend(&self.backend.name);
        let volume_type = repository.volume_type(volume.volume_type_id.as_str()).await?;
        let qos = match volume_type.as_ref().and_then(|volume_type| volume_type.qos_specs_id.as_ref()) {
            Some(id) => repository.qos_specs(id).await?,
            None => None,
        };
        let qos = qos.filter(|qos| matches!(qos.consumer.as_str(), "front-end" | "both"));
        let cacheable =
            volume_type.is_some_and(|volume_type| volume_type.spec("cacheable") == Some("<is> True"));
        Ok(Connection {
            name: format!("{}/{}", self.backend.store.pool(), names::of(volume)),
            hosts: self.monitors.iter().map(|monitor| monitor.host.clone()).collect(),
            ports: self.monitors.iter().map(|monitor| monitor.port.to_string()).collect(),
            cluster_name: options.rbd_cluster_name,
            auth_enabled: options.rbd_user.is_some(),
            auth_username: options.rbd_user,
            secret_type: "ceph".to_owned(),
            secret_uuid: options.rbd_secret_uuid.unwrap_or_else(|| self.fsid.clone()),
            volume_id: volume.id.to_string(),
            discard: true,
            qos_specs: qos.map(|qos| for_size(&qos.specs, volume.size.get())),
            access_mode: mode,
            encrypted: false,
            cacheable,
        })
    }
}

const PER_GB: [&str; 6] = [
    "read_iops_sec",
    "read_bytes_sec",
    "write_iops_sec",
    "write_bytes_sec",
    "total_iops_sec",
    "total_bytes_sec",
];

/// Limits per GB become limits of this volume, within `_per_gb_min` and `_max`. What is no number stays as it is.
fn for_size(specs: &Specs, size: i64) -> BTreeMap<String, Value> {
    let number = |key: &str| specs.get(key)?.as_deref()?.trim().parse::<i64>().ok();
    let mut limits: BTreeMap<String, Value> =
        specs.iter().map(|(key, text)| (key.clone(), Value::from(text.clone()))).collect();
    for key in PER_GB {
        let (per_gb, least, most) =
            (format!("{key}_per_gb"), format!("{key}_per_gb_min"), format!("{key}_max"));
        let Some(rate) = number(&per_gb) else { continue };
        let limit = rate.saturating_mul(size).max(number(&least).unwrap_or(0));
        let limit = number(&most).map_or(limit, |most| limit.min(most));
        limits.retain(|name, _| ![&per_gb, &least, &most].contains(&name));
        limits.insert(key.to_owned(), limit.into());
    }
    limits
}

/// Whether writing is allowed when nobody says otherwise: as of the last `os-attach`, or as the volume is marked.
pub fn access_mode(volume: &Volume) -> AttachMode {
    let attached = volume.admin_metadata.get("attached_mode").and_then(|mode| mode.parse().ok());
    attached.unwrap_or(if is_readonly(volume) { AttachMode::Ro } else { AttachMode::Rw })
}

/// It is marked so that nobody may write to it where it is attached.
pub fn is_readonly(volume: &Volume) -> bool {
    volume.admin_metadata.get("readonly").is_some_and(|text| text == "True")
}

/// What a host says of itself, as far as it matters on a Ceph cluster.
pub struct Connector<'a>(&'a Map<String, Value>);

impl<'a> Connector<'a> {
    /// Refuses what is too long to be kept.
    pub fn new(fields: &'a Map<String, Value>) -> Result<Self, Fault> {
        let connector = Self(fields);
        check_name("host", connector.host())?;
        check_name("mountpoint", connector.mountpoint())?;
        Ok(connector)
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.0.get(key)?.as_str()
    }

    pub fn host(&self) -> &'a str {
        self.text("host").unwrap_or_default()
    }

    pub fn mountpoint(&self) -> &'a str {
        self.text("mountpoint").unwrap_or("na")
    }

    pub fn mode(&self) -> Option<AttachMode> {
        self.text("mode")?.parse().ok()
    }

    pub fn enforce_multipath(&self) -> bool {
        self.0.get("enforce_multipath").and_then(Value::as_bool).unwrap_or(false)
    }
}

const TYPE: &str = "rbd";

/// As `os-initialize_connection` answers it.
#[derive(Serialize, ToSchema)]
#[schema(as = OneConnection)]
pub struct One<'a> {
    connection_info: Nested<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionInfo)]
struct Nested<'a> {
    driver_volume_type: &'static str,
    data: Data<'a>,
    enforce_multipath: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionData)]
struct Data<'a> {
    #[serde(flatten)]
    connection: &'a Connection,
    enforce_multipath: bool,
}

impl<'a> From<&'a Access> for One<'a> {
    fn from(access: &'a Access) -> Self {
        let Access { connection, enforce_multipath } = access;
        let enforce_multipath = *enforce_multipath;
        let data = Data { connection, enforce_multipath };
        Self { connection_info: Nested { driver_volume_type: TYPE, data, enforce_multipath } }
    }
}

/// As an attachment shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = AttachmentConnection)]
pub struct Flat<'a> {
    #[serde(flatten)]
    connection: &'a Connection,
    driver_volume_type: &'static str,
    attachment_id: &'a str,
    enforce_multipath: bool,
}

impl<'a> Flat<'a> {
    pub fn new(access: &'a Access, attachment_id: &'a str) -> Self {
        let Access { connection, enforce_multipath } = access;
        Self { connection, driver_volume_type: TYPE, attachment_id, enforce_multipath: *enforce_multipath }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(specs: &[(&str, &str)], size: i64) -> String {
        let specs = specs.iter().map(|(key, text)| ((*key).to_owned(), Some((*text).to_owned()))).collect();
        serde_json::to_string(&for_size(&specs, size)).unwrap()
    }

    #[test]
    fn limits_grow_with_the_volume_within_bounds() {
        for (specs, expected) in [
            (&[("total_iops_sec", "500"), ("other", "x")][..], r#"{"other":"x","total_iops_sec":"500"}"#),
            (&[("read_iops_sec_per_gb", "30")], r#"{"read_iops_sec":300}"#),
            (&[("read_iops_sec_per_gb", "30"), ("read_iops_sec_max", "100")], r#"{"read_iops_sec":100}"#),
            (
                &[("read_iops_sec_per_gb", "30"), ("read_iops_sec_per_gb_min", "900")],
                r#"{"read_iops_sec":900}"#,
            ),
            (&[("read_iops_sec_max", "100")], r#"{"read_iops_sec_max":"100"}"#),
            (&[("write_bytes_sec_per_gb", "many")], r#"{"write_bytes_sec_per_gb":"many"}"#),
            (
                &[("total_bytes_sec_per_gb", "9223372036854775807")],
                r#"{"total_bytes_sec":9223372036854775807}"#,
            ),
        ] {
            assert_eq!(limits(specs, 10), expected);
        }
    }
}
