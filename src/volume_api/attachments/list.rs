//! `GET /attachments`, `GET /attachments/detail`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::filters::{self, allowed, texts};
use super::super::microversion::Microversion;
use super::super::paging::{Paging, flag};
use super::super::request::Call;
use super::find;
use super::view::{Details, Summaries, Summary, View};
use crate::db::{Attachment, AttachmentFilter};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/attachments", tag = "attachments", operation_id = "list_attachments",
    description = "Since 3.27. Whoever may list volumes may list who uses them.",
    params(
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query), ("offset" = Option<i64>, Query),
        ("sort" = Option<String>, Query,
            description = "`key[:asc|:desc],...`; keys: `id`, `volume_id`, `instance_uuid`, `attach_status`, \
                `attach_time`, `created_at`"),
        ("sort_key" = Option<String>, Query, description = "The old form of `sort`, with `sort_dir`"),
        ("sort_dir" = Option<String>, Query, description = "`asc` or `desc`"),
        ("all_tenants" = Option<bool>, Query, description = "For administrators"),
        ("volume_id" = Option<String>, Query), ("instance_id" = Option<String>, Query),
        ("status" = Option<String>, Query, description = "One, or `['one', 'another']`"),
        ("attach_status" = Option<String>, Query, description = "The same as `status`"),
        ("id" = Option<String>, Query, description = "For administrators, like all that follow"),
        ("project_id" = Option<String>, Query, description = "With `all_tenants`"),
    ),
    responses(
        (status = 200, body = Summaries),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker, or the version is older than 3.27"),
    ),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    let found = search(&app, &call).await?;
    let attachments = found.iter().map(Summary::new).collect();
    Ok(answer(StatusCode::OK, &Summaries { attachments }))
}

#[utoipa::path(
    get, path = "/v3/attachments/detail", tag = "attachments", operation_id = "list_attachments_in_detail",
    description = "Since 3.27. Takes the parameters of the list without detail.",
    responses(
        (status = 200, body = Details),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker, or the version is older than 3.27"),
    ),
)]
pub async fn detail(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    let found = search(&app, &call).await?;
    let attachments = found.iter().map(View::new).collect();
    Ok(answer(StatusCode::OK, &Details { attachments }))
}

async fn search(app: &App, call: &Call) -> Result<Vec<Attachment>, Fault> {
    call.since(Microversion::ATTACHMENTS)?;
    let mut paging = Paging::parse(&call.query, app.config.volumes.osapi_max_limit, column)?;
    let filter = filter(call)?;
    call.check_own(rules::GET_ALL)?;
    let mut repository = app.database.read().await?;
    if let Some(marker) = &paging.marker {
        paging.marker = Some(find(&mut repository, call, marker).await?.0.id.to_string());
    }
    Ok(repository.attachments(&filter, &paging.page()).await?)
}

/// The column behind a sort key.
fn column(key: &str) -> Option<&'static str> {
    Some(match key {
        "id" => "id",
        "volume_id" => "volume_id",
        "instance_uuid" => "instance_id",
        "attach_status" => "status",
        "attach_time" => "attached_at",
        "created_at" => "created_at",
        _ => return None,
    })
}

fn filter(call: &Call) -> Result<AttachmentFilter, Fault> {
    let mut filter = AttachmentFilter::default();
    if !(call.guard.is_admin() && flag(&call.query, "all_tenants")?) {
        filter.project_id = Some(call.context.project_id.to_string());
    }
    for (key, value) in allowed(call, filters::ATTACHMENT)? {
        match key {
            // Decides about the project, which was looked at before.
            "all_tenants" => {}
            "volume_id" => filter.volume_id = Some(texts(value)),
            "instance_id" | "instance_uuid" => filter.instance_id = Some(value.to_owned()),
            // The real service knows the column by the second name only, and finds nothing by the first.
            "status" | "attach_status" => filter.status = Some(texts(value)),
            "id" => filter.id = Some(texts(value)),
            // Nobody but an administrator who asks for all projects may ask for another one.
            "project_id" if filter.project_id.as_deref().is_none_or(|own| own == value) => {
                filter.project_id = Some(value.to_owned());
            }
            // What is no column finds nothing.
            _ => filter.id = Some(Vec::new()),
        }
    }
    Ok(filter)
}
