//! `/types/{type_id}/encryption`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::fault::{Fault, answer, empty};
use super::super::request::{Body, Call, Moment};
use super::super::schema::{Given, Object, only_object};
use super::{find, find_to_change};
use crate::db::{DbError, Encryption, Repository};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::{EncryptionId, VolumeTypeId};

const LOCATIONS: [&str; 2] = ["front-end", "back-end"];

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, update, remove))
}

/// The order of the fields is the order of the keys.
#[derive(Serialize, ToSchema)]
#[schema(as = Encryption)]
struct View<'a> {
    encryption_id: &'a str,
    cipher: Option<&'a str>,
    key_size: Option<i64>,
    provider: &'a str,
    control_location: &'a str,
    volume_type_id: &'a str,
    #[schema(value_type = Option<String>)]
    deleted_at: Option<Moment>,
    deleted: bool,
    #[schema(value_type = String)]
    created_at: Moment,
    #[schema(value_type = Option<String>)]
    updated_at: Option<Moment>,
}

/// Empty when volumes of the type are not encrypted.
#[derive(Serialize, ToSchema)]
#[schema(as = TypeEncryption)]
struct OfType<'a> {
    #[serde(flatten)]
    encryption: Option<View<'a>>,
}

impl<'a> View<'a> {
    fn new(encryption: &'a Encryption) -> Self {
        Self {
            encryption_id: encryption.id.as_str(),
            cipher: encryption.cipher.as_deref(),
            key_size: encryption.key_size,
            provider: &encryption.provider,
            control_location: &encryption.control_location,
            volume_type_id: encryption.volume_type_id.as_str(),
            deleted_at: None,
            deleted: false,
            created_at: Moment(encryption.created_at),
            updated_at: encryption.updated_at.map(Moment),
        }
    }
}

#[utoipa::path(
    get, path = "/v3/types/{type_id}/encryption", tag = "types", operation_id = "list_type_encryption",
    description = "An empty object when volumes of this type are not encrypted.",
    params(("type_id" = String, Path)),
    responses(
        (status = 200, body = OfType),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type"),
    ),
)]
async fn list(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::ENCRYPTION_GET)?;
    let mut repository = app.database.read().await?;
    let volume_type = find(&mut repository, &call, &id).await?;
    let encryption = repository.encryption(&volume_type.id).await?;
    Ok(answer(StatusCode::OK, &OfType { encryption: encryption.as_ref().map(View::new) }))
}

#[utoipa::path(
    post, path = "/v3/types/{type_id}/encryption", tag = "types", operation_id = "create_type_encryption",
    params(("type_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = ref("#/components/schemas/NewTypeEncryption"), description = "As the body says it"),
        (status = 400, description = "The body is not usable, a volume is of this type, or it has an encryption"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type"),
    ),
)]
async fn create(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let wanted = Wanted::read(&body, true)?;
    call.check_own(rules::ENCRYPTION_CREATE)?;
    let mut repository = app.database.begin().await?;
    let volume_type = find_to_change(&mut repository, &call, &id).await?;
    refuse_in_use(&mut repository, &volume_type.id, "create").await?;
    let encryption = Encryption {
        volume_type_id: volume_type.id,
        id: EncryptionId::from(app.world.ids.random()),
        provider: wanted.provider.unwrap_or_default().to_owned(),
        control_location: wanted.control_location.unwrap_or_default().to_owned(),
        cipher: wanted.cipher.value().map(str::to_owned),
        key_size: wanted.key_size.value(),
        created_at: app.world.now(),
        updated_at: None,
    };
    repository.add_encryption(&encryption).await.map_err(|error| match error {
        DbError::Exists => Fault::Invalid(format!("Volume type encryption for type {id} already exists.")),
        other => other.into(),
    })?;
    repository.commit().await?;
    let mut fields = wanted.echo;
    fields.insert("volume_type_id".to_owned(), encryption.volume_type_id.as_str().into());
    fields.insert("encryption_id".to_owned(), encryption.id.as_str().into());
    Ok(answer(StatusCode::OK, &json!({ "encryption": fields })))
}

#[utoipa::path(
    get, path = "/v3/types/{type_id}/encryption/{key}", tag = "types", operation_id = "show_type_encryption",
    description = "One field of it.",
    params(("type_id" = String, Path), ("key" = String, Path)),
    responses(
        (status = 200, body = BTreeMap<String, Value>),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type, no encryption, or no such field"),
    ),
)]
async fn show(
    State(app): State<App>,
    call: Call,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    call.check_own(rules::ENCRYPTION_GET)?;
    let mut repository = app.database.read().await?;
    let volume_type = find(&mut repository, &call, &id).await?;
    let encryption = repository.encryption(&volume_type.id).await?.ok_or_else(|| no_encryption(&id))?;
    let fields = serde_json::to_value(View::new(&encryption)).map_err(Fault::internal)?;
    let value = fields.get(&key).ok_or_else(|| no_encryption(&id))?;
    Ok(answer(StatusCode::OK, &json!({ key: value })))
}

#[utoipa::path(
    put, path = "/v3/types/{type_id}/encryption/{key}", tag = "types", operation_id = "update_type_encryption",
    description = "Whatever the last part of the path says, it is the one encryption of the type.",
    params(("type_id" = String, Path), ("key" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = ref("#/components/schemas/UpdateTypeEncryptionRequest"),
            description = "As the body says it"),
        (status = 400, description = "The body is not usable, or a volume is of this type"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type, or no encryption"),
    ),
)]
async fn update(
    State(app): State<App>,
    call: Call,
    Path((id, _)): Path<(String, String)>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let wanted = Wanted::read(&body, false)?;
    call.check_own(rules::ENCRYPTION_UPDATE)?;
    let mut repository = app.database.begin().await?;
    let volume_type = find_to_change(&mut repository, &call, &id).await?;
    refuse_in_use(&mut repository, &volume_type.id, "update").await?;
    let mut encryption = repository.encryption(&volume_type.id).await?.ok_or_else(|| no_encryption(&id))?;
    if let Some(provider) = wanted.provider {
        encryption.provider = provider.to_owned();
    }
    if let Some(location) = wanted.control_location {
        encryption.control_location = location.to_owned();
    }
    if wanted.cipher != Given::Absent {
        encryption.cipher = wanted.cipher.value().map(str::to_owned);
    }
    if wanted.key_size != Given::Absent {
        encryption.key_size = wanted.key_size.value();
    }
    encryption.updated_at = Some(app.world.now());
    repository.update_encryption(&encryption).await?;
    repository.commit().await?;
    Ok(answer(StatusCode::OK, &json!({ "encryption": wanted.echo })))
}

#[utoipa::path(
    delete, path = "/v3/types/{type_id}/encryption/{key}", tag = "types",
    operation_id = "delete_type_encryption",
    description = "Whatever the last part of the path says, it is the one encryption of the type.",
    params(("type_id" = String, Path), ("key" = String, Path)),
    responses(
        (status = 202, description = "It is gone"),
        (status = 400, description = "A volume is of this type"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such type, or no encryption"),
    ),
)]
async fn remove(
    State(app): State<App>,
    call: Call,
    Path((id, _)): Path<(String, String)>,
) -> Result<Response, Fault> {
    call.check_own(rules::ENCRYPTION_DELETE)?;
    let mut repository = app.database.begin().await?;
    // The real service does not look for the type.
    let found = match VolumeTypeId::parse(&id) {
        Some(id) => repository.volume_type_to_change(&id).await?,
        None => None,
    };
    let volume_type = found.ok_or_else(|| no_encryption(&id))?;
    refuse_in_use(&mut repository, &volume_type.id, "delete").await?;
    if !repository.remove_encryption(&volume_type.id).await? {
        return Err(no_encryption(&id));
    }
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// What the body says.
struct Wanted<'a> {
    provider: Option<&'a str>,
    control_location: Option<&'a str>,
    cipher: Given<&'a str>,
    key_size: Given<i64>,
    /// All of it, as the answer repeats it.
    echo: Map<String, Value>,
}

impl<'a> Wanted<'a> {
    fn read(body: &'a Value, is_new: bool) -> Result<Self, Fault> {
        only_object(body, "encryption", |encryption| {
            let wanted = Self::read_fields(encryption)?;
            if is_new {
                encryption.require("provider")?;
                encryption.require("control_location")?;
            }
            Ok(wanted)
        })
    }

    fn read_fields(encryption: &Object<'a>) -> Result<Self, Fault> {
        let key_size = encryption.number("key_size")?;
        let mut echo = encryption.fields().clone();
        if let Given::Value(bits) = key_size {
            echo.insert("key_size".to_owned(), bits.into());
        }
        Ok(Self {
            provider: encryption.plain_text("provider", 0)?,
            control_location: encryption.one_of("control_location", &LOCATIONS)?,
            cipher: encryption.text("cipher")?,
            key_size,
            echo,
        })
    }
}

/// Its volumes were made as the encryption said, or without one.
async fn refuse_in_use(repository: &mut Repository, id: &VolumeTypeId, what: &str) -> Result<(), Fault> {
    if repository.volume_type_is_in_use(id).await? {
        return Err(Fault::Invalid(format!("Cannot {what} encryption specs. Volume type in use.")));
    }
    Ok(())
}

fn no_encryption(id: &str) -> Fault {
    Fault::NoSuch(format!("Volume type encryption for type {id} does not exist."))
}
