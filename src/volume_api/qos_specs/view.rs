//! QoS specs as clients see them. The order of the fields is the order of the keys.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::links::{Link, NextLink};
use super::super::request::Call;
use crate::db::{self, Specs};

#[derive(Serialize, ToSchema)]
#[schema(as = QosSpecs)]
pub struct View<'a> {
    id: &'a str,
    name: &'a str,
    consumer: &'a str,
    #[schema(value_type = Object)]
    specs: &'a Specs,
}

impl<'a> View<'a> {
    pub fn new(specs: &'a db::QosSpecs) -> Self {
        Self { id: specs.id.as_str(), name: &specs.name, consumer: &specs.consumer, specs: &specs.specs }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneQosSpecs)]
pub struct One<'a> {
    qos_specs: View<'a>,
    links: [Link<'a>; 2],
}

impl<'a> One<'a> {
    pub fn new(specs: &'a db::QosSpecs, call: &'a Call) -> Self {
        Self { qos_specs: View::new(specs), links: call.links.of("qos-specs", specs.id.as_str()) }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = ManyQosSpecs)]
pub struct Many<'a> {
    pub qos_specs: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<NextLink>>)]
    pub qos_specs_links: Option<[NextLink; 1]>,
}
