use std::error::Error;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::find;
use crate::block::{self, BlockError, ErrorKind, OpenMode};
use crate::db::{Image, Location};
use crate::http::conditions;
use crate::http::range::{self, RangeError, Stretch};
use crate::http::{App, Query};
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath, NoBody};
use crate::image_api::stores;
use crate::model::ImageStatus;
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{SendOptions, send};
use crate::web::WebError;
use crate::workflows::names::parse_location;

/// The image's bytes, or one stretch of them.
#[utoipa::path(
    get, path = "/v2/images/{image_id}/file", tag = "images", operation_id = "download_image",
    params(
        ("image_id" = String, Path, description = "UUID of the image"),
        ("prefer" = Option<String>, Query, description = "Ids of stores to read from, with commas between them"),
        ("Range" = Option<String>, Header, description = "One range: `bytes=0-1023`, `bytes=1024-`, `bytes=-512`"),
        ("If-Range" = Option<String>, Header, description = "The range only of the bytes with this `ETag`; else all"),
        ("If-None-Match" = Option<String>, Header, description = "Nothing when the bytes have one of these `ETag`s"),
    ),
    responses(
        (status = 200, description = "All bytes", content_type = "application/octet-stream",
            headers(
                ("Content-MD5" = String, description = "The checksum, in hexadecimal"),
                ("ETag" = String, description = "The checksum, in quotes, or what else changes with the bytes"),
            )),
        (status = 204, description = "The image has no bytes yet"),
        (status = 206, description = "The bytes of the range", content_type = "application/octet-stream",
            headers(("Content-Range" = String, description = "Which, and of how many"))),
        (status = 304, description = "The client has these bytes"),
        (status = 400, description = "Several ranges, or a body", body = FaultBody),
        (status = 403, description = "The image is deactivated", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
        (status = 416, description = "A range outside of the image", body = FaultBody),
        (status = 503, description = "The storage does not answer", body = FaultBody),
    )
)]
pub async fn download(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    query: Query,
    headers: HeaderMap,
    _: NoBody,
) -> Result<Response> {
    let image = find(&mut app.database.read().await?, &call, &id).await?;
    if image.status == ImageStatus::Deactivated && !call.guard.is_admin() {
        return Err(Fault::Forbidden(
            "The requested image has been deactivated. Image data download is forbidden.".to_owned(),
        ));
    }
    call.check_image(rules::DOWNLOAD_IMAGE, &image)?;
    let (ImageStatus::Active | ImageStatus::Deactivated, Some(size)) =
        (image.status, image.size.and_then(|size| u64::try_from(size).ok()))
    else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let tag = tag(&image);
    if let Some(tag) = tag.as_ref().filter(|tag| conditions::has_already(&headers, tag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag.clone())]).into_response());
    }
    let asked = if conditions::wants_range(&headers, tag.as_deref()) { asked(&headers, size)? } else { None };
    let preferred: Vec<&str> = query.last("prefer").unwrap_or_default().split(',').collect();
    let stretch = asked.unwrap_or(Stretch { start: 0, end: size });
    let bytes = open(&app, &image, &preferred, stretch).await?;
    let bytes = bytes
        .inspect_ok(|bytes| metrics::transferred(Direction::Download, bytes.len() as u64))
        .inspect_err(move |error| tracing::warn!(image.id = %id, %error, "a download broke off"));
    let status = if asked.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut answer = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, stretch.end - stretch.start);
    if asked.is_some() {
        let range = format!("bytes {}-{}/{size}", stretch.start, stretch.end.saturating_sub(1));
        answer = answer.header(header::CONTENT_RANGE, range);
    }
    if let Some(tag) = tag {
        answer = answer.header(header::ETAG, tag);
    }
    if let Some(checksum) = &image.checksum {
        // In hexadecimal, and of the whole image even with a range, as Glance has it.
        answer = answer.header("content-md5", checksum);
    }
    answer.body(Body::from_stream(bytes)).map_err(|error| Fault::Internal(error.into()))
}

/// What the bytes are called: something else whenever they may be others. `None`: a web server has them alone, and what
/// they are nobody has looked at.
fn tag(image: &Image) -> Option<String> {
    if let Some(digest) = image.checksum.as_ref().or(image.os_hash_value.as_ref()) {
        return Some(format!("\"{digest}\""));
    }
    // An image gets no other bytes without a change of this moment.
    let is_ours = image.places().all(|place| !place.is_on_the_web());
    is_ours.then(|| format!("\"{}-{}\"", image.id, image.updated_at.0))
}

type Sent = BoxStream<'static, Result<Bytes, Box<dyn Error + Send + Sync>>>;

/// From the best store that answers: one that the client prefers, then by weight.
async fn open(app: &App, image: &Image, preferred: &[&str], stretch: Stretch) -> Result<Sent> {
    let mut places = stores::places(&app.config, image);
    let rank = |place: &&Location| {
        preferred.iter().position(|id| *id == stores::id_of(&app.config, place)).unwrap_or(usize::MAX)
    };
    places.sort_by_key(rank);
    let mut failure = Fault::Internal(anyhow::anyhow!("no store has the bytes of image {}", image.id));
    for place in places {
        let opened = match &place.url {
            Some(url) if place.is_on_the_web() => open_on_the_web(app, image, url, stretch).await,
            _ => open_in_store(app, image, place, stretch).await.map_err(Fault::from),
        };
        match opened {
            Ok(opened) => return Ok(opened),
            Err(error) => {
                tracing::warn!(image.id = %image.id, ?error, "an image cannot be read in one of its stores");
                failure = error;
            }
        }
    }
    Err(failure)
}

/// At the snapshot, or as it is while the snapshot is still being made: the bytes do not change any more.
async fn open_in_store(app: &App, image: &Image, place: &Location, stretch: Stretch) -> block::Result<Sent> {
    let missing = |what: &str| BlockError::new(ErrorKind::NotFound, "open", image.id.as_str(), what);
    let store = app.stores.images_in(place.store.as_deref()).ok_or_else(|| missing("no such store"))?;
    let source = match &place.url {
        None => store.open(image.id.as_str(), OpenMode::ReadOnly).await?,
        Some(url) => {
            let location =
                parse_location(url).ok_or_else(|| missing("its location is none of this store"))?;
            store.open(location.image, OpenMode::Snapshot(location.snapshot.to_owned())).await?
        }
    };
    let options = SendOptions { chunk: source.object_size(), ..SendOptions::default() };
    // The stream holds the only handle, which is closed when the stream ends or is dropped.
    Ok(send(source, stretch.start..stretch.end, options).map_err(Into::into).boxed())
}

/// From the server that has them, through us: whether it may be asked is asked each time.
async fn open_on_the_web(app: &App, image: &Image, url: &str, stretch: Stretch) -> Result<Sent> {
    let unavailable = |error: WebError| Fault::Unavailable {
        said: "The web server with the image data did not answer. Please try again later.".to_owned(),
        source: error.into(),
    };
    let download = app.web.get_from(url, stretch.start).await.map_err(unavailable)?;
    let known = image.size.and_then(|size| u64::try_from(size).ok());
    if download.length.is_some_and(|length| Some(length) != known) {
        return Err(unavailable(WebError::Changed));
    }
    let body =
        stream::try_unfold((download.body, stretch.end - stretch.start), |(mut body, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let Some(mut bytes) = body.try_next().await? else { return Ok(None) };
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - bytes.len() as u64;
            Ok::<_, Box<dyn Error + Send + Sync>>(Some((bytes, (body, left))))
        });
    Ok(body.boxed())
}

/// Glance also reads a `Content-Range` in the request, which was never right but is still sent.
fn asked(headers: &HeaderMap, size: u64) -> Result<Option<Stretch>> {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let (name, found) = if let Some(asked) = headers.get(header::RANGE) {
        ("Range", range::parse(&text(asked), size))
    } else if let Some(asked) = headers.get(header::CONTENT_RANGE) {
        ("Content-Range", range::parse_content_range(&text(asked), size))
    } else {
        return Ok(None);
    };
    // Not unsigned: of nothing it is -1, as Glance says it.
    let last = i128::from(size) - 1;
    let outside = |which: &str| {
        let subject = if which == "start" { "Start" } else { "The stop" };
        Fault::RangeNotSatisfiable(format!(
            "Invalid {which} position in {name} header. {subject} position MUST be in the inclusive range \
             [0, {last}]."
        ))
    };
    found.map(Some).map_err(|error| match error {
        RangeError::Several => Fault::BadRequest(
            "Requests with multiple ranges are not supported in Glance. You may make multiple single-range \
             requests instead."
                .to_owned(),
        ),
        RangeError::Malformed => Fault::RangeNotSatisfiable(format!("Invalid {name} header.")),
        RangeError::StartsBehind => outside("start"),
        RangeError::EndsBehind => outside("stop"),
    })
}
