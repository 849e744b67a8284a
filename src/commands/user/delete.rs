use clap::Args;

use crate::commands::directory::Directory;

/// Remove a user, with roles and application credentials
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name or id
    user: String,
}

pub(super) async fn run(arguments: Arguments, directory: &Directory) -> anyhow::Result<()> {
    let mut repository = directory.database.begin().await?;
    let user = directory.user(&mut repository, &arguments.user).await?;
    repository.remove_user(&user.id).await?;
    repository.commit().await?;
    Ok(())
}
