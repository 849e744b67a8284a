use clap::Args;

use crate::commands::directory::Directory;
use crate::db::RoleAssignmentFilter;

/// List who holds which role on what: user, role, scope
#[derive(Debug, Args)]
pub struct Arguments {}

pub(super) async fn run(directory: &Directory) -> anyhow::Result<()> {
    let mut repository = directory.database.read().await?;
    let roles = repository.roles().await?;
    for held in repository.role_assignments(&RoleAssignmentFilter::default()).await? {
        let user = repository.user(&held.user_id).await?.map_or(held.user_id.0, |user| user.name);
        let role = roles.iter().find(|role| role.id == held.role_id).map_or("", |role| role.name.as_str());
        println!("{user}  {role}  {}/{}", held.scope, held.scope_id);
    }
    Ok(())
}
