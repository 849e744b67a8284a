//! `GET /qos-specs`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::filters::texts;
use super::super::paging::{PARAMETERS, Paging};
use super::super::request::Call;
use super::find;
use super::view::{Many, View};
use crate::db::QosSpecsFilter;
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/qos-specs", tag = "qos-specs", operation_id = "list_qos_specs",
    params(
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query), ("offset" = Option<i64>, Query),
        ("sort" = Option<String>, Query,
            description = "`key[:asc|:desc],...`; keys: `id`, `name`, `consumer`, `created_at`, \
                `updated_at`"),
        ("sort_key" = Option<String>, Query, description = "The old form of `sort`, with `sort_dir`"),
        ("sort_dir" = Option<String>, Query, description = "`asc` or `desc`"),
        ("id" = Option<String>, Query), ("name" = Option<String>, Query),
        ("consumer" = Option<String>, Query),
    ),
    responses(
        (status = 200, body = Many),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker"),
    ),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    call.check_own(rules::QOS_GET_ALL)?;
    let mut paging = Paging::parse(&call.query, app.config.volumes.osapi_max_limit, column)?;
    let filter = filter(&call);
    let mut repository = app.database.read().await?;
    if let Some(marker) = &paging.marker {
        paging.marker = Some(find(&mut repository, marker).await?.id.to_string());
    }
    let rows = repository.all_qos_specs(&filter, &paging.page()).await?;
    let last = rows.last().map(|specs| specs.id.as_str());
    let qos_specs_links = paging.next(&call, "qos-specs", rows.len(), None, last);
    Ok(answer(StatusCode::OK, &Many { qos_specs: rows.iter().map(View::new).collect(), qos_specs_links }))
}

/// The real service takes three filters and finds nothing by two of them.
fn filter(call: &Call) -> QosSpecsFilter {
    let mut filter = QosSpecsFilter::default();
    for (key, value) in call.query.0.iter().filter(|(key, _)| !PARAMETERS.contains(&key.as_str())) {
        match key.as_str() {
            "id" => filter.id = Some(texts(value)),
            "name" => filter.name = Some(value.clone()),
            "consumer" => filter.consumer = Some(value.clone()),
            // Only of administrators; what is no column finds nothing.
            _ if call.guard.is_admin() => filter.id = Some(Vec::new()),
            _ => {}
        }
    }
    filter
}

fn column(key: &str) -> Option<&'static str> {
    let columns = ["id", "name", "consumer", "created_at", "updated_at"];
    columns.into_iter().find(|column| *column == key)
}
