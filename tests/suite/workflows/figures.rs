//! What is counted of jobs: each once, when it is over, under the outcome that its row has.

use std::sync::Arc;

use bytes::Bytes;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use pumice::block::ErrorKind;
use pumice::db::{NewJob, Resource};
use pumice::jobs::{NoFaults, Origin, VolumeSource};
use pumice::model::JobId;
use pumice::workflows::upload_image;
use serde_json::json;

use super::generic::cancel;
use super::refusals::reluctant_house;
use super::uploads::upload_and_delete;
use super::{house, pattern};
use crate::house::StoreKind;

/// Counts for what this thread does, which is all that these tests do.
fn counting() -> (PrometheusHandle, impl Drop) {
    let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
    (recorder.handle(), metrics::set_default_local_recorder(recorder))
}

/// Kind, outcome and number.
fn ended(figures: &PrometheusHandle) -> Vec<String> {
    let text = figures.render();
    let lines = text.lines().filter_map(|line| line.strip_prefix("pumice_jobs_total"));
    let mut lines: Vec<_> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn what_is_tried_again_is_counted_when_it_is_over() {
    let (figures, _counting) = counting();
    let (mut house, store) = reluctant_house(2).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    store.refuse_removals([ErrorKind::Busy, ErrorKind::Busy]);
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    house.stop().await;
    assert_eq!(
        ended(&figures),
        [
            r#"{kind="create_volume",outcome="done"} 1"#,
            r#"{kind="delete_volume",outcome="done"} 1"#,
            r#"{kind="delete_volume",outcome="failed"} 1"#,
        ]
    );
}

#[tokio::test]
async fn what_is_cancelled_is_counted_as_such_whether_it_can_be_read_or_not() {
    let mut house = house(StoreKind::Directory).await;
    house.stop().await;
    let (figures, _counting) = counting();
    let volume = house.create_volume(VolumeSource::Empty, 1).await;
    assert!(cancel(&house.database, &house.last_job(&volume).await.unwrap().id).await);
    let unreadable = NewJob {
        id: JobId::from(house.world.ids.ordered()),
        kind: "delete_snapshot",
        resource: Resource { kind: "snapshot", id: house.world.ids.random().to_string() },
        source_id: None,
        project_id: None,
        request_id: None,
        payload: json!({}),
    };
    let mut repository = house.database.begin().await.unwrap();
    repository.enqueue(&unreadable, house.world.now()).await.unwrap();
    repository.commit().await.unwrap();
    assert!(cancel(&house.database, &unreadable.id).await);
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    house.stop().await;
    assert_eq!(
        ended(&figures),
        [
            r#"{kind="create_volume",outcome="cancelled"} 1"#,
            r#"{kind="delete_snapshot",outcome="cancelled"} 1"#,
        ]
    );
}

#[tokio::test]
async fn uploads_are_counted_as_their_rows_say() {
    let (figures, _counting) = counting();
    let mut house = house(StoreKind::Directory).await;
    house.upload(pattern(100_000, 1)).await;
    let id = house.queued_image().await;
    let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("the client went away"))]);
    upload_image(house.uploader(), id.clone(), None, broken, Origin::default()).await.unwrap_err();
    upload_and_delete(&house, &id).await;
    house.settle().await;
    house.stop().await;
    let uploads: Vec<_> = ended(&figures).into_iter().filter(|line| line.contains("upload_image")).collect();
    assert_eq!(
        uploads,
        [
            r#"{kind="upload_image",outcome="cancelled"} 1"#,
            r#"{kind="upload_image",outcome="done"} 1"#,
            r#"{kind="upload_image",outcome="failed"} 1"#,
        ]
    );
}
