//! A volume type as clients see it. The order of the fields is the order of the keys.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::super::links::NextLink;
use super::super::request::Call;
use crate::db;
use crate::identity::policy::volume as rules;

/// What everybody may read of a type's extra specs.
const EVERYBODYS: [&str; 3] = ["multiattach", "RESKEY:availability_zones", "replication_enabled"];

/// What of a type the caller is shown beside its name.
#[derive(Clone, Copy)]
pub struct Shown {
    extra_specs: bool,
    /// All of them.
    sensitive: bool,
    qos_specs_id: bool,
    access: bool,
}

impl Shown {
    pub fn to(call: &Call) -> Self {
        Self {
            extra_specs: call.has(rules::TYPE_EXTRA_SPECS),
            sensitive: call.has(rules::TYPE_READ_SENSITIVE),
            qos_specs_id: call.has(rules::TYPE_QOS_SPECS_ID),
            access: call.has(rules::TYPE_ACCESS),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = VolumeType)]
pub struct View<'a> {
    id: &'a str,
    name: &'a str,
    is_public: bool,
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_specs: Option<BTreeMap<&'a str, &'a str>>,
    /// For administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    qos_specs_id: Option<Option<&'a str>>,
    /// For members.
    #[serde(rename = "os-volume-type-access:is_public", skip_serializing_if = "Option::is_none")]
    access_is_public: Option<bool>,
}

impl<'a> View<'a> {
    pub fn new(volume_type: &'a db::VolumeType, shown: Shown) -> Self {
        let specs = volume_type.extra_specs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Self {
            id: volume_type.id.as_str(),
            name: &volume_type.name,
            is_public: volume_type.is_public,
            description: volume_type.description.as_deref(),
            extra_specs: shown
                .extra_specs
                .then(|| specs.filter(|(key, _)| shown.sensitive || EVERYBODYS.contains(key)).collect()),
            qos_specs_id: shown.qos_specs_id.then_some(None),
            access_is_public: shown.access.then_some(volume_type.is_public),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneVolumeType)]
pub struct One<'a> {
    pub volume_type: View<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = VolumeTypes)]
pub struct Many<'a> {
    pub volume_types: Vec<View<'a>>,
    /// Unlike in other lists, in the singular.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<NextLink>>)]
    pub volume_type_links: Option<[NextLink; 1]>,
}
