//! Our document beside a published description of the API: nothing of it is missing without a reason, and nothing is
//! invented.

use std::collections::BTreeMap;

/// `GET /v2/images/{}`: how a variable is called does not matter.
fn anonymous(method: &str, path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    format!("{} {}", method.to_uppercase(), parts.collect::<Vec<_>>().join("/"))
}

/// `published` holds a route a line, with a reason where we do not serve it, or where it is ours alone (`+`).
pub fn assert_served(published: &str, document: &impl serde::Serialize, under: &str) {
    let lines = published.lines().filter(|line| !line.starts_with('#'));
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
    let document = serde_json::to_value(document).unwrap();
    let mut ours = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        // The others are of no version.
        if path.starts_with(under) {
            ours.extend(methods.as_object().unwrap().keys().map(|method| anonymous(method, path)));
        }
    }
    for (route, reason) in &published {
        match (route.strip_prefix('+'), reason) {
            (Some(route), _) => assert!(ours.iter().any(|of| of == route), "{route} is not served"),
            (None, None) => assert!(ours.contains(route), "{route} is not served, and nothing says why"),
            (None, Some(reason)) => {
                assert!(!ours.contains(route), "{route} is served, though it is said that {reason}");
            }
        }
    }
    let is_known =
        |route: &String| published.contains_key(route) || published.contains_key(&format!("+{route}"));
    let invented: Vec<&String> = ours.iter().filter(|route| !is_known(route)).collect();
    assert!(invented.is_empty(), "{invented:?}");
}

#[test]
fn every_published_route_is_served_or_has_a_reason() {
    let published = include_str!("published.txt");
    assert_eq!(published.lines().filter(|line| !line.starts_with('#')).count(), 81);
    assert_served(published, &pumice::image_api::openapi(), "/v2/");
}
