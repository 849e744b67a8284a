//! `POST /v3/users/{user_id}/application_credentials`

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{CredentialBody, CredentialView};
use crate::db::{ApplicationCredential, DbError, Json as Stored, Role};
use crate::identity::standalone::accounts::with_implied;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::body::{Body, Fields, invalid};
use crate::identity_api::fault::{Fault, FaultBody, Result};
use crate::identity_api::links::Base;
use crate::model::{ApplicationCredentialId, RoleId, Timestamp, UserId};

/// Characters in a description.
const DESCRIPTION: usize = 1024;
/// Roles that can be asked for: nobody holds as many.
const ROLES: usize = 100;
/// What one user may have: enough for a program each, and few enough to list at once. Keystone's `user_limit`, which has
/// no bound unless it is given one.
const MOST: i64 = 100;

/// A new one, for the project of the token, with no more roles than the token has
#[utoipa::path(
    post, path = "/v3/users/{user_id}/application_credentials", tag = "application credentials",
    operation_id = "create_application_credential",
    params(("user_id" = String, Path)),
    request_body(content = Object, description = "`application_credential`: name, secret, description, roles, \
        expires_at, unrestricted"),
    responses(
        (status = 201, body = CredentialBody),
        (status = 400, description = "The request is malformed, or asks for a role that the token has not",
            body = FaultBody),
        (status = 403, description = "Somebody else, or a token without a project, or one of a restricted \
            application credential, or the user has as many as one may have", body = FaultBody),
        (status = 409, description = "The user has one of this name", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn create(
    State(api): State<Api>,
    asker: Asker,
    Path(user): Path<String>,
    base: Base,
    body: Body,
) -> Result<(StatusCode, Json<CredentialBody>)> {
    const RULE: &str = "identity:create_application_credential";
    let user_id = UserId(user);
    asker.must(asker.is(&user_id), RULE)?;
    may_multiply(&asker)?;
    let project_id = asker.0.caller.project_id.clone().ok_or(Fault::Forbidden(RULE))?;

    let fields = body.about("application_credential")?;
    let name = fields.required_name(255)?;
    let description = fields.text("description", DESCRIPTION)?;
    let unrestricted = fields.boolean("unrestricted")?.unwrap_or(false);
    let world = &api.app.world;
    let expires_at = expires_at(&fields, world.now())?;
    fields.without("access_rules")?;
    let secret = fields.text("secret", 255)?.filter(|secret| !secret.is_empty());
    let secret = secret.unwrap_or_else(|| URL_SAFE_NO_PAD.encode(world.ids.secret()));
    let secret_hash = api.standalone.passwords().hash(secret.clone()).await?;

    let mut repository = api.app.database.begin().await?;
    // It outlives the token: what this stood for a few seconds ago does not do.
    let session = api.standalone.session_within(&mut repository, &asker.0).await?;
    let asked = roles(&fields, &session.roles)?;
    if repository.count_application_credentials(&user_id).await? >= MOST {
        return Err(Fault::TooManyCredentials(MOST));
    }
    let credential = ApplicationCredential {
        id: ApplicationCredentialId::from(world.ids.random()),
        user_id,
        project_id,
        name,
        description,
        secret_hash,
        roles: Stored(with_implied(&mut repository, asked).await?),
        unrestricted,
        expires_at,
        created_at: world.now(),
    };
    repository.add_application_credential(&credential).await.map_err(|error| match error {
        DbError::Exists => Fault::Conflict(
            "application_credential",
            format!("Duplicate entry found with name {}", credential.name),
        ),
        other => other.into(),
    })?;
    let all = repository.roles().await?;
    repository.commit().await?;
    let mut view = CredentialView::new(credential, &all, &base);
    view.secret = Some(secret);
    Ok((StatusCode::CREATED, Json(CredentialBody { application_credential: view })))
}

/// A credential that leaked must not be able to make others that outlive it.
pub(super) fn may_multiply(asker: &Asker) -> Result<()> {
    match &asker.0.application_credential {
        Some(credential) if !credential.unrestricted => Err(Fault::Forbidden(
            "Using method 'application_credential' is not allowed for managing additional application credentials.",
        )),
        _ => Ok(()),
    }
}

/// Those that are asked for by id or name, or all that are held.
fn roles(fields: &Fields<'_>, held: &[Role]) -> Result<Vec<RoleId>> {
    let Some(asked) = fields.array("roles")?.filter(|asked| !asked.is_empty()) else {
        return Ok(held.iter().map(|role| role.id.clone()).collect());
    };
    if asked.len() > ROLES {
        return Err(invalid("roles", &format!("it has more than {ROLES} items")));
    }
    let unassigned =
        "Invalid application credential: Cannot create an application credential with unassigned role";
    let find = |asked: &Value| {
        let is_meant = |key, text: &str| asked.get(key).and_then(Value::as_str) == Some(text);
        let found = held.iter().find(|role| is_meant("id", role.id.as_str()) || is_meant("name", &role.name));
        found.map(|role| role.id.clone()).ok_or_else(|| Fault::Invalid(unassigned.to_owned()))
    };
    asked.iter().map(find).collect()
}

fn expires_at(fields: &Fields<'_>, now: Timestamp) -> Result<Option<Timestamp>> {
    let Some(text) = fields.text("expires_at", 64)? else { return Ok(None) };
    match Timestamp::parse(&text) {
        None => Err(invalid("expires_at", "it is not a moment such as 2030-01-01T00:00:00Z")),
        Some(moment) if moment <= now => Err(invalid("expires_at", "it is in the past")),
        moment => Ok(moment),
    }
}
