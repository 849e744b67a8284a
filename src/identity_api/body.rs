//! What handlers take from a request's body.

use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use super::Api;
use super::fault::{Fault, Result};
use crate::http::{BodyError, holds_nul, media_type, whole};

/// A JSON object.
pub(super) struct Body(Map<String, Value>);

impl FromRequest<Api> for Body {
    type Rejection = Fault;

    async fn from_request(request: Request, api: &Api) -> Result<Self> {
        let not_json = || Fault::Expected("valid JSON", "request body");
        let (parts, body) = request.into_parts();
        let limit = api.app.config.api.osapi_max_request_body_size;
        let bytes = whole(&parts.headers, body, limit).await.map_err(|error| match error {
            BodyError::TooLarge => Fault::TooLarge,
            BodyError::Broken => not_json(),
        })?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        let given = media_type(&parts.headers);
        if !given.is_empty() && !given.eq_ignore_ascii_case("application/json") {
            return Err(Fault::Expected("application/json", "Content-Type header"));
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) if holds_nul(&value) => Err(not_json()),
            Ok(Value::Object(body)) => Ok(Self(body)),
            _ => Err(not_json()),
        }
    }
}

impl Body {
    /// The one thing that a body is about.
    pub(super) fn about(&self, kind: &'static str) -> Result<Fields<'_>> {
        match self.0.get(kind) {
            Some(Value::Object(fields)) => Ok(Fields { kind, fields }),
            _ => Err(Fault::Expected(kind, "request body")),
        }
    }
}

/// The attributes of a thing.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    kind: &'static str,
    fields: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name)
    }

    pub(super) fn object(&self, name: &'static str) -> Result<Option<Fields<'a>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Fields { kind: name, fields })),
            Some(_) => Err(invalid(name, "it is not of type 'object'")),
        }
    }

    pub(super) fn array(&self, name: &'static str) -> Result<Option<&'a [Value]>> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(invalid(name, "it is not of type 'array'")),
        }
    }

    pub(super) fn boolean(&self, name: &'static str) -> Result<Option<bool>> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(_) => Err(invalid(name, "it is not of type 'boolean'")),
        }
    }

    /// Left out, null, or a text. The refusal does not repeat it: it may be a password.
    pub(super) fn optional(&self, name: &'static str, longest: usize) -> Result<Option<Option<String>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) if text.chars().count() <= longest => Ok(Some(Some(text.clone()))),
            Some(Value::String(_)) => Err(invalid(name, &format!("it is longer than {longest} characters"))),
            Some(_) => Err(invalid(name, "it is not of type 'string'")),
        }
    }

    /// A text; null counts as left out.
    pub(super) fn text(&self, name: &'static str, longest: usize) -> Result<Option<String>> {
        Ok(self.optional(name, longest)?.flatten())
    }

    /// What has a name has one that can be read.
    pub(super) fn name(&self, longest: usize) -> Result<Option<String>> {
        match self.optional("name", longest)? {
            None => Ok(None),
            Some(Some(name)) if !name.trim().is_empty() => Ok(Some(name)),
            Some(_) => Err(invalid("name", "it should be non-empty")),
        }
    }

    pub(super) fn required_name(&self, longest: usize) -> Result<String> {
        self.name(longest)?.ok_or_else(|| invalid(self.kind, "'name' is a required property"))
    }

    /// What there is not here may be named where it asks for nothing: null, false, or empty.
    pub(super) fn without(&self, name: &'static str) -> Result<()> {
        match self.get(name) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(()),
            Some(Value::Array(items)) if items.is_empty() => Ok(()),
            Some(Value::Object(fields)) if fields.is_empty() => Ok(()),
            Some(_) => Err(invalid(name, "it is not supported by this service")),
        }
    }

    /// All but these.
    pub(super) fn others(&self, known: &[&str]) -> Map<String, Value> {
        let others = self.fields.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        others.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

pub(super) fn invalid(field: &str, why: &str) -> Fault {
    Fault::Invalid(format!("Invalid input for field/attribute {field}: {why}"))
}
