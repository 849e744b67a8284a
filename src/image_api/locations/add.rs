use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;

use super::found::find_in_store;
use crate::db::{ImageChange, Location};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::images::{check_formats, find, find_to_change};
use crate::image_api::request::{Call, InPath, JsonBody};
use crate::image_api::{schema, stores};
use crate::jobs::{self, NewLocation, Task};
use crate::model::ImageStatus;

/// In bytes, of an address: it is kept with the image.
const LONGEST_URL: usize = 2048;

/// Registers bytes on a web server as the image's content. They stay there, and are read once for their digests: the
/// image is `importing` until then, and `active` afterwards, or `queued` again. A service may register what it cloned
/// into a pool of images, under the image's own name and with its snapshot: that is the image's from then on, and goes
/// with it.
#[utoipa::path(
    post, path = "/v2/images/{image_id}/locations", tag = "locations", operation_id = "add_location",
    params(("image_id" = String, Path, description = "UUID of the image")),
    request_body(content = Object,
        description = "`url`, and in `validation_data` the `os_hash_algo` and `os_hash_value` that the bytes have"),
    responses(
        (status = 202, description = "It is under way"),
        (status = 400, description = "Formats are not set, an address that may not be asked, no bytes that may be the \
            image's, or no digest of that algorithm", body = FaultBody),
        (status = 403, description = "The policy does not allow it, or there is no store for web servers, and for other \
            places one must be a service", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
        (status = 409, description = "The image is not queued", body = FaultBody),
        (status = 429, description = "Too many jobs of the project are under way", body = FaultBody),
    )
)]
pub async fn add(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    JsonBody(body): JsonBody,
) -> Result<StatusCode> {
    schema::no_nul_in(&body)?;
    let asked = Asked::read(&body)?;
    let image = find(&mut app.database.read().await?, &call, &id).await?;
    check_status(image.status)?;
    call.check_image(rules::ADD_IMAGE_LOCATION, &image)?;
    let web = asked.on_the_web(&app, &call)?;
    let default = app.config.images.hashing_algorithm.as_str();
    let (hash_algo, hash_value) = asked.digest(default)?;
    check_formats(&image)?;
    // Names are resolved, and pools are asked: outside of a transaction.
    let store = match web {
        Some(store) => {
            asked.check_filter(&app).await?;
            Some(store)
        }
        None => match find_in_store(&app, &image.id, asked.url).await? {
            Some(found) => found.store,
            None => return Err(Fault::BadRequest("Invalid location".to_owned())),
        },
    };

    let mut repository = app.database.begin().await?;
    let image = find_to_change(&mut repository, &call, &id).await?;
    let (to, change) = (ImageStatus::Importing, ImageChange::default());
    check_status(image.status)?;
    check_formats(&image)?;
    if !repository.change_image(&image.id, image.status, to, &change, app.world.now()).await? {
        return Err(Fault::Conflict(format!("Image {id} was changed meanwhile. Please try again.")));
    }
    // What an earlier try left.
    repository.set_locations(&image.id, &[]).await?;
    let url = asked.url.to_owned();
    let location = Location::new(&image.id, store.as_deref(), Some(url.clone())).awaited();
    repository.add_location(&location).await?;
    let location = NewLocation { store, url, hash_algo, hash_value, asked_by: call.asked_by() };
    let task = Task::AddLocation { image_id: image.id, location };
    jobs::enqueue(&mut repository, &app.world, task, &call.origin()).await?;
    repository.commit().await?;
    Ok(StatusCode::ACCEPTED)
}

fn check_status(status: ImageStatus) -> Result<()> {
    match status {
        ImageStatus::Queued => Ok(()),
        other => {
            Err(Fault::Conflict(format!("It's not allowed to add locations if image status is {other}.")))
        }
    }
}

/// What a request asks for.
struct Asked<'a> {
    url: &'a str,
    algo: Option<&'a str>,
    value: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn read(body: &'a Value) -> Result<Self> {
        let refuse = |reason: &str| {
            Err(Fault::BadRequest(format!("Provided object does not match schema 'location': {reason}")))
        };
        let text = |value: &'a Value, longest: usize| value.as_str().filter(|text| text.len() <= longest);
        let Some(url) = body.get("url").and_then(|url| text(url, LONGEST_URL)) else {
            return refuse(&format!("'url' must be a text of at most {LONGEST_URL} characters"));
        };
        let mut asked = Self { url, algo: None, value: None };
        let given = match body.get("validation_data") {
            None => return Ok(asked),
            Some(Value::Object(given)) => given,
            Some(_) => return refuse("'validation_data' must be an object"),
        };
        for (name, value) in given {
            match (name.as_str(), text(value, 128)) {
                ("os_hash_algo", Some(algo)) if ["sha1", "sha256", "sha512", "md5"].contains(&algo) => {
                    asked.algo = Some(algo);
                }
                ("os_hash_value", Some(value)) => asked.value = Some(value),
                _ => return refuse("'validation_data' may hold 'os_hash_algo' and 'os_hash_value'"),
            }
        }
        // Neither is what clients send that have nothing to say.
        if asked.algo.is_none() != asked.value.is_none() {
            return refuse("'validation_data' must hold 'os_hash_algo' and 'os_hash_value'");
        }
        Ok(asked)
    }

    /// The store for web servers, if it lies on one. All else only services may name.
    fn on_the_web(&self, app: &App, call: &Call) -> Result<Option<String>> {
        let is_web = self.url.starts_with("http://") || self.url.starts_with("https://");
        if !is_web && call.is_service() {
            return Ok(None);
        }
        let web = stores::all(&app.config).find(stores::Store::is_read_only);
        match web.and_then(|store| store.to_row()).filter(|_| is_web) {
            Some(store) => Ok(Some(store)),
            None => Err(Fault::Forbidden(
                "http store must be enabled to use location API by normal user.".to_owned(),
            )),
        }
    }

    async fn check_filter(&self, app: &App) -> Result<()> {
        let checked = app.web.filter.check(self.url).await;
        checked.map_err(|refused| {
            tracing::info!(reason = %refused, "an address is not asked");
            Fault::BadRequest(format!("URI for add location does not pass filtering: {}", self.url))
        })
    }

    /// The algorithm, and the digest that the bytes must have.
    fn digest(&self, default: &str) -> Result<(String, Option<String>)> {
        let algo = self.algo.unwrap_or(default);
        let Some(value) = self.value else { return Ok((algo.to_owned(), None)) };
        if value.len() % 2 != 0 || !value.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            let text = format!("os_hash_value ({value}) is not a valid hexadecimal value");
            return Err(Fault::BadRequest(text));
        }
        let want = match algo {
            "md5" => 16,
            "sha1" => 20,
            "sha256" => 32,
            "sha384" => 48,
            _ => 64,
        };
        if value.len() / 2 != want {
            return Err(Fault::BadRequest(format!(
                "os_hash_value: ({value}) is not the correct size for ({algo}) (should be ({want}) bytes)"
            )));
        }
        Ok((algo.to_owned(), Some(value.to_owned())))
    }
}
