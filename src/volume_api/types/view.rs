//! A volume type as clients see it. The order of the fields is the order of the keys.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::super::links::NextLink;
use super::super::request::Call;
use crate::db;
use crate::identity::policy::volume as rules;

/// The extra specs of a type, or those that everybody may read.
pub fn visible_specs(volume_type: &db::VolumeType, sensitive: bool) -> BTreeMap<&str, Option<&str>> {
    let specs = volume_type.extra_specs.iter().map(|(key, text)| (key.as_str(), text.as_deref()));
    specs.filter(|(key, _)| sensitive || EVERYBODYS.contains(key)).collect()
}

/// What everybody may read of a type's extra specs.
pub const EVERYBODYS: [&str; 3] = ["multiattach", "RESKEY:availability_zones", "replication_enabled"];

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

    /// Those of its extra specs that the caller may read.
    pub fn extra_specs(self, volume_type: &db::VolumeType) -> Option<BTreeMap<&str, Option<&str>>> {
        self.extra_specs.then(|| visible_specs(volume_type, self.sensitive))
    }

    /// Its QoS specs, if the caller may know.
    pub fn qos_specs_id(self, volume_type: &db::VolumeType) -> Option<Option<&str>> {
        self.qos_specs_id.then(|| volume_type.qos_specs_id.as_ref().map(|id| id.as_str()))
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
    extra_specs: Option<BTreeMap<&'a str, Option<&'a str>>>,
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
        Self {
            id: volume_type.id.as_str(),
            name: &volume_type.name,
            is_public: volume_type.is_public,
            description: volume_type.description.as_deref(),
            extra_specs: shown.extra_specs(volume_type),
            qos_specs_id: shown.qos_specs_id(volume_type),
            access_is_public: shown.access.then_some(volume_type.is_public),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneVolumeType)]
pub struct One<'a> {
    pub volume_type: View<'a>,
}

/// Answers to who made or changed a type have other keys in another order.
#[derive(Serialize, ToSchema)]
#[schema(as = WrittenVolumeType)]
pub struct Written<'a> {
    id: &'a str,
    name: &'a str,
    is_public: bool,
    extra_specs: BTreeMap<&'a str, Option<&'a str>>,
    description: Option<&'a str>,
    /// For members, of a type that was just made.
    #[serde(rename = "os-volume-type-access:is_public", skip_serializing_if = "Option::is_none")]
    access_is_public: Option<bool>,
}

impl<'a> Written<'a> {
    pub fn new(volume_type: &'a db::VolumeType, shown: Shown) -> Self {
        Self {
            id: volume_type.id.as_str(),
            name: &volume_type.name,
            is_public: volume_type.is_public,
            extra_specs: visible_specs(volume_type, shown.sensitive),
            description: volume_type.description.as_deref(),
            access_is_public: None,
        }
    }

    pub fn made(volume_type: &'a db::VolumeType, shown: Shown) -> Self {
        Self {
            access_is_public: shown.access.then_some(volume_type.is_public),
            ..Self::new(volume_type, shown)
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneWrittenVolumeType)]
pub struct OneWritten<'a> {
    pub volume_type: Written<'a>,
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
