use clap::Args;

use super::Password;
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
    let Directory { database, world, .. } = directory;
    // Before anything is held that others wait for: a terminal may take its time.
    let password = Password::given(arguments.password_stdin, world)?;
    let hash = hash(world, &password.text)?;
    let mut repository = database.begin().await?;
    let mut user = directory.user_to_change(&mut repository, &arguments.user).await?;
    set_password(world, &mut user, hash);
    repository.update_user(&user).await?;
    repository.commit().await?;
    password.show();
    Ok(())
}
