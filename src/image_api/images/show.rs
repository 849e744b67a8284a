use axum::Json;
use axum::extract::State;

use super::{ImageView, find};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{FaultBody, Result};
use crate::image_api::locations::list::find_with_addresses;
use crate::image_api::request::{Call, InPath, NoBody};

/// One image.
#[utoipa::path(
    get, path = "/v2/images/{image_id}", tag = "images", operation_id = "show_image",
    params(("image_id" = String, Path, description = "UUID of the image")),
    responses(
        (status = 200, description = "The image", body = ImageView),
        (status = 400, description = "A body came with the request", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
    )
)]
pub async fn show(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    _: NoBody,
) -> Result<Json<ImageView>> {
    let tells_addresses =
        app.config.images.show_multiple_locations || app.config.images.show_image_direct_url;
    let image = if tells_addresses {
        find_with_addresses(&app, &call, &id).await?
    } else {
        find(&mut app.database.read().await?, &call, &id).await?
    };
    call.check_image(rules::GET_IMAGE, &image)?;
    Ok(Json(ImageView::new(image, &call.guard, &app)))
}
