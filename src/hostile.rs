//! What strangers send, handed straight to what reads it: the way in for `fuzz/`, where whole requests are slow.
//! What is not here has a door of its own: [`crate::formats`], [`crate::transfer`], [`crate::http::range`],
//! [`crate::http::conditions`], [`crate::signature`], [`crate::web`], [`crate::workflows::names`], and the routes.

use axum::http::{HeaderMap, HeaderValue};
use serde_json::Value;

use crate::config;
use crate::db::SigningKey;
use crate::http::Query;
use crate::identity::policy::{self, Check};
use crate::identity::standalone::{Claims, Signer};
use crate::image_api::{Dialect, image_schema, parse_filter};
use crate::model::{ProjectId, Timestamp};
use crate::volume_api::microversion::{self, Requested};
use crate::volume_api::{comparisons, literal, repr, texts};

/// How many changes of an image a PATCH asks for; `None`: it is refused.
pub fn image_patch(media_type: &str, body: Value) -> Option<usize> {
    let images = image_schema(&config::Images::default()).ok()?;
    let changes = Dialect::of(media_type)?.parse(body, &images).ok()?;
    Some(changes.len())
}

/// How many conditions a list of images is asked for; `None`: it is refused, or nothing can fulfil it.
pub fn image_filter(query: &str) -> Option<usize> {
    let filter = parse_filter(&Query::parse(query), false, &ProjectId("p".into())).ok()??;
    Some(filter.numbers.len() + filter.properties.len() + filter.tags.len())
}

/// A value in a filter of the Block Storage API, and how it is shown.
pub fn volume_filter(text: &str) -> Option<(Value, String)> {
    texts(text);
    let _ = comparisons("created_at", text);
    let value = literal(text)?;
    let shown = repr(&value);
    Some((value, shown))
}

/// The version of the Block Storage API that a header asks for, as the answer's header says it; `None`: it says none.
pub fn version(asked: &HeaderValue) -> Option<String> {
    Requested::from_headers(&HeaderMap::from_iter([(microversion::HEADER, asked.clone())])).echo()
}

/// The rules of a policy file; `None`: it is refused.
pub fn policy_file(text: &str) -> Option<Vec<Check>> {
    policy::read_text(text).ok()
}

/// What a token says; `None`: it is none of those that [`sign`] makes.
pub fn token(text: &str) -> anyhow::Result<Option<Claims>> {
    Ok(signer()?.read(text))
}

/// A token, signed with a key that everybody knows.
pub fn sign(claims: &Claims) -> anyhow::Result<String> {
    signer()?.sign(claims)
}

fn signer() -> anyhow::Result<Signer> {
    let secret = openssl::base64::encode_block(&[7; 32]);
    Signer::new(&[SigningKey { id: "1".to_owned(), secret, created_at: Timestamp(0) }])
}
