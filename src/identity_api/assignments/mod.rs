//! Who holds which role on what. The same four things can be done on a project, a domain and the whole system.

mod list;
mod on_domain;
mod on_project;
mod on_system;

use axum::Json;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::asker::Asker;
use super::fault::{Fault, Result};
use super::links::{Base, ListLinks};
use super::roles::{self, RoleView, Roles};
use crate::db::{Repository, Role, User};
use crate::model::{Scope, UserId};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(on_project::list))
        .routes(routes!(on_project::check, on_project::assign, on_project::unassign))
        .routes(routes!(on_domain::list))
        .routes(routes!(on_domain::check, on_domain::assign, on_domain::unassign))
        .routes(routes!(on_system::list))
        .routes(routes!(on_system::check, on_system::assign, on_system::unassign))
}

async fn of_user(api: &Api, asker: &Asker, base: &Base, scope: &Scope, user: &str) -> Result<Json<Roles>> {
    asker.may_see("identity:list_grants")?;
    let mut repository = api.app.database.read().await?;
    let user = on(&mut repository, scope, user).await?;
    let found = repository.assigned_roles(&user.id, scope).await?;
    let links = ListLinks::new(base, &format!("{}/users/{}/roles", place(scope), user.id));
    Ok(Json(Roles { roles: found.into_iter().map(|role| RoleView::new(role, base)).collect(), links }))
}

async fn is_held(api: &Api, asker: &Asker, scope: &Scope, user: &str, role: &str) -> Result<StatusCode> {
    asker.may_see("identity:check_grant")?;
    let mut repository = api.app.database.read().await?;
    let (user, role) = both(&mut repository, scope, user, role).await?;
    let held = repository.assigned_roles(&user.id, scope).await?;
    if held.contains(&role) { Ok(StatusCode::NO_CONTENT) } else { Err(not_held(scope, &user, &role)) }
}

async fn give(api: &Api, asker: &Asker, scope: &Scope, user: &str, role: &str) -> Result<StatusCode> {
    asker.may_change("identity:create_grant")?;
    let mut repository = api.app.database.begin().await?;
    let (user, role) = both(&mut repository, scope, user, role).await?;
    repository.assign_role(&user.id, scope, &role.id).await?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(StatusCode::NO_CONTENT)
}

async fn take(api: &Api, asker: &Asker, scope: &Scope, user: &str, role: &str) -> Result<StatusCode> {
    asker.may_change("identity:revoke_grant")?;
    let mut repository = api.app.database.begin().await?;
    let (user, role) = both(&mut repository, scope, user, role).await?;
    if !repository.unassign_role(&user.id, scope, &role.id).await? {
        return Err(not_held(scope, &user, &role));
    }
    repository.commit().await?;
    api.standalone.changed();
    Ok(StatusCode::NO_CONTENT)
}

/// The user, on a scope that is there.
async fn on(repository: &mut Repository, scope: &Scope, user: &str) -> Result<User> {
    let is_there = match scope {
        Scope::Project(id) => repository.project(id).await?.is_some(),
        Scope::Domain(id) => repository.domain(id).await?.is_some(),
        Scope::System => true,
    };
    if !is_there {
        return Err(Fault::Missing(scope.kind(), scope.id().to_owned()));
    }
    let found = repository.user(&UserId(user.to_owned())).await?;
    found.ok_or_else(|| Fault::Missing("user", user.to_owned()))
}

async fn both(repository: &mut Repository, scope: &Scope, user: &str, role: &str) -> Result<(User, Role)> {
    let role = roles::find(repository, role).await?;
    Ok((on(repository, scope, user).await?, role))
}

fn not_held(scope: &Scope, user: &User, role: &Role) -> Fault {
    let who = format!("{}, user or group: {}, project, domain, or system: {}", role.id, user.id, scope.id());
    Fault::Missing("role assignment with role", who)
}

/// Below which a scope's assignments have their addresses.
fn place(scope: &Scope) -> String {
    match scope {
        Scope::Project(id) => format!("projects/{id}"),
        Scope::Domain(id) => format!("domains/{id}"),
        Scope::System => "system".to_owned(),
    }
}
