//! `GET /types`

use std::cmp::Ordering;
use std::collections::HashSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::filters::{self, allowed_from, pairs};
use super::super::microversion::Microversion;
use super::super::paging::Paging;
use super::super::python;
use super::super::request::Call;
use super::view::{EVERYBODYS, Many, Shown, View};
use crate::db::{Direction, VolumeType};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::VolumeTypeId;

#[utoipa::path(
    get, path = "/v3/types", tag = "types", operation_id = "list_types",
    params(
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query), ("offset" = Option<i64>, Query),
        ("sort" = Option<String>, Query,
            description = "`key[:asc|:desc],...`; keys: `id`, `name`, `description`, `is_public`, \
                `qos_specs_id`, `created_at`, `updated_at`"),
        ("sort_key" = Option<String>, Query, description = "The old form of `sort`, with `sort_dir`"),
        ("sort_dir" = Option<String>, Query, description = "`asc` or `desc`"),
        ("is_public" = Option<String>, Query, description = "`true`, `false` or `None`, for administrators"),
        ("extra_specs" = Option<String>, Query, description = "Since 3.52. `{'key': 'value'}`"),
        ("id" = Option<String>, Query, description = "For administrators, like all that follow"),
        ("name" = Option<String>, Query), ("description" = Option<String>, Query),
        ("qos_specs_id" = Option<String>, Query),
    ),
    responses(
        (status = 200, body = Many),
        (status = 400, description = "A parameter is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such marker"),
    ),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    call.check_own(rules::TYPE_GET_ALL)?;
    let paging = Paging::parse(&call.query, app.config.volumes.osapi_max_limit, column)?;
    let filter = Filter::of(&call)?;
    // There are few of them: they are chosen and sorted here.
    let mut types = Vec::new();
    if let Some(filter) = filter {
        let mut repository = app.database.read().await?;
        let granted = repository.granted_volume_types(&call.context.project_id).await?;
        types = repository.volume_types().await?;
        types.retain(|volume_type| filter.fits(volume_type, &granted));
    }
    types.sort_by(|a, b| compare(&paging, a, b));
    let after = match &paging.marker {
        None => 0,
        Some(marker) => {
            let id = VolumeTypeId::parse(marker);
            let at = types.iter().position(|volume_type| Some(&volume_type.id) == id.as_ref());
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

/// Which types a list holds.
struct Filter<'a> {
    /// `None`: both kinds.
    is_public: Option<bool>,
    extra_specs: Vec<(String, String)>,
    /// Columns, and what they must be equal to.
    texts: Vec<(&'a str, &'a str)>,
}

impl<'a> Filter<'a> {
    /// `None`: what is asked for is nowhere.
    fn of(call: &'a Call) -> Result<Option<Self>, Fault> {
        let everybodys: &[&str] =
            if call.version >= Microversion::TYPE_FILTERS { filters::VOLUME_TYPE } else { &["is_public"] };
        let mut filter = Self { is_public: Some(true), extra_specs: Vec::new(), texts: Vec::new() };
        for (key, value) in allowed_from(call, everybodys, Microversion::TYPE_FILTERS)? {
            match key {
                "is_public" => filter.is_public = is_public(call, value)?,
                "extra_specs" => {
                    let Some(pairs) = pairs(value) else { return Ok(None) };
                    // Who may not read a spec shall not find out by filtering.
                    let is_readable = |(key, _): &(String, String)| EVERYBODYS.contains(&key.as_str());
                    if !call.has(rules::TYPE_READ_SENSITIVE) && !pairs.iter().all(is_readable) {
                        return Ok(None);
                    }
                    filter.extra_specs.extend(pairs);
                }
                "id" | "name" | "description" | "qos_specs_id" => filter.texts.push((key, value)),
                // What is no column finds nothing.
                _ => return Ok(None),
            }
        }
        Ok(Some(filter))
    }

    fn fits(&self, volume_type: &VolumeType, granted: &HashSet<VolumeTypeId>) -> bool {
        let is_public = match self.is_public {
            // The private ones that the project was let into are as good as public.
            Some(true) => volume_type.is_public || granted.contains(&volume_type.id),
            Some(false) => !volume_type.is_public,
            None => true,
        };
        is_public
            && self.extra_specs.iter().all(|(key, text)| match volume_type.spec(key) {
                // A list of zones, of which one is asked for.
                Some(zones) if key == "RESKEY:availability_zones" => zones.contains(text),
                found => found == Some(text),
            })
            && self.texts.iter().all(|(column, text)| {
                let found = match *column {
                    "id" => Some(volume_type.id.as_str()),
                    "name" => Some(volume_type.name.as_str()),
                    "description" => volume_type.description.as_deref(),
                    _ => volume_type.qos_specs_id.as_ref().map(|id| id.as_str()),
                };
                found == Some(text)
            })
    }
}

/// Only administrators may choose; `None`: both kinds.
fn is_public(call: &Call, text: &str) -> Result<Option<bool>, Fault> {
    if !call.guard.is_admin() {
        return Ok(Some(true));
    }
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    match python::boolean(text) {
        Some(is_public) => Ok(Some(is_public)),
        None => Err(Fault::Invalid(format!("Invalid is_public filter [{text}]"))),
    }
}

fn column(key: &str) -> Option<&'static str> {
    let columns = ["id", "name", "description", "is_public", "qos_specs_id", "created_at", "updated_at"];
    columns.into_iter().find(|column| *column == key)
}

fn compare(paging: &Paging, a: &VolumeType, b: &VolumeType) -> Ordering {
    for key in &paging.sort {
        let ordering = match key.column {
            "name" => a.name.cmp(&b.name),
            "description" => a.description.cmp(&b.description),
            "is_public" => a.is_public.cmp(&b.is_public),
            "qos_specs_id" => a.qos_specs_id.cmp(&b.qos_specs_id),
            "updated_at" => a.updated_at.cmp(&b.updated_at),
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
