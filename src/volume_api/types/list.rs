//! `GET /types`

use std::cmp::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::paging::Paging;
use super::super::python;
use super::super::request::Call;
use super::view::{Many, Shown, View};
use crate::db::{Direction, VolumeType};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    get, path = "/v3/types", tag = "types", operation_id = "list_types",
    params(
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query), ("offset" = Option<i64>, Query),
        ("sort" = Option<String>, Query, description = "`key[:asc|:desc],...`"),
        ("is_public" = Option<String>, Query, description = "`true`, `false` or `None`, for administrators"),
    ),
    responses(
        (status = 200, body = Many),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    call.check_own(rules::TYPE_GET_ALL)?;
    let paging = Paging::parse(&call.query, app.config.volumes.osapi_max_limit, column)?;
    let is_public = is_public(&call)?;
    // There are few of them: they are sorted here.
    let mut types = app.database.read().await?.volume_types().await?;
    types.retain(|volume_type| is_public.is_none_or(|wanted| volume_type.is_public == wanted));
    types.sort_by(|a, b| compare(&paging, a, b));
    let after = match &paging.marker {
        None => 0,
        Some(marker) => {
            let at = types.iter().position(|volume_type| volume_type.id.as_str() == marker);
            1 + at.ok_or_else(|| Fault::Missing("Volume type", marker.clone()))?
        }
    };
    let count = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let page: Vec<&VolumeType> =
        types.iter().skip(after).skip(count(paging.offset)).take(count(paging.limit)).collect();
    let last = page.last().map(|volume_type| volume_type.id.as_str());
    let volume_type_links = paging.next(&call, "types", page.len(), None, last);
    let shown = Shown::to(&call);
    let volume_types = page.iter().map(|volume_type| View::new(volume_type, shown)).collect();
    Ok(answer(StatusCode::OK, &Many { volume_types, volume_type_links }))
}

/// `None`: both kinds.
fn is_public(call: &Call) -> Result<Option<bool>, Fault> {
    match call.query.last("is_public").filter(|_| call.guard.is_admin()) {
        None => Ok(Some(true)),
        Some(text) if text.eq_ignore_ascii_case("none") => Ok(None),
        Some(text) => match python::boolean(text) {
            Some(is_public) => Ok(Some(is_public)),
            None => Err(Fault::Invalid(format!("Invalid is_public filter [{text}]"))),
        },
    }
}

fn column(key: &str) -> Option<&'static str> {
    ["id", "name", "description", "is_public", "created_at"].into_iter().find(|column| *column == key)
}

fn compare(paging: &Paging, a: &VolumeType, b: &VolumeType) -> Ordering {
    for key in &paging.sort {
        let ordering = match key.column {
            "name" => a.name.cmp(&b.name),
            "description" => a.description.cmp(&b.description),
            "is_public" => a.is_public.cmp(&b.is_public),
            "created_at" => a.created_at.cmp(&b.created_at),
            _ => a.id.cmp(&b.id),
        };
        let ordering = if key.direction == Direction::Descending { ordering.reverse() } else { ordering };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}
