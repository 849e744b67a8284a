//! Names on the pools: those of the Cinder RBD driver and the Glance RBD store.

use crate::db::Volume;
use crate::model::{ImageId, SnapshotId, VolumeId};

/// Of an image's bytes, which is what volumes are cloned from.
pub const IMAGE_SNAPSHOT: &str = "snap";

const CLONE_SNAPSHOT_END: &str = ".clone_snap";
const DELETED_END: &str = ".deleted";

pub fn volume(id: &VolumeId) -> String {
    format!("volume-{id}")
}

/// Likewise, of a row that may stand in for another volume's next copy.
pub fn of(row: &Volume) -> String {
    volume(row.name_id.as_ref().unwrap_or(&row.id))
}

pub fn snapshot(id: &SnapshotId) -> String {
    format!("snapshot-{id}")
}

/// The volume that an image is by its name.
pub fn volume_of(image: &str) -> Option<VolumeId> {
    VolumeId::parse(image.strip_prefix("volume-")?).filter(|id| volume(id) == image)
}

/// The snapshot that one on the pool is by its name.
pub fn snapshot_of(name: &str) -> Option<SnapshotId> {
    SnapshotId::parse(name.strip_prefix("snapshot-")?).filter(|id| snapshot(id) == name)
}

/// What a snapshot is needed for that is nobody's.
pub fn needed_for(snapshot: &str) -> Option<&'static str> {
    if is_clone_snapshot(snapshot) {
        Some("used for clone snap")
    } else if is_backup_snapshot(snapshot) {
        Some("used for volume backup")
    } else {
        None
    }
}

/// Of a source volume, taken for one clone: named by that clone.
pub fn clone_snapshot(clone: &VolumeId) -> String {
    format!("volume-{clone}{CLONE_SNAPSHOT_END}")
}

/// Of a volume, taken for an image that is made from it: a clone snapshot like others.
pub fn upload_snapshot(image: &ImageId) -> String {
    format!("volume-{image}{CLONE_SNAPSHOT_END}")
}

pub fn is_clone_snapshot(snapshot: &str) -> bool {
    clone_of(snapshot).is_some()
}

/// The clone that a clone snapshot was taken for.
pub fn clone_of(snapshot: &str) -> Option<&str> {
    snapshot.strip_suffix(CLONE_SNAPSHOT_END).filter(|clone| clone.starts_with("volume-"))
}

/// Of what arrived to be imported into an image.
pub fn staged(id: &ImageId) -> String {
    format!("{id}.staged")
}

/// Of the same, decompressed.
pub fn unpacked(id: &ImageId) -> String {
    format!("{id}.unpacked")
}

/// Of the same, as a raw disk.
pub fn converted(id: &ImageId) -> String {
    format!("{id}.converted")
}

/// All that an import may have made on its way.
pub fn arrivals(id: &ImageId) -> [String; 3] {
    [staged(id), unpacked(id), converted(id)]
}

/// `backup.<backup id>.snap.<timestamp>`, which Cinder leaves on a source volume.
pub fn is_backup_snapshot(snapshot: &str) -> bool {
    snapshot.starts_with("backup.") && snapshot.contains(".snap.")
}

/// Of a volume that was deleted while clones still read from it.
pub fn deleted(volume: &str) -> String {
    format!("{volume}{DELETED_END}")
}

pub fn is_deleted(image: &str) -> bool {
    image.ends_with(DELETED_END)
}

/// The name that a deleted copy of the cache had before.
pub fn cached_before(deleted: &str) -> Option<&str> {
    deleted.strip_suffix(DELETED_END).filter(|name| name.starts_with("cache-"))
}

/// Of the copy that the cache of images keeps: named by the volume it was made for.
pub fn cached(volume: &VolumeId) -> String {
    format!("cache-{volume}")
}

/// What a volume is made from, while that is taken in from a web server: a file with a disk in it.
pub fn fetched(volume: &VolumeId) -> String {
    format!("volume-{volume}.fetched")
}

/// `rbd://<fsid>/<pool>/<image>/<snapshot>`, as Glance keeps a location.
pub fn location(fsid: &str, pool: &str, image: &str) -> String {
    format!("rbd://{fsid}/{pool}/{image}/{IMAGE_SNAPSHOT}")
}

/// What a location says. `None` for any other form.
pub fn parse_location(location: &str) -> Option<Location<'_>> {
    let mut parts = location.strip_prefix("rbd://")?.split('/');
    let found =
        Location { fsid: parts.next()?, pool: parts.next()?, image: parts.next()?, snapshot: parts.next()? };
    parts.next().is_none().then_some(found)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    pub fsid: &'a str,
    pub pool: &'a str,
    pub image: &'a str,
    pub snapshot: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_as_it_is_written() {
        let text = location("f", "images", "i");
        let expected = Location { fsid: "f", pool: "images", image: "i", snapshot: "snap" };
        assert_eq!(parse_location(&text), Some(expected));
        assert_eq!(parse_location("rbd://f/images/i"), None);
        assert_eq!(parse_location("rbd://f/images/i/snap/more"), None);
        assert_eq!(parse_location("http://f/images/i/snap"), None);
    }

    #[test]
    fn snapshots_are_told_apart() {
        let id = VolumeId::from(uuid::Uuid::nil());
        assert!(is_clone_snapshot(&clone_snapshot(&id)));
        assert!(!is_clone_snapshot("snapshot-00000000-0000-0000-0000-000000000000"));
        assert!(is_backup_snapshot("backup.1.snap.1700000000.0"));
        assert!(is_deleted(&deleted(&volume(&id))));
        assert_eq!(volume_of(&volume(&id)), Some(id.clone()));
        for other in [deleted(&volume(&id)), clone_snapshot(&id), id.to_string(), volume(&id).to_uppercase()]
        {
            assert_eq!(volume_of(&other), None, "{other}");
        }
        assert_eq!(needed_for(&clone_snapshot(&id)), Some("used for clone snap"));
        assert_eq!(needed_for("by-hand"), None);
        assert_eq!(volume_of(&deleted(&volume(&id))), None);
        assert_eq!(volume_of("an image"), None);
    }
}
