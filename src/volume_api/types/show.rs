//! `GET /types/{type_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::request::Call;
use super::view::{One, Shown, View};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/types/{type_id}", tag = "types", operation_id = "show_type",
    params(("type_id" = String, Path, description = "An id, or `default`")),
    responses(
        (status = 200, body = One),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type"),
    ),
)]
pub async fn show(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    let mut repository = app.database.read().await?;
    let volume_type = if id == "default" {
        super::default(&mut repository, &app.config).await?
    } else {
        // A name does not do here.
        let found = repository.volume_type(&id).await?.filter(|found| found.id.as_str() == id);
        found
            .filter(|found| super::is_visible(found, &call))
            .ok_or_else(|| Fault::Missing("Volume type", id))?
    };
    call.check(rules::TYPE_GET, &super::target(&volume_type, &call))?;
    Ok(answer(StatusCode::OK, &One { volume_type: View::new(&volume_type, Shown::to(&call)) }))
}
