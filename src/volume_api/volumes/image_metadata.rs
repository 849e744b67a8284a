//! `os-set_image_metadata`, `os-unset_image_metadata`, `os-show_image_metadata`: what the image said of itself, and what
//! was said of the volume since as if the image had.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, answer, empty};
use super::super::metadata::{All, Holder};
use super::super::request::Call;
use super::super::schema::{Object, check_growth, only_object};
use super::action::Done;
use super::{find, find_to_change, target};
use crate::db::{Json, Repository, Volume};
use crate::http::{App, images};
use crate::identity::policy::volume as rules;

pub async fn set(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let given = only_object(body, "os-set_image_metadata", read_metadata)?;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::IMAGE_METADATA_SET, &target(&volume))?;
    call.check(rules::UPDATE_METADATA, &target(&volume))?;
    volume.check_change("Updating")?;
    let mut metadata = of(&volume).clone();
    let (items, bytes) = (metadata.len(), images::size_of(&metadata));
    metadata.extend(given);
    check_growth(items, metadata.len(), &app.config.limits)?;
    // What it had already it may keep, here too.
    if images::size_of(&metadata) > images::LARGEST_PROPERTIES.max(bytes) {
        return Err(Fault::TooLargeMetadata(images::LARGEST_PROPERTIES));
    }
    let response = answer(StatusCode::OK, &Done::Metadata(All::of(&metadata)));
    save(repository, app, volume, metadata).await?;
    Ok(response)
}

pub async fn unset(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let key = only_object(body, "os-unset_image_metadata", read_key)?;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::IMAGE_METADATA_REMOVE, &target(&volume))?;
    call.check(rules::GET_METADATA, &target(&volume))?;
    let mut metadata = of(&volume).clone();
    if metadata.remove(key).is_none() {
        return Err(Fault::NoSuch(format!("Glance metadata for volume/snapshot {id} cannot be found.")));
    }
    call.check(rules::DELETE_METADATA, &target(&volume))?;
    volume.check_change("Deleting")?;
    save(repository, app, volume, metadata).await?;
    Ok(empty(StatusCode::OK))
}

pub async fn show(app: &App, call: &Call, id: &str) -> Result<Response, Fault> {
    let mut repository = app.database.read().await?;
    let volume = find(&mut repository, call, id).await?;
    call.check(rules::GET_METADATA, &target(&volume))?;
    Ok(answer(StatusCode::OK, &Done::Metadata(All::of(of(&volume)))))
}

fn of(volume: &Volume) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    volume.image_metadata.as_ref().map_or(&NONE, |metadata| &metadata.0)
}

async fn save(
    mut repository: Repository,
    app: &App,
    mut volume: Volume,
    metadata: BTreeMap<String, String>,
) -> Result<(), Fault> {
    volume.image_metadata = Some(Json(metadata));
    volume.updated_at = Some(app.world.now());
    repository.update_volume(&volume).await?;
    repository.commit().await?;
    Ok(())
}

fn read_metadata(fields: &Object<'_>) -> Result<BTreeMap<String, String>, Fault> {
    let metadata = fields.image_metadata("metadata")?;
    fields.require("metadata")?;
    fields.only(&["metadata"])?;
    metadata.ok_or(Fault::Malformed)
}

fn read_key<'a>(fields: &Object<'a>) -> Result<&'a str, Fault> {
    let key = fields.plain_text("key", 1)?;
    fields.require("key")?;
    fields.only(&["key"])?;
    key.ok_or(Fault::Malformed)
}
