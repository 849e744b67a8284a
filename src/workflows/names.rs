//! Names on the pools: those of the Cinder RBD driver and the Glance RBD store.

use crate::db::Volume;
use crate::model::{ImageId, SnapshotId, VolumeId};

/// Of an image's bytes, which is what volumes are cloned from.
pub const IMAGE_SNAPSHOT: &str = "snap";

const VOLUME: &str = "volume-";
const SNAPSHOT: &str = "snapshot-";
const CACHED: &str = "cache-";

const CLONE_SNAPSHOT_END: &str = ".clone_snap";
const LEAVING_END: &str = ".leaving";
const DELETED_END: &str = ".deleted";
const FETCHED_END: &str = ".fetched";
const STAGED_END: &str = ".staged";
const UNPACKED_END: &str = ".unpacked";
const CONVERTED_END: &str = ".converted";
const KEPT_END: &str = ".kept";

/// What the name of an image says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    Volume(&'a str),
    Image(&'a str),
    /// What arrived for an import of this image.
    Staged(&'a str),
    Cached(&'a str),
    /// What this volume is made from, taken in from the web.
    Fetched(&'a str),
    /// Of a volume or a cached copy, with the id in its name.
    Deleted(&'a str),
}

/// What stands before the id, what after it, and what that says.
type Form<'a> = (&'static str, &'static str, fn(&'a str) -> Named<'a>);

impl<'a> Named<'a> {
    /// All there are.
    const FORMS: [Form<'a>; 9] = [
        ("", "", Named::Image),
        ("", STAGED_END, Named::Staged),
        ("", UNPACKED_END, Named::Staged),
        ("", CONVERTED_END, Named::Staged),
        (VOLUME, "", Named::Volume),
        (VOLUME, DELETED_END, Named::Deleted),
        (VOLUME, FETCHED_END, Named::Fetched),
        (CACHED, "", Named::Cached),
        (CACHED, DELETED_END, Named::Deleted),
    ];

    /// `None`: it is none of ours.
    pub fn parse(name: &'a str) -> Option<Self> {
        Self::FORMS.iter().find_map(|(before, after, named)| {
            let text = name.strip_prefix(before)?.strip_suffix(after)?;
            ImageId::parse(text).filter(|id| id.as_str() == text).map(|_| named(text))
        })
    }

    pub fn id(self) -> &'a str {
        match self {
            Named::Volume(id)
            | Named::Image(id)
            | Named::Staged(id)
            | Named::Cached(id)
            | Named::Fetched(id)
            | Named::Deleted(id) => id,
        }
    }
}

pub fn volume(id: &VolumeId) -> String {
    format!("{VOLUME}{id}")
}

/// Likewise, of a row that may stand in for another volume's next copy.
pub fn of(row: &Volume) -> String {
    volume(row.name_id.as_ref().unwrap_or(&row.id))
}

pub fn snapshot(id: &SnapshotId) -> String {
    format!("{SNAPSHOT}{id}")
}

/// The volume that an image is by its name.
pub fn volume_of(image: &str) -> Option<VolumeId> {
    VolumeId::parse(image.strip_prefix(VOLUME)?).filter(|id| volume(id) == image)
}

/// The snapshot that one on the pool is by its name.
pub fn snapshot_of(name: &str) -> Option<SnapshotId> {
    SnapshotId::parse(name.strip_prefix(SNAPSHOT)?).filter(|id| snapshot(id) == name)
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
    taken_for(clone.as_str())
}

/// Of a volume, taken for an image that is made from it: a clone snapshot like others.
pub fn upload_snapshot(image: &ImageId) -> String {
    taken_for(image.as_str())
}

/// Of a volume, where its snapshot was deleted while clones hang on it: a clone snapshot of nobody's from then on.
pub fn deleted_snapshot(id: &SnapshotId) -> String {
    taken_for(id.as_str())
}

fn taken_for(id: &str) -> String {
    format!("{VOLUME}{id}{CLONE_SNAPSHOT_END}")
}

pub fn is_clone_snapshot(snapshot: &str) -> bool {
    clone_of(snapshot).is_some()
}

/// Whether a snapshot was taken for this very clone, volume or image, deleted or not.
pub fn is_taken_for(snapshot: &str, clone: &str) -> bool {
    let clone = live(clone);
    clone_of(snapshot)
        .is_some_and(|name| name == clone || uploaded(name).is_some_and(|id| id.as_str() == clone))
}

/// The image that a clone snapshot was taken for, by the name it has in it. Volumes have the same name.
pub fn uploaded(clone: &str) -> Option<ImageId> {
    ImageId::parse(clone.strip_prefix(VOLUME)?)
}

/// The clone that a clone snapshot was taken for.
pub fn clone_of(snapshot: &str) -> Option<&str> {
    snapshot.strip_suffix(CLONE_SNAPSHOT_END).filter(|clone| clone.starts_with(VOLUME))
}

/// Of what arrived to be imported into an image.
pub fn staged(id: &ImageId) -> String {
    format!("{id}{STAGED_END}")
}

/// Of the same, decompressed.
pub fn unpacked(id: &ImageId) -> String {
    format!("{id}{UNPACKED_END}")
}

/// Of the same, as a raw disk.
pub fn converted(id: &ImageId) -> String {
    format!("{id}{CONVERTED_END}")
}

/// How the sweeper is told of an image whose bytes in a pool are to go, and are not whole, or not any more.
pub fn leaving(id: &ImageId) -> String {
    format!("{id}{LEAVING_END}")
}

/// The image that such a note tells of.
pub fn leaving_of(note: &str) -> Option<ImageId> {
    ImageId::parse(note.strip_suffix(LEAVING_END)?)
}

/// All that an import may have made on its way.
pub fn arrivals(id: &ImageId) -> [String; 3] {
    [staged(id), unpacked(id), converted(id)]
}

/// `backup.<backup id>.snap.<timestamp>`, which Cinder leaves on a source volume.
pub fn is_backup_snapshot(snapshot: &str) -> bool {
    snapshot.starts_with("backup.") && snapshot.contains(".snap.")
}

/// `volume-<id>.backup.<backup id>`, which Cinder keeps a volume's backups in: the volume's name.
pub fn backed_up_in(image: &str) -> Option<&str> {
    image.split_once(".backup.").map(|(volume, _)| volume)
}

/// Of a volume that was deleted while clones still read from it.
pub fn deleted(volume: &str) -> String {
    format!("{volume}{DELETED_END}")
}

pub fn is_deleted(image: &str) -> bool {
    image.ends_with(DELETED_END)
}

/// What an image is kept for that is no volume and has no image of its name: the service's own, and nobody's
/// to take over.
pub fn kept_for(image: &str) -> Option<&'static str> {
    match Named::parse(image)? {
        Named::Staged(_) => Some("used for an import"),
        Named::Cached(_) => Some("used by the cache of images"),
        Named::Fetched(_) => Some("used for a volume that is being made"),
        Named::Volume(_) | Named::Image(_) | Named::Deleted(_) => None,
    }
}

/// Of what goes to the trash to stay there until somebody decides: it is none of ours, so nothing here removes it.
pub fn kept(image: &str) -> String {
    format!("{image}{KEPT_END}")
}

/// The name that such an image had before.
pub fn kept_of(image: &str) -> Option<&str> {
    image.strip_suffix(KEPT_END).filter(|name| Named::parse(name).is_some())
}

/// Whether what lies in a trash under this name is that image.
pub fn is_in_trash_as(entry: &str, image: &str) -> bool {
    kept_of(entry).unwrap_or(entry) == image
}

/// What an image is called, or was called before it was deleted.
pub fn live(image: &str) -> &str {
    image.strip_suffix(DELETED_END).unwrap_or(image)
}

/// The name that a deleted copy of the cache had before.
pub fn cached_before(deleted: &str) -> Option<&str> {
    deleted.strip_suffix(DELETED_END).filter(|name| name.starts_with(CACHED))
}

/// Of the copy that the cache of images keeps: named by the volume it was made for.
pub fn cached(volume: &VolumeId) -> String {
    format!("{CACHED}{volume}")
}

/// What a volume is made from, while that is taken in from a web server: a file with a disk in it.
pub fn fetched(volume: &VolumeId) -> String {
    format!("{VOLUME}{volume}{FETCHED_END}")
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
    fn every_name_that_is_made_is_known_again() {
        let id = "0c5e1dd4-27c5-4d07-b9f4-0a3b5f4f6e15";
        let (image_id, volume_id) = (ImageId::parse(id).unwrap(), VolumeId::parse(id).unwrap());
        let made = [
            (image_id.to_string(), Named::Image(id)),
            (volume(&volume_id), Named::Volume(id)),
            (deleted(&volume(&volume_id)), Named::Deleted(id)),
            (fetched(&volume_id), Named::Fetched(id)),
            (cached(&volume_id), Named::Cached(id)),
            (deleted(&cached(&volume_id)), Named::Deleted(id)),
        ];
        let arrived = arrivals(&image_id).map(|name| (name, Named::Staged(id)));
        assert_eq!(made.len() + arrived.len(), Named::FORMS.len());
        for (name, expected) in made.into_iter().chain(arrived) {
            assert_eq!(Named::parse(&name), Some(expected), "{name}");
        }
    }

    #[test]
    fn names_say_what_they_are() {
        let id = "0c5e1dd4-27c5-4d07-b9f4-0a3b5f4f6e15";
        for (name, expected) in [
            (id.to_owned(), Some(Named::Image(id))),
            (format!("volume-{id}"), Some(Named::Volume(id))),
            (format!("volume-{id}.deleted"), Some(Named::Deleted(id))),
            (format!("cache-{id}"), Some(Named::Cached(id))),
            (format!("cache-{id}.deleted"), Some(Named::Deleted(id))),
            (format!("{id}.staged"), Some(Named::Staged(id))),
            (format!("{id}.unpacked"), Some(Named::Staged(id))),
            (format!("{id}.converted"), Some(Named::Staged(id))),
            (format!("volume-{id}.backup.base"), None),
            (format!("volume-{id}.fetched"), Some(Named::Fetched(id))),
            (format!("volume-{}", id.to_uppercase()), None),
            (format!("{id}_disk"), None),
            ("volume-".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(Named::parse(&name), expected, "{name}");
        }
    }

    #[test]
    fn a_deleted_image_had_a_name_before() {
        assert_eq!(live("volume-1.deleted"), "volume-1");
        assert_eq!(live("volume-1"), "volume-1");
        assert_eq!(cached_before("cache-1.deleted"), Some("cache-1"));
        assert_eq!(cached_before("volume-1.deleted"), None);
        assert_eq!(backed_up_in("volume-1.backup.base"), Some("volume-1"));
    }

    #[test]
    fn what_the_service_keeps_for_itself_is_told_apart() {
        let id = "0c5e1dd4-27c5-4d07-b9f4-0a3b5f4f6e15";
        let (image_id, volume_id) = (ImageId::parse(id).unwrap(), VolumeId::parse(id).unwrap());
        let kept = [cached(&volume_id), fetched(&volume_id)];
        for name in kept.into_iter().chain(arrivals(&image_id)) {
            assert!(kept_for(&name).is_some(), "{name}");
        }
        for name in [id.to_owned(), volume(&volume_id), deleted(&volume(&volume_id)), "a disk".to_owned()] {
            assert_eq!(kept_for(&name), None, "{name}");
        }
    }

    #[test]
    fn snapshots_are_told_apart() {
        let id = VolumeId::from(uuid::Uuid::nil());
        assert!(is_clone_snapshot(&clone_snapshot(&id)));
        assert!(!is_clone_snapshot("snapshot-00000000-0000-0000-0000-000000000000"));
        for clone in [volume(&id), deleted(&volume(&id)), id.to_string()] {
            assert!(is_taken_for(&clone_snapshot(&id), &clone), "{clone}");
        }
        assert!(!is_taken_for(&clone_snapshot(&id), "volume-1"));
        assert!(!is_taken_for(IMAGE_SNAPSHOT, &id.to_string()));
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
