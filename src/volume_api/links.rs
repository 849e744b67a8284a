//! Addresses in answers.

use std::fmt::{self, Display};

use axum::http::request::Parts;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Serialize, Serializer};

use crate::config::Config;
use crate::http::{Query, host};

/// What a segment of a path may not hold as it is.
const SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?');

/// Where the API is, as this client sees it.
#[derive(Clone, Debug)]
pub struct Links {
    /// Without a slash at its end.
    root: String,
    /// The project as the request named it in its path; links name it only then.
    project: Option<String>,
}

impl Links {
    /// `mount` is the path below which the API is served here; a configured endpoint contains it already.
    pub fn new(config: &Config, parts: &Parts, mount: &str, project: Option<String>) -> Self {
        let root = match &config.api.volume_public_endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("{}://{}{mount}", config.scheme(), host(config, parts)),
        };
        Self { root, project }
    }

    /// The address of the version document.
    pub fn version(&self) -> String {
        format!("{}/v3/", self.root)
    }

    /// To the thing itself, and to it in whichever version.
    pub fn of<'a>(&'a self, collection: &'static str, id: &'a str) -> [Link<'a>; 2] {
        let href = |version| Href { links: self, version, collection, id };
        [Link { rel: "self", href: href("/v3") }, Link { rel: "bookmark", href: href("") }]
    }

    /// The page after the one that ends with `marker`: the request's own query, with the marker at its end.
    pub fn next(&self, collection: &str, query: &Query, marker: &str) -> [NextLink; 1] {
        // The marker lies behind what `offset` passed over.
        let kept = query.0.iter().filter(|(key, _)| key != "marker" && key != "offset");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept.map(|(k, v)| (k.as_str(), v.as_str())))
            .append_pair("marker", marker)
            .finish();
        let base = Href { links: self, version: "/v3", collection, id: "" };
        [NextLink { rel: "next", href: format!("{base}?{query}") }]
    }
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Link<'a> {
    rel: &'static str,
    #[schema(value_type = String)]
    href: Href<'a>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct NextLink {
    rel: &'static str,
    href: String,
}

/// Written straight into the answer: a page has a hundred of them.
struct Href<'a> {
    links: &'a Links,
    version: &'static str,
    collection: &'a str,
    id: &'a str,
}

impl Display for Href<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.links.root)?;
        f.write_str(self.version)?;
        if let Some(project) = &self.links.project {
            write!(f, "/{}", utf8_percent_encode(project, SEGMENT))?;
        }
        write!(f, "/{}", self.collection)?;
        if self.id.is_empty() { Ok(()) } else { write!(f, "/{}", self.id) }
    }
}

impl Serialize for Href<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
