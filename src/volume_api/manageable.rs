//! What the lists of manageable volumes and snapshots have in common, and the references by which they are managed.

use std::sync::Arc;

use axum::extract::MatchedPath;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::fault::Fault;
use super::microversion::Microversion;
use super::paging::Paging;
use super::python;
use super::request::Call;
use crate::block::{Backend, BlockStore};
use crate::db::Direction;
use crate::http::{App, Query};
use crate::identity::policy::Rule;
use crate::model::{GIB, Gib, Host};

/// How a store names an image or a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ManageableReference)]
pub struct Reference {
    #[serde(rename = "source-name")]
    pub name: String,
}

impl Reference {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// The reference of a body.
    pub fn read(value: &Value) -> Result<Self, Fault> {
        match value.get("source-name") {
            Some(Value::String(name)) => Ok(Self::new(name)),
            _ => Err(invalid_reference(&python::text(value), "Reference must contain source-name element.")),
        }
    }
}

pub fn invalid_reference(reference: &str, reason: &str) -> Fault {
    Fault::Invalid(format!(
        "Manage existing volume failed due to invalid backend reference {reference}: {reason}"
    ))
}

/// The whole GiB that hold so many bytes, and the size itself where it is one.
pub fn sizes(bytes: u64) -> (u64, Option<Gib>) {
    let gib = bytes.div_ceil(GIB);
    let exact = i64::try_from(gib).ok().and_then(Gib::new).filter(|gib| gib.bytes() == bytes);
    (gib, exact)
}

/// The newer names came with 3.8; the older ones are there in every version.
pub fn check_name(call: &Call, path: &MatchedPath) -> Result<(), Fault> {
    if path.as_str().contains("/v3/manageable_") { call.since(Microversion::MANAGEABLE) } else { Ok(()) }
}

/// What a list is asked for: of which host, and which part of it. By the rule that stands before it.
pub fn asked<'a>(
    app: &'a App,
    path: &MatchedPath,
    call: &Call,
    rule: Rule,
) -> Result<(Place<'a>, Order), Fault> {
    check_name(call, path)?;
    call.check_own(rule)?;
    let (host, cluster) = (call.query.last("host"), call.query.last("cluster"));
    let place = place(app, call, host, cluster, Microversion::MANAGEABLE_CLUSTER)?;
    Ok((place, Order::parse(&call.query, app.config.volumes.osapi_max_limit)?))
}

/// The host that a request names, or the cluster where it may be one.
pub fn place<'a>(
    app: &'a App,
    call: &Call,
    host: Option<&str>,
    cluster: Option<&str>,
    clusters_since: Microversion,
) -> Result<Place<'a>, Fault> {
    let knows_clusters = call.version >= clusters_since;
    let host = host.filter(|host| !host.is_empty());
    let cluster = cluster.filter(|cluster| knows_clusters && !cluster.is_empty());
    let (kind, name) = match (host, cluster) {
        (Some(host), None) => ("Host", host),
        (None, Some(cluster)) => ("Cluster", cluster),
        _ if knows_clusters => {
            return Err(Fault::InvalidInput("One and only one of cluster and host must be set.".to_owned()));
        }
        _ => return Err(Fault::InvalidInput("Host field is missing.".to_owned())),
    };
    // There are no clusters.
    let found = if kind == "Host" { Place::find(app, name) } else { None };
    found.ok_or_else(|| Fault::Invalid(format!("{kind} '{name}' not found")))
}

/// Where volumes lie.
pub struct Place<'a> {
    pub host: String,
    pub zone: &'a str,
    pub store: &'a Arc<dyn BlockStore>,
}

impl<'a> Place<'a> {
    /// `<host>@<backend>`, with or without `#<pool>`.
    fn find(app: &'a App, host: &str) -> Option<Self> {
        let Host { host, backend, pool } = Host::parse(host);
        let Backend { name, store } = app.stores.volumes.named(backend).filter(|_| host == Host::OURS)?;
        let zone = &app.places.iter().find(|place| *place.backend == **name)?.zone;
        let is_there = pool.is_empty() || pool == store.pool();
        is_there.then(|| Self { host: Host::ours(name, store.pool()).to_string(), zone, store })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Reference,
    Size,
}

/// Which part of a list is asked for, in which order.
#[derive(Debug)]
pub struct Order {
    pub keys: Vec<(Key, Direction)>,
    /// After this one.
    pub marker: Option<Value>,
    pub limit: usize,
    pub offset: usize,
}

impl Order {
    pub fn parse(query: &Query, most: u32) -> Result<Self, Fault> {
        let keys = keys(query)?;
        let unsorted = query.0.iter().filter(|(key, _)| !key.starts_with("sort")).cloned().collect();
        let paging = Paging::parse(&Query(unsorted), most, |_| Some("id"))?;
        let marker = paging.marker.map(|marker| {
            serde_json::from_str(&marker).map_err(|_| {
                let message = format!("marker {marker} can not be analysed, please use json like format");
                Fault::InvalidInput(message)
            })
        });
        let count = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Self {
            keys,
            marker: marker.transpose()?,
            limit: count(paging.limit),
            offset: count(paging.offset),
        })
    }

    /// Names alone decide: not all images have to be looked at.
    pub fn direction_by_name(&self) -> Option<Direction> {
        self.keys.first().filter(|(key, _)| *key == Key::Reference).map(|(_, direction)| *direction)
    }

    /// The number of the first entry after the marker; `names` in order.
    pub fn start<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> Result<usize, Fault> {
        let Some(marker) = &self.marker else { return Ok(0) };
        let wanted = marker.get("source-name").and_then(Value::as_str);
        let found = wanted.and_then(|wanted| names.position(|name| name == wanted));
        let missing = || Fault::InvalidInput(format!("marker not found: {}", python::text(marker)));
        Ok(found.ok_or_else(missing)? + 1)
    }

    /// The entries of the page, in order.
    pub fn page<T>(
        &self,
        mut entries: Vec<T>,
        name: impl Fn(&T) -> &str,
        size: impl Fn(&T) -> u64,
    ) -> Result<Vec<T>, Fault> {
        self.sort(&mut entries, &name, size);
        let start = self.start(entries.iter().map(&name))?;
        Ok(entries.into_iter().skip(start).skip(self.offset).take(self.limit).collect())
    }

    fn sort<T>(&self, entries: &mut [T], name: impl Fn(&T) -> &str, size: impl Fn(&T) -> u64) {
        entries.sort_by(|a, b| {
            let by = |(key, direction): &(Key, Direction)| {
                let ascending = match key {
                    Key::Reference => name(a).cmp(name(b)),
                    Key::Size => size(a).cmp(&size(b)),
                };
                if *direction == Direction::Ascending { ascending } else { ascending.reverse() }
            };
            self.keys.iter().map(by).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        });
    }
}

fn keys(query: &Query) -> Result<Vec<(Key, Direction)>, Fault> {
    let asked: Vec<(&str, &str)> = match query.last("sort") {
        Some(sort) => sort.split(',').map(|key| key.split_once(':').unwrap_or((key, "desc"))).collect(),
        None => {
            vec![(query.last("sort_key").unwrap_or("reference"), query.last("sort_dir").unwrap_or("desc"))]
        }
    };
    let (mut keys, mut strangers, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (key, direction) in asked.into_iter().map(|(key, direction)| (key.trim(), direction.trim())) {
        let found = match key {
            "reference" => Some(Key::Reference),
            "size" => Some(Key::Size),
            _ => None,
        };
        let way = match direction {
            "asc" => Some(Direction::Ascending),
            "desc" => Some(Direction::Descending),
            _ => None,
        };
        strangers.extend(found.is_none().then_some(key));
        wrong.extend(way.is_none().then_some(direction));
        keys.extend(found.zip(way));
    }
    if !strangers.is_empty() {
        return Err(Fault::Invalid(format!("Invalid sort keys passed: {}", strangers.join(", "))));
    }
    if !wrong.is_empty() {
        return Err(Fault::Invalid(format!("Invalid sort dirs passed: {}", wrong.join(", "))));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_whole_gib_or_none() {
        assert_eq!(sizes(2 * GIB), (2, Gib::new(2)));
        assert_eq!(sizes(GIB + GIB / 2), (2, None));
        assert_eq!(sizes(0), (0, None));
        assert_eq!(sizes(u64::MAX).1, None);
    }

    #[test]
    fn entries_are_sorted_and_cut() {
        let order = |query: &str| Order::parse(&Query::parse(query), 1000);
        let mut entries = vec![("b", 1), ("a", 2), ("c", 1)];
        order("").unwrap().sort(&mut entries, |entry| entry.0, |entry| entry.1);
        assert_eq!(entries, [("c", 1), ("b", 1), ("a", 2)]);
        order("sort=size:asc,reference:asc").unwrap().sort(&mut entries, |entry| entry.0, |entry| entry.1);
        assert_eq!(entries, [("b", 1), ("c", 1), ("a", 2)]);
        let after = order("marker=%7B%22source-name%22%3A%20%22c%22%7D&limit=1&offset=3").unwrap();
        assert_eq!((after.limit, after.offset), (1, 3));
        assert_eq!(after.start(entries.iter().map(|entry| entry.0)).unwrap(), 2);
        for (query, refusal) in [
            ("sort=name", "Invalid sort keys passed: name"),
            ("sort=size:up", "Invalid sort dirs passed: up"),
            ("marker=b", "Invalid input received: marker b can not be analysed, please use json like format"),
        ] {
            assert_eq!(order(query).unwrap_err().to_string(), refusal);
        }
        let missing = order("marker=%7B%22source-name%22%3A%20%22d%22%7D").unwrap();
        let refusal = missing.start(entries.iter().map(|entry| entry.0)).unwrap_err().to_string();
        assert_eq!(refusal, "Invalid input received: marker not found: {'source-name': 'd'}");
    }
}
