use axum::extract::State;
use serde_json::Value;

use super::check;
use crate::http::App;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, JsonBody};
use crate::image_api::{schema, schemas};

/// Glance's first way to import an image, which has given way to `/v2/images/{image_id}/import`: what Glance refuses is
/// refused here in the same words, and the rest as not there.
#[utoipa::path(
    post, path = "/v2/tasks", tag = "tasks",
    request_body(content = Object, description = "`type` and `input`"),
    responses(
        (status = 400, description = "The body does not fit, or the address may not be asked", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 501, description = "Images are imported by `/v2/images/{image_id}/import`", body = FaultBody),
    )
)]
pub async fn create(State(app): State<App>, call: Call, JsonBody(body): JsonBody) -> Result<()> {
    check(&call)?;
    let refuse = |said: String| Err(Fault::BadRequest(said));
    if let Some(missing) = ["type", "input"].into_iter().find(|name| body.get(*name).is_none()) {
        return refuse(format!("Task '{missing}' is required"));
    }
    schema::check(&schemas::documents::task_to_make(), &body)?;
    if body["type"] == "import" {
        match body["input"].get("import_from").and_then(Value::as_str) {
            None => return refuse("Invalid location: None".to_owned()),
            Some(address) if address.starts_with("file:") => {
                return refuse(
                    "File based imports are not allowed. Please use a non-local source of image data."
                        .to_owned(),
                );
            }
            Some(address) if !["http://", "https://"].iter().any(|scheme| address.starts_with(scheme)) => {
                return refuse(
                    "The given uri is not valid. Please specify a valid uri from the following list of supported uri \
                     ['http']"
                        .to_owned(),
                );
            }
            Some(address) if app.web.filter.check(address).await.is_err() => {
                return refuse(format!("URI for legacy import task does not pass filtering: {address}"));
            }
            Some(_) => {}
        }
    }
    Err(Fault::NotImplemented("Images are imported by POST /v2/images/{image_id}/import.".to_owned()))
}
