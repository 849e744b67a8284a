//! What can be done with an image beside changing its properties.

pub(super) mod deactivate;
pub(super) mod reactivate;

use super::fault::{Fault, Result};
use super::images::find_to_change;
use super::request::Call;
use crate::db::ImageChange;
use crate::http::App;
use crate::identity::policy::Rule;
use crate::model::ImageStatus;

/// From one status to the other; an image that is there already stays.
async fn switch(
    app: &App,
    call: &Call,
    id: &str,
    (rule, verb): (Rule, &str),
    (from, to): (ImageStatus, ImageStatus),
) -> Result<()> {
    let mut repository = app.database.begin().await?;
    let image = find_to_change(&mut repository, call, id).await?;
    call.check_image(rule, &image)?;
    if image.status == to {
        return Ok(());
    }
    let change = ImageChange::default();
    if image.status != from || !repository.change_image(&image.id, from, to, &change, app.world.now()).await?
    {
        let status = image.status;
        return Err(Fault::Forbidden(format!("Not allowed to {verb} image in status '{status}'")));
    }
    Ok(repository.commit().await?)
}
