use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::App;
use crate::image_api::fault::Result;
use crate::image_api::quota::MIB;
use crate::image_api::request::Call;

#[derive(Serialize, ToSchema)]
pub struct UsageView {
    usage: Usages,
}

#[derive(Serialize, ToSchema)]
struct Usages {
    /// MiB.
    image_size_total: Usage,
    /// MiB.
    image_stage_total: Usage,
    image_count_total: Usage,
    image_count_uploading: Usage,
}

#[derive(Serialize, ToSchema)]
struct Usage {
    usage: i64,
    /// Negative: none.
    limit: i64,
}

/// How much of its limits the caller's project uses.
#[utoipa::path(
    get, path = "/v2/info/usage", tag = "info", operation_id = "show_usage",
    responses((status = 200, description = "Each limit", body = UsageView))
)]
pub async fn usage(State(app): State<App>, call: Call) -> Result<Json<UsageView>> {
    let used = app.database.read().await?.image_use(call.project_id().as_str()).await?;
    let limits = &app.config.quotas;
    Ok(Json(UsageView {
        usage: Usages {
            image_size_total: Usage { usage: used.bytes / MIB, limit: limits.image_size_total },
            image_stage_total: Usage { usage: used.staged_bytes / MIB, limit: limits.image_stage_total },
            image_count_total: Usage { usage: used.count, limit: limits.image_count_total },
            image_count_uploading: Usage { usage: used.uploading, limit: limits.image_count_uploading },
        },
    }))
}
