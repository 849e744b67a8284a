//! `/volume-transfers`, and `/os-volume-transfer`, which is its name before 3.55.

mod accept;
mod create;
mod delete;
mod key;
mod list;
mod show;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::Fault;
use super::request::Call;
use super::twins::also;
use crate::db::{Repository, Transfer};
use crate::http::App;
use crate::model::TransferId;

const NAME: &str = "/v3/volume-transfers";
const OLD_NAME: &str = "/v3/os-volume-transfer";

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(list::detail))
        .routes(routes!(list::old_list, create::old_create))
        .routes(routes!(list::old_detail))
        .routes(also(routes!(show::show, delete::delete), NAME, OLD_NAME))
        .routes(also(routes!(accept::accept), NAME, OLD_NAME))
}

/// The transfer that the request names, whosever it is: the key decides.
async fn find_any(repository: &mut Repository, id: &str) -> Result<Transfer, Fault> {
    let found = match TransferId::parse(id) {
        Some(id) => repository.transfer(&id).await?,
        None => None,
    };
    found.ok_or_else(|| Fault::Missing("Transfer", id.to_owned()))
}

/// Likewise, of a volume that its caller may see.
async fn find(repository: &mut Repository, call: &Call, id: &str) -> Result<Transfer, Fault> {
    let transfer = find_any(repository, id).await?;
    if call.may_see(&transfer.source_project_id) {
        Ok(transfer)
    } else {
        Err(Fault::Missing("Transfer", id.to_owned()))
    }
}
