//! Application credentials: their users make them, for programs to log in with.

mod create;
mod delete;
mod list;
mod show;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::fault::{Fault, Result};
use super::links::{Base, ListLinks, SelfLink};
use crate::db::{ApplicationCredential, Repository, Role};
use crate::model::ApplicationCredentialId;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(show::show, delete::delete))
}

#[derive(Serialize, ToSchema)]
pub(super) struct ApplicationCredentials {
    application_credentials: Vec<CredentialView>,
    links: ListLinks,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CredentialBody {
    application_credential: CredentialView,
}

#[derive(Serialize, ToSchema)]
struct CredentialView {
    id: String,
    name: String,
    description: Option<String>,
    user_id: String,
    project_id: String,
    system: Option<String>,
    expires_at: Option<String>,
    unrestricted: bool,
    roles: Vec<RolePart>,
    /// Only in the answer to its creation: it is kept nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    links: SelfLink,
}

#[derive(Serialize, ToSchema)]
struct RolePart {
    id: String,
    name: String,
    domain_id: Option<String>,
    description: Option<String>,
    #[schema(value_type = Object)]
    options: Map<String, Value>,
}

impl CredentialView {
    /// `roles`: all there are.
    fn new(credential: ApplicationCredential, roles: &[Role], base: &Base) -> Self {
        let path = format!("users/{}/application_credentials/{}", credential.user_id, credential.id);
        let held = roles.iter().filter(|role| credential.roles.contains(&role.id));
        let roles = held.map(|role| RolePart {
            id: role.id.to_string(),
            name: role.name.clone(),
            domain_id: None,
            description: role.description.clone(),
            options: Map::new(),
        });
        Self {
            roles: roles.collect(),
            id: credential.id.0,
            name: credential.name,
            description: credential.description,
            user_id: credential.user_id.0,
            project_id: credential.project_id.0,
            system: None,
            expires_at: credential.expires_at.map(|moment| moment.to_microseconds()),
            unrestricted: credential.unrestricted,
            secret: None,
            links: SelfLink::new(base, &path),
        }
    }
}

/// One of this very user.
async fn find(repository: &mut Repository, user: &str, id: &str) -> Result<ApplicationCredential> {
    let found = repository.application_credential(&ApplicationCredentialId(id.to_owned())).await?;
    let found = found.filter(|credential| credential.user_id.as_str() == user);
    found.ok_or_else(|| Fault::Missing("Application Credential", id.to_owned()))
}
