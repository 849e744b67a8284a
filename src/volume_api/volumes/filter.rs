//! Filters of volume lists.

use super::super::fault::Fault;
use super::super::filters::{allowed, comparisons, pairs, texts};
use super::super::microversion::Microversion;
use super::super::paging::flag;
use super::super::python;
use super::super::request::Call;
use crate::db::{Operator, VolumeFilter};

/// What everybody may filter by.
const EVERYBODYS: [&str; 11] = [
    "name",
    "status",
    "metadata",
    "bootable",
    "migration_status",
    "availability_zone",
    "group_id",
    "size",
    "created_at",
    "updated_at",
    "consumes_quota",
];

/// The filter that the request's query asks for.
pub fn of(call: &Call) -> Result<VolumeFilter, Fault> {
    let mut filter = VolumeFilter::default();
    let everywhere = call.guard.is_admin() && flag(&call.query, "all_tenants")?;
    if !everywhere {
        filter.project_id = Some(call.context.project_id.to_string());
    }
    for (key, value) in allowed(call, &EVERYBODYS)? {
        add(&mut filter, call, key, value)?;
    }
    Ok(filter)
}

fn add(filter: &mut VolumeFilter, call: &Call, key: &str, value: &str) -> Result<(), Fault> {
    let text_of = |filter: &mut VolumeFilter, column| filter.texts.push((column, value.to_owned()));
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
        "consumes_quota" | "use_quota" => match_all_or_nothing(filter, flag(&call.query, key)?),
        "multiattach" => filter.multiattach = Some(truth(call, key, value)?),
        "project_id" => text_of(filter, "project_id"),
        "user_id" => text_of(filter, "user_id"),
        "host" => text_of(filter, "host"),
        "migration_status" => text_of(filter, "migration_status"),
        "volume_type_id" => text_of(filter, "volume_type_id"),
        "snapshot_id" => text_of(filter, "snapshot_id"),
        "source_volid" => text_of(filter, "source_volume_id"),
        "description" | "display_description" => text_of(filter, "description"),
        "glance_metadata" => return Err(Fault::NotImplemented("The filter glance_metadata".to_owned())),
        // No volume is in a group; and what is no column at all finds nothing either.
        _ => match_nothing(filter),
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

/// Before 3.2 everything but `false` means true.
fn truth(call: &Call, key: &str, value: &str) -> Result<bool, Fault> {
    if call.version < Microversion::BOOTABLE_FILTER {
        return Ok(!value.eq_ignore_ascii_case("false"));
    }
    python::boolean(value).ok_or_else(|| Fault::InvalidInput(format!("'{key} = {value}'")))
}
