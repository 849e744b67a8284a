//! What lists are filtered by, as far as volumes and snapshots have it in common.

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};

use super::fault::Fault;
use super::microversion::Microversion;
use super::paging::PARAMETERS;
use super::python;
use super::request::Call;
use crate::db::Operator;

/// What everybody may filter each list by, as it is told them.
pub const OF_EVERYBODY: [(&str, &[&str]); 6] = [
    ("volume", VOLUME),
    ("snapshot", SNAPSHOT),
    ("attachment", ATTACHMENT),
    ("message", MESSAGE),
    ("pool", POOL),
    ("volume_type", VOLUME_TYPE),
];

pub const VOLUME: &[&str] = &[
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
pub const SNAPSHOT: &[&str] =
    &["name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota"];
pub const ATTACHMENT: &[&str] = &["volume_id", "status", "instance_id", "attach_status"];
pub const MESSAGE: &[&str] = &["resource_uuid", "resource_type", "event_id", "request_id", "message_level"];
pub const POOL: &[&str] = &["name", "volume_type"];
pub const VOLUME_TYPE: &[&str] = &["is_public", "extra_specs"];

/// The filters of a request that its caller may use: what non-administrators may not is dropped below 3.31 and
/// refused from then on.
pub fn allowed<'a>(call: &'a Call, everybodys: &[&str]) -> Result<Vec<(&'a str, &'a str)>, Fault> {
    allowed_from(call, everybodys, Microversion::STRICT_FILTERS)
}

/// Likewise, of a list that is `strict` from another version on.
pub fn allowed_from<'a>(
    call: &'a Call,
    everybodys: &[&str],
    strict: Microversion,
) -> Result<Vec<(&'a str, &'a str)>, Fault> {
    let given = call
        .query
        .0
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .filter(|(key, _)| !PARAMETERS.contains(key))
        .filter(|(key, _)| *key != "with_count" || call.version < Microversion::COUNT);
    if call.guard.is_admin() {
        return Ok(given.collect());
    }
    known(given, everybodys, call.version >= strict)
}

/// Of what is given what is known; the rest is dropped or, where the list `is_strict`, refused.
pub fn known<'a>(
    given: impl Iterator<Item = (&'a str, &'a str)>,
    everybodys: &[&str],
    is_strict: bool,
) -> Result<Vec<(&'a str, &'a str)>, Fault> {
    // The client library always sends it.
    let given = given.filter(|(key, _)| *key != "all_tenants");
    let (ours, strangers): (Vec<_>, Vec<_>) = given.partition(|(key, _)| everybodys.contains(key));
    if is_strict && !strangers.is_empty() {
        let names: Vec<&str> = strangers.into_iter().map(|(key, _)| key).collect();
        return Err(Fault::Invalid(format!(
            "Invalid filters {} are found in query options.",
            names.join(",")
        )));
    }
    Ok(ours)
}

/// `gt:2020-01-01T00:00:00,lt:2021-01-01T00:00:00`
pub fn comparisons(column: &'static str, text: &str) -> Result<Vec<(&'static str, Operator, i64)>, Fault> {
    let invalid = |what: &str| Fault::Invalid(format!("Invalid {what} value"));
    text.split(',')
        .map(|unit| {
            let (operator, moment) = unit.split_once(':').unwrap_or((unit, unit));
            let comparison = match operator {
                "gt" => Operator::Greater,
                "gte" => Operator::GreaterOrEqual,
                "eq" => Operator::Equal,
                "neq" => Operator::NotEqual,
                "lt" => Operator::Less,
                "lte" => Operator::LessOrEqual,
                other => return Err(Fault::Invalid(format!("Invalid {other} operator"))),
            };
            Ok((column, comparison, microseconds(moment).ok_or_else(|| invalid(moment))?))
        })
        .collect()
}

/// A moment of ISO 8601, in UTC unless it says otherwise.
fn microseconds(text: &str) -> Option<i64> {
    let plain = |text: &str| {
        PrimitiveDateTime::parse(
            text,
            format_description!(
                "[year]-[month]-[day]T[hour]:[minute][optional [:[second][optional [.[subsecond]]]]]"
            ),
        )
        .ok()
    };
    let text = text.trim().replacen(' ', "T", 1);
    let moment = OffsetDateTime::parse(&text, &Rfc3339)
        .ok()
        .or_else(|| plain(&text).map(PrimitiveDateTime::assume_utc))
        .or_else(|| plain(&format!("{text}T00:00")).map(PrimitiveDateTime::assume_utc))?;
    i64::try_from(moment.unix_timestamp_nanos() / 1000).ok()
}

/// The texts of `{'key': 'value'}`; `None` for anything else, which no metadata equals.
pub fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let Value::Object(map) = python::literal(text)? else { return None };
    Some(map.into_iter().map(|(key, value)| (key, python::text(&value))).collect())
}

/// One text, or the texts of `['a', 'b']`.
pub fn texts(text: &str) -> Vec<String> {
    match python::literal(text) {
        Some(Value::Array(items)) => items.iter().map(python::text).collect(),
        Some(literal) => vec![python::text(&literal)],
        None => vec![text.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_many_forms() {
        for text in [
            "2020-01-01T00:00:00",
            "2020-01-01T00:00",
            "2020-01-01",
            "2020-01-01 00:00:00",
            "2020-01-01T00:00:00.000000",
            "2020-01-01T00:00:00Z",
            "2020-01-01T01:00:00+01:00",
        ] {
            assert_eq!(microseconds(text), Some(1_577_836_800_000_000), "{text}");
        }
        for text in ["", "yesterday", "2020-13-01", "99999999999999999999"] {
            assert_eq!(microseconds(text), None, "{text}");
        }
    }
}
