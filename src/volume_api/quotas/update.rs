//! `PUT /os-quota-sets/{project_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};

use super::super::fault::{Fault, answer};
use super::super::python;
use super::super::request::{Body, Call};
use super::super::schema::{Object, check_name};
use super::view::{One, Set};
use super::{Account, Resource, resources};
use crate::db::quotas::Quota;
use crate::http::App;
use crate::identity::policy::{Target, volume as rules};

/// What the real service's columns hold.
const LARGEST: i64 = i32::MAX as i64;

#[utoipa::path(
    put, path = "/v3/os-quota-sets/{project_id}", tag = "quotas", operation_id = "update_quotas",
    params(("project_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = One, description = "All limits of the project"),
        (status = 400, description = "A name that is none, or a limit below what is in use"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn update(
    State(app): State<App>,
    call: Call,
    Path(project): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let config = &app.config.quotas;
    let set = set_of(&body, "quota_set")?;
    // Before the names: which there are is not for everybody.
    call.check(rules::QUOTAS_UPDATE, &Target::new().with("project_id", &project))?;
    let mut repository = app.database.begin().await?;
    let resources = resources(&mut repository, &call, config).await?;
    let quotas = given(set, &resources)?;
    check_name("quota_set_name", &project)?;
    let account = Account::open(&mut repository, &project, config).await?;
    for quota in &quotas {
        check_use(&account, quota)?;
    }
    for quota in &quotas {
        repository.set_quota(&project, quota).await?;
    }
    let account = Account::limits(&mut repository, &project).await?;
    repository.commit().await?;
    let limits: Map<String, Value> = resources
        .into_iter()
        .map(|resource| {
            let limit = account.limit(&resource);
            (resource.name, limit.into())
        })
        .collect();
    Ok(answer(StatusCode::OK, &One { quota_set: Set { limits, id: None } }))
}

/// The one object in the body.
fn set_of<'a>(body: &'a Value, name: &'a str) -> Result<&'a Map<String, Value>, Fault> {
    let body = Object::body(body)?;
    let set = body.object(name)?;
    if let Some(set) = &set
        && set.fields().is_empty()
    {
        return Err(set.refuse("{} should be non-empty".to_owned()));
    }
    body.require(name)?;
    body.only(&[name])?;
    set.map(|set| set.fields()).ok_or(Fault::Malformed)
}

/// The limits in it. Clients send the project along, which says nothing.
fn given(set: &Map<String, Value>, resources: &[Resource]) -> Result<Vec<Quota>, Fault> {
    let mut quotas = Vec::new();
    let mut strangers = Vec::new();
    for (name, value) in set.iter().filter(|(name, _)| *name != "tenant_id" && *name != "id") {
        if resources.iter().any(|resource| resource.name == *name) {
            quotas.push(Quota { resource: name.clone(), hard_limit: limit(name, value)? });
        } else {
            strangers.push(name.as_str());
        }
    }
    if strangers.is_empty() {
        Ok(quotas)
    } else {
        Err(Fault::InvalidInput(format!("Bad key(s) in quota set: {}", strangers.join(", "))))
    }
}

/// A whole number, or a text of one.
fn limit(name: &str, value: &Value) -> Result<i64, Fault> {
    let text = python::text(value);
    let digits = text.trim();
    let number = digits.parse::<i128>();
    match number {
        Err(_) => Err(Fault::Invalid(format!("{name} must be an integer"))),
        Ok(number) if number < -1 => Err(Fault::Invalid(format!("{name} must be >= -1"))),
        Ok(number) => match i64::try_from(number) {
            Ok(number) if number <= LARGEST => Ok(number),
            _ => Err(Fault::Invalid(format!("{name} must be <= {LARGEST}"))),
        },
    }
}

/// The real service looks at what is in use only where the project has a limit of its own already.
fn check_use(account: &Account, quota: &Quota) -> Result<(), Fault> {
    let Quota { resource, hard_limit } = quota;
    let used = account.consumed(resource);
    if *hard_limit < 0 || !account.own.contains_key(resource) || *hard_limit >= used {
        return Ok(());
    }
    Err(Fault::Invalid(format!(
        "Quota {resource} limit must be equal or greater than existing resources. Current usage is {used} and the \
         requested limit is {hard_limit}."
    )))
}
