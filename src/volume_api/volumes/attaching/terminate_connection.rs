//! `os-terminate_connection`: nothing is to be ended on a Ceph cluster, but the volume is not being attached any more.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::super::attachments::Forgotten;
use super::super::super::fault::{Fault, empty_json};
use super::super::super::request::Call;
use super::super::super::schema::only_object;
use super::super::{find_to_change, target};
use super::{check_detachable, forgotten, unreserve};
use crate::db::{Repository, Volume};
use crate::http::App;
use crate::identity::policy::volume as rules;

pub async fn terminate_connection(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    only_object(body, "os-terminate_connection", |action| {
        action.object_or("connector", &["string", "object", "null"])?;
        action.require("connector")?;
        action.only(&["connector"])
    })?;
    let forgotten = forgotten(app, call, id, None, rules::TERMINATE_CONNECTION).await?;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    end(&mut repository, app, call, &volume, &forgotten).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

pub(super) async fn end(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    volume: &Volume,
    forgotten: &Forgotten,
) -> Result<(), Fault> {
    call.check(rules::TERMINATE_CONNECTION, &target(volume))?;
    check_detachable(repository, app, call, volume, None, forgotten).await?;
    unreserve::let_go(repository, app, call, volume).await
}
