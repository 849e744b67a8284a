//! `PUT /types/{type_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::quotas;
use super::super::request::{Body, Call};
use super::super::schema::only_object;
use super::create::taken;
use super::find_to_change;
use super::view::{OneWritten, Shown, Written};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    put, path = "/v3/types/{type_id}", tag = "types", operation_id = "update_type",
    params(("type_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = OneWritten),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type"),
        (status = 409, description = "There is another one of this name"),
    ),
)]
pub async fn update(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let (name, description, is_public) = only_object(&body, "volume_type", |wanted| {
        let name = wanted.nonempty_text("name")?.value();
        let description = wanted.printable_text("description")?.value();
        let is_public = wanted.boolean("is_public")?;
        wanted.only(&["name", "description", "is_public"])?;
        Ok((name, description, is_public))
    })?;
    call.check_own(rules::TYPE_UPDATE)?;
    if name.is_some_and(|name| name.trim().is_empty()) {
        return Err(Fault::Invalid("Volume type name can not be empty.".to_owned()));
    }
    if name.is_none() && description.is_none() && is_public.is_none() {
        return Err(Fault::Invalid(
            "Specify volume type name, description, is_public or a combination thereof.".to_owned(),
        ));
    }
    let mut repository = app.database.begin().await?;
    let mut volume_type = find_to_change(&mut repository, &call, &id).await?;
    let former = volume_type.name.clone();
    if let Some(name) = name {
        volume_type.name = name.to_owned();
    }
    if let Some(description) = description {
        volume_type.description = Some(description.to_owned());
    }
    volume_type.is_public = is_public.unwrap_or(volume_type.is_public);
    volume_type.updated_at = Some(app.world.now());
    repository.update_volume_type(&volume_type).await.map_err(|error| taken(error, &volume_type.name))?;
    quotas::rename_type(&mut repository, &former, &volume_type.name).await?;
    repository.commit().await?;
    let volume_type = Written::new(&volume_type, Shown::to(&call));
    Ok(answer(StatusCode::OK, &OneWritten { volume_type }))
}
