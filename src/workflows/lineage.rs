//! Clones and what they hang on: which images must stay while clones read from them, and who goes with the last.
//!
//! A deleted volume with clones is kept as `volume-<id>.deleted`, a deleted image with clones in the trash. When a
//! clone goes, or is flattened, [`release`] walks up from it and removes all that nothing reads from any more.
//!
//! A flattened image with clones of its own keeps what it hung on: whoever has such a clone open (an instance, for
//! days) still looks there for what the image between them had not yet when it was opened, and finds zeros once that is
//! gone. So a clone snapshot stays as long as the volume it was taken for, unless that one was flattened while nothing
//! hung on it; one that was taken for an image stays as long as anything hangs on the image. What hangs on anything else,
//! which may go before it, and has clones of its own is not flattened.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::names::Named;
use super::{Context, intake, is_one_place, names};
use crate::block::{
    BlockError, BlockImage, BlockStore, Child, ErrorKind, Missing, OpenMode, Parent, Progress, SnapshotPath,
    Stores,
};
use crate::db::{Database, Leftover};
use crate::jobs::{Run, StepError};
use crate::model::{MigrationStatus, VolumeId};

type Result<T, E = BlockError> = std::result::Result<T, E>;

/// How deep a chain is followed at the most: it ends by itself, unless the pool's data are damaged.
const DEEPEST: usize = 1000;

/// How long after a snapshot was taken it is still to be expected that it is protected.
const PROTECTED_WITHIN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

/// Whether anything is left of what should be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Gone,
    /// Clones read from it.
    Needed,
}

/// Removes what `parent`, whose clone is gone, was kept for: its clone snapshot, then the image itself when it was
/// deleted and nothing else needs it, then the same for the image that one hangs on. The clone was in `from`.
pub(super) async fn release(
    context: &Context,
    from: &Arc<dyn BlockStore>,
    parent: &SnapshotPath,
) -> Result<()> {
    let mut next = vec![parent.clone()];
    for _ in 0..DEEPEST {
        let Some(parent) = next.pop() else { return Ok(()) };
        let Some(store) = context.pool_beside(from, &parent.pool).await? else { return Ok(()) };
        let _lock = context.locks.lock(names::live(&parent.image)).await;
        if names::is_clone_snapshot(&parent.snapshot) {
            let live = names::live(&parent.image);
            for name in [live, &names::deleted(live)] {
                drop_clone_snapshot(&context.stores, store, name, &parent.snapshot).await?;
            }
        }
        next.extend(remove_if_deleted(context, store, &parent.image).await?.1);
    }
    Ok(())
}

/// How the sweeper is told of a snapshot that goes with its clone: `<image>@<snapshot>`.
pub(super) fn note(parent: &SnapshotPath) -> Leftover {
    Leftover { pool: parent.pool.clone(), name: format!("{}@{}", parent.image, parent.snapshot) }
}

/// What such a note tells of.
pub(super) fn noted(pool: &str, name: &str) -> Option<SnapshotPath> {
    let (image, snapshot) = name.split_once('@')?;
    Some(SnapshotPath { pool: pool.to_owned(), image: image.to_owned(), snapshot: snapshot.to_owned() })
}

/// [`release`]s what the clone in `from` hung on, and answers whether others do.
pub(super) async fn release_all(
    context: &Context,
    from: &Arc<dyn BlockStore>,
    parent: &SnapshotPath,
) -> Result<Rest> {
    match context.pool_beside(from, &parent.pool).await? {
        Some(store) => release_noted(context, store, parent).await,
        None => Ok(Rest::Gone),
    }
}

/// [`release`]s what a note tells of, in the store where that is. Its clone may be there after all, and then it stays.
pub(super) async fn release_noted(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    parent: &SnapshotPath,
) -> Result<Rest> {
    release(context, store, parent).await?;
    let live = names::live(&parent.image);
    for name in [live, &names::deleted(live)] {
        let Some(image) = store.open(name, OpenMode::ReadOnly).await.or_missing()? else { continue };
        // It may go in this very moment.
        let snapshots = image.snapshots().await.or_missing();
        image.close().await?;
        if snapshots?.is_some_and(|found| found.iter().any(|snapshot| snapshot.name == parent.snapshot)) {
            return Ok(Rest::Needed);
        }
    }
    Ok(Rest::Gone)
}

/// Removes a deleted image, if nothing needs it any more, and all that was kept for its sake.
pub(super) async fn reap(context: &Context, store: &Arc<dyn BlockStore>, name: &str) -> Result<Rest> {
    let (rest, parents) = {
        let _lock = context.locks.lock(names::live(name)).await;
        remove_if_deleted(context, store, name).await?
    };
    for parent in parents {
        release(context, store, &parent).await?;
    }
    Ok(rest)
}

/// Takes away the copy of a volume that lies elsewhere by now. Clones may need it still: then it stays under the name of
/// a deleted one.
pub(super) async fn remove_copy(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    id: &VolumeId,
    database: &Database,
) -> Result<Rest, StepError> {
    let name = names::volume(id);
    let aside = names::deleted(&name);
    let is_taken = {
        let _lock = context.locks.lock(&name).await;
        let (renamed, is_taken) = match set_aside(store, &name).await {
            Err(error) if error.kind == ErrorKind::Exists => (false, true),
            renamed => (renamed?.is_some(), false),
        };
        // It may have come back at this very moment.
        if renamed && is_at_home(context, store, id, database).await? {
            store.rename(&aside, &name).await?;
            return Ok(Rest::Needed);
        }
        is_taken
    };
    let rest = reap(context, store, &name).await?;
    // One that it left before goes first.
    Ok(if is_taken { Rest::Needed } else { rest })
}

/// Gives an image the name of a deleted one. `None`: there is no such image. [`ErrorKind::Exists`] where another image has
/// the name, for its clones.
pub(super) async fn set_aside(store: &Arc<dyn BlockStore>, name: &str) -> Result<Option<()>> {
    let aside = names::deleted(name);
    match store.rename(name, &aside).await.or_missing() {
        // What a removal of one left that broke off is in the way of the next one.
        Err(error) if error.kind == ErrorKind::Exists && !is_there(store, &aside).await? => {
            store.remove(&aside, &Progress::new()).await.or_missing()?;
            store.rename(name, &aside).await.or_missing()
        }
        renamed => renamed,
    }
}

/// Whether the volume lies in this store, or may be on its way there, or lay there when it was unmanaged.
pub(super) async fn is_at_home(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    id: &VolumeId,
    database: &Database,
) -> Result<bool, StepError> {
    let mut repository = database.read().await?;
    let Some(row) = repository.volume(id).await? else {
        // One that was unmanaged keeps its image and its name, and no note tells of that: a note tells of a left copy.
        let left = Leftover { pool: store.pool().to_owned(), name: names::volume(id) };
        return Ok(!repository.has_leftover(&left).await?);
    };
    let is_leaving = match row.migration_status {
        // It has arrived.
        Some(MigrationStatus::Completing) => false,
        _ => row.is_migrating(),
    };
    let is_on_its_way = is_leaving || repository.stand_in_of(id).await?.is_some();
    drop(repository);
    Ok(is_on_its_way || is_one_place(&context.backend(&row)?.store, store).await?)
}

/// Takes away an image that was never finished, unless the job belongs to somebody else by now, who may have finished it.
/// Whom a cluster takes for its user may be a process that died, for half a minute: then it goes to the trash, so that its
/// name is free at once, and the sweeper removes it from there.
pub(super) async fn clear(store: &Arc<dyn BlockStore>, name: &str, run: &Run) -> Result<(), StepError> {
    match store.remove(name, &run.progress.beside()).await.or_missing() {
        Err(error) if error.kind == ErrorKind::Busy => {
            remember(store, name, run).await?;
            store.trash_move(name).await.or_missing()?;
            // The sweeper may have come by in between, found nothing and forgotten it.
            remember(store, name, run).await
        }
        Err(error) if error.kind == ErrorKind::NoSpace => {
            // Its owner by now may have finished it.
            run.transaction().await?;
            empty(store, name, &run.progress.beside()).await.or_missing()?;
            Err(StepError::of_removal(error))
        }
        // An earlier try may have moved it, and not heard so.
        Ok(None) if store.trash_list().await?.iter().any(|entry| entry.name == name) => {
            remember(store, name, run).await
        }
        other => Ok(other.map(drop)?),
    }
}

async fn remember(store: &Arc<dyn BlockStore>, name: &str, run: &Run) -> Result<(), StepError> {
    let mut repository = run.transaction().await?;
    let leftover = Leftover { pool: store.pool().to_owned(), name: name.to_owned() };
    repository.add_leftover(&leftover, run.now()).await?;
    Ok(repository.commit().await?)
}

/// Takes away an image that was never finished, whoever has it open.
pub(super) async fn take_away(store: &Arc<dyn BlockStore>, name: &str, run: &Run) -> Result<(), StepError> {
    match intake::discard(store, name, &run.progress.beside()).await {
        Err(error) if error.kind == ErrorKind::Busy => clear(store, name, run).await,
        other => other.map_err(StepError::of_removal),
    }
}

/// Likewise of one that may have the snapshot that volumes are cloned or copied from, where nothing hangs on it.
pub(super) async fn take_away_sealed(
    store: &Arc<dyn BlockStore>,
    name: &str,
    run: &Run,
) -> Result<(), StepError> {
    drop_snapshot(store, name, names::IMAGE_SNAPSHOT).await?;
    take_away(store, name, run).await
}

/// A removal takes a little room itself, which a full pool has not: the data go first, and the next try, after the
/// cluster has counted again, finds it. Only for what nobody can want back any more.
pub(super) async fn empty(store: &Arc<dyn BlockStore>, name: &str, progress: &Progress) -> Result<()> {
    let image = store.open(name, OpenMode::ReadWrite).await?;
    let emptied = image.resize(0, progress).await;
    image.close().await?;
    emptied
}

/// `None`: there are some, in a pool whose images this store's user may not name.
pub async fn children(image: &dyn BlockImage) -> Result<Option<Vec<Child>>> {
    match image.children().await {
        Err(error) if error.kind == ErrorKind::HasChildren => Ok(None),
        children => children.map(Some),
    }
}

/// Drops all snapshots that nothing needs; answers whether others are left.
pub(super) async fn drop_unneeded(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    image: &dyn BlockImage,
) -> Result<Rest> {
    let Some(children) = children(image).await? else { return Ok(Rest::Needed) };
    let mut rest = if children.is_empty() { Rest::Gone } else { Rest::Needed };
    for snapshot in image.snapshots().await? {
        if children.iter().any(|child| child.snapshot == snapshot.name) {
            continue;
        }
        let is_needed = match names::clone_of(&snapshot.name) {
            Some(clone) => has_clone(context, store, clone).await?,
            None => false,
        };
        if is_needed {
            rest = Rest::Needed;
        } else {
            unprotect_and_remove(image, &snapshot.name).await?;
        }
    }
    Ok(rest)
}

/// Drops what was taken for clones that are gone. Who removed one goes by the names, and the image may have got another
/// name just then.
pub(super) async fn drop_orphaned(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    image: &dyn BlockImage,
) -> Result<()> {
    let Some(children) = children(image).await? else { return Ok(()) };
    for snapshot in image.snapshots().await? {
        let Some(clone) = names::clone_of(&snapshot.name) else { continue };
        let hangs_on_it = children.iter().any(|child| child.snapshot == snapshot.name);
        if !hangs_on_it && !has_clone(context, store, clone).await? {
            unprotect_and_remove(image, &snapshot.name).await?;
        }
    }
    Ok(())
}

/// Whether the clone that a snapshot was taken for is there, though it may not hang on that any more, or is read through.
async fn has_clone(context: &Context, store: &Arc<dyn BlockStore>, clone: &str) -> Result<bool> {
    Ok(is_there(store, clone).await?
        || is_there(store, &names::deleted(clone)).await?
        || is_read_through(&context.stores, clone).await?)
}

/// Whether an image can be opened: a process that dies while it makes one leaves a name that is taken, and nothing behind
/// it.
pub(super) async fn is_there(store: &Arc<dyn BlockStore>, name: &str) -> Result<bool> {
    match store.open(name, OpenMode::ReadOnly).await.or_missing()? {
        Some(image) => image.close().await.map(|()| true),
        None => Ok(false),
    }
}

/// Takes and protects a snapshot, unless an earlier run of the same step did: its name says what for.
pub(super) async fn take_snapshot(store: &Arc<dyn BlockStore>, image: &str, snapshot: &str) -> Result<()> {
    let image = store.open(image, OpenMode::ReadWrite).await?;
    let taken = match take_whole(&*image, snapshot).await {
        // Another process took it away or made it at this very moment: the next try finds it settled.
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Exists) => {
            Err(BlockError { kind: ErrorKind::Busy, ..error })
        }
        other => other,
    };
    image.close().await?;
    taken
}

/// A process that dies while it takes a snapshot can leave half of one, which librbd lists but does not clone from
/// (its object map is missing). Only a protected one is known to be whole.
async fn take_whole(image: &dyn BlockImage, snapshot: &str) -> Result<()> {
    match image.create_snapshot(snapshot).await {
        Err(error) if error.kind == ErrorKind::Exists => {
            if is_protected_soon(image, snapshot).await? {
                return Ok(());
            }
            image.remove_snapshot(snapshot).await?;
            image.create_snapshot(snapshot).await?;
        }
        other => other?,
    }
    image.protect_snapshot(snapshot).await
}

/// Whoever has just taken it in another process is about to protect it. To remove it then would take it away from what is
/// cloned from it a moment later.
async fn is_protected_soon(image: &dyn BlockImage, snapshot: &str) -> Result<bool> {
    let end = Instant::now() + PROTECTED_WITHIN;
    loop {
        let found = image.snapshots().await?.into_iter().find(|found| found.name == snapshot);
        match found {
            Some(found) if !found.protected && Instant::now() < end => sleep(LOOK).await,
            found => return Ok(found.is_some_and(|found| found.protected)),
        }
    }
}

/// For a snapshot that stays after all, so that volumes can be made from it.
pub(super) async fn protect_again(store: &Arc<dyn BlockStore>, image: &str, snapshot: &str) -> Result<()> {
    let Some(image) = store.open(image, OpenMode::ReadWrite).await.or_missing()? else { return Ok(()) };
    let protected = image.protect_snapshot(snapshot).await.or_missing();
    image.close().await?;
    protected.map(drop)
}

/// Removes a snapshot that may be gone already, and its image too.
pub(super) async fn drop_snapshot(store: &Arc<dyn BlockStore>, image: &str, snapshot: &str) -> Result<()> {
    let Some(image) = store.open(image, OpenMode::ReadWrite).await.or_missing()? else { return Ok(()) };
    let dropped = unprotect_and_remove(&*image, snapshot).await;
    image.close().await?;
    dropped.map(drop)
}

/// Answers whether it was there.
async fn unprotect_and_remove(image: &dyn BlockImage, snapshot: &str) -> Result<bool> {
    image.unprotect_snapshot(snapshot).await.or_missing()?;
    Ok(image.remove_snapshot(snapshot).await.or_missing()?.is_some())
}

/// How many clones of clones an image is, counted by clone snapshots, `deepest` at the most.
pub(super) async fn depth(store: &Arc<dyn BlockStore>, image: &str, deepest: i64) -> Result<i64> {
    let mut name = image.to_owned();
    let mut depth = 0;
    while depth < deepest {
        let Some(parent) = parent_of(store, &name).await? else { break };
        // What was taken for another clone does not stay for the sake of this one.
        if parent.path.pool != store.pool() || !names::is_taken_for(&parent.path.snapshot, &name) {
            break;
        }
        depth += 1;
        name = parent.path.image;
    }
    Ok(depth)
}

pub(super) async fn parent_of(store: &Arc<dyn BlockStore>, name: &str) -> Result<Option<Parent>> {
    let Some(image) = store.open(name, OpenMode::ReadOnly).await.or_missing()? else { return Ok(None) };
    let parent = image.parent().await;
    image.close().await?;
    parent
}

/// Cuts an image's tie to its parent, and lets go of that if nothing hangs on the image; answers whether it did. Refused
/// with [`ErrorKind::HasChildren`] where clones hang on it and its parent would not stay for them.
pub(super) async fn flatten(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    name: &str,
    progress: &Progress,
) -> Result<Rest> {
    let image = store.open(name, OpenMode::ReadWrite).await?;
    let flattened = cut(&*image, name, progress).await;
    image.close().await?;
    match flattened? {
        Some((parent, Rest::Gone)) => release(context, store, &parent).await.map(|()| Rest::Gone),
        Some((_, Rest::Needed)) => Ok(Rest::Needed),
        None => Ok(Rest::Gone),
    }
}

/// Answers what it hung on, and whether clones of the image may need that still.
async fn cut(
    image: &dyn BlockImage,
    name: &str,
    progress: &Progress,
) -> Result<Option<(SnapshotPath, Rest)>> {
    let Some(Parent { path: parent, .. }) = image.parent().await? else { return Ok(None) };
    if !names::is_taken_for(&parent.snapshot, name) && has_clones(image).await? {
        let why = format!("its clones read from {} through it", parent.image);
        return Err(BlockError::new(ErrorKind::HasChildren, "flatten", name, why));
    }
    match image.flatten(progress).await {
        // Somebody else was faster.
        Err(_) if image.parent().await?.is_none() => {}
        flattened => flattened?,
    }
    let rest = if has_clones(image).await? { Rest::Needed } else { Rest::Gone };
    Ok(Some((parent, rest)))
}

/// Whether a clone hangs on this snapshot, as far as that may be known.
pub(super) async fn hangs_on(image: &dyn BlockImage, snapshot: &str) -> Result<bool> {
    Ok(children(image).await?.is_none_or(|children| children.iter().any(|child| child.snapshot == snapshot)))
}

async fn has_clones(image: &dyn BlockImage) -> Result<bool> {
    Ok(children(image).await?.is_none_or(|children| !children.is_empty()))
}

/// Removes a snapshot that nothing hangs on, nor is read through; answers whether it did.
pub async fn drop_clone_snapshot(
    stores: &Stores,
    store: &Arc<dyn BlockStore>,
    name: &str,
    snapshot: &str,
) -> Result<bool> {
    let Some(image) = store.open(name, OpenMode::ReadWrite).await.or_missing()? else { return Ok(false) };
    let dropped = drop_childless(stores, &*image, snapshot).await;
    image.close().await?;
    dropped
}

/// Asks for clones itself: with clone format 2 the pool would not refuse.
async fn drop_childless(stores: &Stores, image: &dyn BlockImage, snapshot: &str) -> Result<bool> {
    if hangs_on(image, snapshot).await?
        || is_read_through(stores, names::clone_of(snapshot).unwrap_or_default()).await?
    {
        return Ok(false);
    }
    unprotect_and_remove(image, snapshot).await
}

/// Whether a clone snapshot was taken for an image that has clones of its own, also in the trash.
async fn is_read_through(stores: &Stores, clone: &str) -> Result<bool> {
    let Some(id) = names::uploaded(clone) else { return Ok(false) };
    for (_, store) in stores.all_images() {
        let trash = store.trash_list().await?;
        if trash.iter().any(|entry| names::is_in_trash_as(&entry.name, id.as_str())) {
            return Ok(true);
        }
        let Some(image) = store.open(id.as_str(), OpenMode::ReadOnly).await.or_missing()? else { continue };
        let has_clones = has_clones(&*image).await;
        image.close().await?;
        if has_clones? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes `name` if it was deleted and nothing needs it; answers what it hung on then. In the trash are images, and what
/// an earlier removal broke off with.
async fn remove_if_deleted(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    name: &str,
) -> Result<(Rest, Vec<SnapshotPath>)> {
    // What has another form is not ours, though ours may hang on it: whoever put it there decides.
    if Named::parse(names::live(name)).is_none() {
        return Ok((Rest::Gone, Vec::new()));
    }
    let deleted = names::deleted(names::live(name));
    let progress = Progress::new();
    if let Some(image) = store.open(&deleted, OpenMode::ReadWrite).await.or_missing()? {
        let freed = drop_unneeded(context, store, &*image).await;
        let parent = image.parent().await;
        image.close().await?;
        if freed? == Rest::Needed {
            return Ok((Rest::Needed, Vec::new()));
        }
        return match removed(|| store.remove(&deleted, &progress)).await? {
            Some(()) => Ok((Rest::Gone, parent?.map(|parent| parent.path).into_iter().collect())),
            None => Ok((Rest::Needed, Vec::new())),
        };
    }
    let (mut rest, mut parents) = (Rest::Gone, Vec::new());
    let trash = store.trash_list().await?;
    for entry in trash.iter().filter(|entry| names::live(&entry.name) == names::live(name)) {
        match removed(|| store.trash_remove(&entry.id, &progress)).await? {
            Some(parent) => parents.extend(parent),
            None => rest = Rest::Needed,
        }
    }
    Ok((rest, parents))
}

/// While librbd removes a clone it has the parent open itself for a moment, on behalf of whoever removes another clone:
/// so the last one to go asks more than once. `None`: it is needed.
async fn removed<'a, T: Default>(remove: impl Fn() -> BoxFuture<'a, Result<T>>) -> Result<Option<T>> {
    let mut pauses = [50, 100, 200, 400, 800].map(Duration::from_millis).into_iter();
    loop {
        match remove().await.or_missing() {
            Ok(removed) => return Ok(Some(removed.unwrap_or_default())),
            Err(error) if matches!(error.kind, ErrorKind::HasSnapshots | ErrorKind::HasChildren) => {
                return Ok(None);
            }
            Err(error) if error.kind == ErrorKind::Busy => {
                let Some(pause) = pauses.next() else {
                    tracing::info!(%error, "somebody has it open: it goes when the sweeper comes by");
                    return Ok(None);
                };
                tokio::time::sleep(pause).await;
            }
            Err(error) => return Err(error),
        }
    }
}
