//! Which part of a list is asked for, in which order.

use super::fault::Fault;
use super::links::NextLink;
use super::python;
use super::request::Call;
use crate::db::{Direction, Page, SortKey};
use crate::http::Query;

/// Bytes of metadata on one page. What a volume remembers of its image may be a MiB, and then fewer are on
/// the page than it could hold.
pub const LARGEST_PAGE: usize = 8 << 20;

/// Parameters that are no filters.
pub const PARAMETERS: [&str; 6] = ["limit", "marker", "offset", "sort", "sort_key", "sort_dir"];

#[derive(Debug)]
pub struct Paging {
    pub limit: i64,
    pub marker: Option<String>,
    pub offset: i64,
    pub sort: Vec<SortKey>,
}

impl Paging {
    /// `column` turns a key of a request into the database's name of it, or `None` when it cannot be sorted by.
    pub fn parse(
        query: &Query,
        most: u32,
        column: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Self, Fault> {
        let limit = match query.last("limit") {
            None => i64::from(most),
            Some(text) => number(text, "limit param must be an integer")?,
        };
        if limit < 0 {
            return Err(Fault::Invalid("limit param must be positive".to_owned()));
        }
        let offset = match query.last("offset") {
            None => 0,
            Some(text) => number(text, "offset must be an integer")?,
        };
        if offset < 0 {
            return Err(Fault::Invalid("offset must be >= 0".to_owned()));
        }
        if offset > i64::from(i32::MAX) {
            return Err(Fault::Invalid(format!("offset must be <= {}", i32::MAX)));
        }
        Ok(Self {
            limit: limit.min(i64::from(most)),
            marker: query.last("marker").map(str::to_owned),
            offset,
            sort: sort(query, column)?,
        })
    }

    pub fn page(&self) -> Page {
        Page {
            sort: self.sort.clone(),
            marker: self.marker.clone(),
            limit: Some(self.limit),
            offset: self.offset,
        }
    }

    /// There is a link whenever the page is full, also after the very last one; with a count, whenever the page
    /// is not larger than it.
    pub fn next(
        &self,
        call: &Call,
        collection: &str,
        items: usize,
        count: Option<i64>,
        last: Option<&str>,
    ) -> Option<[NextLink; 1]> {
        let found = match count {
            Some(count) if count > 0 => count,
            _ => i64::try_from(items).unwrap_or(i64::MAX),
        };
        last.filter(|_| self.limit <= found).map(|marker| call.links.next(collection, &call.query, marker))
    }

    /// Likewise, also where the page was cut because more would have been too large.
    pub fn next_of_cut(
        &self,
        call: &Call,
        collection: &str,
        (items, is_cut): (usize, bool),
        count: Option<i64>,
        last: Option<&str>,
    ) -> Option<[NextLink; 1]> {
        match last {
            Some(last) if is_cut => Some(call.links.next(collection, &call.query, last)),
            last => self.next(call, collection, items, count, last),
        }
    }
}

/// Whether the list's length is asked for.
pub fn wants_count(call: &Call) -> Result<bool, Fault> {
    use super::microversion::Microversion;
    if call.version < Microversion::COUNT { Ok(false) } else { flag(&call.query, "with_count") }
}

/// A parameter that is true or false, and false when it is not there.
pub fn flag(query: &Query, key: &str) -> Result<bool, Fault> {
    let Some(text) = query.last(key) else { return Ok(false) };
    python::boolean(text)
        .ok_or_else(|| Fault::Invalid(format!("Value '{text}' for '{key}' is not a boolean.")))
}

/// As Python reads an integer: of any length, spaces around it.
fn number(text: &str, refusal: &str) -> Result<i64, Fault> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Invalid(refusal.to_owned()));
    }
    Ok(text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX }))
}

fn sort(query: &Query, column: impl Fn(&str) -> Option<&'static str>) -> Result<Vec<SortKey>, Fault> {
    let asked: Vec<(&str, &str)> = match query.last("sort") {
        Some(_) if query.last("sort_key").is_some() || query.last("sort_dir").is_some() => {
            return Err(Fault::Invalid(
                "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' \
                 parameter."
                    .to_owned(),
            ));
        }
        Some(sort) => sort.split(',').map(|key| key.split_once(':').unwrap_or((key, ""))).collect(),
        None => vec![(query.last("sort_key").unwrap_or("created_at"), query.last("sort_dir").unwrap_or(""))],
    };
    let mut sort: Vec<SortKey> = Vec::new();
    let mut add = |column, direction| {
        // A column decides once; more of the same would only make the query longer.
        if !sort.iter().any(|key: &SortKey| key.column == column) {
            sort.push(SortKey { column, direction });
        }
    };
    let mut first = None;
    for (key, direction) in asked {
        let direction = match direction.trim() {
            "" | "desc" => Direction::Descending,
            "asc" => Direction::Ascending,
            _ => {
                return Err(Fault::InvalidInput(
                    "Unknown sort direction, must be 'desc' or 'asc'.".to_owned(),
                ));
            }
        };
        first = first.or(Some(direction));
        let column = column(key.trim()).ok_or_else(|| Fault::InvalidInput("Invalid sort key".to_owned()))?;
        add(column, direction);
    }
    // What decides between equals goes the way of the first key.
    let direction = first.unwrap_or(Direction::Descending);
    add("created_at", direction);
    add("id", direction);
    Ok(sort)
}
