use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::{find, find_to_change};
use crate::db::{Image, ImageChange, Repository};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::quota;
use crate::image_api::request::{Call, InPath, JsonBody};
use crate::jobs::{self, ImportSource, Task};
use crate::model::ImageStatus;
use crate::signature::Signature;
use crate::workflows::{FAILED, IMPORTING_TO};

/// The one store there is, where an image tells which ones an import is under way to.
const STORE: &str = "default";

/// Makes what was staged, or what lies at an address, the content of an image. The image is `importing` until it is
/// `active`, or `queued` again, as if nothing had arrived: then `os_glance_failed_import` says so, and `/pumice/v1/jobs`
/// why.
#[utoipa::path(
    post, path = "/v2/images/{image_id}/import", tag = "images",
    params(("image_id" = String, Path, description = "UUID of the image")),
    request_body(content = Object,
        description = "`{\"method\": {\"name\": \"glance-direct\"}}`, or `web-download` with a `uri`"),
    responses(
        (status = 202, description = "It is under way"),
        (status = 400, description = "No method that is known, or an address that may not be asked",
            body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
        (status = 409, description = "The image is in no status for it, or its formats are not set",
            body = FaultBody),
        (status = 413, description = "The project has too much already", body = FaultBody),
    )
)]
pub async fn import(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    JsonBody(body): JsonBody,
) -> Result<StatusCode> {
    let asked = Asked::read(&body, &app.config.images.enabled_import_methods)?;
    {
        let mut repository = app.database.read().await?;
        quota::upload(&mut repository, &app.config.quotas, call.project_id(), None).await?;
        let image = find(&mut repository, &call, &id).await?;
        asked.check_state(&image)?;
        call.check_image(rules::MODIFY_IMAGE, &image)?;
        check_staged(&mut repository, &asked, &image).await?;
    }
    // Names are resolved: outside of a transaction.
    let source = asked.source(&app).await?;

    let mut repository = app.database.begin().await?;
    let mut image = find_to_change(&mut repository, &call, &id).await?;
    asked.check_state(&image)?;
    let now = app.world.now();
    let importing = ImageStatus::Importing;
    let change = ImageChange::default();
    if !repository.change_image(&image.id, image.status, importing, &change, now).await? {
        return Err(Fault::Conflict(format!("Image {id} was changed meanwhile. Please try again.")));
    }
    image.properties.0.insert(IMPORTING_TO.to_owned(), STORE.to_owned());
    image.properties.0.insert(FAILED.to_owned(), String::new());
    image.updated_at = now;
    repository.update_image(&image).await?;
    let ignored = &app.config.inject_metadata_properties.ignore_user_roles;
    let inject = !ignored.iter().any(|role| call.has_role(role));
    let task = Task::ImportImage { image_id: image.id, source, inject };
    jobs::enqueue(&mut repository, &app.world, task, &call.origin()).await?;
    check_quotas(&mut repository, &app, &call, &asked, image.size).await?;
    repository.commit().await?;
    Ok(StatusCode::ACCEPTED)
}

/// What a request asks for.
struct Asked<'a> {
    method: &'a str,
    options: &'a Map<String, Value>,
}

impl<'a> Asked<'a> {
    fn read(body: &'a Value, enabled: &[String]) -> Result<Self> {
        let refuse = |reason: &str| Err(Fault::BadRequest(reason.to_owned()));
        let Some(method) = body.get("method") else {
            return refuse("Import request requires a 'method' field.");
        };
        let (Some(options), Some(name)) = (method.as_object(), method.get("name")) else {
            return refuse("Import request requires a 'name' field.");
        };
        let name = name.as_str().unwrap_or_default();
        if !enabled.iter().any(|method| method == name) {
            let name: String = name.chars().take(100).collect();
            return Err(Fault::BadRequest(format!("Unknown import method name '{name}'.")));
        }
        for flag in ["all_stores_must_succeed", "all_stores"] {
            if body.get(flag).is_some_and(|value| !value.is_boolean()) {
                return Err(Fault::BadRequest(format!("'{flag}' must be boolean value only")));
            }
        }
        if body.get("all_stores_must_succeed") == Some(&Value::Bool(false)) {
            return refuse("All_stores_must_succeed can only be set with enabled_backends None");
        }
        Ok(Self { method: name, options })
    }

    fn is_direct(&self) -> bool {
        self.method == "glance-direct"
    }

    fn check_state(&self, image: &Image) -> Result<()> {
        let conflict = |reason: &str| Err(Fault::Conflict(reason.to_owned()));
        match image.status {
            ImageStatus::Active => conflict("Image with status active cannot be target for import"),
            ImageStatus::Queued if !self.is_direct() => Ok(()),
            ImageStatus::Uploading if self.is_direct() => Ok(()),
            _ if self.is_direct() => {
                conflict("Image needs to be staged before 'glance-direct' method can be used")
            }
            _ => conflict("Image needs to be in 'queued' state to use 'web-download' method"),
        }?;
        match (&image.container_format, &image.disk_format) {
            (None, _) => conflict("'container_format' needs to be set before import"),
            (_, None) => conflict("'disk_format' needs to be set before import"),
            _ => Ok(()),
        }?;
        // An import has nobody's token for Barbican, and does not hold bytes against a signature.
        match Signature::of(&image.properties.0) {
            Ok(None) => Ok(()),
            _ => Err(Fault::BadRequest("A signed image cannot be imported: upload its bytes.".to_owned())),
        }
    }

    async fn source(&self, app: &App) -> Result<ImportSource> {
        if self.is_direct() {
            return Ok(ImportSource::Staged);
        }
        let uri = self.options.get("uri").and_then(Value::as_str).unwrap_or_default();
        match app.web.filter.check(uri).await {
            Ok(()) => Ok(ImportSource::Web { uri: uri.to_owned() }),
            Err(refused) => {
                tracing::info!(reason = %refused, "an address is not asked");
                Err(Fault::BadRequest(format!("URI for web-download does not pass filtering: {uri}")))
            }
        }
    }
}

/// The bytes may still be arriving.
async fn check_staged(repository: &mut Repository, asked: &Asked<'_>, image: &Image) -> Result<()> {
    if asked.is_direct() && repository.staged(&image.id).await?.is_none() {
        return Err(Fault::Conflict(
            "Image needs to be staged before 'glance-direct' method can be used".to_owned(),
        ));
    }
    Ok(())
}

/// What was staged is about to count as content; what comes from elsewhere is staged first.
async fn check_quotas(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    asked: &Asked<'_>,
    size: Option<i64>,
) -> Result<()> {
    let (quotas, project) = (&app.config.quotas, call.project_id());
    if asked.is_direct() {
        let size = size.and_then(|size| u64::try_from(size).ok());
        return quota::upload(repository, quotas, project, size).await;
    }
    quota::stage(repository, quotas, project, None).await?;
    quota::one_more_uploading(repository, quotas, project).await
}
