//! Users, projects and roles, as both the API and the shell make and change them.

use std::collections::{HashMap, HashSet};

use serde_json::Map;

use crate::db::{Extra, Json, Project, Repository, Role, SecretHash, User};
use crate::model::{DomainId, ProjectId, RoleId, UserId, World};

/// The domain of whoever does not say which.
pub const DEFAULT_DOMAIN: &str = "default";

pub fn new_user(world: &World, domain: DomainId, name: &str, password: Option<SecretHash>) -> User {
    let now = world.now();
    User {
        id: UserId::from(world.ids.random()),
        domain_id: domain,
        name: name.to_owned(),
        password_hash: password,
        enabled: true,
        default_project_id: None,
        tokens_valid_from: now,
        token_epoch: 1,
        extra: nothing(),
        created_at: now,
    }
}

pub fn new_project(world: &World, domain: DomainId, name: &str, description: &str) -> Project {
    Project {
        id: ProjectId::from(world.ids.random()),
        domain_id: domain,
        name: name.to_owned(),
        description: description.to_owned(),
        enabled: true,
        extra: nothing(),
        created_at: world.now(),
    }
}

pub fn new_role(world: &World, name: &str, description: Option<&str>) -> Role {
    Role {
        id: RoleId::from(world.ids.random()),
        name: name.to_owned(),
        description: description.map(str::to_owned),
        created_at: world.now(),
    }
}

/// Whoever knew the old one is not believed any more, nor is any token made with it.
pub fn set_password(world: &World, user: &mut User, password: SecretHash) {
    user.password_hash = Some(password);
    end_tokens(world, user);
}

/// No token that the user has is good any more.
pub fn end_tokens(world: &World, user: &mut User) {
    user.tokens_valid_from = world.now();
    user.token_epoch += 1;
}

/// The ids of these roles and of all that they imply, each once.
pub async fn with_implied(
    repository: &mut Repository,
    mut roles: Vec<RoleId>,
) -> crate::db::Result<Vec<RoleId>> {
    let mut implied: HashMap<RoleId, Vec<RoleId>> = HashMap::new();
    for (role, other) in repository.implied_roles().await? {
        implied.entry(role).or_default().push(other);
    }
    let mut known = HashSet::new();
    roles.retain(|role| known.insert(role.clone()));
    let mut at = 0;
    while let Some(role) = roles.get(at) {
        let others = implied.get(role).into_iter().flatten().cloned();
        let new: Vec<RoleId> = others.filter(|other| known.insert(other.clone())).collect();
        roles.extend(new);
        at += 1;
    }
    Ok(roles)
}

/// One that nobody can guess: 24 characters, for people to copy.
pub fn random_password(world: &World) -> String {
    openssl::base64::encode_block(&world.ids.secret()[..18]).replace('+', "-").replace('/', "_")
}

fn nothing() -> Extra {
    Json(Map::new())
}
