//! The limits that a volume's type sets at the back end, as settings of its image that librbd itself keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::block::{BlockImage, BlockStore, OpenMode, Result};
use crate::db::{self, Repository, Specs};
use crate::model::{Gib, VolumeTypeId};

/// Settings by their key in the image's metadata.
pub(super) type Settings = BTreeMap<String, String>;

/// What all keys of ours begin with: librbd takes metadata named `conf_<option>` for that option of this image.
const KEY: &str = "conf_rbd_qos_";

/// A spec, and what librbd calls it: `rbd_qos_<..>_limit`, and `_burst` of `<spec>_max`.
const LIMITS: [(&str, &str); 6] = [
    ("total_iops_sec", "iops"),
    ("read_iops_sec", "read_iops"),
    ("write_iops_sec", "write_iops"),
    ("total_bytes_sec", "bps"),
    ("read_bytes_sec", "read_bps"),
    ("write_bytes_sec", "write_bps"),
];

/// What a volume of this type and size is limited to.
pub(super) async fn settings(
    repository: &mut Repository,
    volume_type: &VolumeTypeId,
    size: Gib,
) -> db::Result<Settings> {
    let row = repository.volume_type(volume_type.as_str()).await?;
    let Some(id) = row.and_then(|row| row.qos_specs_id) else { return Ok(Settings::new()) };
    let specs = repository.qos_specs(&id).await?.filter(|specs| specs.consumer != "front-end");
    Ok(specs.map(|specs| resolved(&specs.specs, size)).unwrap_or_default())
}

/// Limits per GiB become limits of this size, not below `_per_gb_min` and not above `_max`; otherwise `_max` is what a
/// burst may reach. What is no number sets nothing.
fn resolved(specs: &Specs, size: Gib) -> Settings {
    let number = |key: String| specs.get(&key)?.as_deref()?.trim().parse::<u64>().ok();
    let mut settings = Settings::new();
    let mut set = |name: String, limit: Option<u64>| {
        if let Some(limit) = limit {
            settings.insert(format!("{KEY}{name}"), limit.to_string());
        }
    };
    for (spec, name) in LIMITS {
        let most = number(format!("{spec}_max"));
        match number(format!("{spec}_per_gb")) {
            Some(each) => {
                let all = each.saturating_mul(size.get().unsigned_abs());
                let limit = all.max(number(format!("{spec}_per_gb_min")).unwrap_or(0));
                set(format!("{name}_limit"), Some(most.map_or(limit, |most| limit.min(most))));
            }
            None => {
                set(format!("{name}_limit"), number(spec.to_owned()));
                set(format!("{name}_burst"), most);
            }
        }
    }
    settings
}

/// Gives an image these settings and takes all others of their kind; a clone comes with those of its parent.
pub(super) async fn apply(image: &dyn BlockImage, settings: &Settings) -> Result<()> {
    let found = image.metadata().await?;
    for key in found.keys().filter(|key| key.starts_with(KEY) && !settings.contains_key(*key)) {
        image.remove_metadata(key).await?;
    }
    for (key, value) in settings.iter().filter(|(key, value)| found.get(*key) != Some(*value)) {
        image.set_metadata(key, value).await?;
    }
    Ok(())
}

/// Likewise, of an image that is not open.
pub(super) async fn apply_to(store: &Arc<dyn BlockStore>, name: &str, settings: &Settings) -> Result<()> {
    let image = store.open(name, OpenMode::ReadWrite).await?;
    let applied = apply(&*image, settings).await;
    image.close().await?;
    applied
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(specs: &[(&str, &str)], size: i64) -> Vec<(String, String)> {
        let specs = specs.iter().map(|(key, text)| ((*key).to_owned(), Some((*text).to_owned()))).collect();
        resolved(&specs, Gib::new(size).unwrap()).into_iter().collect()
    }

    fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, text)| (format!("{KEY}{key}"), (*text).to_owned())).collect()
    }

    #[test]
    fn every_spec_has_its_key() {
        let found = of(
            &[
                ("total_iops_sec", "1"),
                ("read_iops_sec", "2"),
                ("write_iops_sec", "3"),
                ("total_bytes_sec", "4"),
                ("read_bytes_sec", "5"),
                ("write_bytes_sec", "6"),
                ("total_iops_sec_max", "10"),
                ("read_iops_sec_max", "20"),
                ("write_iops_sec_max", "30"),
                ("total_bytes_sec_max", "40"),
                ("read_bytes_sec_max", "50"),
                ("write_bytes_sec_max", "60"),
            ],
            1,
        );
        let limits = [
            ("bps_burst", "40"),
            ("bps_limit", "4"),
            ("iops_burst", "10"),
            ("iops_limit", "1"),
            ("read_bps_burst", "50"),
            ("read_bps_limit", "5"),
            ("read_iops_burst", "20"),
            ("read_iops_limit", "2"),
            ("write_bps_burst", "60"),
            ("write_bps_limit", "6"),
            ("write_iops_burst", "30"),
            ("write_iops_limit", "3"),
        ];
        assert_eq!(found, expected(&limits));
    }

    #[test]
    fn limits_per_gib_grow_with_the_volume_within_bounds() {
        assert_eq!(of(&[("total_iops_sec_per_gb", "30")], 10), expected(&[("iops_limit", "300")]));
        let bounded = [
            ("total_iops_sec_per_gb", "30"),
            ("total_iops_sec_per_gb_min", "100"),
            ("total_iops_sec_max", "200"),
        ];
        for (size, limit) in [(1, "100"), (5, "150"), (10, "200")] {
            assert_eq!(of(&bounded, size), expected(&[("iops_limit", limit)]));
        }
        let huge = u64::MAX.to_string();
        assert_eq!(of(&[("read_bytes_sec_per_gb", &huge)], 2), expected(&[("read_bps_limit", &huge)]));
    }

    #[test]
    fn what_is_no_number_sets_nothing() {
        assert_eq!(of(&[("total_iops_sec", "many"), ("colour", "red")], 1), expected(&[]));
    }
}
