//! The key of an encrypted image, which goes with the image when it says so.

use axum::http::HeaderValue;
use uuid::Uuid;

use crate::db::Image;
use crate::http::App;

const KEY: &str = "cinder_encryption_key_id";
const DELETION_POLICY: &str = "cinder_encryption_key_deletion_policy";

/// The name of the key that is to go with the image.
pub fn key_to_remove(image: &Image) -> Option<&str> {
    let property = |name: &str| image.properties.0.get(name).map(String::as_str);
    property(KEY).filter(|_| property(DELETION_POLICY) == Some("on_image_deletion"))
}

/// Whoever knows that the image is gone may remove it.
pub fn leave_key(key: &str) {
    let id = Uuid::try_parse(key).ok().map(tracing::field::display);
    tracing::warn!(key.id = id, "an encryption key is left: nobody knows yet whether its image is gone");
}

/// With the caller's token, so that nobody removes another one's secret by way of an image. The image is gone by now:
/// a key that stays is for the log.
pub async fn remove_key(app: &App, key: &str, token: Option<&HeaderValue>) {
    let outcome = match (&app.barbican, Uuid::try_parse(key)) {
        (None, _) => Err(anyhow::anyhow!("barbican.barbican_endpoint is not set")),
        (_, Err(_)) => Err(anyhow::anyhow!("it is no UUID")),
        (Some(barbican), Ok(id)) => barbican.remove(id, token).await,
    };
    // Whatever else a user wrote there is not for the log.
    let id = Uuid::try_parse(key).ok().map(tracing::field::display);
    match outcome {
        Ok(true) => {}
        Ok(false) => tracing::warn!(key.id = id, "the encryption key of a deleted image is not there"),
        Err(error) => {
            tracing::warn!(
                key.id = id,
                error = format!("{error:#}"),
                "the encryption key of a deleted image cannot be removed"
            );
        }
    }
}
