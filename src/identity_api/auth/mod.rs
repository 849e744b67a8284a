//! Tokens, and what their owners can get with them.

mod catalog;
mod domains;
mod issue;
mod projects;
mod proof;
mod revoke;
mod system;
mod validate;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(issue::issue, validate::validate, revoke::revoke))
        .routes(routes!(catalog::catalog))
        .routes(routes!(projects::projects))
        .routes(routes!(domains::domains))
        .routes(routes!(system::system))
}
