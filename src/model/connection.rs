//! How a hypervisor reaches a volume by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::AttachMode;

/// What a hypervisor is told to open a volume on a Ceph cluster, but for the key, which it has. The names and their
/// order are those of Cinder's RBD driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    /// `<pool>/<image>`
    pub name: String,
    /// Of the monitors; their ports in the same order, as texts.
    pub hosts: Vec<String>,
    pub ports: Vec<String>,
    pub cluster_name: String,
    /// Whether a user is named.
    pub auth_enabled: bool,
    /// The cephx user, without `client.`
    pub auth_username: Option<String>,
    pub secret_type: String,
    /// The libvirt secret that holds the user's key.
    pub secret_uuid: String,
    pub volume_id: String,
    pub discard: bool,
    /// Limits for the hypervisor to keep: texts, and numbers where they were computed.
    pub qos_specs: Option<BTreeMap<String, Value>>,
    #[schema(value_type = String)]
    pub access_mode: AttachMode,
    pub encrypted: bool,
    pub cacheable: bool,
}

/// A connection as a certain host was told it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Access {
    pub connection: Connection,
    /// What the host said of itself comes back.
    pub enforce_multipath: bool,
}
