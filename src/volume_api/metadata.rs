//! Metadata of volumes and of snapshots: the six requests are the same for both.

use std::collections::BTreeMap;

use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::fault::{Fault, answer, empty};
use super::request::Call;
use super::schema::{Given, Object, check_count};
use crate::config::Limits;
use crate::db::Repository;
use crate::http::App;
use crate::identity::policy::{Rule, Target};
use crate::model::Timestamp;

/// Who may do what with metadata.
pub struct Rules {
    pub get: Rule,
    pub merge: Rule,
    pub replace: Rule,
    pub delete: Rule,
}

/// What has metadata.
pub trait Holder: Sized {
    const KIND: &'static str;
    const RULES: Rules;
    /// Whether a body may hold something beside the metadata.
    const TAKES_STRANGERS: bool;

    async fn find(repository: &mut Repository, call: &Call, id: &str) -> Result<Self, Fault>;
    /// Likewise, and nobody else changes it before the transaction ends.
    async fn find_to_change(repository: &mut Repository, call: &Call, id: &str) -> Result<Self, Fault>;
    fn metadata(&self) -> &BTreeMap<String, String>;
    /// As rules see it.
    fn target(&self) -> Target;
    /// Refuses while its status forbids what is done, for instance `Updating`.
    fn check_change(&self, doing: &str) -> Result<(), Fault>;
    /// Writes it back with other metadata. `false`: it is gone.
    async fn save(
        self,
        repository: &mut Repository,
        metadata: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<bool, Fault>;
}

#[derive(Serialize, ToSchema)]
#[schema(as = Metadata)]
pub struct All<'a> {
    metadata: &'a BTreeMap<String, String>,
}

impl<'a> All<'a> {
    pub fn of(metadata: &'a BTreeMap<String, String>) -> Self {
        Self { metadata }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = MetadataItem)]
pub struct Item<'a> {
    meta: BTreeMap<&'a str, &'a str>,
}

/// `tagged`: with an ETag that a later write can name.
pub async fn list<T: Holder>(app: &App, call: &Call, id: &str, tagged: bool) -> Result<Response, Fault> {
    let mut repository = app.database.read().await?;
    let holder = T::find(&mut repository, call, id).await?;
    call.check(T::RULES.get, &holder.target())?;
    let metadata = holder.metadata();
    let mut response = answer(StatusCode::OK, &All { metadata });
    if tagged && let Ok(tag) = HeaderValue::from_str(&tag(metadata)?) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

pub async fn show<T: Holder>(app: &App, call: &Call, id: &str, key: &str) -> Result<Response, Fault> {
    let mut repository = app.database.read().await?;
    let holder = T::find(&mut repository, call, id).await?;
    call.check(T::RULES.get, &holder.target())?;
    match holder.metadata().get(key) {
        Some(value) => Ok(answer(StatusCode::OK, &Item { meta: BTreeMap::from([(key, value.as_str())]) })),
        None => Err(Fault::NoMetadata(T::KIND, id.to_owned(), key.to_owned())),
    }
}

/// What a write does with the metadata that is there.
pub enum Write {
    Merge,
    Replace,
}

impl Write {
    fn rule<T: Holder>(&self) -> Rule {
        match self {
            Write::Merge => T::RULES.merge,
            Write::Replace => T::RULES.replace,
        }
    }
}

/// `headers` where the write may depend on an ETag.
pub async fn write<T: Holder>(
    app: &App,
    call: &Call,
    id: &str,
    body: &Value,
    write: Write,
    headers: Option<&HeaderMap>,
) -> Result<Response, Fault> {
    let limits = &app.config.limits;
    let body = Object::body(body)?;
    let given = body.metadata("metadata", false, limits)?;
    body.require("metadata")?;
    only::<T>(&body, "metadata")?;
    let Given::Value(given) = given else { return Err(Fault::Malformed) };

    let mut repository = app.database.begin().await?;
    let holder = T::find_to_change(&mut repository, call, id).await?;
    call.check(write.rule::<T>(), &holder.target())?;
    holder.check_change("Updating")?;
    if let Some(refusal) = precondition(headers, holder.metadata())? {
        return Ok(refusal);
    }
    let metadata = match write {
        Write::Replace => given,
        Write::Merge => merged(&holder, given, limits)?,
    };
    let response = answer(StatusCode::OK, &All { metadata: &metadata });
    save(holder, repository, id, metadata, app.world.now()).await?;
    Ok(response)
}

pub async fn write_item<T: Holder>(
    app: &App,
    call: &Call,
    id: &str,
    key: &str,
    body: &Value,
    headers: Option<&HeaderMap>,
) -> Result<Response, Fault> {
    let limits = &app.config.limits;
    let body = Object::body(body)?;
    let meta = body.object("meta")?;
    let given = body.metadata("meta", false, limits)?;
    if let Some(meta) = &meta {
        match meta.fields().len() {
            0 => return Err(meta.refuse("{} should be non-empty".to_owned())),
            1 => {}
            _ => return Err(meta.refuse(format!("{} has too many properties", meta.repr()))),
        }
    }
    body.require("meta")?;
    only::<T>(&body, "meta")?;
    let Given::Value(given) = given else { return Err(Fault::Malformed) };
    let Some(value) = given.get(key).cloned() else {
        return Err(Fault::Invalid("Request body and URI mismatch".to_owned()));
    };

    let mut repository = app.database.begin().await?;
    let holder = T::find_to_change(&mut repository, call, id).await?;
    call.check(T::RULES.replace, &holder.target())?;
    holder.check_change("Updating")?;
    if let Some(refusal) = precondition(headers, holder.metadata())? {
        return Ok(refusal);
    }
    let metadata = merged(&holder, given, limits)?;
    save(holder, repository, id, metadata, app.world.now()).await?;
    Ok(answer(StatusCode::OK, &Item { meta: BTreeMap::from([(key, value.as_str())]) }))
}

pub async fn delete_item<T: Holder>(app: &App, call: &Call, id: &str, key: &str) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let holder = T::find_to_change(&mut repository, call, id).await?;
    call.check(T::RULES.delete, &holder.target())?;
    holder.check_change("Deleting")?;
    let mut metadata = holder.metadata().clone();
    if metadata.remove(key).is_none() {
        return Err(Fault::NoMetadata(T::KIND, id.to_owned(), key.to_owned()));
    }
    save(holder, repository, id, metadata, app.world.now()).await?;
    Ok(empty(StatusCode::OK))
}

fn only<T: Holder>(body: &Object<'_>, key: &str) -> Result<(), Fault> {
    if T::TAKES_STRANGERS { Ok(()) } else { body.only(&[key]) }
}

fn merged<T: Holder>(
    holder: &T,
    given: BTreeMap<String, String>,
    limits: &Limits,
) -> Result<BTreeMap<String, String>, Fault> {
    let mut metadata = holder.metadata().clone();
    metadata.extend(given);
    check_count(metadata.len(), limits)?;
    Ok(metadata)
}

async fn save<T: Holder>(
    holder: T,
    mut repository: Repository,
    id: &str,
    metadata: BTreeMap<String, String>,
    now: Timestamp,
) -> Result<(), Fault> {
    if !holder.save(&mut repository, metadata, now).await? {
        return Err(Fault::Missing(T::KIND, id.to_owned()));
    }
    repository.commit().await?;
    Ok(())
}

/// A refusal without a body when the metadata is not what the client believes.
fn precondition(
    headers: Option<&HeaderMap>,
    metadata: &BTreeMap<String, String>,
) -> Result<Option<Response>, Fault> {
    let Some(wanted) = headers.and_then(|headers| headers.get(IF_MATCH)) else { return Ok(None) };
    let tag = tag(metadata)?;
    let fits = wanted.to_str().unwrap_or_default().split(',').any(|wanted| {
        let wanted = wanted.trim();
        wanted == "*" || wanted.trim_matches('"') == tag
    });
    Ok((!fits).then(|| StatusCode::PRECONDITION_FAILED.into_response()))
}

/// Not quoted, as the real service sends it.
fn tag(metadata: &BTreeMap<String, String>) -> Result<String, Fault> {
    let text = serde_json::to_vec(&All { metadata }).map_err(Fault::internal)?;
    let digest = openssl::hash::hash(openssl::hash::MessageDigest::md5(), &text).map_err(Fault::internal)?;
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
