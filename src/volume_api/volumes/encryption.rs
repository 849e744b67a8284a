//! `/volumes/{volume_id}/encryption`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::fault::{Fault, answer};
use super::super::request::Call;
use super::{find, target};
use crate::db::Encryption;
use crate::http::App;
use crate::identity::policy::volume as rules;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// The order of the fields is the order of the keys.
#[derive(Serialize, ToSchema)]
#[schema(as = VolumeEncryption)]
struct View {
    encryption_key_id: Option<String>,
    /// Those of the type, where it has an encryption.
    #[serde(flatten)]
    of_type: Option<OfType>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = VolumeEncryptionOfType)]
struct OfType {
    control_location: String,
    cipher: Option<String>,
    /// Bits.
    key_size: Option<i64>,
    provider: String,
}

impl View {
    /// No volume has a key: none is made of a type with an encryption.
    fn new(encryption: Option<Encryption>) -> Self {
        let of_type = encryption.map(|encryption| OfType {
            control_location: encryption.control_location,
            cipher: encryption.cipher,
            key_size: encryption.key_size,
            provider: encryption.provider,
        });
        Self { encryption_key_id: None, of_type }
    }

    fn get(self, key: &str) -> Option<String> {
        let of_type = self.of_type;
        match key {
            "encryption_key_id" => self.encryption_key_id,
            "control_location" => of_type.map(|of_type| of_type.control_location),
            "cipher" => of_type?.cipher,
            "key_size" => of_type?.key_size.map(|bits| bits.to_string()),
            "provider" => of_type.map(|of_type| of_type.provider),
            _ => None,
        }
    }
}

#[utoipa::path(
    get, path = "/v3/volumes/{volume_id}/encryption", tag = "volumes", operation_id = "show_volume_encryption",
    params(("volume_id" = String, Path)),
    responses(
        (status = 200, body = View),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
    ),
)]
async fn list(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    Ok(answer(StatusCode::OK, &read(&app, &call, &id).await?))
}

#[utoipa::path(
    get, path = "/v3/volumes/{volume_id}/encryption/{key}", tag = "volumes",
    operation_id = "show_volume_encryption_item",
    description = "The bare text.",
    params(("volume_id" = String, Path), ("key" = String, Path)),
    responses(
        (status = 200, body = String, content_type = "text/html"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume, or nothing under this key"),
    ),
)]
async fn show(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    // The real service fails with 500 where there is nothing.
    let value = read(&app, &call, &id).await?.get(&key).ok_or(Fault::NotFound)?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "text/html; charset=UTF-8")], value).into_response())
}

async fn read(app: &App, call: &Call, id: &str) -> Result<View, Fault> {
    let mut repository = app.database.read().await?;
    let volume = find(&mut repository, call, id).await?;
    call.check(rules::ENCRYPTION_METADATA, &target(&volume))?;
    Ok(View::new(repository.encryption(&volume.volume_type_id).await?))
}
