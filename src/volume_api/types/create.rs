//! `POST /types`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::request::{Body, Call};
use super::super::schema::{SPECS, only_object};
use super::check_specs;
use super::view::{OneWritten, Shown, Written};
use crate::db::{DbError, Json, VolumeType};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::VolumeTypeId;

const ACCESS: &str = "os-volume-type-access:is_public";

#[utoipa::path(
    post, path = "/v3/types", tag = "types", operation_id = "create_type",
    request_body = Object,
    responses(
        (status = 200, body = OneWritten),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 409, description = "There is one of this name"),
    ),
)]
pub async fn create(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    let (name, description, extra_specs, is_public) = only_object(&body, "volume_type", |wanted| {
        let name = wanted.name("name")?;
        let description = wanted.printable_text("description")?.value();
        let extra_specs = wanted.specs("extra_specs", &SPECS)?.unwrap_or_default();
        let is_public = wanted.boolean(ACCESS)?.unwrap_or(true);
        wanted.require("name")?;
        wanted.only(&["name", "description", "extra_specs", ACCESS])?;
        Ok((name.unwrap_or_default(), description, extra_specs, is_public))
    })?;
    call.check_own(rules::TYPE_CREATE)?;
    check_specs(&extra_specs)?;
    let volume_type = VolumeType {
        id: VolumeTypeId::from(app.world.ids.random()),
        name: name.to_owned(),
        description: description.map(str::to_owned),
        is_public,
        extra_specs: Json(extra_specs),
        qos_specs_id: None,
        created_at: app.world.now(),
        updated_at: None,
    };
    let mut repository = app.database.begin().await?;
    repository.add_volume_type(&volume_type).await.map_err(|error| taken(error, name))?;
    repository.commit().await?;
    let volume_type = Written::made(&volume_type, Shown::to(&call));
    Ok(answer(StatusCode::OK, &OneWritten { volume_type }))
}

/// What it means that a name exists.
pub fn taken(error: DbError, name: &str) -> Fault {
    match error {
        DbError::Exists => Fault::Exists(format!("Volume Type {name} already exists.")),
        other => other.into(),
    }
}
