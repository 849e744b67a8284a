use anyhow::ensure;

use super::Grant;
use crate::commands::directory::Directory;

pub(super) async fn run(grant: Grant, directory: &Directory) -> anyhow::Result<()> {
    let mut repository = directory.database.begin().await?;
    let (user, scope, role) = grant.find(&mut repository, directory).await?;
    let was_held = repository.unassign_role(&user, &scope, &role).await?;
    ensure!(was_held, "{} does not hold {} there", grant.user, grant.role);
    repository.commit().await?;
    Ok(())
}
