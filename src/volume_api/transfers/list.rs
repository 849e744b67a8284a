//! `GET /volume-transfers`, `GET /volume-transfers/detail`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::links::NextLink;
use super::super::microversion::Microversion;
use super::super::paging::{PARAMETERS, Paging};
use super::super::python;
use super::super::request::Call;
use super::find;
use super::view::{Details, Summaries, Summary, View};
use crate::db::{Direction, SortKey, Transfer, TransferFilter};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/volume-transfers", tag = "transfers", operation_id = "list_transfers",
    params(
        ("limit" = Option<i64>, Query, description = "Since 3.59"),
        ("marker" = Option<String>, Query, description = "Since 3.59"),
        ("offset" = Option<i64>, Query, description = "Since 3.59"),
        ("sort" = Option<String>, Query,
            description = "Since 3.59. `key[:asc|:desc],...`; keys: `id`, `name`, `volume_id`, \
                `created_at`"),
        ("sort_key" = Option<String>, Query, description = "Since 3.59. The old form of `sort`, with `sort_dir`"),
        ("sort_dir" = Option<String>, Query, description = "Since 3.59. `asc` or `desc`"),
        ("all_tenants" = Option<bool>, Query, description = "For administrators"),
        ("name" = Option<String>, Query), ("volume_id" = Option<String>, Query), ("id" = Option<String>, Query),
        ("source_project_id" = Option<String>, Query), ("no_snapshots" = Option<bool>, Query),
    ),
    responses(
        (status = 200, body = Summaries),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker"),
    ),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    let has_pages = call.version >= Microversion::TRANSFER_PAGES;
    search(&app, &call, "volume-transfers", has_pages).await.map(|found| found.summaries(&call))
}

#[utoipa::path(
    get, path = "/v3/volume-transfers/detail", tag = "transfers", operation_id = "list_transfers_in_detail",
    description = "Takes the parameters of the list without detail.",
    responses(
        (status = 200, body = Details),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker"),
    ),
)]
pub async fn detail(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    let has_pages = call.version >= Microversion::TRANSFER_PAGES;
    search(&app, &call, "volume-transfers/detail", has_pages).await.map(|found| found.details(&call))
}

#[utoipa::path(
    get, path = "/v3/os-volume-transfer", tag = "transfers", operation_id = "list_transfers_by_old_name",
    description = "Oldest first. The parameters of pages it does not know, and finds nothing with one of \
        them; but where it is too long, there is a link to the rest.",
    responses(
        (status = 200, body = Summaries),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker"),
    ),
)]
pub async fn old_list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    search(&app, &call, "os-volume-transfer", false).await.map(|found| found.summaries(&call))
}

#[utoipa::path(
    get, path = "/v3/os-volume-transfer/detail", tag = "transfers",
    operation_id = "list_transfers_in_detail_by_old_name",
    responses(
        (status = 200, body = Details),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker"),
    ),
)]
pub async fn old_detail(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    search(&app, &call, "os-volume-transfer/detail", false).await.map(|found| found.details(&call))
}

struct Found {
    transfers: Vec<Transfer>,
    next: Option<[NextLink; 1]>,
}

impl Found {
    fn summaries(self, call: &Call) -> Response {
        let transfers = self.transfers.iter().map(|transfer| Summary::new(transfer, call)).collect();
        answer(StatusCode::OK, &Summaries { transfers, transfers_links: self.next })
    }

    fn details(self, call: &Call) -> Response {
        let transfers = self.transfers.iter().map(|transfer| View::new(transfer, call)).collect();
        answer(StatusCode::OK, &Details { transfers, transfers_links: self.next })
    }
}

/// `collection` as the request called it: the next page is at the same address.
async fn search(app: &App, call: &Call, collection: &str, has_pages: bool) -> Result<Found, Fault> {
    let most = app.config.volumes.osapi_max_limit;
    let mut paging =
        if has_pages { Paging::parse(&call.query, most, column)? } else { oldest_first(call, most) };
    call.check_own(rules::GET_ALL_TRANSFERS)?;
    let Some(filter) = filter(call, has_pages) else {
        return Ok(Found { transfers: Vec::new(), next: None });
    };
    let mut repository = app.database.read().await?;
    if let Some(marker) = &paging.marker {
        paging.marker = Some(find(&mut repository, call, marker).await?.id.to_string());
    }
    let transfers = repository.transfers(&filter, &paging.page()).await?;
    let last = transfers.last().map(|transfer| transfer.id.as_str());
    let next = paging.next(call, collection, transfers.len(), None, last);
    Ok(Found { transfers, next })
}

/// Where there are no pages to ask for, a list may be too long all the same: then its link leads on.
fn oldest_first(call: &Call, most: u32) -> Paging {
    let ascending = |column| SortKey { column, direction: Direction::Ascending };
    Paging {
        limit: i64::from(most),
        marker: call.query.last("marker").map(str::to_owned),
        offset: 0,
        sort: vec![ascending("created_at"), ascending("id")],
    }
}

/// The column behind a sort key.
fn column(key: &str) -> Option<&'static str> {
    Some(match key {
        "id" => "id",
        "name" | "display_name" => "name",
        "volume_id" => "volume_id",
        "created_at" => "created_at",
        _ => return None,
    })
}

/// `None`: what is asked for is nowhere.
fn filter(call: &Call, has_pages: bool) -> Option<TransferFilter> {
    let mut filter = TransferFilter::default();
    // Unlike elsewhere, what is no truth value is no refusal either.
    let everywhere = call.query.last("all_tenants").and_then(python::boolean) == Some(true);
    if !(call.guard.is_admin() && everywhere) {
        filter.source_project_id = Some(call.context.project_id.to_string());
    }
    for (key, value) in call.query.0.iter().map(|(key, value)| (key.as_str(), value.as_str())) {
        match key {
            "all_tenants" | "marker" => {}
            // Of those who see one project it is that one, whatever they say.
            "project_id" => {
                filter.source_project_id.get_or_insert_with(|| value.to_owned());
            }
            "id" => filter.texts.push(("id", value.to_owned())),
            "name" | "display_name" => filter.texts.push(("name", value.to_owned())),
            "volume_id" => filter.texts.push(("volume_id", value.to_owned())),
            "source_project_id" => filter.texts.push(("source_project_id", value.to_owned())),
            "no_snapshots" => filter.no_snapshots = Some(python::boolean(value)?),
            key if has_pages && PARAMETERS.contains(&key) => {}
            _ => return None,
        }
    }
    Some(filter)
}
