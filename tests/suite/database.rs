//! Rows, statuses and the queue, on both engines.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use pumice::db::{
    ATTACH_STATUS, Attachment, AttachmentFilter, Beat, CachedImage, Claimant, Database, DbError,
    DefaultVolumeType, Direction, Encryption, Heartbeat, Image, ImageChange, JobFilter, JobOutcome, Leftover,
    Message, MessageFilter, Operator, Options, Page, QosSpecs, QosSpecsFilter, Repository, Service,
    ServiceFilter, Share, Snapshot, SnapshotFilter, SortKey, Staged, Transfer, TransferFilter, Volume,
    VolumeChange, VolumeFilter, VolumeMove, VolumeReset, VolumeType,
};
use pumice::jobs::{self, Origin, Task, VolumeSource};
use pumice::model::{
    Access, AttachMode, AttachmentId, AttachmentStatus, Cause, Connection, EncryptionId, Gib, ImageId,
    ImageStatus, JobId, JobState, MessageId, MigrationStatus, ProjectId, QosSpecsId, ReplicationStatus,
    SnapshotId, SnapshotStatus, Timestamp, TransferId, UserId, VolumeId, VolumeStatus, VolumeTypeId, World,
};
use sqlx::types::Json;

use crate::house::DatabaseKind;

macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (database, _keep) = super::DatabaseKind::Sqlite.make().await;
                super::$case(database).await;
            })*
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (database, _keep) = super::DatabaseKind::Postgres.make().await;
                super::$case(database).await;
            })*
        }
    };
}

mod image_records;
mod network;
mod queue;

on_both!(
    what_is_staged_goes_with_its_image,
    rows_come_back_as_they_went,
    lists_filter_sort_and_page,
    a_status_changes_once,
    what_an_administrator_says_is_written,
    the_deletion_of_a_condemned_volume_has_no_way_back,
    lists_find_parts_of_texts,
    a_list_takes_thousands_of_conditions,
    transfers_go_with_their_volume,
    messages_are_listed_and_forgotten,
    old_jobs_are_forgotten_in_portions,
    open_jobs_are_listed_without_those_that_are_over,
    a_brief_list_leaves_out_what_was_asked_for,
    jobs_are_cancelled_with_their_resource_as_by_themselves,
    what_is_not_committed_never_happened,
    snapshots_hold_their_volume,
    attachments_say_what_a_volume_is,
    a_type_has_one_name_and_outlives_its_volumes,
    types_are_granted_and_are_defaults,
    a_type_is_not_used_while_it_changes,
    qos_specs_belong_to_types,
    an_encryption_goes_with_its_type,
    the_cache_of_images_knows_which_was_used_last,
    a_volume_forgets_its_image_for_another,
    jobs_on_one_resource_take_turns,
    a_lost_lease_writes_nothing,
    a_claimant_says_what_it_does_not_want,
    concurrent_claims_share_the_queue,
    services_say_what_they_are_and_keep_what_was_said_of_them,
    a_service_is_changed_by_one_at_a_time,
    a_host_is_counted_project_by_project,
    young_volumes_are_found_by_their_age,
    a_leftover_that_is_noted_anew_is_not_forgotten,
    a_volume_moves_only_as_it_was_seen,
    what_stands_in_for_a_volume_is_not_a_volume,
);

#[tokio::test]
async fn a_database_without_a_free_connection_is_unavailable() {
    for kind in [DatabaseKind::Sqlite, DatabaseKind::Postgres] {
        let (url, _keep) = kind.url().await;
        let options = Options { url, max_connections: 1, timeout: Duration::from_secs(2) };
        let database = Database::open(&options).await.unwrap();
        database.migrate().await.unwrap();
        let held = database.begin().await.unwrap();
        let refused = database.begin().await.err();
        assert!(matches!(refused, Some(DbError::Unavailable(_))), "{kind:?}: {refused:?}");
        held.commit().await.unwrap();
        database.begin().await.unwrap();
    }
}

async fn volume_type(database: &Database) -> VolumeTypeId {
    let mut repository = database.begin().await.unwrap();
    let id = VolumeTypeId::from(uuid::Uuid::from_u128(7));
    let row = VolumeType {
        id: id.clone(),
        name: "fast".into(),
        description: None,
        is_public: true,
        extra_specs: Json(BTreeMap::from([("a".into(), Some("b".into())), ("c".into(), None)])),
        qos_specs_id: None,
        created_at: Timestamp(1),
        updated_at: None,
    };
    repository.ensure_volume_type(&row).await.unwrap();
    // Once more changes nothing.
    repository.ensure_volume_type(&row).await.unwrap();
    assert_eq!(repository.volume_types().await.unwrap().len(), 1);
    repository.commit().await.unwrap();
    id
}

fn volume(number: u128, of_type: &VolumeTypeId) -> Volume {
    Volume {
        id: VolumeId::from(uuid::Uuid::from_u128(number)),
        project_id: ProjectId("p".into()),
        user_id: UserId("u".into()),
        name: None,
        description: None,
        size: Gib::new(1).unwrap(),
        status: VolumeStatus::Available,
        previous_status: None,
        availability_zone: "nova".into(),
        host: None,
        migration_status: None,
        name_id: None,
        replication_status: None,
        volume_type_id: of_type.clone(),
        volume_type_name: String::new(),
        is_attached: false,
        bootable: false,
        multiattach: false,
        snapshot_id: None,
        source_volume_id: None,
        image_id: None,
        metadata: Json(BTreeMap::new()),
        admin_metadata: Json(BTreeMap::new()),
        image_metadata: None,
        created_at: Timestamp(number as i64),
        updated_at: None,
    }
}

async fn add(database: &Database, volumes: &[Volume]) {
    let mut repository = database.begin().await.unwrap();
    for volume in volumes {
        repository.add_volume(volume).await.unwrap();
    }
    repository.commit().await.unwrap();
}

async fn rows_come_back_as_they_went(database: Database) {
    let of_type = volume_type(&database).await;
    let mut row = volume(1, &of_type);
    row.name = Some("naïve \u{1F980} \"quoted\" '; DROP TABLE volumes; --".into());
    row.metadata = Json(BTreeMap::from([("k.e\"y".into(), "välue".into()), ("empty".into(), String::new())]));
    row.image_metadata = Some(Json(BTreeMap::from([("size".into(), "5".into())])));
    row.bootable = true;
    row.size = Gib::MAX;
    add(&database, std::slice::from_ref(&row)).await;
    let found = database.read().await.unwrap().volume(&row.id).await.unwrap().unwrap();
    row.volume_type_name = "fast".into();
    assert_eq!(format!("{found:?}"), format!("{row:?}"));
    let mut repository = database.begin().await.unwrap();
    assert!(matches!(repository.add_volume(&row).await, Err(DbError::Exists)));
}

async fn what_an_administrator_says_is_written(database: Database) {
    let of_type = volume_type(&database).await;
    let row = volume(1, &of_type);
    add(&database, std::slice::from_ref(&row)).await;
    let mut repository = database.begin().await.unwrap();
    let reset = VolumeReset {
        status: Some(VolumeStatus::Retyping),
        migration_status: Some(Some(MigrationStatus::Migrating)),
    };
    repository.reset_volume(&row.id, &reset, Timestamp(2)).await.unwrap();
    let found = repository.volume(&row.id).await.unwrap().unwrap();
    assert_eq!(
        (found.status, found.previous_status),
        (VolumeStatus::Retyping, Some(VolumeStatus::Available))
    );
    assert_eq!((found.is_migrating(), found.updated_at), (true, Some(Timestamp(2))));
    let reset = VolumeReset { status: None, migration_status: Some(None) };
    repository.reset_volume(&row.id, &reset, Timestamp(3)).await.unwrap();
    let found = repository.volume(&row.id).await.unwrap().unwrap();
    assert_eq!((found.status, found.migration_status), (VolumeStatus::Retyping, None));
}

async fn the_deletion_of_a_condemned_volume_has_no_way_back(database: Database) {
    let of_type = volume_type(&database).await;
    let row = volume(1, &of_type);
    add(&database, std::slice::from_ref(&row)).await;
    let mut repository = database.begin().await.unwrap();
    assert!(!repository.condemn_volume(&row.id).await.unwrap());
    let (to, change) = (VolumeStatus::Deleting, VolumeChange::default());
    assert!(repository.change_volume(&row.id, row.status, to, &change, Timestamp(2)).await.unwrap());
    assert!(repository.condemn_volume(&row.id).await.unwrap());
    let found = repository.volume(&row.id).await.unwrap().unwrap();
    assert_eq!((found.status, found.previous_status), (VolumeStatus::Deleting, None));
}

async fn a_list_takes_thousands_of_conditions(database: Database) {
    let of_type = volume_type(&database).await;
    add(&database, &[volume(1, &of_type)]).await;
    let mut repository = database.read().await.unwrap();
    let mut count = async |filter: VolumeFilter| repository.count_volumes(&filter).await.unwrap();
    let mut numbers = vec![("size", Operator::GreaterOrEqual, 0); 3000];
    assert_eq!(count(VolumeFilter { numbers: numbers.clone(), ..VolumeFilter::default() }).await, 1);
    numbers.push(("size", Operator::Less, 0));
    assert_eq!(count(VolumeFilter { numbers, ..VolumeFilter::default() }).await, 0);
    let metadata = (0..3000).map(|number| (format!("key{number}"), "value".to_owned())).collect();
    assert_eq!(count(VolumeFilter { metadata, ..VolumeFilter::default() }).await, 0);
}

async fn lists_find_parts_of_texts(database: Database) {
    let of_type = volume_type(&database).await;
    let mut volumes: Vec<Volume> = (1..=4).map(|number| volume(number, &of_type)).collect();
    volumes[0].name = Some("Web-Server".into());
    volumes[1].name = Some("a\\b".into());
    volumes[2].image_metadata = Some(Json(BTreeMap::from([("os".into(), "linux".into())])));
    for (row, host) in volumes.iter_mut().zip(["one@a#p", "one@b#p", "one_@a#p", "onex@a#p"]) {
        row.host = Some(host.into());
    }
    add(&database, &volumes).await;
    let mut repository = database.read().await.unwrap();
    let mut count = async |filter: VolumeFilter| repository.count_volumes(&filter).await.unwrap();
    for (text, found) in [("web", 1), ("b-s", 1), ("w_b", 1), ("\\", 1), ("\\b", 1), ("x", 0), ("%", 2)] {
        let filter = VolumeFilter { likes: vec![("name", text.into())], ..VolumeFilter::default() };
        assert_eq!(count(filter).await, found, "{text}");
    }
    for (host, found) in [
        ("one", 2),
        ("One", 0),
        ("one@a", 1),
        ("one@A", 0),
        ("one@a#p", 1),
        ("one_", 1),
        ("on%", 0),
        ("one@", 0),
    ] {
        let filter = VolumeFilter { host: Some(host.into()), ..VolumeFilter::default() };
        assert_eq!(count(filter).await, found, "{host}");
    }
    let image_metadata = vec![("os".into(), "linux".into())];
    assert_eq!(count(VolumeFilter { image_metadata, ..VolumeFilter::default() }).await, 1);
    assert_eq!(count(VolumeFilter { nulls: vec!["name"], ..VolumeFilter::default() }).await, 2);
}

async fn transfers_go_with_their_volume(database: Database) {
    let of_type = volume_type(&database).await;
    let row = volume(1, &of_type);
    add(&database, std::slice::from_ref(&row)).await;
    let mut repository = database.begin().await.unwrap();
    let transfers: Vec<Transfer> = (1..=2)
        .map(|number| Transfer {
            id: TransferId::from(uuid::Uuid::from_u128(number)),
            volume_id: row.id.clone(),
            source_project_id: ProjectId("p".into()),
            name: Some(format!("t{number}")),
            salt: "s".into(),
            key_hash: "h".into(),
            no_snapshots: number == 2,
            created_at: Timestamp(number as i64),
        })
        .collect();
    for transfer in &transfers {
        repository.add_transfer(transfer).await.unwrap();
    }
    let of_other = TransferFilter { source_project_id: Some("q".into()), ..TransferFilter::default() };
    assert!(repository.transfers(&of_other, &Page::default()).await.unwrap().is_empty());
    let without = TransferFilter { no_snapshots: Some(true), ..TransferFilter::default() };
    assert_eq!(repository.transfers(&without, &Page::default()).await.unwrap(), transfers[1..]);
    let (project, user) = (ProjectId("q".into()), UserId("v".into()));
    // Not while it does not await one; the offers end either way.
    assert!(!repository.give_volume(&row.id, &project, &user, Timestamp(3)).await.unwrap());
    assert_eq!(repository.transfer(&transfers[0].id).await.unwrap(), None);
    repository.add_transfer(&transfers[0]).await.unwrap();
    let (from, to) = (VolumeStatus::Available, VolumeStatus::AwaitingTransfer);
    assert!(
        repository.change_volume(&row.id, from, to, &VolumeChange::default(), Timestamp(4)).await.unwrap()
    );
    assert!(repository.give_volume(&row.id, &project, &user, Timestamp(5)).await.unwrap());
    let found = repository.volume(&row.id).await.unwrap().unwrap();
    assert_eq!((found.project_id, found.user_id, found.status), (project, user, VolumeStatus::Available));
    repository.add_transfer(&transfers[0]).await.unwrap();
    repository.remove_volume(&row.id).await.unwrap();
    assert_eq!(repository.transfer(&transfers[0].id).await.unwrap(), None);
}

async fn messages_are_listed_and_forgotten(database: Database) {
    let mut repository = database.begin().await.unwrap();
    let messages: Vec<Message> = (1..=3)
        .map(|number| Message {
            id: MessageId::from(uuid::Uuid::from_u128(number)),
            project_id: ProjectId(if number == 3 { "q" } else { "p" }.into()),
            request_id: None,
            resource_type: "VOLUME".into(),
            resource_uuid: Some(number.to_string()),
            event_id: format!("VOLUME_VOLUME_00{number}_001"),
            message_level: "ERROR".into(),
            created_at: Timestamp(number as i64),
        })
        .collect();
    for message in &messages {
        repository.add_message(message).await.unwrap();
    }
    assert_eq!(repository.message(&messages[0].id).await.unwrap().as_ref(), Some(&messages[0]));
    let of_project = MessageFilter { project_id: Some("p".into()), ..MessageFilter::default() };
    let found = repository.messages(&of_project, &Page::default()).await.unwrap();
    assert_eq!(found, [messages[1].clone(), messages[0].clone()]);
    let like = MessageFilter { likes: vec![("event_id", "_002_".into())], ..MessageFilter::default() };
    assert_eq!(repository.messages(&like, &Page::default()).await.unwrap(), messages[1..2]);
    assert_eq!(repository.forget_messages(Timestamp(2), 10).await.unwrap(), 1);
    repository.remove_message(&messages[1].id).await.unwrap();
    let left = repository.messages(&MessageFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(left, messages[2..]);
    for message in &messages[..2] {
        repository.add_message(message).await.unwrap();
    }
    for forgotten in [1, 1, 0] {
        assert_eq!(repository.forget_messages(Timestamp(3), 1).await.unwrap(), forgotten);
    }
}

async fn old_jobs_are_forgotten_in_portions(database: Database) {
    let world = World::real();
    for number in 1..=5 {
        enqueue(&database, &world, Task::DeleteVolume { volume_id: id(number) }).await;
    }
    assert_eq!(claim_all(&database, &world).await.len(), 5);
    let open = enqueue(&database, &world, Task::DeleteVolume { volume_id: id(6) }).await;
    let later = world.now().plus_seconds(1);
    for forgotten in [2, 2, 1, 0] {
        let mut repository = database.begin().await.unwrap();
        assert_eq!(repository.forget_jobs(later, 2).await.unwrap(), forgotten);
        repository.commit().await.unwrap();
    }
    let mut repository = database.read().await.unwrap();
    let left = repository.jobs(&JobFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(left.into_iter().map(|job| job.id).collect::<Vec<_>>(), [open]);
}

async fn open_jobs_are_listed_without_those_that_are_over(database: Database) {
    let world = World::real();
    let over = enqueue(&database, &world, Task::DeleteVolume { volume_id: id(1) }).await;
    assert_eq!(claim_all(&database, &world).await.len(), 1);
    let mut repository = database.begin().await.unwrap();
    let mut open = Vec::new();
    for (number, project) in [(2, "p"), (3, "q"), (4, "p")] {
        let origin = Origin { project_id: Some(ProjectId(project.into())), request_id: None };
        let task = Task::DeleteVolume { volume_id: id(number) };
        open.push(jobs::enqueue(&mut repository, &world, task, &origin).await.unwrap());
    }
    let mut list = async |filter: &JobFilter, marker: Option<&JobId>| -> Vec<JobId> {
        let page = Page { marker: marker.map(ToString::to_string), ..Page::default() };
        let found = repository.jobs(filter, &page).await.unwrap();
        found.into_iter().map(|job| job.id).collect()
    };
    let mut filter =
        JobFilter { state: Some(vec![JobState::Queued, JobState::Running]), ..JobFilter::default() };
    assert_eq!(list(&filter, None).await, [open[2].clone(), open[1].clone(), open[0].clone()]);
    assert_eq!(list(&filter, Some(&open[2])).await, [open[1].clone(), open[0].clone()]);
    assert!(list(&filter, Some(&over)).await.is_empty());
    filter.project_id = Some("p".to_owned());
    assert_eq!(list(&filter, None).await, [open[2].clone(), open[0].clone()]);
    filter.resource_id = Some(id(2).to_string());
    assert_eq!(list(&filter, None).await, [open[0].clone()]);
    let filter = JobFilter { state: Some(vec![JobState::Queued, JobState::Done]), ..JobFilter::default() };
    assert_eq!(list(&filter, None).await.len(), 4);
}

/// Thousands of long ones would be read for a list that shows none of them.
async fn a_brief_list_leaves_out_what_was_asked_for(database: Database) {
    let world = World::real();
    let job = enqueue(&database, &world, Task::DeleteVolume { volume_id: id(1) }).await;
    let mut repository = database.read().await.unwrap();
    let whole = repository.jobs(&JobFilter::default(), &Page::default()).await.unwrap().remove(0);
    let brief = repository.jobs_in_brief(&JobFilter::default(), &Page::default()).await.unwrap().remove(0);
    assert_eq!(whole.payload["delete_volume"]["volume_id"], id(1).to_string());
    assert!(brief.payload.is_null());
    assert_eq!((&brief.id, &brief.kind, brief.run_at), (&job, &whole.kind, whole.run_at));
}

async fn jobs_are_cancelled_with_their_resource_as_by_themselves(database: Database) {
    let world = World::real();
    let mut jobs = Vec::new();
    for number in 1..=3 {
        jobs.push(enqueue(&database, &world, Task::DeleteVolume { volume_id: id(number) }).await);
    }
    let now = world.now();
    let mut repository = database.begin().await.unwrap();
    // It is to be tried again much later; it has come too far; it is being undone.
    repository.requeue_job(&jobs[0], now.plus_seconds(3_600), "", now).await.unwrap();
    assert!(repository.settle_job(&jobs[1]).await.unwrap());
    repository.begin_undo(&jobs[2], Cause::Cancelled, "", "", now).await.unwrap();
    for (number, cancelled) in [(1, 1), (2, 0), (3, 0)] {
        assert_eq!(repository.cancel_jobs(id(number).as_str(), now).await.unwrap(), cancelled, "{number}");
    }
    let row = repository.job(&jobs[0]).await.unwrap().unwrap();
    assert_eq!((row.cancel, row.run_at), (true, now));
    assert!(!repository.job(&jobs[1]).await.unwrap().unwrap().cancel);
}

async fn lists_filter_sort_and_page(database: Database) {
    let of_type = volume_type(&database).await;
    let volumes: Vec<Volume> = (1..=9)
        .map(|number| {
            let mut row = volume(number, &of_type);
            row.name = (number % 3 != 0).then(|| format!("name-{}", number % 3));
            row.size = Gib::new(number as i64).unwrap();
            row.metadata = Json(BTreeMap::from([("parity".into(), (number % 2).to_string())]));
            row.admin_metadata = Json(BTreeMap::from([("readonly".into(), (number == 5).to_string())]));
            row
        })
        .collect();
    add(&database, &volumes).await;
    let mut repository = database.begin().await.unwrap();
    let statuses = [AttachmentStatus::Attached, AttachmentStatus::Attaching, AttachmentStatus::Reserved];
    for (row, status) in volumes.iter().zip(statuses) {
        let number = u128::try_from(row.size.get()).unwrap();
        let attachment = Attachment { status, ..attachment(number, row, "s") };
        repository.add_attachment(&attachment).await.unwrap();
    }
    repository.commit().await.unwrap();
    let mut repository = database.read().await.unwrap();
    for (status, found) in [("attached", 1), ("attaching", 1), ("detached", 7), ("reserved", 0)] {
        let filter = VolumeFilter { texts: vec![(ATTACH_STATUS, status.into())], ..VolumeFilter::default() };
        assert_eq!(repository.count_volumes(&filter).await.unwrap(), found, "{status}");
    }
    for (readonly, parity, found) in [("true", "1", 1), ("true", "0", 0), ("false", "0", 4)] {
        let metadata = vec![("readonly".into(), readonly.into()), ("parity".into(), parity.into())];
        let filter = VolumeFilter { metadata, ..VolumeFilter::default() };
        assert_eq!(repository.count_volumes(&filter).await.unwrap(), found, "{readonly} {parity}");
    }
    let odd = VolumeFilter { metadata: vec![("parity".into(), "1".into())], ..VolumeFilter::default() };
    assert_eq!(repository.count_volumes(&odd).await.unwrap(), 5);
    let large =
        VolumeFilter { numbers: vec![("size", Operator::GreaterOrEqual, 8)], ..VolumeFilter::default() };
    assert_eq!(repository.volumes(&large, &Page::default()).await.unwrap().len(), 2);
    let none = VolumeFilter { id: Some(Vec::new()), ..VolumeFilter::default() };
    assert!(repository.volumes(&none, &Page::default()).await.unwrap().is_empty());
    // Every order gives every row exactly once, page by page, also past rows without a name.
    for column in ["name", "size", "created_at", "id", "description", "replication_status", ATTACH_STATUS] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let sort = vec![SortKey { column, direction }];
            let all = Page { sort: sort.clone(), ..Page::default() };
            let whole = repository.volumes(&VolumeFilter::default(), &all).await.unwrap();
            assert_eq!(whole.len(), 9);
            let mut paged: Vec<Volume> = Vec::new();
            loop {
                let marker = paged.last().map(|last| last.id.to_string());
                let page = Page { sort: sort.clone(), marker, limit: Some(2), offset: 0 };
                let more = repository.volumes(&VolumeFilter::default(), &page).await.unwrap();
                if more.is_empty() {
                    break;
                }
                paged.extend(more);
            }
            let ids = |rows: &[Volume]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
            assert_eq!(ids(&paged), ids(&whole), "{column} {direction:?}");
        }
    }
}

async fn a_status_changes_once(database: Database) {
    let of_type = volume_type(&database).await;
    let row = volume(1, &of_type);
    add(&database, std::slice::from_ref(&row)).await;
    let racers = (0..8).map(|_| async {
        let mut repository = database.begin().await.unwrap();
        let (from, to) = (VolumeStatus::Available, VolumeStatus::Deleting);
        let change = VolumeChange::default();
        let won = repository.change_volume(&row.id, from, to, &change, Timestamp(5)).await.unwrap();
        repository.commit().await.unwrap();
        won
    });
    let wins = futures::future::join_all(racers).await.into_iter().filter(|won| *won).count();
    assert_eq!(wins, 1);
    let mut repository = database.begin().await.unwrap();
    let found = repository.volume(&row.id).await.unwrap().unwrap();
    assert_eq!(
        (found.status, found.previous_status),
        (VolumeStatus::Deleting, Some(VolumeStatus::Available))
    );
    let illegal = repository
        .change_volume(
            &row.id,
            VolumeStatus::Deleting,
            VolumeStatus::Extending,
            &VolumeChange::default(),
            Timestamp(6),
        )
        .await;
    assert!(matches!(illegal, Err(DbError::Transition { .. })));
}

async fn what_is_not_committed_never_happened(database: Database) {
    let of_type = volume_type(&database).await;
    let mut repository = database.begin().await.unwrap();
    repository.add_volume(&volume(1, &of_type)).await.unwrap();
    drop(repository);
    add(&database, &[volume(2, &of_type)]).await;
    let mut repository = database.read().await.unwrap();
    assert_eq!(repository.count_volumes(&VolumeFilter::default()).await.unwrap(), 1);
}

/// Another attachment of the volume, reserved for that server.
fn attachment(number: u128, of: &Volume, server: &str) -> Attachment {
    Attachment {
        id: AttachmentId::from(uuid::Uuid::from_u128(number)),
        volume_id: of.id.clone(),
        instance_id: Some(server.into()),
        status: AttachmentStatus::Reserved,
        host: None,
        mountpoint: None,
        mode: None,
        access: None,
        attached_at: None,
        created_at: Timestamp(number as i64),
    }
}

async fn attachments_say_what_a_volume_is(database: Database) {
    let of_type = volume_type(&database).await;
    let (row, mut other) = (volume(1, &of_type), volume(2, &of_type));
    other.project_id = ProjectId("q".into());
    add(&database, &[row.clone(), other.clone()]).await;
    let (mut first, second) = (attachment(11, &row, "s"), attachment(12, &other, "t"));
    let mut repository = database.begin().await.unwrap();
    let homeless = attachment(13, &volume(99, &of_type), "s");
    assert!(matches!(repository.add_attachment(&homeless).await, Err(DbError::Reference)));
    drop(repository);

    let mut repository = database.begin().await.unwrap();
    for added in [&first, &second] {
        repository.add_attachment(added).await.unwrap();
        repository.follow_attachments(&added.volume_id, Timestamp(5)).await.unwrap();
    }
    assert_eq!(repository.volume(&row.id).await.unwrap().unwrap().status, VolumeStatus::Reserved);
    first.status = AttachmentStatus::Attached;
    first.host = Some("h".into());
    first.mountpoint = Some("/dev/vdb".into());
    first.mode = Some(AttachMode::Ro);
    first.attached_at = Some(Timestamp(6));
    first.access = Some(Json(access()));
    assert!(repository.update_attachment(&first).await.unwrap());
    assert_eq!(repository.attachment(&first.id).await.unwrap().as_ref(), Some(&first));
    repository.follow_attachments(&row.id, Timestamp(7)).await.unwrap();
    let used = repository.volume(&row.id).await.unwrap().unwrap();
    assert_eq!((used.status, used.is_attached), (VolumeStatus::InUse, true));
    assert!(!repository.volume(&other.id).await.unwrap().unwrap().is_attached);
    assert_eq!(repository.attached_to(&[&row.id, &other.id]).await.unwrap(), [first.clone()]);
    assert_eq!(repository.attached_to(&[]).await.unwrap(), []);

    let found = async |repository: &mut Repository, filter: AttachmentFilter| -> Vec<AttachmentId> {
        let found = repository.attachments(&filter, &Page::default()).await.unwrap();
        found.into_iter().map(|attachment| attachment.id).collect()
    };
    let some = AttachmentFilter::default;
    for (filter, expected) in [
        (some(), vec![&second, &first]),
        (AttachmentFilter { project_id: Some("q".into()), ..some() }, vec![&second]),
        (AttachmentFilter { instance_id: Some("s".into()), ..some() }, vec![&first]),
        (AttachmentFilter { status: Some(vec!["reserved".into()]), ..some() }, vec![&second]),
        (AttachmentFilter { volume_id: Some(vec![row.id.to_string()]), ..some() }, vec![&first]),
        (AttachmentFilter { id: Some(Vec::new()), ..some() }, vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|attachment| attachment.id.clone()).collect();
        assert_eq!(found(&mut repository, filter.clone()).await, expected, "{filter:?}");
    }

    // What a job works on keeps its status.
    let change = VolumeChange::default();
    let (from, to) = (VolumeStatus::InUse, VolumeStatus::Extending);
    assert!(repository.change_volume(&row.id, from, to, &change, Timestamp(8)).await.unwrap());
    assert!(repository.remove_attachment(&first.id).await.unwrap());
    assert!(!repository.remove_attachment(&first.id).await.unwrap());
    repository.follow_attachments(&row.id, Timestamp(9)).await.unwrap();
    assert_eq!(repository.volume(&row.id).await.unwrap().unwrap().status, to);
    assert_eq!(repository.status_by_attachments(&row.id).await.unwrap(), VolumeStatus::Available);

    // They go with their volume.
    assert!(repository.remove_volume(&other.id).await.unwrap());
    assert_eq!(repository.attachment(&second.id).await.unwrap(), None);
    repository.commit().await.unwrap();
}

fn access() -> Access {
    let qos = BTreeMap::from([("total_iops_sec".to_owned(), serde_json::json!(500))]);
    Access {
        connection: Connection {
            name: "volumes/volume-x".into(),
            hosts: vec!["10.0.0.1".into(), "fd00::1".into()],
            ports: vec!["6789".into(), "6789".into()],
            cluster_name: "ceph".into(),
            auth_enabled: false,
            auth_username: None,
            secret_type: "ceph".into(),
            secret_uuid: "s".into(),
            volume_id: "x".into(),
            discard: true,
            qos_specs: Some(qos),
            access_mode: AttachMode::Ro,
            encrypted: false,
            cacheable: true,
        },
        enforce_multipath: true,
    }
}

async fn snapshots_hold_their_volume(database: Database) {
    let of_type = volume_type(&database).await;
    let row = volume(1, &of_type);
    add(&database, std::slice::from_ref(&row)).await;
    let mut snapshot = Snapshot {
        id: SnapshotId::from(uuid::Uuid::from_u128(3)),
        volume_id: VolumeId::from(uuid::Uuid::from_u128(99)),
        project_id: row.project_id.clone(),
        user_id: row.user_id.clone(),
        name: None,
        description: None,
        size: row.size,
        status: SnapshotStatus::Available,
        previous_status: None,
        progress: None,
        metadata: Json(BTreeMap::new()),
        created_at: Timestamp(1),
        updated_at: None,
    };
    let mut repository = database.begin().await.unwrap();
    assert!(matches!(repository.add_snapshot(&snapshot).await, Err(DbError::Reference)));
    drop(repository);
    snapshot.volume_id = row.id.clone();
    let mut repository = database.begin().await.unwrap();
    repository.add_snapshot(&snapshot).await.unwrap();
    repository.commit().await.unwrap();
    let mut repository = database.begin().await.unwrap();
    assert!(matches!(repository.remove_volume(&row.id).await, Err(DbError::Reference)));
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    assert!(repository.remove_snapshot(&snapshot.id).await.unwrap());
    assert!(!repository.remove_snapshot(&snapshot.id).await.unwrap());
    assert!(repository.remove_volume(&row.id).await.unwrap());
    assert_eq!(repository.count_snapshots(&SnapshotFilter::default()).await.unwrap(), 0);
    repository.commit().await.unwrap();
}

async fn a_type_has_one_name_and_outlives_its_volumes(database: Database) {
    let of_type = volume_type(&database).await;
    let row = volume(1, &of_type);
    add(&database, std::slice::from_ref(&row)).await;
    let mut repository = database.begin().await.unwrap();
    let mut fast = repository.volume_type_to_change(&of_type).await.unwrap().unwrap();
    assert!(repository.volume_type_is_in_use(&of_type).await.unwrap());
    let slow = VolumeType {
        id: VolumeTypeId::from(uuid::Uuid::from_u128(8)),
        name: "slow".into(),
        updated_at: Some(Timestamp(2)),
        ..fast.clone()
    };
    repository.add_volume_type(&slow).await.unwrap();
    assert_eq!(repository.volume_type("slow").await.unwrap().as_ref(), Some(&slow));
    assert_eq!(repository.volume_type_to_use(slow.id.as_str()).await.unwrap(), Some(slow.clone()));
    assert!(matches!(repository.add_volume_type(&slow).await, Err(DbError::Exists)));
    assert!(!repository.volume_type_is_in_use(&slow.id).await.unwrap());
    fast.description = Some("changed".into());
    fast.is_public = false;
    fast.extra_specs.insert("b".into(), Some("2".into()));
    fast.updated_at = Some(Timestamp(3));
    assert!(repository.update_volume_type(&fast).await.unwrap());
    assert_eq!(repository.volume_type(of_type.as_str()).await.unwrap().as_ref(), Some(&fast));
    repository.commit().await.unwrap();

    let mut repository = database.begin().await.unwrap();
    fast.name = "slow".into();
    assert!(matches!(repository.update_volume_type(&fast).await, Err(DbError::Exists)));
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    assert!(matches!(repository.remove_volume_type(&of_type).await, Err(DbError::Reference)));
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    assert!(repository.remove_volume(&row.id).await.unwrap());
    assert!(repository.remove_volume_type(&of_type).await.unwrap());
    assert!(!repository.remove_volume_type(&of_type).await.unwrap());
    repository.commit().await.unwrap();
}

async fn types_are_granted_and_are_defaults(database: Database) {
    let of_type = volume_type(&database).await;
    let (ours, theirs) = (ProjectId("ours".into()), ProjectId("theirs".into()));
    let mut repository = database.begin().await.unwrap();
    // In this order, which is not that of their names.
    repository.grant_volume_type(&of_type, &theirs, Timestamp(1)).await.unwrap();
    repository.grant_volume_type(&of_type, &ours, Timestamp(2)).await.unwrap();
    assert_eq!(repository.volume_type_projects(&of_type).await.unwrap(), [theirs.clone(), ours.clone()]);
    assert!(repository.volume_type_is_granted(&of_type, &ours).await.unwrap());
    assert_eq!(repository.granted_volume_types(&ours).await.unwrap(), [of_type.clone()].into());
    assert!(repository.revoke_volume_type(&of_type, &ours).await.unwrap());
    assert!(!repository.revoke_volume_type(&of_type, &ours).await.unwrap());
    assert!(!repository.volume_type_is_granted(&of_type, &ours).await.unwrap());
    assert!(repository.granted_volume_types(&ours).await.unwrap().is_empty());
    repository.commit().await.unwrap();
    let mut repository = database.begin().await.unwrap();
    let again = repository.grant_volume_type(&of_type, &theirs, Timestamp(3)).await;
    assert!(matches!(again, Err(DbError::Exists)));
    drop(repository);

    let default = DefaultVolumeType { project_id: ours.clone(), volume_type_id: of_type.clone() };
    let mut repository = database.begin().await.unwrap();
    for _ in 0..2 {
        repository.set_default_volume_type(&default).await.unwrap();
        assert_eq!(repository.default_volume_types().await.unwrap(), std::slice::from_ref(&default));
    }
    assert_eq!(repository.default_volume_type(&ours).await.unwrap(), Some(of_type.clone()));
    assert_eq!(repository.default_volume_type(&theirs).await.unwrap(), None);
    assert!(repository.volume_type_is_a_default(&of_type).await.unwrap());
    repository.commit().await.unwrap();
    let mut repository = database.begin().await.unwrap();
    assert!(matches!(repository.remove_volume_type(&of_type).await, Err(DbError::Reference)));
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    repository.unset_default_volume_type(&ours).await.unwrap();
    assert!(!repository.volume_type_is_a_default(&of_type).await.unwrap());
    // Who might use it does not keep it.
    assert!(repository.remove_volume_type(&of_type).await.unwrap());
    assert!(repository.granted_volume_types(&theirs).await.unwrap().is_empty());
    repository.commit().await.unwrap();
}

async fn a_type_is_not_used_while_it_changes(database: Database) {
    let of_type = volume_type(&database).await;
    let mut changing = database.begin().await.unwrap();
    let mut row = changing.volume_type_to_change(&of_type).await.unwrap().unwrap();
    assert!(!changing.volume_type_is_in_use(&of_type).await.unwrap());
    let using = tokio::spawn({
        let (database, of_type) = (database.clone(), of_type.clone());
        async move {
            let mut repository = database.begin().await.unwrap();
            let read = repository.volume_type_to_use(of_type.as_str()).await.unwrap().unwrap();
            repository.add_volume(&volume(1, &of_type)).await.unwrap();
            repository.commit().await.unwrap();
            read
        }
    });
    row.extra_specs.insert("multiattach".into(), Some("<is> True".into()));
    assert!(changing.update_volume_type(&row).await.unwrap());
    changing.commit().await.unwrap();
    // Whichever came first: what was read to be used is what the type says.
    assert_eq!(using.await.unwrap().extra_specs, row.extra_specs);
}

async fn qos_specs_belong_to_types(database: Database) {
    let of_type = volume_type(&database).await;
    let specs = |number: u128, name: &str, consumer: &str| QosSpecs {
        id: QosSpecsId::from(uuid::Uuid::from_u128(number)),
        name: name.into(),
        consumer: consumer.into(),
        specs: Json(BTreeMap::from([("total_iops_sec".into(), Some("5".into())), ("none".into(), None)])),
        created_at: Timestamp(number as i64),
        updated_at: None,
    };
    let (mut first, second) = (specs(1, "first", "both"), specs(2, "second", "back-end"));
    let mut repository = database.begin().await.unwrap();
    repository.add_qos_specs(&first).await.unwrap();
    repository.add_qos_specs(&second).await.unwrap();
    first.consumer = "front-end".into();
    first.specs.remove("none");
    first.updated_at = Some(Timestamp(5));
    assert!(repository.update_qos_specs(&first).await.unwrap());
    assert_eq!(repository.qos_specs_to_change(&first.id).await.unwrap().as_ref(), Some(&first));
    let all = repository.all_qos_specs(&QosSpecsFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(all, [second.clone(), first.clone()]);
    let back_end = QosSpecsFilter { consumer: Some("back-end".into()), ..QosSpecsFilter::default() };
    let found = repository.all_qos_specs(&back_end, &Page::default()).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&second));
    let mut row = repository.volume_type_to_change(&of_type).await.unwrap().unwrap();
    row.qos_specs_id = Some(first.id.clone());
    assert!(repository.update_volume_type(&row).await.unwrap());
    assert_eq!(repository.volume_types_of_qos_specs(&first.id).await.unwrap(), [row.clone()]);
    repository.commit().await.unwrap();

    let mut repository = database.begin().await.unwrap();
    assert!(matches!(repository.add_qos_specs(&specs(3, "first", "both")).await, Err(DbError::Exists)));
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    assert!(matches!(repository.remove_qos_specs(&first.id).await, Err(DbError::Reference)));
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    // Others' are no matter.
    repository.disassociate_qos_specs(&second.id, None, Timestamp(6)).await.unwrap();
    repository.disassociate_qos_specs(&second.id, Some(&of_type), Timestamp(6)).await.unwrap();
    assert_eq!(repository.volume_types_of_qos_specs(&first.id).await.unwrap().len(), 1);
    repository.disassociate_qos_specs(&first.id, Some(&of_type), Timestamp(7)).await.unwrap();
    let row = repository.volume_type(of_type.as_str()).await.unwrap().unwrap();
    assert_eq!((row.qos_specs_id, row.updated_at), (None, Some(Timestamp(7))));
    assert!(repository.remove_qos_specs(&first.id).await.unwrap());
    assert!(!repository.remove_qos_specs(&first.id).await.unwrap());
    repository.commit().await.unwrap();
}

async fn an_encryption_goes_with_its_type(database: Database) {
    let of_type = volume_type(&database).await;
    let mut encryption = Encryption {
        volume_type_id: of_type.clone(),
        id: EncryptionId::from(uuid::Uuid::from_u128(1)),
        provider: "luks".into(),
        control_location: "front-end".into(),
        cipher: Some("aes-xts-plain64".into()),
        key_size: Some(256),
        created_at: Timestamp(1),
        updated_at: None,
    };
    let mut repository = database.begin().await.unwrap();
    assert_eq!(repository.encryption(&of_type).await.unwrap(), None);
    assert!(!repository.update_encryption(&encryption).await.unwrap());
    repository.add_encryption(&encryption).await.unwrap();
    encryption.key_size = None;
    encryption.updated_at = Some(Timestamp(2));
    assert!(repository.update_encryption(&encryption).await.unwrap());
    assert_eq!(repository.encryption(&of_type).await.unwrap().as_ref(), Some(&encryption));
    repository.commit().await.unwrap();
    let mut repository = database.begin().await.unwrap();
    assert!(matches!(repository.add_encryption(&encryption).await, Err(DbError::Exists)));
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    assert!(repository.remove_encryption(&of_type).await.unwrap());
    assert!(!repository.remove_encryption(&of_type).await.unwrap());
    repository.add_encryption(&encryption).await.unwrap();
    assert!(repository.remove_volume_type(&of_type).await.unwrap());
    assert_eq!(repository.encryption(&of_type).await.unwrap(), None);
    repository.commit().await.unwrap();
}

async fn what_is_staged_goes_with_its_image(database: Database) {
    let (id, now) = (ImageId::from(uuid::Uuid::from_u128(7)), Timestamp(1));
    let project = "p";
    let image = Image {
        id: id.clone(),
        project_id: Some(ProjectId(project.into())),
        name: None,
        status: ImageStatus::Queued,
        previous_status: None,
        visibility: "shared".into(),
        protected: false,
        os_hidden: false,
        container_format: None,
        disk_format: None,
        size: None,
        virtual_size: None,
        checksum: None,
        os_hash_algo: None,
        os_hash_value: None,
        min_disk: 0,
        min_ram: 0,
        properties: Json(BTreeMap::new()),
        tags: Json(BTreeMap::new()),
        created_at: now,
        updated_at: now,
        locations: Vec::new(),
    };
    let facts = ImageChange { size: Some(5), checksum: Some("c".into()), ..ImageChange::default() };
    let staged = Staged::new(&id, "first".into(), facts.clone());
    let mut repository = database.begin().await.unwrap();
    repository.add_image(&image).await.unwrap();
    let (from, to) = (ImageStatus::Queued, ImageStatus::Uploading);
    assert!(repository.change_image(&id, from, to, &ImageChange::default(), now).await.unwrap());
    assert_eq!(repository.staged(&id).await.unwrap(), None);
    repository.set_staged(&staged).await.unwrap();
    assert_eq!(repository.staged(&id).await.unwrap(), Some(staged));
    let unpacked = Staged { name: "second".into(), size: 7, ..Staged::new(&id, String::new(), facts) };
    repository.set_staged(&unpacked).await.unwrap();
    assert_eq!(repository.staged(&id).await.unwrap(), Some(unpacked));
    assert_eq!(repository.image(&id).await.unwrap().unwrap().size, Some(7));
    let used = repository.image_use(project).await.unwrap();
    assert_eq!((used.count, used.bytes, used.staged_bytes, used.uploading), (1, 0, 7, 1));
    repository.remove_image(&id).await.unwrap();
    assert_eq!(repository.staged(&id).await.unwrap(), None);
    repository.commit().await.unwrap();
}

fn id(number: u128) -> VolumeId {
    VolumeId::from(uuid::Uuid::from_u128(number))
}

/// Somebody who can do everything and is at nothing.
fn claimant(owner: &str, lease_until: Timestamp) -> Claimant<'_> {
    static NOTHING: LazyLock<HashSet<JobId>> = LazyLock::new(HashSet::new);
    Claimant { owner, lease_until, kept: &NOTHING, kinds: Task::KINDS }
}

async fn enqueue(database: &Database, world: &World, task: Task) -> JobId {
    let mut repository = database.begin().await.unwrap();
    let job = jobs::enqueue(&mut repository, world, task, &Origin::default()).await.unwrap();
    repository.commit().await.unwrap();
    job
}

fn share(in_all: i64) -> Share {
    Share { of_place: 1_000, of_project: 1_000, in_all }
}

/// Claims all that may run, and ends them.
async fn claim_all(database: &Database, world: &World) -> Vec<String> {
    let mut repository = database.begin().await.unwrap();
    let jobs = repository
        .claim_jobs(claimant("me", world.now().plus_seconds(60)), share(10), world.now())
        .await
        .unwrap();
    for job in &jobs {
        repository.hold_job(&job.id, job.fence, world.now()).await.unwrap();
        repository.finish_job(&job.id, &JobOutcome::Done, None, world.now()).await.unwrap();
    }
    repository.commit().await.unwrap();
    jobs.into_iter().map(|job| job.kind).collect()
}

async fn jobs_on_one_resource_take_turns(database: Database) {
    let world = World::real();
    let source = VolumeSource::Volume { volume_id: id(1) };
    enqueue(&database, &world, Task::ExtendVolume { volume_id: id(1), new_size: Gib::new(2).unwrap() }).await;
    // Both read from the volume that is being extended, and neither waits for the other.
    let clone = |number| Task::CreateVolume { volume_id: id(number), source: source.clone() };
    enqueue(&database, &world, clone(2)).await;
    enqueue(&database, &world, clone(3)).await;
    // Waits for its clones.
    enqueue(&database, &world, Task::DeleteVolume { volume_id: id(1) }).await;
    // Waits for the one it deletes.
    enqueue(&database, &world, Task::DeleteVolume { volume_id: id(2) }).await;
    assert_eq!(claim_all(&database, &world).await, ["extend_volume"]);
    assert_eq!(claim_all(&database, &world).await, ["create_volume", "create_volume"]);
    assert_eq!(claim_all(&database, &world).await, ["delete_volume", "delete_volume"]);
    assert!(claim_all(&database, &world).await.is_empty());
}

async fn a_lost_lease_writes_nothing(database: Database) {
    let world = World::real();
    let job = enqueue(&database, &world, Task::DeleteVolume { volume_id: id(1) }).await;
    let claim = async |owner: &str, until| {
        let mut repository = database.begin().await.unwrap();
        let claimed = repository.claim_jobs(claimant(owner, until), share(10), world.now()).await.unwrap();
        repository.commit().await.unwrap();
        claimed
    };
    let first = claim("first", world.now().plus_seconds(-1)).await.remove(0);
    assert!(first.attempts == 1 && first.state == JobState::Running);
    // Its lease is over at once: somebody else has the job now.
    let second = claim("second", world.now().plus_seconds(60)).await.remove(0);
    assert_eq!((second.attempts, second.fence), (2, first.fence + 1));
    assert!(claim("third", world.now().plus_seconds(60)).await.is_empty());
    let mut repository = database.begin().await.unwrap();
    assert!(matches!(repository.hold_job(&job, first.fence, world.now()).await, Err(DbError::LeaseLost)));
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    let mut beat = Heartbeat {
        id: job.clone(),
        fence: first.fence,
        step: Some("remove".into()),
        bytes_done: 1,
        bytes_total: 2,
        lease_until: world.now().plus_seconds(60),
    };
    assert_eq!(repository.beat(&beat, world.now()).await.unwrap(), Beat::Lost);
    beat.fence = second.fence;
    assert_eq!(repository.beat(&beat, world.now()).await.unwrap(), Beat::Kept { is_to_stop: false });
    repository.cancel_jobs(id(1).as_str(), world.now()).await.unwrap();
    assert_eq!(repository.beat(&beat, world.now()).await.unwrap(), Beat::Kept { is_to_stop: true });
    assert_eq!(repository.jobs_to_cancel("second").await.unwrap(), std::slice::from_ref(&job));
    repository.hold_job(&job, second.fence, world.now()).await.unwrap();
    repository.begin_undo(&job, Cause::Cancelled, "It was cancelled.", "", world.now()).await.unwrap();
    repository.finish_job(&job, &JobOutcome::Cancelled, None, world.now()).await.unwrap();
    repository.commit().await.unwrap();
    let row = database.read().await.unwrap().job(&job).await.unwrap().unwrap();
    assert_eq!((row.state, row.cause), (JobState::Cancelled, Some(Cause::Cancelled)));
}

/// Somebody who died with it in his hand has it for half a minute: the leases of all others must be kept meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_holds_keeps_no_heartbeat_waiting() {
    let (database, _keep) = DatabaseKind::Postgres.make().await;
    let world = World::real();
    let jobs = [
        enqueue(&database, &world, Task::DeleteVolume { volume_id: id(1) }).await,
        enqueue(&database, &world, Task::DeleteVolume { volume_id: id(2) }).await,
    ];
    let until = world.now().plus_seconds(60);
    let mut repository = database.begin().await.unwrap();
    let claimed = repository.claim_jobs(claimant("me", until), share(10), world.now()).await.unwrap();
    repository.commit().await.unwrap();
    let mut holder = database.begin().await.unwrap();
    holder.hold_jobs(id(1).as_str()).await.unwrap();
    let mut repository = database.begin().await.unwrap();
    for (job, expected) in jobs.iter().zip([Beat::Held, Beat::Kept { is_to_stop: false }]) {
        let fence = claimed.iter().find(|claimed| claimed.id == *job).unwrap().fence;
        let beat = Heartbeat {
            id: job.clone(),
            fence,
            step: None,
            bytes_done: 0,
            bytes_total: 0,
            lease_until: until,
        };
        assert_eq!(repository.beat(&beat, world.now()).await.unwrap(), expected);
    }
}

/// Nothing that it is at, and nothing that it knows nothing of.
async fn a_claimant_says_what_it_does_not_want(database: Database) {
    let world = World::real();
    let job = enqueue(&database, &world, Task::DeleteVolume { volume_id: id(1) }).await;
    let claim = async |claimant: Claimant| {
        let mut repository = database.begin().await.unwrap();
        let jobs = repository.claim_jobs(claimant, share(10), world.now()).await.unwrap();
        repository.commit().await.unwrap();
        jobs.len()
    };
    let over = world.now().plus_seconds(-1);
    let me = claimant("me", over);
    let kept = HashSet::from([job]);
    assert_eq!(claim(Claimant { kinds: &["create_volume"], ..me }).await, 0);
    // It is claimed at all, then it is kept, and then given back.
    assert_eq!(claim(me).await, 1);
    assert_eq!(claim(Claimant { kept: &kept, ..me }).await, 0);
    assert_eq!(claim(me).await, 1);
}

async fn concurrent_claims_share_the_queue(database: Database) {
    let world = World::real();
    for number in 1..=40 {
        enqueue(&database, &world, Task::DeleteVolume { volume_id: id(number) }).await;
    }
    let claimants = (0..4).map(|number| {
        let (database, world) = (&database, &world);
        async move {
            let mut mine = Vec::new();
            for _ in 0..20 {
                let mut repository = database.begin().await.unwrap();
                let until = world.now().plus_seconds(60);
                let jobs = repository
                    .claim_jobs(claimant(&format!("w{number}"), until), share(3), world.now())
                    .await
                    .unwrap();
                repository.commit().await.unwrap();
                mine.extend(jobs.into_iter().map(|job| job.id));
            }
            mine
        }
    });
    let mut all: Vec<JobId> = futures::future::join_all(claimants).await.into_iter().flatten().collect();
    all.sort();
    let claimed = all.len();
    all.dedup();
    assert_eq!((all.len(), claimed), (40, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused() {
    for kind in [DatabaseKind::Sqlite, DatabaseKind::Postgres] {
        let (url, _keep) = kind.url().await;
        let options = Options { url: url.clone(), max_connections: 2, timeout: Duration::from_secs(60) };
        let database = Database::open(&options).await.unwrap();
        database.migrate().await.unwrap();
        // Again is nothing to do.
        database.migrate().await.unwrap();
        database.close().await;
        let newer = "UPDATE _sqlx_migrations SET version = version + 9000";
        match kind {
            DatabaseKind::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
                sqlx::query(newer).execute(&pool).await.unwrap();
                pool.close().await;
            }
            DatabaseKind::Postgres => {
                let pool = sqlx::PgPool::connect(&url).await.unwrap();
                sqlx::query(newer).execute(&pool).await.unwrap();
                pool.close().await;
            }
        }
        let database = Database::open(&options).await.unwrap();
        assert!(matches!(database.migrate().await, Err(DbError::Newer)), "{kind:?}");
    }
}

async fn the_cache_of_images_knows_which_was_used_last(database: Database) {
    let image = |number: u128| ImageId::from(uuid::Uuid::from_u128(number));
    let cached = |number: u128| CachedImage {
        name: format!("cache-{number}"),
        image_id: image(number % 2),
        backend: "rbd".to_owned(),
        size: Gib::new(3).unwrap(),
        used_at: Timestamp(number as i64),
    };
    let mut repository = database.begin().await.unwrap();
    for number in [2, 1, 3] {
        repository.add_cached_image(&cached(number)).await.unwrap();
    }
    // Once more changes nothing.
    repository.add_cached_image(&CachedImage { used_at: Timestamp(9), ..cached(1) }).await.unwrap();
    assert_eq!(repository.cached_images().await.unwrap(), [cached(1), cached(2), cached(3)]);
    assert_eq!(repository.cached_images_of(&image(1)).await.unwrap(), [cached(1), cached(3)]);
    repository.use_cached_image("cache-1", Timestamp(10)).await.unwrap();
    repository.remove_cached_image("cache-2").await.unwrap();
    let used = CachedImage { used_at: Timestamp(10), ..cached(1) };
    assert_eq!(repository.cached_images().await.unwrap(), [cached(3), used]);
    assert!(repository.cached_images_of(&image(0)).await.unwrap().is_empty());
    repository.commit().await.unwrap();
}

async fn a_volume_forgets_its_image_for_another(database: Database) {
    let of_type = volume_type(&database).await;
    let first = volume(1, &of_type);
    add(&database, std::slice::from_ref(&first)).await;
    let mut repository = database.begin().await.unwrap();
    let metadata = Json(BTreeMap::from([("image_id".to_owned(), "i".to_owned())]));
    repository.set_image_metadata(&first.id, Some(&metadata)).await.unwrap();
    let row = repository.volume(&first.id).await.unwrap().unwrap();
    assert_eq!(row.image_metadata, Some(metadata));
    repository.set_image_metadata(&first.id, None).await.unwrap();
    assert_eq!(repository.volume(&first.id).await.unwrap().unwrap().image_metadata, None);
    repository.commit().await.unwrap();
}

async fn services_say_what_they_are_and_keep_what_was_said_of_them(database: Database) {
    let mut repository = database.begin().await.unwrap();
    for host in ["pumice@b", "pumice@a", "pumice"] {
        let binary = if host.contains('@') { Service::VOLUME } else { Service::SCHEDULER };
        repository.see_service(&Service::seen(host, binary, "nova", Timestamp(1))).await.unwrap();
    }
    let mut service = repository.service("pumice@a", Service::VOLUME).await.unwrap().unwrap();
    assert_eq!((service.id, service.seen_at), (2, Timestamp(1)));
    service.disabled = true;
    service.disabled_reason = Some("why".into());
    service.updated_at = Some(Timestamp(2));
    assert!(repository.update_service(&service).await.unwrap());
    let seen = Service {
        free_bytes: Some(5),
        mirrors: true,
        ..Service::seen("pumice@a", Service::VOLUME, "moon", Timestamp(3))
    };
    repository.see_service(&seen).await.unwrap();
    let expected =
        Service { zone: "moon".into(), free_bytes: Some(5), mirrors: true, seen_at: Timestamp(3), ..service };
    assert_eq!(repository.service("pumice@a", Service::VOLUME).await.unwrap(), Some(expected));
    assert_eq!(repository.service("pumice@a", Service::SCHEDULER).await.unwrap(), None);
    let mut hosts = async |filter: ServiceFilter| -> Vec<String> {
        let found = repository.services(&filter).await.unwrap();
        found.into_iter().map(|service| service.host).collect()
    };
    assert_eq!(hosts(ServiceFilter::default()).await, ["pumice", "pumice@a", "pumice@b"]);
    let of_host = ServiceFilter { host: Some("pumice".into()), ..ServiceFilter::default() };
    assert_eq!(hosts(of_host).await.len(), 3);
    let enabled = ServiceFilter { disabled: Some(false), ..ServiceFilter::default() };
    assert_eq!(hosts(enabled).await, ["pumice", "pumice@b"]);
}

async fn change_service(database: &Database, change: fn(&mut Service)) {
    let mut repository = database.begin().await.unwrap();
    let found = repository.service_to_change("pumice@a", Service::VOLUME).await.unwrap();
    let mut service = found.unwrap();
    // The other one looks for it too by then.
    tokio::time::sleep(Duration::from_millis(50)).await;
    change(&mut service);
    assert!(repository.update_service(&service).await.unwrap());
    repository.commit().await.unwrap();
}

/// What one administrator says of it does not undo what another says meanwhile.
async fn a_service_is_changed_by_one_at_a_time(database: Database) {
    let mut repository = database.begin().await.unwrap();
    let service = Service::seen("pumice@a", Service::VOLUME, "nova", Timestamp(1));
    repository.see_service(&service).await.unwrap();
    repository.commit().await.unwrap();
    let freeze = change_service(&database, |service| service.frozen = true);
    let disable = change_service(&database, |service| service.disabled = true);
    futures::future::join(freeze, disable).await;
    let found = database.read().await.unwrap().service("pumice@a", Service::VOLUME).await.unwrap().unwrap();
    assert!(found.frozen && found.disabled);
}

/// Whoever looked for it and found nothing did so before.
async fn a_leftover_that_is_noted_anew_is_not_forgotten(database: Database) {
    let leftover = Leftover { pool: "p".to_owned(), name: "volume-x".to_owned() };
    let mut repository = database.begin().await.unwrap();
    repository.add_leftover(&leftover, Timestamp(1)).await.unwrap();
    let seen = repository.leftovers().await.unwrap();
    assert_eq!(seen, [(leftover.clone(), Timestamp(1))]);
    repository.add_leftover(&leftover, Timestamp(2)).await.unwrap();
    repository.forget_leftover(&leftover, Timestamp(1)).await.unwrap();
    assert!(repository.has_leftover(&leftover).await.unwrap());
    repository.forget_leftover(&leftover, Timestamp(2)).await.unwrap();
    assert!(!repository.has_leftover(&leftover).await.unwrap());
    repository.commit().await.unwrap();
}

async fn a_host_is_counted_project_by_project(database: Database) {
    let of_type = volume_type(&database).await;
    let volumes: Vec<Volume> = [("p", "h@a#x"), ("p", "h@a"), ("q", "h@a#y"), ("q", "h@ab#x")]
        .into_iter()
        .enumerate()
        .map(|(number, (project, host))| Volume {
            project_id: ProjectId(project.into()),
            host: Some(host.into()),
            size: Gib::new(number as i64 + 1).unwrap(),
            ..volume(number as u128 + 1, &of_type)
        })
        .collect();
    add(&database, &volumes).await;
    let mut repository = database.begin().await.unwrap();
    let found = repository.use_of_host("h@a").await.unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|used| {
            (used.project_id.as_str(), used.volumes, used.gigabytes, used.snapshots, used.snapshot_gigabytes)
        })
        .collect();
    assert_eq!(found, [("p", 2, 3, 0, 0), ("q", 1, 3, 0, 0)]);
    let mut provisioned = repository.provisioned().await.unwrap();
    provisioned.sort();
    let expected = [("h@a", 2), ("h@a#x", 1), ("h@a#y", 3), ("h@ab#x", 4)];
    assert_eq!(provisioned, expected.map(|(host, gib)| (host.to_owned(), gib)));
}

async fn young_volumes_are_found_by_their_age(database: Database) {
    let of_type = volume_type(&database).await;
    let volumes: Vec<Volume> = (1..=6)
        .map(|number| Volume {
            host: (number != 5).then(|| format!("h@{number}#x")),
            size: Gib::new(number as i64).unwrap(),
            ..volume(number, &of_type)
        })
        .collect();
    add(&database, &volumes).await;
    let mut repository = database.read().await.unwrap();
    let mut since = async |moment: i64, most: u32| {
        let found = repository.volumes_since(Timestamp(moment), most).await.unwrap();
        found.into_iter().map(|one| (one.host, one.size.get(), one.created_at.0)).collect::<Vec<_>>()
    };
    let young = |number: i64| (format!("h@{number}#x"), number, number);
    assert_eq!(since(6, 9).await, []);
    assert_eq!(since(2, 9).await, [young(6), young(4), young(3)]);
    // The youngest count first, wherever they lie.
    assert_eq!(since(0, 3).await, [young(6), young(4)]);

    let ids = [2, 5, 7].map(|number| id(number).to_string());
    let mut hosts = repository.hosts_of_volumes(&ids).await.unwrap();
    hosts.sort();
    let ours = ProjectId("p".into());
    assert_eq!(hosts, [(ours.clone(), None), (ours, Some("h@2#x".to_owned()))]);
    assert_eq!(repository.hosts_of_volumes(&[]).await.unwrap(), []);
}

async fn a_volume_moves_only_as_it_was_seen(database: Database) {
    let of_type = volume_type(&database).await;
    let row = volume(1, &of_type);
    add(&database, std::slice::from_ref(&row)).await;
    let mut repository = database.begin().await.unwrap();
    let change = VolumeMove {
        status: VolumeStatus::Available,
        seen: row.created_at,
        host: "h@b#x".into(),
        availability_zone: "moon".into(),
        volume_type_id: None,
        multiattach: None,
    };
    let other = VolumeMove { status: VolumeStatus::InUse, ..change.clone() };
    assert!(!repository.move_volume(&row.id, &other, Timestamp(5)).await.unwrap());
    repository.set_migration_status(&row.id, Some(MigrationStatus::Migrating)).await.unwrap();
    repository.set_replication_status(&row.id, Some(ReplicationStatus::Disabled)).await.unwrap();
    assert!(repository.move_volume(&row.id, &change, Timestamp(5)).await.unwrap());
    // By now it was changed at another moment.
    assert!(!repository.move_volume(&row.id, &change, Timestamp(6)).await.unwrap());
    let found = repository.volume(&row.id).await.unwrap().unwrap();
    assert_eq!((found.host.as_deref(), found.availability_zone.as_str()), (Some("h@b#x"), "moon"));
    assert_eq!((found.replication_status, found.is_replicated()), (Some(ReplicationStatus::Disabled), false));
    assert_eq!((found.migration_status, found.volume_type_id), (Some(MigrationStatus::Migrating), of_type));
}

async fn what_stands_in_for_a_volume_is_not_a_volume(database: Database) {
    let of_type = volume_type(&database).await;
    let row = volume(1, &of_type);
    let next = Volume {
        name_id: Some(row.id.clone()),
        migration_status: Some(MigrationStatus::Target),
        replication_status: Some(ReplicationStatus::Disabled),
        host: Some("h@b#x".into()),
        ..volume(2, &of_type)
    };
    add(&database, &[row.clone(), next.clone()]).await;
    let mut repository = database.begin().await.unwrap();
    let found = repository.stand_in_of(&row.id).await.unwrap().unwrap();
    assert_eq!((found.id.clone(), found.name_id.clone()), (next.id.clone(), next.name_id.clone()));
    assert_eq!(
        (found.migration_status, found.replication_status),
        (next.migration_status, next.replication_status)
    );
    assert!(found.is_migrating() && !row.is_migrating());
    assert!(repository.stand_in_of(&next.id).await.unwrap().is_none());
    let usage = repository.usage("p").await.unwrap();
    assert_eq!(usage.iter().map(|one| one.count).collect::<Vec<_>>(), [1]);
    assert_eq!(repository.known_volumes().await.unwrap().len(), 1);
    // Its room is taken all the same.
    assert_eq!(repository.provisioned().await.unwrap(), [("h@b#x".to_owned(), 1)]);
    for (stands_in, without_targets, count) in [
        (None, false, 2),
        (None, true, 1),
        (Some(false), false, 1),
        (Some(true), false, 1),
        (Some(true), true, 0),
    ] {
        let filter = VolumeFilter { stands_in, without_targets, ..VolumeFilter::default() };
        assert_eq!(repository.count_volumes(&filter).await.unwrap(), count, "{filter:?}");
    }
    repository.add_attachment(&attachment(3, &next, "s")).await.unwrap();
    repository.hand_attachments(&next.id, &row.id).await.unwrap();
    assert!(repository.remove_volume(&next.id).await.unwrap());
    assert_eq!(repository.attachments_of(&row.id).await.unwrap().len(), 1);
    repository.commit().await.unwrap();
    // One at a time.
    add(&database, std::slice::from_ref(&next)).await;
    let mut repository = database.begin().await.unwrap();
    let second = Volume { id: id(4), ..next };
    assert!(matches!(repository.add_volume(&second).await, Err(DbError::Exists)));
}
