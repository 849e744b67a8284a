//! Which place a volume gets: a pure function over what is known of the places, [`choose`].
//!
//! It decides as the real service does with its default filters and weights: a place is in the right zone, is not
//! disabled, has what the type's extra specs ask for, and room; of those that are left the one with the most room
//! wins.

mod capacity;
mod place;
mod specs;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub use capacity::Capacity;
pub use place::Place;

use crate::db::Specs;

/// One place for volumes, as it was when it was last looked at.
#[derive(Clone, Debug)]
pub struct Pool {
    pub host: String,
    pub zone: String,
    /// Nobody has disabled it.
    pub is_enabled: bool,
    /// It answered when it was last asked.
    pub is_up: bool,
    pub capacity: Capacity,
    /// What extra specs can ask for.
    pub capabilities: Map<String, Value>,
}

/// What a volume needs of its place. What is `None` or empty is no condition.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// GiB.
    pub size: i64,
    /// In one of these.
    pub zones: &'a [&'a str],
    /// Of the volume's type.
    pub specs: Option<&'a Specs>,
    /// Where its source lies: it must lie there too.
    pub beside: Option<&'a str>,
    /// Where it lies now: its bytes have found room there already.
    pub lies_in: Option<&'a str>,
    pub hints: Hints<'a>,
}

/// Other volumes that it should be near to or far from, as the hosts these lie in.
#[derive(Clone, Debug, Default)]
pub struct Hints<'a> {
    /// Asked for: then one of these.
    pub same: Option<BTreeSet<&'a str>>,
    pub different: BTreeSet<&'a str>,
}

/// The best place, if any will do.
pub fn choose<'a>(pools: &'a [Pool], request: &Request<'_>) -> Option<&'a Pool> {
    let fit: Vec<&Pool> = pools.iter().filter(|pool| fits(pool, request)).collect();
    // One that does not answer now may do so when the volume is made: better than none.
    let up = fit.iter().copied().filter(|pool| pool.is_up);
    best(up, request).or_else(|| best(fit.iter().copied(), request))
}

/// Whether the place will do.
pub fn fits(pool: &Pool, request: &Request<'_>) -> bool {
    let host = pool.host.as_str();
    pool.is_enabled
        && (request.zones.is_empty() || request.zones.contains(&pool.zone.as_str()))
        && request.beside.is_none_or(|beside| beside == host)
        && request.hints.same.as_ref().is_none_or(|same| same.contains(host))
        && !request.hints.different.contains(host)
        && (request.lies_in == Some(host) || pool.capacity.holds(request.size, is_thin(request)))
        && request.specs.is_none_or(|specs| specs::satisfied(specs, &pool.capabilities))
}

/// Of places that are equally good, the first.
fn best<'a>(pools: impl Iterator<Item = &'a Pool>, request: &Request<'_>) -> Option<&'a Pool> {
    let room = |pool: &Pool| pool.capacity.room(is_thin(request));
    pools
        .reduce(|best, next| if room(next).total_cmp(&room(best)) == Ordering::Greater { next } else { best })
}

fn is_thin(request: &Request<'_>) -> bool {
    let kind = request.specs.and_then(|specs| specs.get("provisioning:type")?.as_deref());
    kind != Some("thick")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pool(host: &str, free_gib: f64) -> Pool {
        let Value::Object(capabilities) = json!({"volume_backend_name": host, "multiattach": true}) else {
            unreachable!("it is an object")
        };
        Pool {
            host: host.to_owned(),
            zone: "nova".to_owned(),
            is_enabled: true,
            is_up: true,
            capacity: Capacity {
                total: Some(100.0),
                free: Some(free_gib),
                provisioned: 100.0 - free_gib,
                reserved_percentage: 0,
                over_subscription: 1.0,
            },
            capabilities,
        }
    }

    fn specs(pairs: &[(&str, &str)]) -> Specs {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), Some((*text).to_owned()))).collect()
    }

    fn chosen(pools: &[Pool], request: &Request<'_>) -> Option<String> {
        choose(pools, request).map(|pool| pool.host.clone())
    }

    #[test]
    fn the_one_with_the_most_room_wins_and_of_equals_the_first() {
        let request = Request { size: 1, ..Request::default() };
        let pools = [pool("a", 10.0), pool("b", 30.0), pool("c", 30.0)];
        assert_eq!(chosen(&pools, &request).as_deref(), Some("b"));
        assert_eq!(chosen(&[], &request), None);
    }

    #[test]
    fn what_is_disabled_or_elsewhere_or_full_is_left_out() {
        let request = Request { size: 20, zones: &["mars", "nova"], ..Request::default() };
        let disabled = Pool { is_enabled: false, ..pool("disabled", 90.0) };
        let elsewhere = Pool { zone: "moon".to_owned(), ..pool("elsewhere", 90.0) };
        let pools = [disabled, elsewhere, pool("full", 19.0), pool("good", 20.0)];
        assert_eq!(chosen(&pools, &request).as_deref(), Some("good"));
        assert_eq!(chosen(&pools[..3], &request), None);
    }

    #[test]
    fn one_that_does_not_answer_is_taken_when_no_other_will_do() {
        let request = Request { size: 1, ..Request::default() };
        let silent = Pool { is_up: false, ..pool("silent", 90.0) };
        let pools = [silent, pool("good", 5.0)];
        assert_eq!(chosen(&pools, &request).as_deref(), Some("good"));
        assert_eq!(chosen(&pools[..1], &request).as_deref(), Some("silent"));
    }

    #[test]
    fn the_type_says_which_backend() {
        let pools = [pool("a", 90.0), pool("b", 10.0)];
        let asked = specs(&[("volume_backend_name", "b"), ("provisioning:max_vol_size", "7")]);
        let request = Request { size: 1, specs: Some(&asked), ..Request::default() };
        assert_eq!(chosen(&pools, &request).as_deref(), Some("b"));
        let unknown = specs(&[("volume_backend_name", "c")]);
        assert_eq!(chosen(&pools, &Request { specs: Some(&unknown), ..request }), None);
    }

    #[test]
    fn a_source_keeps_it_where_that_is() {
        let pools = [pool("a", 90.0), pool("b", 10.0)];
        let request = Request { size: 1, beside: Some("b"), ..Request::default() };
        assert_eq!(chosen(&pools, &request).as_deref(), Some("b"));
        assert_eq!(chosen(&pools, &Request { size: 11, ..request.clone() }), None);
        assert_eq!(chosen(&pools, &Request { beside: Some("gone"), ..request }), None);
    }

    #[test]
    fn bytes_that_lie_there_already_need_no_more_room() {
        let pools = [pool("a", 0.0)];
        let request = Request { size: 50, lies_in: Some("a"), ..Request::default() };
        assert_eq!(chosen(&pools, &request).as_deref(), Some("a"));
    }

    #[test]
    fn hints_bring_volumes_together_and_apart() {
        let pools = [pool("a", 90.0), pool("b", 10.0)];
        let hint = |same: Option<&[&'static str]>, different: &[&'static str]| Request {
            size: 1,
            hints: Hints {
                same: same.map(|same| same.iter().copied().collect()),
                different: different.iter().copied().collect(),
            },
            ..Request::default()
        };
        assert_eq!(chosen(&pools, &hint(Some(&["b"]), &[])).as_deref(), Some("b"));
        assert_eq!(chosen(&pools, &hint(None, &["a"])).as_deref(), Some("b"));
        assert_eq!(chosen(&pools, &hint(None, &["a", "b"])), None);
        // Volumes that are nowhere have no place to share.
        assert_eq!(chosen(&pools, &hint(Some(&[]), &[])), None);
    }
}
