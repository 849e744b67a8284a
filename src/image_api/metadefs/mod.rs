//! Metadata definitions: what keys of images, volumes, flavors and so on mean, for whoever offers them to people.
//!
//! A namespace holds objects, properties, tags, and the resource types it is for. What these four have in common is in
//! `items` and `endpoints`; each has a file with its form and the endpoints of its own.

mod endpoints;
mod items;
mod namespaces;
mod objects;
mod properties;
mod resource_types;
mod tags;

use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::{Fault, Result};
use super::request::Call;
use super::schema;
use crate::db::{MetadefNamespace, Repository};
use crate::http::App;
use crate::identity::policy::{Rule, Target, image as rules};

pub(super) fn endpoints() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(resource_types::all))
        .routes(routes!(namespaces::list::list, namespaces::create::create))
        .routes(routes!(namespaces::show::show, namespaces::update::update, namespaces::delete::delete))
        .routes(routes!(resource_types::list, resource_types::create))
        .routes(routes!(resource_types::delete))
        .routes(routes!(properties::list, properties::create, properties::delete_all))
        .routes(routes!(properties::show, properties::update, properties::delete))
        .routes(routes!(objects::list, objects::create, objects::delete_all))
        .routes(routes!(objects::show, objects::update, objects::delete))
        .routes(routes!(tags::list, tags::create_several, tags::delete_all))
        .routes(routes!(tags::show, tags::create, tags::update, tags::delete))
}

/// The namespace of this name, if it is there for the caller's project. What is not there and what is not for the
/// project are the same to them; which roles may do what is asked by [`check`].
async fn find(repository: &mut Repository, call: &Call, name: &str) -> Result<MetadefNamespace> {
    let namespace = if is_name(name) { repository.metadef_namespace(name).await? } else { None };
    visible(namespace, call, name)
}

/// As [`find`], and nobody else changes or removes it before the transaction ends.
async fn find_to_change(repository: &mut Repository, call: &Call, name: &str) -> Result<MetadefNamespace> {
    let namespace = if is_name(name) { repository.metadef_namespace_to_change(name).await? } else { None };
    visible(namespace, call, name)
}

/// PostgreSQL has no text with NUL to compare with.
fn is_name(text: &str) -> bool {
    !text.contains('\0')
}

fn visible(namespace: Option<MetadefNamespace>, call: &Call, name: &str) -> Result<MetadefNamespace> {
    let is_for = |namespace: &MetadefNamespace| {
        call.guard.is_admin()
            || namespace.visibility == "public"
            || namespace.project_id.as_ref().is_none_or(|owner| owner == call.project_id())
    };
    namespace.filter(is_for).ok_or_else(|| Fault::NotFound(format!("Namespace {name} not found")))
}

/// Refuses what the rule does not allow, in a namespace or in none. Where not even the namespace may be looked at,
/// nothing is there.
fn check(call: &Call, rule: Rule, namespace: Option<&MetadefNamespace>) -> Result<()> {
    call.check_known(rule, rules::GET_METADEF_NAMESPACE, &namespace.map_or_else(|| call.guard.own(), target))
}

fn target(namespace: &MetadefNamespace) -> Target {
    Target::new()
        .with_option("project_id", namespace.project_id.as_ref())
        .with("visibility", &namespace.visibility)
}

/// The fields of a body that fits the schema; some only the service may write.
fn fields(body: Value, schema: &Value, read_only: &[&str]) -> Result<Map<String, Value>> {
    if let Some(name) = read_only.iter().find(|name| body.get(**name).is_some()) {
        return Err(Fault::Forbidden(format!("Attribute '{name}' is read-only.")));
    }
    if body.is_object() {
        schema::check(schema, &body)?;
    }
    match body {
        Value::Object(fields) => Ok(fields),
        _ => Err(Fault::BadRequest("Request body must be a JSON object.".to_owned())),
    }
}

/// Takes a text out of fields that were checked against their schema.
fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.shift_remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}
