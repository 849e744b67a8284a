use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::config::ImageStoreKind;
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, NoBody};
use crate::image_api::stores::{self, Store};

#[derive(Serialize, ToSchema)]
pub struct StoresView {
    stores: Vec<StoreView>,
}

/// Glance's truths are texts.
#[derive(Serialize, ToSchema)]
struct StoreView {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// `true` for the one where uploads go.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    /// `true` where nothing is ever brought.
    #[serde(rename = "read-only", skip_serializing_if = "Option::is_none")]
    read_only: Option<&'static str>,
    #[serde(flatten)]
    details: Option<Details>,
}

#[derive(Serialize, ToSchema)]
struct Details {
    /// `rbd`, `file` or `http`.
    #[serde(rename = "type")]
    kind: &'static str,
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    weight: i64,
}

impl StoreView {
    fn new(store: &Store<'_>, details: Option<Details>) -> Self {
        Self {
            id: store.id.to_owned(),
            description: store.description.map(str::to_owned),
            default: store.row.is_none().then_some("true"),
            read_only: store.is_read_only().then_some("true"),
            details,
        }
    }
}

/// Where images can be.
#[utoipa::path(
    get, path = "/v2/info/stores", tag = "info", operation_id = "list_stores",
    responses(
        (status = 200, description = "The stores", body = StoresView),
        (status = 404, description = "There is only one", body = FaultBody),
    )
)]
pub async fn stores(State(app): State<App>, _: NoBody) -> Result<Json<StoresView>> {
    check_several(&app)?;
    let stores = stores::all(&app.config).map(|store| StoreView::new(&store, None)).collect();
    Ok(Json(StoresView { stores }))
}

/// Where images can be, and how.
#[utoipa::path(
    get, path = "/v2/info/stores/detail", tag = "info", operation_id = "list_stores_in_detail",
    responses(
        (status = 200, description = "The stores", body = StoresView),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is only one", body = FaultBody),
    )
)]
pub async fn detail(State(app): State<App>, call: Call, _: NoBody) -> Result<Json<StoresView>> {
    check_several(&app)?;
    call.check(rules::STORES_INFO_DETAIL, &call.guard.own())?;
    let mut views = Vec::new();
    for store in stores::all(&app.config) {
        let properties = properties(&app, &store).await;
        let details = Details { kind: store.kind.as_str(), properties, weight: store.weight };
        views.push(StoreView::new(&store, Some(details)));
    }
    Ok(Json(StoresView { stores: views }))
}

fn check_several(app: &App) -> Result<()> {
    if stores::are_shown(&app.config) {
        return Ok(());
    }
    Err(Fault::NotFound("Multi backend is not supported at this site.".to_owned()))
}

async fn properties(app: &App, store: &Store<'_>) -> Map<String, Value> {
    let images = &app.config.images;
    let (chunk_size, thin) = (images.object_size(), images.rbd_thin_provisioning);
    let properties = match (store.kind, app.stores.images_in(store.row)) {
        (ImageStoreKind::Rbd, Some(kept)) => {
            // A cluster that does not answer has none.
            let fsid = kept.fsid().await.ok();
            json!({"chunk_size": chunk_size, "pool": kept.pool(), "thin_provisioning": thin, "fsid": fsid})
        }
        (ImageStoreKind::Directory, _) => {
            let folder = match store.row.and_then(|id| app.config.image_stores.0.get(id)) {
                Some(other) => &other.directory,
                None => &images.directory,
            };
            json!({"data_dir": folder, "chunk_size": chunk_size, "thin_provisioning": thin})
        }
        _ => json!({}),
    };
    match properties {
        Value::Object(properties) => properties,
        _ => Map::new(),
    }
}
