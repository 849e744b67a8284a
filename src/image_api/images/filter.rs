//! Which images a list is asked for.

use std::collections::BTreeSet;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, PrimitiveDateTime, Time, UtcOffset};

use crate::db::{ImageFilter, ImageNumber, Operator};
use crate::http::Query;
use crate::image_api::fault::{Fault, Result};
use crate::model::{MemberStatus, ProjectId};

/// Conditions of one list: each binds values, and SQLite takes no more than 32766.
const MOST_CONDITIONS: usize = 200;

/// `None`: a condition that no image fulfils.
pub fn parse(query: &Query, is_admin: bool, project: &ProjectId) -> Result<Option<ImageFilter>> {
    if query.holds_nul() {
        // No image has such a property.
        return Ok(None);
    }
    if query.0.len() > MOST_CONDITIONS {
        return Err(Fault::BadRequest(format!("A list takes at most {MOST_CONDITIONS} parameters.")));
    }
    check(query)?;
    let mut filter = ImageFilter {
        os_hidden: Some(query.last("os_hidden").is_some_and(|hidden| hidden.eq_ignore_ascii_case("true"))),
        tags: query.all("tag").map(|tag| tag.trim().to_owned()).collect(),
        ..ImageFilter::default()
    };
    if !is_admin {
        filter.visible_to = Some(project.clone());
    }
    filter.member_status = match query.last("member_status") {
        None => Some(MemberStatus::Accepted),
        Some(status) => status.parse().ok(),
    };
    match query.last("visibility") {
        None => filter.community_of = Some(project.clone()),
        Some("all") => {}
        Some(visibility) => filter.visibility = Some(visibility.to_owned()),
    }
    let mut fulfillable = true;
    let keys: BTreeSet<&str> = query.0.iter().map(|(key, _)| key.as_str()).collect();
    for key in keys {
        let value = query.last(key).unwrap_or_default();
        fulfillable &= add(&mut filter, key, value)?;
    }
    Ok(fulfillable.then_some(filter))
}

/// Values that are none, in Glance's order.
fn check(query: &Query) -> Result<()> {
    let refuse = |reason: String| Err(Fault::BadRequest(reason));
    let visibility = query.last("visibility").unwrap_or_default();
    if !["", "community", "public", "private", "shared", "all"].contains(&visibility) {
        return refuse(format!("Invalid visibility value: {visibility}"));
    }
    if query.last("changes-since").is_some_and(|since| !since.is_empty()) {
        return refuse("The \"changes-since\" filter is no longer available on v2.".to_owned());
    }
    let status = query.last("member_status").unwrap_or("accepted");
    if status != "all" && status.parse::<MemberStatus>().is_err() {
        return refuse(format!("Invalid status: {status}"));
    }
    for (key, value) in [
        // Only this one may be written in capitals.
        ("os_hidden", query.last("os_hidden").map(str::to_ascii_lowercase)),
        ("protected", query.last("protected").map(str::to_owned)),
    ] {
        if let Some(value) = value.filter(|value| value != "true" && value != "false") {
            return refuse(format!(
                "Invalid value '{value}' for '{key}' filter. Valid values are 'true' or 'false'."
            ));
        }
    }
    Ok(())
}

/// Adds one condition; `false` when nothing can fulfil it.
fn add(filter: &mut ImageFilter, key: &str, value: &str) -> Result<bool> {
    let text = || Some(value.to_owned());
    match key {
        "limit" | "marker" | "sort" | "sort_key" | "sort_dir" | "tag" | "visibility" | "member_status"
        | "os_hidden" | "deleted" | "changes-since" => {}
        "id" => filter.id = Some(one_of(value)?),
        "name" => filter.name = Some(one_of(value)?),
        "status" => filter.status = Some(one_of(value)?),
        "container_format" => filter.container_format = Some(one_of(value)?),
        "disk_format" => filter.disk_format = Some(one_of(value)?),
        "owner" => filter.owner = text(),
        "checksum" => filter.checksum = text(),
        "os_hash_algo" => filter.os_hash_algo = text(),
        "os_hash_value" => filter.os_hash_value = text(),
        "protected" => filter.protected = Some(value == "true"),
        "created_at" => filter.numbers.push(moment(key, ImageNumber::CreatedAt, value)?),
        "updated_at" => filter.numbers.push(moment(key, ImageNumber::UpdatedAt, value)?),
        _ => {
            if let Some(number) = number(key) {
                return Ok(value.parse().is_ok_and(|value| {
                    filter.numbers.push((number, Operator::Equal, value));
                    true
                }));
            }
            if let Some((number, operator)) = bound(key) {
                let Ok(value) = value.trim().parse::<i128>() else {
                    return Err(Fault::BadRequest(
                        "Unable to filter on a range with a non-numeric value.".to_owned(),
                    ));
                };
                let value = value.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
                filter.numbers.push((number, operator, value));
                return Ok(true);
            }
            // Glance fails with 500 for the bounds of anything else.
            filter.properties.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(true)
}

fn number(key: &str) -> Option<ImageNumber> {
    match key {
        "size" => Some(ImageNumber::Size),
        "virtual_size" => Some(ImageNumber::VirtualSize),
        "min_ram" => Some(ImageNumber::MinRam),
        "min_disk" => Some(ImageNumber::MinDisk),
        _ => None,
    }
}

fn bound(key: &str) -> Option<(ImageNumber, Operator)> {
    let (key, operator) = match key.strip_suffix("_min") {
        Some(key) => (key, Operator::GreaterOrEqual),
        None => (key.strip_suffix("_max")?, Operator::LessOrEqual),
    };
    number(key).map(|number| (number, operator))
}

/// `eq:2026-01-31T12:00:00Z`, where the operator and its colon may be missing.
fn split_operator(expression: &str) -> (&str, &str) {
    match expression.split_once(':') {
        // A moment has colons of its own.
        Some((operator, value)) if parse_moment(expression).is_none() => (operator, value),
        _ => ("eq", expression),
    }
}

fn one_of(expression: &str) -> Result<Vec<String>> {
    match split_operator(expression) {
        ("eq", value) => Ok(vec![value.to_owned()]),
        ("in", values) => split_values(values),
        (operator, _) => {
            Err(Fault::BadRequest(format!("Unable to filter by unknown operator '{operator}'.")))
        }
    }
}

/// Values with commas between them; those in quotes may hold commas. Each value once.
fn split_values(values: &str) -> Result<Vec<String>> {
    let refuse = |reason: &str| Err(Fault::BadRequest(format!("Invalid filter value {values}. {reason}")));
    let mut found = BTreeSet::new();
    let mut rest = values;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some(end) = closing_quote(quoted) else { return refuse("The quote is not closed.") };
            found.insert(quoted[..end].to_owned());
            rest = &quoted[end + 1..];
            if !rest.is_empty() && !rest.starts_with(',') {
                return refuse("There is no comma after closing quotation mark.");
            }
            rest = rest.strip_prefix(',').unwrap_or(rest);
        } else {
            let (value, after) = rest.split_once(',').unwrap_or((rest, ""));
            if value.contains('"') {
                return refuse("There is no comma before opening quotation mark.");
            }
            found.insert(value.to_owned());
            rest = after;
        }
    }
    Ok(found.into_iter().collect())
}

/// The first quote without a backslash before it.
fn closing_quote(text: &str) -> Option<usize> {
    text.match_indices('"').map(|(at, _)| at).find(|&at| !text[..at].ends_with('\\'))
}

fn moment(key: &str, column: ImageNumber, expression: &str) -> Result<(ImageNumber, Operator, i64)> {
    let (operator, text) = split_operator(expression);
    let Some(seconds) = parse_moment(text) else {
        return Err(Fault::BadRequest(format!(
            "Bad \"{key}\" query filter format. Use ISO 8601 DateTime notation."
        )));
    };
    let operator = match operator {
        "gt" => Operator::Greater,
        "gte" => Operator::GreaterOrEqual,
        "lt" => Operator::Less,
        "lte" => Operator::LessOrEqual,
        "eq" => Operator::Equal,
        "neq" => Operator::NotEqual,
        _ => return Err(Fault::BadRequest("Unable to filter on a unknown operator.".to_owned())),
    };
    Ok((column, operator, seconds))
}

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const TIME: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]:[second]");
const TIME_OF_MINUTES: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]");
const OFFSET: &[BorrowedFormatItem<'_>] = format_description!("[offset_hour sign:mandatory]:[offset_minute]");
const OFFSET_WITHOUT_COLON: &[BorrowedFormatItem<'_>] =
    format_description!("[offset_hour sign:mandatory][offset_minute]");

/// ISO 8601, in whole seconds since 1970; without an offset it is UTC, without a time midnight.
fn parse_moment(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let date = Date::parse(date, DATE).ok()?;
    let (time, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    let offset = match offset {
        "" | "Z" => UtcOffset::UTC,
        other => {
            UtcOffset::parse(other, OFFSET).or_else(|_| UtcOffset::parse(other, OFFSET_WITHOUT_COLON)).ok()?
        }
    };
    let whole = time.split_once('.').map_or(time, |(whole, _)| whole);
    let time = if whole.is_empty() {
        Time::MIDNIGHT
    } else {
        Time::parse(whole, TIME).or_else(|_| Time::parse(whole, TIME_OF_MINUTES)).ok()?
    };
    Some(PrimitiveDateTime::new(date, time).assume_offset(offset).unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_their_usual_forms() {
        let noon = 1_769_860_800;
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00",
            "2026-01-31T12:00",
            "2026-01-31T12:00:00.999Z",
            "2026-01-31T14:00:00+02:00",
            "2026-01-31T07:00:00-0500",
        ] {
            assert_eq!(parse_moment(text), Some(noon), "{text}");
        }
        assert_eq!(parse_moment("2026-01-31"), Some(noon - 12 * 3600));
        for text in
            ["", "x", "2026-02-30", "2026-01-31T25:00:00Z", "gt:2026-01-31", "2026-01-31T12:00:00+99:99"]
        {
            assert_eq!(parse_moment(text), None, "{text}");
        }
    }

    #[test]
    fn values_are_split_at_commas_outside_of_quotes() {
        let split = |text: &str| split_values(text).map_err(|_| ());
        let values = |values: &[&str]| Ok(values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
        assert_eq!(split("b,a,b"), values(&["a", "b"]));
        assert_eq!(split("\"a,b\",c"), values(&["a,b", "c"]));
        assert_eq!(split("a,,b,"), values(&["", "a", "b"]));
        assert_eq!(split("\"a\\\"b\""), values(&["a\\\"b"]));
        assert_eq!(split(""), values(&[]));
        for wrong in ["\"a,b", "a\"b\"", "\"a\"b", "\""] {
            assert_eq!(split(wrong), Err(()), "{wrong}");
        }
    }
}
