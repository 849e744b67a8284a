//! `pumice openapi`: the documents of the APIs, made from the code.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::{identity_api, image_api, pumice_api, volume_api};

/// Write the OpenAPI documents into a folder
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where image-v2.json, block-storage-v3.json, identity.json and pumice.json are written
    #[arg(default_value = "openapi")]
    folder: PathBuf,
}

/// File name and text of each document.
pub fn documents() -> anyhow::Result<Vec<(&'static str, String)>> {
    let documents = [
        ("image-v2.json", image_api::openapi()?),
        ("block-storage-v3.json", volume_api::openapi()?),
        ("identity.json", identity_api::openapi()?),
        ("pumice.json", pumice_api::openapi()?),
    ];
    documents
        .into_iter()
        .map(|(name, document)| Ok((name, serde_json::to_string_pretty(&document)? + "\n")))
        .collect()
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    for (name, text) in documents()? {
        let path = arguments.folder.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
