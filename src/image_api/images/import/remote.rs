//! `glance-download`: which image of which region is asked for, and with whose token.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::db::Image;
use crate::http::App;
use crate::image_api::fault::{Fault, Result};
use crate::jobs::{BeforeImport, ImportSource, RegionSource};
use crate::web::is_copied;

/// Characters in the name of a region or an interface.
const LONGEST: usize = 255;

pub(super) struct Remote {
    region: String,
    image_id: Uuid,
    interface: String,
}

impl Remote {
    pub(super) fn read(options: &Map<String, Value>) -> Result<Self> {
        let text = |name| options.get(name).and_then(Value::as_str);
        let needed = |name: &str| {
            Fault::BadRequest(format!("'{name}' needs to be set for glance-download import method"))
        };
        let named = |name: &'static str, value: &str| {
            if value.chars().count() <= LONGEST { Ok(value.to_owned()) } else { Err(needed(name)) }
        };
        let region = text("glance_region").ok_or_else(|| needed("glance_region"))?;
        let id = text("glance_image_id").ok_or_else(|| needed("glance_image_id"))?;
        let unlike = || {
            let id: String = id.chars().take(LONGEST).collect();
            Fault::BadRequest(format!("Remote image id does not look like a UUID: {id}"))
        };
        let interface = text("glance_service_interface").unwrap_or("public");
        Ok(Self {
            region: named("glance_region", region)?,
            image_id: Uuid::parse_str(id).map_err(|_| unlike())?,
            interface: named("glance_service_interface", interface)?,
        })
    }

    /// The token is kept with the job, sealed: the job is done later, and maybe by another process.
    pub(super) fn source(self, app: &App, image: &Image, headers: &HeaderMap) -> Result<ImportSource> {
        let missing = |what: &str| Fault::Internal(anyhow::anyhow!("glance-download without {what}"));
        let regions = app.regions.as_ref().ok_or_else(|| missing("a Keystone"))?;
        let token = headers.get("x-auth-token").ok_or_else(|| missing("a token"))?;
        let token = regions.seal(token, app.world.ids.secret(), image.id.as_str());
        Ok(ImportSource::Region(Box::new(RegionSource {
            region: self.region,
            image_id: self.image_id.to_string(),
            interface: self.interface,
            token: token.map_err(Fault::Internal)?,
            before: BeforeImport::default(),
            given: BTreeMap::new(),
        })))
    }
}

/// What the image says of itself. It may have been changed since it was looked at: this is asked while nobody does.
pub(super) fn note_before(source: &mut ImportSource, app: &App, image: &Image) {
    let copied = &app.config.glance_download_properties.extra_properties;
    if let ImportSource::Region(from) = source {
        from.before = BeforeImport::of(image, |name| is_copied(name, copied));
    }
}
