use super::Grant;
use crate::commands::directory::Directory;

pub(super) async fn run(grant: Grant, directory: &Directory) -> anyhow::Result<()> {
    let mut repository = directory.database.begin().await?;
    let (user, scope, role) = grant.find(&mut repository, directory).await?;
    repository.assign_role(&user, &scope, &role).await?;
    repository.commit().await?;
    Ok(())
}
