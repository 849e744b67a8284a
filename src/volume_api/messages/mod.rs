//! `/messages`: why something that was asked for, and begun, did not come about.

mod delete;
mod list;
mod show;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::Fault;
use super::request::Call;
use crate::db::{Message, Repository};
use crate::http::App;
use crate::identity::policy::Target;
use crate::model::MessageId;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(show::show, delete::delete))
}

/// A message as rules see it.
fn target(message: &Message) -> Target {
    Target::new().with("id", &message.id).with("project_id", &message.project_id)
}

/// The message that the request names, if its caller may see it.
async fn find(repository: &mut Repository, call: &Call, id: &str) -> Result<Message, Fault> {
    let found = match MessageId::parse(id) {
        Some(id) => repository.message(&id).await?,
        None => None,
    };
    found
        .filter(|message| call.may_see(&message.project_id))
        .ok_or_else(|| Fault::Missing("Message", id.to_owned()))
}
