//! Our document beside a published description of the API: nothing of it is missing without a reason, and nothing is
//! invented.

use std::collections::BTreeMap;

/// `GET /v2/images/{}`: how a variable is called does not matter.
fn anonymous(method: &str, path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    format!("{} {}", method.to_uppercase(), parts.collect::<Vec<_>>().join("/"))
}

#[test]
fn every_published_route_is_served_or_has_a_reason() {
    let lines = include_str!("published.txt").lines().filter(|line| !line.starts_with('#'));
    let published: BTreeMap<String, Option<&str>> = lines
        .map(|line| {
            let (route, reason) = match line.split_once(": ") {
                Some((route, reason)) => (route, Some(reason)),
                None => (line, None),
            };
            let (method, path) = route.split_once(' ').unwrap();
            (anonymous(method, path), reason)
        })
        .collect();
    assert_eq!(published.len(), 81);

    let document = serde_json::to_value(pumice::image_api::openapi()).unwrap();
    let mut ours = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        // The others are of no version.
        if path.starts_with("/v2/") {
            ours.extend(methods.as_object().unwrap().keys().map(|method| anonymous(method, path)));
        }
    }
    for (route, reason) in &published {
        match reason {
            None => assert!(ours.contains(route), "{route} is not served, and nothing says why"),
            Some(reason) => {
                assert!(!ours.contains(route), "{route} is served, though it is said that {reason}")
            }
        }
    }
    let invented: Vec<&String> = ours.iter().filter(|route| !published.contains_key(*route)).collect();
    assert!(invented.is_empty(), "{invented:?}");
}
