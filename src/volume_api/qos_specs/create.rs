//! `POST /qos-specs`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};

use super::super::fault::{Fault, answer};
use super::super::request::{Body, Call};
use super::super::schema::only_object;
use super::consumer;
use super::view::One;
use crate::db::{DbError, Json, QosSpecs, Specs};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::QosSpecsId;

const LONGEST: usize = 255;

#[utoipa::path(
    post, path = "/v3/qos-specs", tag = "qos-specs", operation_id = "create_qos_specs",
    description = "Every key beside `name` and `consumer` is a spec.",
    request_body = Object,
    responses(
        (status = 200, body = One),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 409, description = "There are some of this name"),
    ),
)]
pub async fn create(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    let (name, fields) = only_object(&body, "qos_specs", |wanted| {
        let name = wanted.trimmed_name("name")?;
        wanted.require("name")?;
        Ok((name.unwrap_or_default(), wanted.fields()))
    })?;
    call.check_own(rules::QOS_CREATE)?;
    let specs = specs(fields)?;
    let row = QosSpecs {
        id: QosSpecsId::from(app.world.ids.random()),
        name: name.to_owned(),
        consumer: consumer(fields.get("consumer"))?.to_owned(),
        specs: Json(specs),
        created_at: app.world.now(),
        updated_at: None,
    };
    let mut repository = app.database.begin().await?;
    repository.add_qos_specs(&row).await.map_err(|error| match error {
        DbError::Exists => Fault::Exists(format!("QoS Specs {name} already exists.")),
        other => other.into(),
    })?;
    repository.commit().await?;
    Ok(answer(StatusCode::OK, &One::new(&row, &call)))
}

/// The real service asks no schema about these.
fn specs(fields: &Map<String, Value>) -> Result<Specs, Fault> {
    let mut specs = Specs::new();
    for (key, value) in fields.iter().filter(|(key, _)| *key != "name") {
        check_length(&format!("Key \"{key}\""), key, 1)?;
        let label = format!("Value for key \"{key}\"");
        let text = match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            _ => return Err(Fault::InvalidInput(format!("{label} is not a string or unicode"))),
        };
        check_length(&label, text.as_deref().unwrap_or_default(), 0)?;
        if key != "consumer" && text.is_some() {
            specs.insert(key.clone(), text);
        }
    }
    Ok(specs)
}

fn check_length(label: &str, text: &str, least: usize) -> Result<(), Fault> {
    let length = text.chars().count();
    let complaint = if length < least {
        format!("less than {least}.")
    } else if length > LONGEST {
        format!("more than {LONGEST}.")
    } else {
        return Ok(());
    };
    Err(Fault::InvalidInput(format!("{label} has {length} characters, {complaint}")))
}
