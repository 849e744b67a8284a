//! The API beside a published description of it: nothing of that is missing, and no answer looks otherwise, without a
//! reason.
//!
//! `published.json` holds the shapes of its answers, a list a route: one of them must fit. `since` is the microversion that
//! a field came with. `differences.txt` says where ours differ, and why.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::policy::gate::{request, routes};
use crate::policy::stage::{ADMIN, Api, MEMBER, OURS, Player, Stage};
use crate::wire::published::{anonymous, assert_explained, assert_served, differences};

/// Those in which answers changed, the ends, and some before which something was not there yet.
const VERSIONS: [u16; 25] =
    [0, 1, 3, 7, 8, 12, 13, 14, 20, 21, 26, 27, 36, 41, 45, 48, 49, 54, 55, 57, 61, 63, 64, 65, 71];

#[test]
fn every_published_route_is_served_or_has_a_reason() {
    let published = include_str!("published.txt");
    assert_eq!(published.lines().filter(|line| !line.starts_with(['#', '+'])).count(), 174);
    assert_served(published, &pumice::volume_api::openapi().unwrap(), "/v3/");
}

#[tokio::test]
async fn every_answer_is_of_its_published_shape_or_has_a_reason() {
    let shapes: BTreeMap<String, Vec<Value>> = serde_json::from_str(include_str!("published.json")).unwrap();
    let shapes: BTreeMap<String, Vec<Value>> =
        shapes.into_iter().map(|(route, shapes)| (anonymous(&route), shapes)).collect();
    let stage = Stage::new().await;
    // Everything may be asked for by an administrator, and things of ours by a member.
    let ours = Player { project: OURS, ..ADMIN };
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for route in routes().into_iter().filter(|route| matches!(route.api, Api::Volume)) {
        let name = anonymous(&format!("{} {}", route.method, route.path));
        let Some(shapes) = shapes.get(&name) else { continue };
        for (version, player) in VERSIONS.into_iter().flat_map(|version| [(version, ours), (version, MEMBER)])
        {
            let answer = request(&stage, &route, player).await.version(version).send().await;
            // Others have no body, or came later than that version.
            if !answer.status.is_success() || answer.body.is_empty() || answer.text() == "null" {
                continue;
            }
            seen.insert(name.clone());
            match serde_json::from_slice(&answer.body) {
                Ok(body) => found.extend(differences(&body, shapes, version)),
                Err(_) => {
                    found.insert(format!("{name} is no JSON"));
                }
            }
        }
    }
    let unseen = shapes.keys().filter(|route| !seen.contains(*route));
    found.extend(unseen.map(|route| format!("{route} tells nothing")));
    assert_explained(&found, include_str!("differences.txt"));
}
