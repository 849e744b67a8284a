mod remote;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::upload::{signed_by, unknown_store};
use super::{find, find_to_change};
use crate::config::GLANCE_DOWNLOAD;
use crate::db::{Image, ImageChange, Repository};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath, JsonBody};
use crate::image_api::{quota, schema, stores};
use crate::jobs::{self, Import, ImportSource, Task};
use crate::model::ImageStatus;
use crate::workflows::{FAILED, IMPORTING_TO};

/// In bytes, of an address that bytes are brought from: signed ones are long. It stays with the job for weeks.
pub const LONGEST_SOURCE: usize = 8192;

/// Makes what was staged, or what lies at an address or in another region, the content of an image, or copies its
/// content to other stores.
/// The image is `importing` until it is `active`, or `queued` again, as if nothing had arrived: then
/// `os_glance_failed_import` says so, and `/pumice/v1/jobs` why. An image that is copied stays `active`.
#[utoipa::path(
    post, path = "/v2/images/{image_id}/import", tag = "images", operation_id = "import_image",
    params(
        ("image_id" = String, Path, description = "UUID of the image"),
        ("X-Image-Meta-Store" = Option<String>, Header,
            description = "The id of the store to bring it to, where there are several"),
    ),
    request_body(content = Object,
        description = "`{\"method\": {\"name\": \"glance-direct\"}}`, or `web-download` with a `uri`, or `copy-image`, \
            or `glance-download` with a `glance_region` and a `glance_image_id`; `stores` or `all_stores`; `all_stores_must_succeed`"),
    responses(
        (status = 202, description = "It is under way"),
        (status = 400, description = "No method that is known, an address that may not be asked, a store that has the \
            image, or nobody knows who signed it", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
        (status = 409, description = "The image is in no status for it, its formats are not set, or no such store",
            body = FaultBody),
        (status = 413, description = "The project has too much already", body = FaultBody),
        (status = 429, description = "Too many jobs of the project are under way", body = FaultBody),
    )
)]
pub async fn import(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<StatusCode> {
    schema::no_nul_in(&body)?;
    let asked = Asked::read(&body, &app)?;
    let (image, remote) = {
        let mut repository = app.database.read().await?;
        quota::upload(&mut repository, &app.config.quotas, call.project_id(), None).await?;
        let image = find(&mut repository, &call, &id).await?;
        asked.check_state(&image)?;
        let remote = asked.remote()?;
        let rule = if asked.way == Way::Copy { rules::COPY_IMAGE } else { rules::MODIFY_IMAGE };
        call.check_image(rule, &image)?;
        asked.check_staged(&mut repository, &image).await?;
        (image, remote)
    };
    let all_must_succeed = asked.all_must_succeed(&app)?;
    // Others are asked: outside of a transaction.
    let mut source = match remote {
        Some(remote) => remote.source(&app, &image, &headers)?,
        None => asked.source(&app).await?,
    };
    // How an image of another region is signed comes along with it.
    let signed_by = if asked.way == Way::Region { None } else { signed_by(&app, &image, &headers).await? };

    let mut repository = app.database.begin().await?;
    let mut image = find_to_change(&mut repository, &call, &id).await?;
    asked.check_state(&image)?;
    remote::note_before(&mut source, &app, &image);
    let stores = asked.stores(&app, &headers, &image)?;
    if stores.is_empty() {
        return Ok(StatusCode::ACCEPTED);
    }
    if let Some(store) = asked.leaving(&mut repository, &image, &stores).await? {
        return Err(Fault::Conflict(format!("Image {id} is being deleted from store '{store}'")));
    }
    let now = app.world.now();
    if asked.way != Way::Copy {
        let (to, change) = (ImageStatus::Importing, ImageChange::default());
        if !repository.change_image(&image.id, image.status, to, &change, now).await? {
            return Err(Fault::Conflict(format!("Image {id} was changed meanwhile. Please try again.")));
        }
    }
    let ids: Vec<&str> = stores.iter().map(|store| store.id).collect();
    image.properties.0.insert(IMPORTING_TO.to_owned(), ids.join(","));
    image.properties.0.insert(FAILED.to_owned(), String::new());
    image.updated_at = now;
    repository.update_image(&image).await?;
    let ignored = &app.config.inject_metadata_properties.ignore_user_roles;
    let inject = asked.way != Way::Copy && !ignored.iter().any(|role| call.has_role(role));
    let stores = stores.iter().map(stores::Store::to_row).collect();
    let asked_by = call.asked_by();
    let import = Import { source, stores, all_must_succeed, inject, signed_by, asked_by };
    let task = Task::ImportImage { image_id: image.id, import };
    jobs::enqueue(&mut repository, &app.world, task, &call.origin()).await?;
    asked.check_quotas(&mut repository, &app, &call, image.size).await?;
    repository.commit().await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Web,
    Region,
    Copy,
}

/// The ids of the stores that an import is under way to.
pub(super) fn on_its_way_to(image: &Image) -> impl Iterator<Item = &str> {
    let listed = image.properties.get(IMPORTING_TO).map(String::as_str).unwrap_or_default();
    listed.split(',').filter(|id| !id.is_empty())
}

/// What a request asks for.
struct Asked<'a> {
    way: Way,
    options: &'a Map<String, Value>,
    body: &'a Value,
}

impl<'a> Asked<'a> {
    fn read(body: &'a Value, app: &App) -> Result<Self> {
        let refuse = |reason: &str| Err(Fault::BadRequest(reason.to_owned()));
        let Some(method) = body.get("method") else {
            return refuse("Import request requires a 'method' field.");
        };
        let (Some(options), Some(name)) = (method.as_object(), method.get("name")) else {
            return refuse("Import request requires a 'name' field.");
        };
        let name = name.as_str().unwrap_or_default();
        let way = match name {
            "glance-direct" => Some(Way::Direct),
            "web-download" => Some(Way::Web),
            "copy-image" => Some(Way::Copy),
            GLANCE_DOWNLOAD => Some(Way::Region),
            _ => None,
        };
        let Some(way) = way.filter(|_| stores::import_methods(&app.config).any(|method| method == name))
        else {
            let name: String = name.chars().take(100).collect();
            return Err(Fault::BadRequest(format!("Unknown import method name '{name}'.")));
        };
        for flag in ["all_stores_must_succeed", "all_stores"] {
            if body.get(flag).is_some_and(|value| !value.is_boolean()) {
                return Err(Fault::BadRequest(format!("'{flag}' must be boolean value only")));
            }
        }
        Ok(Self { way, options, body })
    }

    fn all_must_succeed(&self, app: &App) -> Result<bool> {
        let wanted = self.body.get("all_stores_must_succeed") != Some(&Value::Bool(false));
        if !wanted && !stores::are_shown(&app.config) {
            let reason = "All_stores_must_succeed can only be set with enabled_backends None";
            return Err(Fault::BadRequest(reason.to_owned()));
        }
        Ok(wanted)
    }

    fn check_state(&self, image: &Image) -> Result<()> {
        let conflict = |reason: &str| Err(Fault::Conflict(reason.to_owned()));
        match (image.status, self.way) {
            (ImageStatus::Active, Way::Copy) => Ok(()),
            (_, Way::Copy) => conflict("Only images with status active can be targeted for copying"),
            (ImageStatus::Active, _) => conflict("Image with status active cannot be target for import"),
            (ImageStatus::Queued, Way::Web | Way::Region) | (ImageStatus::Uploading, Way::Direct) => Ok(()),
            (_, Way::Direct) => {
                conflict("Image needs to be staged before 'glance-direct' method can be used")
            }
            (_, Way::Web) => conflict("Image needs to be in 'queued' state to use 'web-download' method"),
            (_, Way::Region) => {
                conflict("Image needs to be in 'queued' state to use 'glance-download' method")
            }
        }?;
        match (&image.container_format, &image.disk_format) {
            (None, _) => conflict("'container_format' needs to be set before import"),
            (_, None) => conflict("'disk_format' needs to be set before import"),
            _ => Ok(()),
        }?;
        if on_its_way_to(image).next().is_some() {
            return conflict("Image has active task");
        }
        Ok(())
    }

    /// The bytes may still be arriving.
    async fn check_staged(&self, repository: &mut Repository, image: &Image) -> Result<()> {
        if self.way == Way::Direct && repository.staged(&image.id).await?.is_none() {
            return Err(Fault::Conflict(
                "Image needs to be staged before 'glance-direct' method can be used".to_owned(),
            ));
        }
        Ok(())
    }

    /// Which image of which region; `None`: it is not that way.
    fn remote(&self) -> Result<Option<remote::Remote>> {
        if self.way == Way::Region { remote::Remote::read(self.options).map(Some) } else { Ok(None) }
    }

    async fn source(&self, app: &App) -> Result<ImportSource> {
        match self.way {
            Way::Direct => return Ok(ImportSource::Staged),
            Way::Copy => return Ok(ImportSource::Itself),
            Way::Web | Way::Region => {}
        }
        let uri = self.options.get("uri").and_then(Value::as_str).unwrap_or_default();
        if uri.len() > LONGEST_SOURCE {
            return Err(Fault::BadRequest(format!("'uri' must be a text of at most {LONGEST_SOURCE} bytes")));
        }
        match app.web.filter.check(uri).await {
            Ok(()) => Ok(ImportSource::Web { uri: uri.to_owned() }),
            Err(refused) => {
                tracing::info!(reason = %refused, "an address is not asked");
                Err(Fault::BadRequest(format!("URI for web-download does not pass filtering: {uri}")))
            }
        }
    }

    /// Where it is to go. None: it is everywhere already.
    fn stores<'c>(&self, app: &'c App, headers: &HeaderMap, image: &Image) -> Result<Vec<stores::Store<'c>>> {
        let config = &app.config;
        if !stores::are_shown(config) {
            return Ok(stores::all(config).take(1).collect());
        }
        let refuse = |reason: &str| Err(Fault::BadRequest(reason.to_owned()));
        let header = headers.get("x-image-meta-store");
        let listed = self.body.get("stores");
        // What is left of a removal that failed is overwritten.
        let is_there =
            |store: &stores::Store<'_>| image.places().any(|place| place.store.as_deref() == store.row);
        let ids: Vec<&str> = if self.body.get("all_stores") == Some(&Value::Bool(true)) {
            if listed.is_some() || header.is_some() {
                return refuse(
                    "All_stores parameter can't be used with x-image-meta-store header or stores parameter",
                );
            }
            let mut all: Vec<_> = stores::all(config).filter(|store| !store.is_read_only()).collect();
            all.sort_by_key(|store| store.id);
            // Of these, those that have it are passed over.
            all.retain(|store| self.way != Way::Copy || !is_there(store));
            return Ok(all);
        } else if let Some(listed) = listed {
            if header.is_some() {
                return refuse("Stores parameter and x-image-meta-store header can't be both specified");
            }
            let listed = listed.as_array().filter(|listed| !listed.is_empty());
            let texts: Option<Vec<&str>> =
                listed.and_then(|listed| listed.iter().map(Value::as_str).collect());
            match texts {
                Some(texts) => texts,
                None => return refuse("'stores' must be a list of ids of stores"),
            }
        } else {
            vec![header.map_or(config.images.default_backend.as_str(), |id| id.to_str().unwrap_or_default())]
        };
        let mut wanted: Vec<stores::Store<'c>> = Vec::new();
        for id in ids {
            let store = stores::named(config, id).filter(|store| !store.is_read_only());
            let store = store.ok_or_else(|| Fault::Conflict(unknown_store(id)))?;
            if self.way == Way::Copy && is_there(&store) {
                return Err(Fault::BadRequest(format!("Image is already present at store '{id}'")));
            }
            if wanted.iter().all(|other| other.id != store.id) {
                wanted.push(store);
            }
        }
        Ok(wanted)
    }

    /// One of the stores that its bytes may be removed from at this moment. That may be refused still, and they stay there:
    /// a copy that fails would take them away.
    async fn leaving<'s>(
        &self,
        repository: &mut Repository,
        image: &Image,
        stores: &[stores::Store<'s>],
    ) -> Result<Option<&'s str>> {
        let has_row =
            |store: &&stores::Store<'_>| image.locations.iter().any(|at| at.store.as_deref() == store.row);
        let Some(store) = stores.iter().find(has_row).filter(|_| self.way == Way::Copy) else {
            return Ok(None);
        };
        Ok(repository.is_at_work(image.id.as_str()).await?.then_some(store.id))
    }

    /// What was staged is about to count as content; what comes from elsewhere is staged first.
    async fn check_quotas(
        &self,
        repository: &mut Repository,
        app: &App,
        call: &Call,
        size: Option<i64>,
    ) -> Result<()> {
        let (quotas, project) = (&app.config.quotas, call.project_id());
        match self.way {
            Way::Direct => {
                let size = size.and_then(|size| u64::try_from(size).ok());
                quota::upload(repository, quotas, project, size).await
            }
            Way::Web | Way::Region => {
                quota::stage(repository, quotas, project, None).await?;
                quota::one_more_uploading(repository, quotas, project).await
            }
            // From store to store, past the staging area.
            Way::Copy => Ok(()),
        }
    }
}
