//! `GET /volumes/summary`

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::paging::LARGEST_PAGE;
use super::super::request::Call;
use super::filter;
use crate::http::App;
use crate::identity::policy::volume as rules;

#[derive(Serialize, ToSchema)]
#[schema(as = VolumeTotals)]
pub struct Totals {
    total_count: i64,
    /// GiB.
    total_size: i64,
    /// Since 3.36: every key with its values, until they have 8 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, BTreeSet<String>>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneVolumeTotals)]
pub struct One {
    #[serde(rename = "volume-summary")]
    summary: Totals,
}

#[utoipa::path(
    get, path = "/v3/volumes/summary", tag = "volumes", operation_id = "summarize_volumes",
    description = "Since 3.12. Takes no filter but `all_tenants`, for administrators.",
    params(("all_tenants" = Option<bool>, Query, description = "For administrators")),
    responses(
        (status = 200, body = One),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn summary(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    call.since(Microversion::SUMMARY)?;
    let filter = filter::of_project(&call)?;
    call.check_own(rules::GET_ALL)?;
    let mut repository = app.database.read().await?;
    let (total_count, total_size) = repository.sum_volumes(&filter).await?;
    let metadata = match call.version >= Microversion::SUMMARY_METADATA {
        true => Some(repository.metadata_of_volumes(&filter, LARGEST_PAGE).await?),
        false => None,
    };
    let summary = Totals { total_count, total_size, metadata };
    Ok(answer(StatusCode::OK, &One { summary }))
}
