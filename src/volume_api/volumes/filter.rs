//! Filters of volume lists.

use super::super::fault::Fault;
use super::super::filters::{self, allowed, comparisons, pairs, texts};
use super::super::microversion::Microversion;
use super::super::paging::flag;
use super::super::python;
use super::super::request::Call;
use crate::db::{ATTACH_STATUS, Operator, VolumeFilter};
use crate::model::MigrationStatus;

/// How `migration_status` begins of what a volume is on the way to; then comes its id.
pub const TARGET_OF: &str = "target:";

/// The volumes of the caller's project, or everybody's where an administrator asks for them.
pub fn of_project(call: &Call) -> Result<VolumeFilter, Fault> {
    let without_targets = !call.guard.is_admin();
    let everywhere = call.guard.is_admin() && flag(&call.query, "all_tenants")?;
    let project_id = (!everywhere).then(|| call.context.project_id.to_string());
    Ok(VolumeFilter { project_id, without_targets, ..VolumeFilter::default() })
}

/// Those of them that the request's query asks for.
pub fn of(call: &Call) -> Result<VolumeFilter, Fault> {
    let mut filter = of_project(call)?;
    for (key, value) in allowed(call, filters::VOLUME)? {
        if call.version < since(key) {
            continue;
        }
        match key.strip_suffix('~') {
            Some(key) => contain(&mut filter, key, value),
            None => add(&mut filter, call, key, value)?,
        }
    }
    Ok(filter)
}

/// Before that version nobody looks at it.
fn since(key: &str) -> Microversion {
    match key {
        "glance_metadata" => Microversion::GLANCE_METADATA_FILTER,
        "group_id" => Microversion::GROUP_FILTER,
        "created_at" | "updated_at" => Microversion::TIME_FILTERS,
        "consumes_quota" | "use_quota" => Microversion::CONSUMES_QUOTA,
        _ => Microversion::MIN,
    }
}

/// A column of texts by the name that requests know it by.
fn text_column(key: &str) -> Option<&'static str> {
    Some(match key {
        "id" => "id",
        "name" | "display_name" => "name",
        "description" | "display_description" => "description",
        "status" => "status",
        "availability_zone" => "availability_zone",
        "migration_status" => "migration_status",
        "replication_status" => "replication_status",
        "previous_status" => "previous_status",
        "attach_status" => ATTACH_STATUS,
        "project_id" => "project_id",
        "user_id" => "user_id",
        "host" => "host",
        "volume_type_id" => "volume_type_id",
        "snapshot_id" => "snapshot_id",
        "source_volid" => "source_volume_id",
        _ => return None,
    })
}

/// `name~=text`
fn contain(filter: &mut VolumeFilter, key: &str, value: &str) {
    match text_column(key) {
        Some(column) => filter.likes.push((column, value.to_owned())),
        None => match_nothing(filter),
    }
}

fn add(filter: &mut VolumeFilter, call: &Call, key: &str, value: &str) -> Result<(), Fault> {
    match key {
        // Decides about the project, which was looked at before.
        "all_tenants" => {}
        "name" | "display_name" => filter.name = Some(value.to_owned()),
        "status" => filter.status = Some(texts(value)),
        "id" => filter.id = Some(texts(value)),
        "availability_zone" => filter.availability_zone = Some(value.to_owned()),
        "metadata" => match pairs(value) {
            Some(pairs) => filter.metadata.extend(pairs),
            None => match_nothing(filter),
        },
        "bootable" => filter.bootable = Some(truth(call, key, value)?),
        "size" => match value.trim().parse() {
            Ok(size) => filter.numbers.push(("size", Operator::Equal, size)),
            Err(_) => match_nothing(filter),
        },
        "created_at" => filter.numbers.extend(comparisons("created_at", value)?),
        "updated_at" => filter.numbers.extend(comparisons("updated_at", value)?),
        "glance_metadata" => match pairs(value) {
            Some(pairs) => filter.image_metadata.extend(pairs),
            None => match_nothing(filter),
        },
        "host" => filter.host = Some(value.to_owned()),
        "no_migration_targets" => filter.without_targets |= flag(&call.query, key)?,
        // None is in a group, and so on.
        "group_id" | "consistencygroup_id" | "cluster_name" | "provider_id" | "encryption_key_id" => {
            match_all_or_nothing(filter, is_null(value))
        }
        "consumes_quota" | "use_quota" => filter.stands_in = Some(!flag(&call.query, key)?),
        "migration_status" if value.starts_with(TARGET_OF) => {
            filter.texts.push(("migration_status", MigrationStatus::Target.to_string()));
            let of = value.strip_prefix(TARGET_OF).unwrap_or_default();
            filter.texts.push(("name_id", of.to_owned()));
        }
        "multiattach" => filter.multiattach = Some(truth(call, key, value)?),
        _ => match text_column(key) {
            Some(column) if is_null(value) => filter.nulls.push(column),
            Some(column) => filter.texts.push((column, value.to_owned())),
            // What is no column at all finds nothing.
            None => match_nothing(filter),
        },
    }
    Ok(())
}

fn match_nothing(filter: &mut VolumeFilter) {
    filter.id = Some(Vec::new());
}

fn match_all_or_nothing(filter: &mut VolumeFilter, all: bool) {
    if !all {
        match_nothing(filter);
    }
}

/// Texts are read as Python's literals.
fn is_null(value: &str) -> bool {
    value == "None"
}

/// Before 3.2 everything but `false` means true.
fn truth(call: &Call, key: &str, value: &str) -> Result<bool, Fault> {
    if call.version < Microversion::BOOTABLE_FILTER {
        return Ok(!value.eq_ignore_ascii_case("false"));
    }
    python::boolean(value).ok_or_else(|| Fault::InvalidInput(format!("'{key} = {value}'")))
}
