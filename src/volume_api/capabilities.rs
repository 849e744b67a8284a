//! `GET /capabilities/{host_name}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::fault::{Fault, answer};
use super::placement;
use super::request::Call;
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::Host;

/// What extra specs every backend may be asked for, in the words of the real service: key, title, description.
const PROPERTIES: [(&str, &str, &str); 4] = [
    ("thin_provisioning", "Thin Provisioning", "Sets thin provisioning."),
    ("compression", "Compression", "Enables compression."),
    ("qos", "QoS", "Enables QoS."),
    ("replication_enabled", "Replication", "Enables replication."),
];

/// The order of the fields is the order of the keys. What may be null is what no backend tells.
#[derive(Serialize, ToSchema)]
#[schema(as = Capabilities)]
struct View {
    namespace: String,
    #[schema(value_type = Option<String>)]
    vendor_name: Value,
    #[schema(value_type = Option<String>)]
    volume_backend_name: Value,
    pool_name: Option<String>,
    #[schema(value_type = Option<String>)]
    driver_version: Value,
    #[schema(value_type = Option<String>)]
    storage_protocol: Value,
    display_name: Option<String>,
    description: Option<String>,
    visibility: Option<String>,
    /// There are none.
    replication_targets: Vec<String>,
    /// What extra specs it may be asked for.
    #[schema(value_type = BTreeMap<String, Property>)]
    properties: Map<String, Value>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CapabilityProperty)]
struct Property {
    title: &'static str,
    description: &'static str,
    r#type: &'static str,
}

#[utoipa::path(
    get, path = "/v3/capabilities/{host_name}", tag = "backends", operation_id = "show_capabilities",
    description = "What a backend is and can be asked for: `<host>@<backend>`, or with its pool.",
    params(("host_name" = String, Path)),
    responses(
        (status = 200, body = View),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such backend"),
    ),
)]
pub async fn show(State(app): State<App>, call: Call, Path(name): Path<String>) -> Result<Response, Fault> {
    call.check_own(rules::CAPABILITIES)?;
    let asked = Host::parse(&name);
    let pools = placement::pools(&mut app.database.read().await?, &app).await?;
    let found = pools.iter().find(|pool| {
        let place = Host::parse(&pool.host);
        place.host == asked.host
            && [(asked.backend, place.backend), (asked.pool, place.pool)]
                .iter()
                .all(|(asked, is)| asked.is_empty() || asked == is)
    });
    let Some(pool) = found else { return Err(Fault::NoSuch(format!("Can't find service: {name}"))) };
    let properties = PROPERTIES
        .iter()
        .map(|(key, title, description)| {
            let property = Property { title, description, r#type: "boolean" };
            ((*key).to_owned(), json!(property))
        })
        .collect();
    let Host { host, backend, .. } = Host::parse(&pool.host);
    let known = |key: &str| pool.capabilities.get(key).cloned().unwrap_or_default();
    let view = View {
        namespace: format!("OS::Storage::Capabilities::{host}@{backend}"),
        vendor_name: known("vendor_name"),
        volume_backend_name: known("volume_backend_name"),
        pool_name: None,
        driver_version: known("driver_version"),
        storage_protocol: known("storage_protocol"),
        display_name: None,
        description: None,
        visibility: None,
        replication_targets: Vec::new(),
        properties,
    };
    Ok(answer(StatusCode::OK, &view))
}
