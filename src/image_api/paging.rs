//! Pages of lists, as Glance cuts them.

use url::form_urlencoded;

use super::fault::{Fault, Result};
use crate::config;
use crate::db::{Direction, Page, SortKey};
use crate::http::Query;

/// How many things a page holds.
pub fn limit(query: &Query, limits: &config::Images) -> Result<i64> {
    Ok(match query.last("limit") {
        None => i64::from(limits.limit_param_default),
        Some(limit) => parse_limit(limit)?.min(i64::from(limits.api_limit_max)),
    })
}

pub fn parse_limit(text: &str) -> Result<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Fault::BadRequest("limit param must be an integer".to_owned()));
    }
    match sign * digits.parse().unwrap_or(i64::MAX) {
        negative if negative < 0 => Err(Fault::BadRequest("limit param must be positive".to_owned())),
        limit => Ok(limit),
    }
}

/// The column of one of these keys: the API's name, and the column.
pub fn sort_key(text: &str, keys: &[(&'static str, &'static str)]) -> Result<&'static str> {
    let wanted = text.trim();
    let known = keys.iter().find(|(key, _)| *key == wanted);
    known.map(|(_, column)| *column).ok_or_else(|| {
        let keys: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        Fault::BadRequest(format!(
            "Invalid sort key: {wanted}. It must be one of the following: {}.",
            keys.join(", ")
        ))
    })
}

pub fn direction(text: &str) -> Result<Direction> {
    match text.trim() {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        other => Err(Fault::BadRequest(format!("Invalid sort direction: {other}"))),
    }
}

/// By `sort_key` and `sort_dir`, of which there is one each; then by age.
pub fn simple_sort(query: &Query, keys: &[(&'static str, &'static str)]) -> Result<Page> {
    let direction = query.last("sort_dir").map_or(Ok(Direction::Descending), direction)?;
    let first = query.last("sort_key").map_or(Ok("created_at"), |key| sort_key(key, keys))?;
    let mut sort: Vec<SortKey> = Vec::new();
    for column in [first, "created_at", "id"] {
        if sort.iter().all(|key| key.column != column) {
            sort.push(SortKey { column, direction });
        }
    }
    Ok(Page { sort, ..Page::default() })
}

/// The same query with another marker. Glance keeps one value a key here, and so loses tags.
pub fn link(path: &str, query: &Query, marker: Option<&str>) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs.extend_pairs(query.0.iter().filter(|(key, _)| key != "marker"));
    if let Some(marker) = marker {
        pairs.append_pair("marker", marker);
    }
    match pairs.finish() {
        none if none.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}
