//! Of Cinder's services each has modules of ours here. All of them are in each of our processes, and all processes are one
//! host: what is set reaches all of them.

use super::super::fault::Fault;
use super::super::schema::Object;
use super::is_up;
use crate::db::{self, Service, ServiceFilter};
use crate::http::App;

pub(super) const API: &str = "cinder-api";
/// We have none.
const BACKUP: &str = "cinder-backup";

/// The modules that do the work of one of Cinder's services.
pub(super) fn modules_of(binary: &str) -> &'static [&'static str] {
    match binary {
        Service::SCHEDULER => &["pumice::scheduler"],
        Service::VOLUME => &[
            "pumice::audit",
            "pumice::block",
            "pumice::formats",
            "pumice::jobs",
            "pumice::transfer",
            "pumice::web",
            "pumice::workflows",
        ],
        API => &[
            "pumice::commands",
            "pumice::db",
            "pumice::http",
            "pumice::identity",
            "pumice::identity_api",
            "pumice::image_api",
            "pumice::pumice_api",
            "pumice::service",
            "pumice::signature",
            "pumice::telemetry",
            "pumice::volume_api",
        ],
        _ => &[],
    }
}

/// What the bodies of both say.
pub(super) struct LogNamed<'a> {
    binary: &'a str,
    /// A host, with or without its backend.
    pub(super) server: &'a str,
    pub(super) prefix: &'a str,
}

impl<'a> LogNamed<'a> {
    pub(super) fn read(body: &Object<'a>) -> Result<Self, Fault> {
        if body.fields().get("binary").is_some_and(|binary| !binary.is_string()) {
            // One that is none is told so first.
            body.plain_text("binary", 0)?;
        }
        let binary = body.one_of("binary", &[Service::SCHEDULER, Service::VOLUME, BACKUP, API, "", "*"])?;
        let server = body.text("server")?.value();
        let prefix = body.text("prefix")?.value();
        Ok(Self {
            binary: binary.filter(|binary| *binary != "*").unwrap_or_default(),
            server: server.unwrap_or_default(),
            prefix: prefix.unwrap_or_default(),
        })
    }

    pub(super) fn means_api(&self) -> bool {
        ["", API].contains(&self.binary)
    }

    /// Those that are alive, beside the API.
    pub(super) async fn services(&self, app: &App) -> db::Result<Vec<Service>> {
        let given = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
        let filter = ServiceFilter { host: given(self.server), binary: given(self.binary), disabled: None };
        let mut found = app.database.read().await?.services(&filter).await?;
        let now = app.world.now();
        found.retain(|service| is_up(service, now));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Whose lines could not be heard otherwise.
    #[test]
    fn every_module_belongs_to_a_service() {
        let map = include_str!("../../lib.rs");
        let rooms = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        // They say nothing.
        let silent = ["config", "hostile", "model"];
        let rooms: BTreeSet<String> =
            rooms.filter(|room| !silent.contains(room)).map(|room| format!("pumice::{room}")).collect();
        let known = [API, Service::SCHEDULER, Service::VOLUME].into_iter().flat_map(modules_of);
        let known: Vec<String> = known.map(|module| (*module).to_owned()).collect();
        assert_eq!(known.iter().cloned().collect::<BTreeSet<_>>(), rooms);
        assert_eq!(known.len(), rooms.len());
    }
}
