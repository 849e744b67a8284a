//! What was found, held against what the image claims to be.

use super::{Content, Danger, Format, Found};

/// What the operator says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `require_image_format_match`
    pub require_match: bool,
    /// `gpt_safety_checks_nonfatal`: whether a partition table may be invalid.
    pub allow_invalid_partitions: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Multiple formats detected: {0}")]
    Ambiguous(String),
    #[error("Image disk_format {declared} does not match stream data {found}")]
    Mismatch { declared: String, found: &'static str },
    #[error("Image failed safety checks: as {format}, {danger}")]
    Unsafe { format: Format, danger: Danger },
}

impl Content {
    /// The virtual size, where the declared format has one.
    ///
    /// # Errors
    /// When the content is unsafe whatever it is called, or not what the image claims to be.
    pub fn judge(&self, declared: &str, rules: &Rules) -> Result<Option<u64>, Refusal> {
        let found = self.meant(declared);
        for one in &found {
            check_safety(one, rules)?;
        }
        let is_raw = declared == "raw";
        match found[..] {
            [] if is_raw => Ok(Some(self.length)),
            [] if Format::ALL.into_iter().all(|format| format.name() != declared) => Ok(None),
            [one] if one.format.name() == declared => Ok(one.disk.unwrap_or(None)),
            // What is asked to be raw is raw: its size is that of its bytes.
            [_] if is_raw => Ok(Some(self.length)),
            _ if !rules.require_match => Ok(None),
            [] => Err(Refusal::Mismatch { declared: declared.to_owned(), found: "raw" }),
            [one] => Err(Refusal::Mismatch { declared: declared.to_owned(), found: one.format.name() }),
            _ => Err(Refusal::Ambiguous(self.names())),
        }
    }

    pub fn names(&self) -> String {
        self.found.iter().map(|one| one.format.name()).collect::<Vec<_>>().join(",")
    }

    /// What was found, without the partition table where something else explains it.
    fn meant(&self, declared: &str) -> Vec<&Found> {
        let is = |format| self.found.iter().any(|one| one.format == format);
        // ISOs that can be written to a stick, and the raw disk in a fixed VHD, begin with one. So do kernels,
        // with one that is not valid.
        let is_expected = is(Format::Iso) || is(Format::Vhd) || matches!(declared, "aki" | "ari");
        let of_two = self.found.len() <= 2;
        self.found.iter().filter(|one| !(is_expected && of_two && one.format == Format::Gpt)).collect()
    }
}

fn check_safety(found: &Found, rules: &Rules) -> Result<(), Refusal> {
    match found.disk {
        Err(Danger::Partitions(_)) if rules.allow_invalid_partitions => Ok(()),
        Err(danger) => Err(Refusal::Unsafe { format: found.format, danger }),
        Ok(_) => Ok(()),
    }
}
