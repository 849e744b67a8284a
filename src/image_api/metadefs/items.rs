//! What is done with objects, properties, tags and resource types alike.

use serde_json::{Map, Value};

use super::{check, find, find_to_change, is_name};
use crate::db::{DbError, Direction, Json, MetadefItem, MetadefNamespace, Page, Repository, SortKey};
use crate::http::App;
use crate::identity::policy::{Rule, image as rules};
use crate::image_api::fault::{Fault, Result};
use crate::image_api::request::Call;
use crate::model::{MetadefItemId, MetadefKind, Timestamp};

/// An item in a body that was checked.
pub struct Draft {
    pub name: String,
    pub definition: Map<String, Value>,
}

/// In the order in which they were made.
pub fn oldest_first() -> Page {
    let sort = vec![SortKey { column: "created_at", direction: Direction::Ascending }];
    Page { sort, ..Page::default() }
}

/// All of one kind that the caller may see: one rule is for the list, the other for each of it.
pub async fn list(
    app: &App,
    call: &Call,
    namespace: &str,
    kind: MetadefKind,
    (rule, each): (Rule, Rule),
) -> Result<(MetadefNamespace, Vec<MetadefItem>)> {
    let mut repository = app.database.read().await?;
    let namespace = find(&mut repository, call, namespace).await?;
    check(call, rule, Some(&namespace))?;
    let items = match check(call, each, Some(&namespace)) {
        Ok(()) => {
            repository.metadef_items(std::slice::from_ref(&namespace.id), kind, &oldest_first()).await?
        }
        Err(_) => Vec::new(),
    };
    Ok((namespace, items))
}

pub async fn show(
    app: &App,
    call: &Call,
    (namespace, name): (&str, &str),
    kind: MetadefKind,
    rule: Rule,
) -> Result<(MetadefNamespace, MetadefItem)> {
    let mut repository = app.database.read().await?;
    let namespace = find(&mut repository, call, namespace).await?;
    check(call, rule, Some(&namespace))?;
    let item = item(&mut repository, &namespace, kind, name).await?;
    Ok((namespace, item))
}

pub async fn create(
    app: &App,
    call: &Call,
    namespace: &str,
    kind: MetadefKind,
    rule: Rule,
    draft: Draft,
) -> Result<(MetadefNamespace, MetadefItem)> {
    let mut repository = app.database.begin().await?;
    let namespace = find_to_change(&mut repository, call, namespace).await?;
    check(call, rule, Some(&namespace))?;
    let added = add(app, &mut repository, &namespace, kind, vec![draft], app.world.now()).await?;
    repository.commit().await?;
    let item = added.into_iter().next();
    Ok((
        namespace,
        item.ok_or_else(|| Fault::Internal(anyhow::anyhow!("one was added, and none came back")))?,
    ))
}

/// Adds several at once, whose moments keep their order.
pub async fn add(
    app: &App,
    repository: &mut Repository,
    namespace: &MetadefNamespace,
    kind: MetadefKind,
    drafts: Vec<Draft>,
    now: Timestamp,
) -> Result<Vec<MetadefItem>> {
    let mut items = Vec::new();
    for (Draft { name, definition }, microsecond) in drafts.into_iter().zip(0..) {
        let moment = Timestamp(now.0 + microsecond);
        let item = MetadefItem {
            id: MetadefItemId::from(app.world.ids.random()),
            namespace_id: namespace.id.clone(),
            kind,
            name,
            definition: Json(definition),
            created_at: moment,
            updated_at: moment,
        };
        repository.add_metadef_item(&item).await.map_err(|error| taken(error, &item, namespace))?;
        items.push(item);
    }
    Ok(items)
}

pub async fn update(
    app: &App,
    call: &Call,
    (namespace, name): (&str, &str),
    kind: MetadefKind,
    rule: Rule,
    draft: Draft,
) -> Result<(MetadefNamespace, MetadefItem)> {
    let mut repository = app.database.begin().await?;
    let namespace = find_to_change(&mut repository, call, namespace).await?;
    check(call, rule, Some(&namespace))?;
    let mut item = item(&mut repository, &namespace, kind, name).await?;
    item.name = draft.name;
    item.definition = Json(draft.definition);
    item.updated_at = app.world.now();
    repository.update_metadef_item(&item).await.map_err(|error| taken(error, &item, &namespace))?;
    repository.commit().await?;
    Ok((namespace, item))
}

pub async fn delete(
    app: &App,
    call: &Call,
    (namespace, name): (&str, &str),
    kind: MetadefKind,
    rule: Rule,
) -> Result<()> {
    let mut repository = app.database.begin().await?;
    let namespace = find_to_change(&mut repository, call, namespace).await?;
    check(call, rule, Some(&namespace))?;
    let item = item(&mut repository, &namespace, kind, name).await?;
    if namespace.protected {
        let what = match kind {
            MetadefKind::ResourceType => "resource-type-association",
            other => other.as_str(),
        };
        return Err(is_protected(what, name));
    }
    repository.remove_metadef_item(&item.id).await?;
    Ok(repository.commit().await?)
}

/// All of one kind. Who may delete the namespace may do that; tags have a rule of their own on top.
pub async fn delete_all(app: &App, call: &Call, namespace: &str, kind: MetadefKind) -> Result<()> {
    let mut repository = app.database.begin().await?;
    let namespace = find_to_change(&mut repository, call, namespace).await?;
    check(call, rules::DELETE_METADEF_NAMESPACE, Some(&namespace))?;
    if kind == MetadefKind::Tag {
        check(call, rules::DELETE_METADEF_TAGS, Some(&namespace))?;
    }
    if namespace.protected {
        return Err(is_protected("namespace", &namespace.name));
    }
    repository.remove_metadef_items(&namespace.id, kind).await?;
    Ok(repository.commit().await?)
}

pub async fn item(
    repository: &mut Repository,
    namespace: &MetadefNamespace,
    kind: MetadefKind,
    name: &str,
) -> Result<MetadefItem> {
    let item = if is_name(name) { repository.metadef_item(&namespace.id, kind, name).await? } else { None };
    item.ok_or_else(|| {
        Fault::NotFound(match kind {
            MetadefKind::Object => format!("Could not find metadata object {name}"),
            MetadefKind::Property => format!("Could not find property {name}"),
            MetadefKind::Tag => format!("Could not find metadata tag {name}"),
            MetadefKind::ResourceType => format!("Failed to find resource type {name} to delete"),
        })
    })
}

pub fn is_protected(what: &str, name: &str) -> Fault {
    Fault::Forbidden(format!("Metadata definition {what} {name} is protected and cannot be deleted."))
}

fn taken(error: DbError, item: &MetadefItem, namespace: &MetadefNamespace) -> Fault {
    if !matches!(error, DbError::Exists) {
        return error.into();
    }
    let (name, namespace) = (&item.name, &namespace.name);
    Fault::Conflict(match item.kind {
        MetadefKind::Tag => format!(
            "A metadata tag with name={name} already exists in namespace={namespace}. (Please note that metadata tag \
             names are case insensitive)."
        ),
        MetadefKind::ResourceType => format!(
            "The metadata definition resource-type association of resource-type={name} to namespace={namespace} \
             already exists."
        ),
        kind => {
            format!("A metadata definition {kind} with name={name} already exists in namespace={namespace}.")
        }
    })
}
