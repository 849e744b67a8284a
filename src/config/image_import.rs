use std::collections::BTreeMap;

use super::faults::Faults;
use super::section::section;

/// Plug-ins of Glance that are here.
const PLUGINS: [&str; 4] = ["no_op", "image_decompression", "image_conversion", "inject_image_metadata"];

section! {
    /// What an import does beside bringing bytes in.
    pub struct ImageImport = "image_import_opts" {
        /// `image_decompression`: what is packed with gzip, xz, zstd or zip (one file) is unpacked, unless its
        /// `container_format` is `compressed`. `image_conversion`: what is not raw is made raw, see `image_conversion`;
        /// unpacked first, whatever the order.
        /// `inject_image_metadata`: see `inject_metadata_properties`. `no_op`: nothing.
        pub image_import_plugins: Vec<String> = vec!["no_op".to_owned()], "none";
    }
}

impl ImageImport {
    pub fn has(&self, plugin: &str) -> bool {
        self.image_import_plugins.iter().any(|name| name == plugin)
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        for name in &self.image_import_plugins {
            let is_known = PLUGINS.contains(&name.as_str());
            let must = format!("may hold {}", PLUGINS.join(", "));
            faults.require(is_known, "image_import_opts.image_import_plugins", &must, name);
        }
    }
}

section! {
    /// What the plug-in `image_conversion` makes of qcow2, VMDK, VHD, VHDX and VDI, so that volumes can be clones of
    /// their images. An image of another format is left (raw, ISO), or its import fails; `copy-image` converts nothing.
    pub struct ImageConversion = "image_conversion" {
        /// `raw`, and nothing else.
        pub output_format: String = "raw".into(), "none";
    }
}

impl ImageConversion {
    pub(super) fn check(&self, faults: &mut Faults) {
        let is_raw = self.output_format == "raw";
        faults.require(is_raw, "image_conversion.output_format", "must be raw", &self.output_format);
    }
}

section! {
    /// Properties that imported images are given, with the plug-in `inject_image_metadata`.
    pub struct InjectMetadata = "inject_metadata_properties" {
        /// Whoever has one of these roles imports without.
        pub ignore_user_roles: Vec<String> = vec!["admin".to_owned()], "none";
        /// The properties, with their values.
        pub inject: BTreeMap<String, String> = BTreeMap::new(), "none";
    }
}

impl InjectMetadata {
    pub(super) fn check(&self, faults: &mut Faults) {
        for name in self.inject.keys() {
            let fits = (1..=255).contains(&name.chars().count()) && !name.starts_with("os_glance");
            let must = "must have names of 1 to 255 characters that do not begin with os_glance";
            faults.require(fits, "inject_metadata_properties.inject", must, name);
        }
    }
}

section! {
    /// What comes along with an image of another region (`glance-download`), beside its formats.
    pub struct GlanceDownload = "glance_download_properties" {
        /// How the names of the properties begin that come along. Those that begin with `os_glance` never do.
        pub extra_properties: Vec<String> =
            ["hw_", "trait:", "os_distro", "os_secure_boot", "os_type"].map(str::to_owned).into(), "none";
    }
}

impl GlanceDownload {
    pub(super) fn check(&self, faults: &mut Faults) {
        for prefix in &self.extra_properties {
            let fits = (1..=255).contains(&prefix.chars().count());
            let option = "glance_download_properties.extra_properties";
            faults.require(fits, option, "must hold beginnings of names, of 1 to 255 characters", prefix);
        }
    }
}
