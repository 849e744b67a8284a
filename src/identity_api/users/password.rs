//! `POST /v3/users/{user_id}/password`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::{PASSWORD, find_to_change};
use crate::identity::standalone::accounts::set_password;
use crate::identity::standalone::{LogIn, Proof, UserName, Wanted};
use crate::identity_api::Api;
use crate::identity_api::body::Body;
use crate::identity_api::fault::{Fault, FaultBody, Result};

/// Changes one's own password; the old one is the proof. All tokens of the user become bad.
#[utoipa::path(
    post, path = "/v3/users/{user_id}/password", tag = "users", operation_id = "change_password",
    params(("user_id" = String, Path)),
    request_body(content = Object, description = "`user`: original_password and password"),
    responses(
        (status = 204, description = "Changed"),
        (status = 400, description = "The request is malformed", body = FaultBody),
        (status = 401, description = "The old password is not right", body = FaultBody),
        (status = 429, description = "Too many failures", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn change(
    State(api): State<Api>,
    Path(id): Path<String>,
    body: Body,
) -> Result<StatusCode> {
    let fields = body.about("user")?;
    let expected = Fault::Expected("original_password", "user");
    let original = fields.text("original_password", PASSWORD)?.ok_or(expected)?;
    let password = fields.text("password", PASSWORD)?.ok_or(Fault::Expected("password", "user"))?;
    // As slow as any other guess.
    let proof = Proof::Password { user: UserName::Id(id.clone()), password: original };
    let (_, session) = api.standalone.log_in(LogIn { proofs: vec![proof], wanted: Wanted::Unscoped }).await?;

    let hash = api.standalone.passwords().hash(password).await?;
    let mut repository = api.app.database.begin().await?;
    let mut user = find_to_change(&mut repository, &id).await?;
    // Whoever has set another one meanwhile, or shut the user out, was told that it is so.
    if user.password_hash != session.user.password_hash || !user.enabled {
        return Err(Fault::Unauthorized);
    }
    set_password(&api.app.world, &mut user, hash);
    repository.update_user(&user).await?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(StatusCode::NO_CONTENT)
}
