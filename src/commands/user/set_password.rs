use clap::Args;

use super::password;
use crate::commands::directory::Directory;
use crate::identity::standalone::accounts::set_password;
use crate::identity::standalone::hash;

/// Give a user a new password, and make the user's tokens bad; a random one is printed, unless one is given
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name or id
    user: String,

    /// Take the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(super) async fn run(arguments: Arguments, directory: &Directory) -> anyhow::Result<()> {
    let mut repository = directory.database.begin().await?;
    let mut user = directory.user(&mut repository, &arguments.user).await?;
    let password = password(arguments.password_stdin, &directory.world)?;
    set_password(&directory.world, &mut user, hash(&directory.world, &password)?);
    repository.update_user(&user).await?;
    repository.commit().await?;
    Ok(())
}
