//! Resources that have two names.

use utoipa::openapi::path::PathItem;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::http::App;

/// The routes, whose paths begin with `name`, under that name and under `old_name`.
pub fn also(
    (schemas, mut paths, router): UtoipaMethodRouter<App>,
    name: &str,
    old_name: &str,
) -> UtoipaMethodRouter<App> {
    let twins: Vec<(String, PathItem)> = paths
        .paths
        .iter()
        .filter_map(|(path, item)| Some((format!("{old_name}{}", path.strip_prefix(name)?), item.clone())))
        .collect();
    for (path, mut item) in twins {
        for operation in
            [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten()
        {
            operation.operation_id = operation.operation_id.as_ref().map(|id| format!("{id}_by_old_name"));
            operation.description = operation.description.as_deref().map(of_every_version);
        }
        paths.paths.insert(path, item);
    }
    (schemas, paths, router)
}

/// The older name did not come with a version.
fn of_every_version(text: &str) -> String {
    match text.split_once(". ") {
        Some((since, rest)) if since.starts_with("Since ") => rest.to_owned(),
        _ => text.to_owned(),
    }
}
