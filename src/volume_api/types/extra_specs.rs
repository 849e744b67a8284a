//! `/types/{type_id}/extra_specs`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::fault::{Fault, answer, empty_json};
use super::super::request::{Body, Call};
use super::super::schema::{Object, SIMPLE_SPECS};
use super::view::visible_specs;
use super::{check_specs, find, find_to_change};
use crate::db::Specs;
use crate::http::App;
use crate::identity::policy::volume as rules;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(show, write, remove))
}

#[derive(Serialize, ToSchema)]
#[schema(as = ExtraSpecs)]
struct All<'a> {
    extra_specs: BTreeMap<&'a str, Option<&'a str>>,
}

#[utoipa::path(
    get, path = "/v3/types/{type_id}/extra_specs", tag = "types", operation_id = "list_extra_specs",
    params(("type_id" = String, Path)),
    responses(
        (status = 200, body = All),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type"),
    ),
)]
async fn list(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::EXTRA_SPECS_GET_ALL)?;
    let volume_type = find(&mut app.database.read().await?, &call, &id).await?;
    let extra_specs = visible_specs(&volume_type, call.has(rules::TYPE_READ_SENSITIVE));
    Ok(answer(StatusCode::OK, &All { extra_specs }))
}

#[utoipa::path(
    post, path = "/v3/types/{type_id}/extra_specs", tag = "types", operation_id = "add_extra_specs",
    description = "Adds to the specs, or changes those that are there.",
    params(("type_id" = String, Path)),
    request_body = All,
    responses(
        (status = 200, body = All),
        (status = 400, description = "The body is not usable, or a volume is of this type"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type"),
    ),
)]
async fn add(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let given = {
        let body = Object::body(&body)?;
        let specs = body.specs("extra_specs", &SIMPLE_SPECS)?;
        body.require("extra_specs")?;
        body.only(&["extra_specs"])?;
        specs.unwrap_or_default()
    };
    call.check_own(rules::EXTRA_SPECS_CREATE)?;
    change(&app, &call, &id, |specs| {
        specs.extend(given);
        Ok(())
    })
    .await?;
    Ok(answer(StatusCode::OK, &body))
}

#[utoipa::path(
    get, path = "/v3/types/{type_id}/extra_specs/{key}", tag = "types", operation_id = "show_extra_spec",
    params(("type_id" = String, Path), ("key" = String, Path)),
    responses(
        (status = 200, body = BTreeMap<String, Option<String>>),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type, or no such spec"),
    ),
)]
async fn show(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    call.check_own(rules::EXTRA_SPECS_GET)?;
    let volume_type = find(&mut app.database.read().await?, &call, &id).await?;
    let specs = visible_specs(&volume_type, call.has(rules::TYPE_READ_SENSITIVE));
    let text = specs.get(key.as_str()).ok_or_else(|| no_spec(&id, &key))?;
    Ok(answer(StatusCode::OK, &json!({ key: text })))
}

#[utoipa::path(
    put, path = "/v3/types/{type_id}/extra_specs/{key}", tag = "types", operation_id = "update_extra_spec",
    params(("type_id" = String, Path), ("key" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = ref("#/components/schemas/UpdateExtraSpecRequest"), description = "As the body says it"),
        (status = 400, description = "The body is not usable, or a volume is of this type"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type"),
    ),
)]
async fn write(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let given = {
        let body = Object::body(&body)?;
        let specs = body.all_specs(&SIMPLE_SPECS)?;
        match specs.len() {
            0 => return Err(body.refuse("{} should be non-empty".to_owned())),
            1 => specs,
            _ => return Err(body.refuse(format!("{} has too many properties", body.repr()))),
        }
    };
    call.check_own(rules::EXTRA_SPECS_UPDATE)?;
    change(&app, &call, &id, |specs| {
        if !given.contains_key(&key) {
            return Err(Fault::Invalid("Request body and URI mismatch".to_owned()));
        }
        specs.extend(given);
        Ok(())
    })
    .await?;
    Ok(answer(StatusCode::OK, &body))
}

#[utoipa::path(
    delete, path = "/v3/types/{type_id}/extra_specs/{key}", tag = "types", operation_id = "delete_extra_spec",
    params(("type_id" = String, Path), ("key" = String, Path)),
    responses(
        (status = 202, description = "It is gone"),
        (status = 400, description = "A volume is of this type"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type, or no such spec"),
    ),
)]
async fn remove(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    // The real service looks for the type before it asks the rule.
    find(&mut app.database.read().await?, &call, &id).await?;
    call.check_own(rules::EXTRA_SPECS_DELETE)?;
    change(&app, &call, &id, |specs| specs.remove(&key).map(drop).ok_or_else(|| no_spec(&id, &key))).await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

/// Volumes were made as the specs said: they stay as they are while there is one.
async fn change(
    app: &App,
    call: &Call,
    id: &str,
    change: impl FnOnce(&mut Specs) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut repository = app.database.begin().await?;
    let mut volume_type = find_to_change(&mut repository, call, id).await?;
    if repository.volume_type_is_in_use(&volume_type.id).await? {
        return Err(Fault::Invalid("Volume Type is currently in use.".to_owned()));
    }
    change(&mut volume_type.extra_specs)?;
    check_specs(&volume_type.extra_specs)?;
    volume_type.updated_at = Some(app.world.now());
    repository.update_volume_type(&volume_type).await?;
    repository.commit().await?;
    Ok(())
}

fn no_spec(id: &str, key: &str) -> Fault {
    Fault::NoSuch(format!("Volume Type {id} has no extra specs with key {key}."))
}
