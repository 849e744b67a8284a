use anyhow::Context;
use clap::Args;

use crate::commands::directory::Directory;

/// Let a user in again who was disabled, or whose domain was
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name or id
    user: String,
}

pub(super) async fn run(arguments: Arguments, directory: &Directory) -> anyhow::Result<()> {
    let mut repository = directory.database.begin().await?;
    let mut user = directory.user_to_change(&mut repository, &arguments.user).await?;
    let domain = repository.domain_to_change(&user.domain_id).await?;
    let mut domain = domain.with_context(|| format!("{} has no domain", user.name))?;
    (user.enabled, domain.enabled) = (true, true);
    repository.update_user(&user).await?;
    repository.update_domain(&domain).await?;
    repository.commit().await?;
    Ok(())
}
