//! `os-initialize_connection`: how a host reaches the volume.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::super::connection::{Cluster, Connector, One, access_mode};
use super::super::super::fault::{Fault, answer};
use super::super::super::request::Call;
use super::super::super::schema::only_object;
use super::super::action::Done;
use super::super::{find, target};
use super::check_no_maintenance;
use crate::db::{Repository, Volume};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::Access;

pub async fn initialize_connection(
    app: &App,
    call: &Call,
    id: &str,
    body: &Value,
) -> Result<Response, Fault> {
    let connector = only_object(body, "os-initialize_connection", |action| {
        let connector = action.object_or("connector", &["object", "string"])?;
        action.require("connector")?;
        action.only(&["connector"])?;
        // The real service takes a text, and then fails.
        connector.map(Connector::new).ok_or(Fault::Malformed)?
    })?;
    let volume = allowed(&mut app.database.read().await?, call, id).await?;
    let cluster = Cluster::ask(app, &volume, "Unable to fetch connection information from backend.").await?;
    let mut repository = app.database.read().await?;
    let volume = allowed(&mut repository, call, id).await?;
    let connection = cluster.connection(&mut repository, app, &volume, access_mode(&volume)).await?;
    let access = Access { connection, enforce_multipath: connector.enforce_multipath() };
    Ok(answer(StatusCode::OK, &Done::Connection(One::from(&access))))
}

async fn allowed(repository: &mut Repository, call: &Call, id: &str) -> Result<Volume, Fault> {
    let volume = find(repository, call, id).await?;
    call.check(rules::INITIALIZE_CONNECTION, &target(&volume))?;
    check_no_maintenance(&volume, "connection cannot be initialized")?;
    Ok(volume)
}
