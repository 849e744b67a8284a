//! `/os-quota-class-sets`: limits under a name. Those of `default` are the limits of all projects without their own.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::{Fault, answer};
use super::quotas::{Set, class_limits, defaults, resources};
use super::request::{Body, Call};
use super::schema::{Object, check_name};
use crate::config;
use crate::db::quotas::Quota;
use crate::db::{self, Repository};
use crate::http::App;
use crate::identity::policy::volume as rules;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, update))
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneQuotaClassSet)]
struct One {
    quota_class_set: Set,
}

#[utoipa::path(
    get, path = "/v3/os-quota-class-sets/{quota_class_name}", tag = "quotas", operation_id = "show_quota_class",
    params(("quota_class_name" = String, Path)),
    responses(
        (status = 200, body = One),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
async fn show(State(app): State<App>, call: Call, Path(class): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::QUOTA_CLASSES_GET)?;
    let mut repository = app.database.read().await?;
    let limits = limits(&mut repository, &call, &class, &app.config.quotas).await?;
    Ok(answer(StatusCode::OK, &One { quota_class_set: Set { limits, id: Some(class) } }))
}

#[utoipa::path(
    put, path = "/v3/os-quota-class-sets/{quota_class_name}", tag = "quotas", operation_id = "update_quota_class",
    params(("quota_class_name" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = One, description = "All limits of the class"),
        (status = 400, description = "A name that is none, or no limit"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
async fn update(
    State(app): State<App>,
    call: Call,
    Path(class): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let body = Object::body(&body)?;
    let set = set_of(&body)?;
    // Before the names: which there are is not for everybody.
    call.check_own(rules::QUOTA_CLASSES_UPDATE)?;
    let mut repository = app.database.begin().await?;
    let quotas = given(&mut repository, &call, &set, &app.config.quotas).await?;
    check_name("quota_class_name", &class)?;
    for quota in &quotas {
        repository.set_class_quota(&class, quota).await?;
    }
    let limits = limits(&mut repository, &call, &class, &app.config.quotas).await?;
    repository.commit().await?;
    Ok(answer(StatusCode::OK, &One { quota_class_set: Set { limits, id: None } }))
}

/// The one object in the body.
fn set_of<'a>(body: &Object<'a>) -> Result<Object<'a>, Fault> {
    let set = body.object("quota_class_set")?;
    body.require("quota_class_set")?;
    body.only(&["quota_class_set"])?;
    set.ok_or(Fault::Malformed)
}

async fn given(
    repository: &mut Repository,
    call: &Call,
    set: &Object<'_>,
    config: &config::Quotas,
) -> Result<Vec<Quota>, Fault> {
    let known = resources(repository, call, config).await?;
    let strangers: Vec<&str> = set
        .fields()
        .keys()
        .map(String::as_str)
        .filter(|name| known.iter().all(|resource| resource.name != *name))
        .collect();
    if !strangers.is_empty() {
        let strangers = strangers.join(", ");
        return Err(Fault::InvalidInput(format!("Bad key(s) in quota class set: {strangers}")));
    }
    let quota = |name: &String| Ok(Quota { resource: name.clone(), hard_limit: set.limit(name)? });
    set.fields().keys().map(quota).collect()
}

async fn limits(
    repository: &mut Repository,
    call: &Call,
    class: &str,
    config: &config::Quotas,
) -> db::Result<Map<String, Value>> {
    let (own, defaults) = (class_limits(repository, class).await?, defaults(repository).await?);
    let mut limits = Map::new();
    for resource in resources(repository, call, config).await? {
        let set = own.get(&resource.name).or_else(|| defaults.get(&resource.name));
        let limit = set.copied().unwrap_or(resource.default);
        limits.insert(resource.name, limit.into());
    }
    Ok(limits)
}
