//! `GET /limits`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fault::{Fault, answer};
use super::microversion::Microversion;
use super::quotas::{Account, resources};
use super::request::Call;
use crate::http::App;
use crate::identity::policy::volume as rules;

#[derive(Serialize, ToSchema)]
#[schema(as = Limits)]
pub struct One {
    limits: Both,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RateAndAbsoluteLimits)]
struct Both {
    /// There are none.
    #[schema(value_type = Vec<Object>)]
    rate: [Value; 0],
    /// `maxTotal...`, and `total...Used` for those whom the policy allows to know.
    #[schema(value_type = BTreeMap<String, i64>)]
    absolute: Map<String, Value>,
}

/// Resource, name of its limit, name of what is used of it.
const NAMES: [(&str, &str, &str); 5] = [
    ("volumes", "maxTotalVolumes", "totalVolumesUsed"),
    ("snapshots", "maxTotalSnapshots", "totalSnapshotsUsed"),
    ("gigabytes", "maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    ("backups", "maxTotalBackups", "totalBackupsUsed"),
    ("backup_gigabytes", "maxTotalBackupGigabytes", "totalBackupGigabytesUsed"),
];

#[utoipa::path(
    get, path = "/v3/limits", tag = "quotas", operation_id = "show_limits",
    params(("project_id" = Option<String>, Query, description = "Since 3.39, for administrators: another project")),
    responses((status = 200, body = One)),
)]
pub async fn show(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    let asked = call.query.last("project_id").or_else(|| call.query.last("tenant_id"));
    let asked = asked.filter(|_| call.version >= Microversion::LIMITS_OF_PROJECT && call.guard.is_admin());
    let project = asked.unwrap_or_else(|| call.context.project_id.as_str());
    let config = &app.config.quotas;
    let mut repository = app.database.read().await?;
    let account = Account::open(&mut repository, project, config).await?;
    let mut absolute = Map::new();
    for resource in resources(&mut repository, &call, config).await? {
        if let Some((_, name, _)) = NAMES.iter().find(|(of, ..)| *of == resource.name) {
            absolute.insert((*name).to_owned(), account.limit(&resource).into());
        }
    }
    if call.has(rules::USED_LIMITS) {
        for (resource, _, name) in NAMES {
            absolute.insert(name.to_owned(), account.used(resource).into());
        }
    }
    Ok(answer(StatusCode::OK, &One { limits: Both { rate: [], absolute } }))
}
