//! `GET /messages`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::filters::{self, allowed};
use super::super::microversion::Microversion;
use super::super::paging::Paging;
use super::super::request::Call;
use super::find;
use super::view::{Many, View};
use crate::db::MessageFilter;
use crate::http::{App, Query};
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/messages", tag = "messages", operation_id = "list_messages",
    description = "Since 3.3; pages, order and filters since 3.5.",
    params(
        ("limit" = Option<i64>, Query, description = "Since 3.5"),
        ("marker" = Option<String>, Query, description = "Since 3.5"),
        ("offset" = Option<i64>, Query, description = "Since 3.5"),
        ("sort" = Option<String>, Query,
            description = "Since 3.5. `key[:asc|:desc],...`; keys: `id`, `project_id`, `request_id`, \
                `resource_type`, `resource_uuid`, `event_id`, `message_level`, `created_at`"),
        ("sort_key" = Option<String>, Query, description = "Since 3.5. The old form of `sort`, with `sort_dir`"),
        ("sort_dir" = Option<String>, Query, description = "Since 3.5. `asc` or `desc`"),
        ("resource_uuid" = Option<String>, Query, description = "Since 3.5"),
        ("resource_type" = Option<String>, Query, description = "Since 3.5"),
        ("event_id" = Option<String>, Query, description = "Since 3.5"),
        ("request_id" = Option<String>, Query, description = "Since 3.5"),
        ("message_level" = Option<String>, Query, description = "Since 3.5"),
        ("id" = Option<String>, Query, description = "Since 3.5, for administrators"),
        ("project_id" = Option<String>, Query, description = "Since 3.5, for administrators"),
    ),
    responses(
        (status = 200, body = Many),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker, or the version is older than 3.3"),
    ),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    call.since(Microversion::MESSAGES)?;
    call.check_own(rules::GET_ALL_MESSAGES)?;
    let has_pages = call.version >= Microversion::MESSAGE_PAGES;
    // The link of a list that is too long leads on also where there are no pages to ask for.
    let is_known = |key: &str| has_pages || key == "marker";
    let query = Query(call.query.0.iter().filter(|(key, _)| is_known(key)).cloned().collect());
    let mut paging = Paging::parse(&query, app.config.volumes.osapi_max_limit, column)?;
    let mut filter = MessageFilter::default();
    if !call.guard.is_admin() {
        filter.project_id = Some(call.context.project_id.to_string());
    }
    let is_possible = !has_pages || add_filters(&mut filter, &call)?;
    let mut repository = app.database.read().await?;
    if let Some(marker) = &paging.marker {
        paging.marker = Some(find(&mut repository, &call, marker).await?.id.to_string());
    }
    let rows = if is_possible { repository.messages(&filter, &paging.page()).await? } else { Vec::new() };
    let last = rows.last().map(|message| message.id.as_str());
    let messages_links = paging.next(&call, "messages", rows.len(), None, last);
    let messages = rows.iter().map(|message| View::new(message, &call, &app.config)).collect();
    Ok(answer(StatusCode::OK, &Many { messages, messages_links }))
}

/// `false`: what is asked for is nowhere.
fn add_filters(filter: &mut MessageFilter, call: &Call) -> Result<bool, Fault> {
    for (key, value) in allowed(call, filters::MESSAGE)? {
        let (plain, list) = match key.strip_suffix('~') {
            Some(plain) => (plain, &mut filter.likes),
            None => (key, &mut filter.texts),
        };
        match column(plain).filter(|column| *column != "created_at") {
            // They are stored in capitals, and found however they are written, as in most databases of the real service.
            Some(column @ ("resource_type" | "message_level")) => {
                list.push((column, value.to_ascii_uppercase()));
            }
            Some(column) => list.push((column, value.to_owned())),
            // Administrators see all of them anyway.
            None if key == "all_tenants" => {}
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// The column behind a key to sort or filter by.
fn column(key: &str) -> Option<&'static str> {
    Some(match key {
        "id" => "id",
        "project_id" => "project_id",
        "request_id" => "request_id",
        "resource_type" => "resource_type",
        "resource_uuid" => "resource_uuid",
        "event_id" => "event_id",
        "message_level" => "message_level",
        // They all live as long.
        "created_at" | "expires_at" => "created_at",
        _ => return None,
    })
}
