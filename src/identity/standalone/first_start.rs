//! What there must be before anybody can log in: a domain, the roles, and an administrator with a project.

use super::accounts::{DEFAULT_DOMAIN, new_project, new_role, new_user, random_password};
use super::passwords;
use crate::db::{Database, Domain, Role};
use crate::model::{DomainId, Scope, World};

/// Who may log in after a first start.
pub struct FirstAdmin {
    pub user_name: &'static str,
    pub project_name: &'static str,
    /// It is kept nowhere.
    pub password: String,
}

/// Each with what it implies, which stands before it.
const ROLES: &[(&str, Option<&str>)] = &[
    ("reader", None),
    ("member", Some("reader")),
    ("manager", Some("member")),
    ("admin", Some("manager")),
    ("service", None),
];

/// Makes them, unless there is a user already. What `announce` cannot make known is not made.
pub async fn first_start(
    database: &Database,
    world: &World,
    announce: impl FnOnce(&FirstAdmin) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if database.read().await?.any_user().await? {
        return Ok(());
    }
    let admin = FirstAdmin { user_name: "admin", project_name: "admin", password: random_password(world) };
    let hash = passwords::hash(world, &admin.password)?;

    let mut repository = database.begin().await?;
    // Another process may start for the first time too: the domain's id and name are taken by one of them.
    let domain = Domain {
        id: DomainId(DEFAULT_DOMAIN.to_owned()),
        name: "Default".to_owned(),
        description: "The default domain".to_owned(),
        enabled: true,
        created_at: world.now(),
    };
    match repository.add_domain(&domain).await {
        Err(crate::db::DbError::Exists) => return Ok(()),
        added => added?,
    }
    let mut roles: Vec<Role> = Vec::new();
    for (name, implied) in ROLES {
        let role = new_role(world, name, None);
        repository.add_role(&role).await?;
        if let Some(implied) = roles.iter().find(|role| Some(role.name.as_str()) == *implied) {
            repository.imply_role(&role.id, &implied.id).await?;
        }
        roles.push(role);
    }
    let project = new_project(world, domain.id.clone(), admin.project_name, "Of the administrator");
    repository.add_project(&project).await?;
    let user = new_user(world, domain.id, admin.user_name, Some(hash));
    repository.add_user(&user).await?;
    if let Some(role) = roles.iter().find(|role| role.name == "admin") {
        repository.assign_role(&user.id, &Scope::Project(project.id), &role.id).await?;
        repository.assign_role(&user.id, &Scope::System, &role.id).await?;
    }
    announce(&admin)?;
    repository.commit().await?;
    Ok(())
}
