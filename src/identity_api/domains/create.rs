//! `POST /v3/domains`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{DomainBody, DomainView, NAME, fill, stored};
use crate::db::Domain;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::body::Body;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;
use crate::model::DomainId;

/// A new domain
#[utoipa::path(
    post, path = "/v3/domains", tag = "domains", operation_id = "create_domain",
    request_body(content = Object, description = "`domain`: name, description, enabled"),
    responses(
        (status = 201, body = DomainBody),
        (status = 400, description = "The request is malformed", body = FaultBody),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 409, description = "There is a domain of this name", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn create(
    State(api): State<Api>,
    asker: Asker,
    base: Base,
    body: Body,
) -> Result<(StatusCode, Json<DomainBody>)> {
    asker.may_change("identity:create_domain")?;
    let fields = body.about("domain")?;
    let world = &api.app.world;
    let mut domain = Domain {
        id: DomainId::from(world.ids.random()),
        name: fields.required_name(NAME)?,
        description: String::new(),
        enabled: true,
        created_at: world.now(),
    };
    fill(&mut domain, &fields)?;
    let mut repository = api.app.database.begin().await?;
    repository.add_domain(&domain).await.map_err(|error| stored(error, &domain))?;
    repository.commit().await?;
    Ok((StatusCode::CREATED, Json(DomainBody { domain: DomainView::new(domain, &base) })))
}
