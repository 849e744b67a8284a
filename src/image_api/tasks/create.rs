use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Map, Value};

use super::check;
use super::view::{TaskView, path};
use crate::db::ImageChange;
use crate::http::App;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::images::LONGEST_SOURCE;
use crate::image_api::images::check_formats;
use crate::image_api::images::create::{add, drafted};
use crate::image_api::images::upload::signed_by;
use crate::image_api::request::{Call, JsonBody};
use crate::image_api::{quota, schema, schemas};
use crate::jobs::{self, Import, ImportSource, Task};
use crate::model::ImageStatus;

type Created = (StatusCode, [(HeaderName, String); 1], Json<TaskView>);

/// Makes an image of what lies at an address: Glance's first way to import, which has given way to
/// `/v2/images/{image_id}/import`. The image is `importing` until it is `active`; it goes when that fails.
#[utoipa::path(
    post, path = "/v2/tasks", tag = "tasks", operation_id = "create_task",
    request_body(content = Object,
        description = "`type`: `import`; `input`: `import_from`, an address, `import_from_format`, `image_properties`"),
    responses(
        (status = 201, description = "It is under way", body = TaskView,
            headers(("Location" = String, description = "Address of the task"))),
        (status = 400, description = "The body does not fit, the formats are not said, or the address may not be asked",
            body = FaultBody),
        (status = 403, description = "The policy does not allow it, or not such an image", body = FaultBody),
        (status = 409, description = "There is an image with this id, or was one", body = FaultBody),
        (status = 413, description = "The project has too much already", body = FaultBody),
        (status = 429, description = "Too many jobs of the project are under way", body = FaultBody),
    )
)]
pub async fn create(
    State(app): State<App>,
    call: Call,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Created> {
    check(&call)?;
    let asked = Asked::read(&body)?;
    if let Err(refused) = app.web.filter.check(asked.uri).await {
        tracing::info!(reason = %refused, "an address is not asked");
        return Err(Fault::BadRequest(format!(
            "URI for legacy import task does not pass filtering: {}",
            asked.uri
        )));
    }
    let mut properties = asked.properties()?;
    if properties.is_empty() {
        // As Glance takes it.
        properties.insert("disk_format".to_owned(), "qcow2".into());
        properties.insert("container_format".to_owned(), "bare".into());
    }
    let image = drafted(properties, &app, &call)?;
    check_formats(&image)?;
    let signed_by = signed_by(&app, &image, &headers).await?;

    let (quotas, project) = (&app.config.quotas, call.project_id());
    let mut repository = app.database.begin().await?;
    quota::upload(&mut repository, quotas, project, None).await?;
    add(&mut repository, &app, &call, &image).await?;
    let (to, change) = (ImageStatus::Importing, ImageChange::default());
    repository.change_image(&image.id, image.status, to, &change, app.world.now()).await?;
    let ignored = &app.config.inject_metadata_properties.ignore_user_roles;
    let import = Import {
        source: ImportSource::Web { uri: asked.uri.to_owned() },
        stores: vec![None],
        all_must_succeed: true,
        inject: !ignored.iter().any(|role| call.has_role(role)),
        signed_by,
        asked_by: call.asked_by(),
    };
    let task = Task::ImportNewImage { image_id: image.id, import, input: asked.shown() };
    let id = jobs::enqueue(&mut repository, &app.world, task, &call.origin()).await?;
    quota::stage(&mut repository, quotas, project, None).await?;
    quota::one_more_uploading(&mut repository, quotas, project).await?;
    let job = repository.job(&id).await?;
    repository.commit().await?;
    let job = job.ok_or_else(|| Fault::Internal(anyhow::anyhow!("the job {id} is not in the queue")))?;
    let view = TaskView::new(job, &app.config.jobs);
    Ok((StatusCode::CREATED, [(header::LOCATION, path(&id))], Json(view)))
}

/// What a request asks for.
struct Asked<'a> {
    uri: &'a str,
    input: &'a Value,
}

impl<'a> Asked<'a> {
    fn read(body: &'a Value) -> Result<Self> {
        if let Some(missing) = ["type", "input"].into_iter().find(|name| body.get(*name).is_none()) {
            return refuse(format!("Task '{missing}' is required"));
        }
        schema::check(&schemas::documents::task_to_make(), body)?;
        // The others are made by the requests that bring bytes to an image.
        if body["type"] != "import" {
            return refuse("Only tasks of type 'import' can be asked for");
        }
        let input = &body["input"];
        match input.get("import_from").and_then(Value::as_str) {
            None => refuse("Invalid location: None"),
            Some("") => refuse("Invalid location: "),
            Some(uri) if uri.len() > LONGEST_SOURCE => {
                refuse(format!("'import_from' must be a text of at most {LONGEST_SOURCE} bytes"))
            }
            Some(uri) if uri.starts_with("file:///") || uri.starts_with("filesystem:///") => {
                refuse("File based imports are not allowed. Please use a non-local source of image data.")
            }
            Some(uri) if !["http://", "https://"].iter().any(|scheme| uri.starts_with(scheme)) => refuse(
                "The given uri is not valid. Please specify a valid uri from the following list of supported uri \
                 ['http']",
            ),
            Some(uri) => Ok(Self { uri, input }),
        }
    }

    /// Of the image that is to be made. Glance makes a task without them as well, which fails.
    fn properties(&self) -> Result<Map<String, Value>> {
        let missing = |name| refuse(format!("Input does not contain '{name}' field"));
        match (self.input.get("import_from_format"), self.input.get("image_properties")) {
            (None, _) => missing("import_from_format"),
            (_, Some(Value::Object(properties))) => Ok(properties.clone()),
            _ => missing("image_properties"),
        }
    }

    /// As the task shows it: an address may hold a secret and is left out.
    fn shown(&self) -> Map<String, Value> {
        let mut input = self.input.as_object().cloned().unwrap_or_default();
        input.remove("import_from");
        input
    }
}

fn refuse<T>(said: impl Into<String>) -> Result<T> {
    Err(Fault::BadRequest(said.into()))
}
