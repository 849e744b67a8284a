use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::App;
use crate::image_api::request::NoBody;
use crate::image_api::stores;

#[derive(Serialize, ToSchema)]
pub struct ImportView {
    #[serde(rename = "import-methods")]
    import_methods: Methods,
}

#[derive(Serialize, ToSchema)]
struct Methods {
    description: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// `glance-direct`, `web-download`, `copy-image`, `glance-download`.
    value: Vec<String>,
}

/// Which ways there are to import an image.
#[utoipa::path(
    get, path = "/v2/info/import", tag = "info", operation_id = "show_import_methods",
    responses((status = 200, description = "The ways", body = ImportView))
)]
pub async fn import(State(app): State<App>, _: NoBody) -> Json<ImportView> {
    let value = stores::import_methods(&app.config).map(str::to_owned).collect();
    let import_methods = Methods { description: "Import methods available.", kind: "array", value };
    Json(ImportView { import_methods })
}
