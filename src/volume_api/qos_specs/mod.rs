//! `/qos-specs`

mod associations;
mod create;
mod delete;
mod keys;
mod list;
mod show;
mod update;
mod view;

use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::Fault;
use super::python;
use crate::db::{QosSpecs, Repository};
use crate::http::App;
use crate::model::QosSpecsId;

/// Who carries the specs out: the hypervisor, the store, or each its part.
const CONSUMERS: [&str; 3] = ["back-end", "front-end", "both"];

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(show::show, update::update, delete::delete))
        .routes(routes!(keys::delete))
        .merge(associations::router())
}

async fn find(repository: &mut Repository, id: &str) -> Result<QosSpecs, Fault> {
    let found = match QosSpecsId::parse(id) {
        Some(id) => repository.qos_specs(&id).await?,
        None => None,
    };
    found.ok_or_else(|| missing(id))
}

/// Likewise, and nobody else changes them before the transaction ends.
async fn find_to_change(repository: &mut Repository, id: &str) -> Result<QosSpecs, Fault> {
    let found = match QosSpecsId::parse(id) {
        Some(id) => repository.qos_specs_to_change(&id).await?,
        None => None,
    };
    found.ok_or_else(|| missing(id))
}

fn missing(id: &str) -> Fault {
    Fault::NoSuch(format!("No such QoS spec {id}."))
}

/// Null is as good as absent.
fn consumer(given: Option<&Value>) -> Result<&'static str, Fault> {
    let given = given.unwrap_or(&Value::Null);
    if given.is_null() {
        return Ok("back-end");
    }
    CONSUMERS.into_iter().find(|consumer| given == consumer).ok_or_else(|| {
        let choices = CONSUMERS.map(python::repr_text).join(", ");
        Fault::InvalidQosSpecs(format!("Valid consumer of QoS specs are: {choices}"))
    })
}
