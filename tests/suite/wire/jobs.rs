//! Jobs, under `/pumice/v1`.

use pumice::db::JobOutcome;
use pumice::jobs::{self, Origin, Task, VolumeSource};
use pumice::model::{Cause, JobId, ProjectId, VolumeId};
use serde_json::{Value, json};

use crate::support::{Answer, Site};

/// What the default configuration names.
const PROJECT: &str = "00000000000000000000000000000001";

impl Site {
    /// A job that nobody carries out.
    async fn job(&self, task: impl FnOnce(VolumeId) -> Task) -> JobId {
        let world = &self.app().world;
        let origin = Origin { project_id: Some(ProjectId(PROJECT.to_owned())), request_id: None };
        let mut repository = self.app().database.begin().await.unwrap();
        let task = task(VolumeId::from(world.ids.random()));
        let id = jobs::enqueue(&mut repository, world, task, &origin).await.unwrap();
        repository.commit().await.unwrap();
        id
    }

    async fn creation(&self) -> JobId {
        self.job(|volume_id| Task::CreateVolume { volume_id, source: VolumeSource::Empty }).await
    }

    async fn cancel(&self, id: &str) -> Answer {
        self.request("DELETE", &format!("/pumice/v1/jobs/{id}")).send().await
    }

    async fn refuses_to_cancel(&self, id: &JobId, why: &str) {
        let refused = self.cancel(id.as_str()).await.expect(409).json();
        assert_eq!(refused, json!({"error": {"code": 409, "message": why}}));
    }

    async fn seen(&self, id: &JobId) -> Value {
        let path = format!("/pumice/v1/jobs/{id}");
        self.request("GET", &path).send().await.expect(200).json()["job"].clone()
    }
}

fn marks(job: &Value) -> [bool; 3] {
    ["cancellable", "cancelling", "undoing"].map(|key| job[key].as_bool().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_told_to_stop() {
    let site = Site::new().await;
    let id = site.creation().await;
    assert_eq!(marks(&site.seen(&id).await), [true, false, false]);
    let told = site.cancel(id.as_str()).await.expect(202).json();
    assert_eq!((&told["job"]["id"], &told["job"]["state"]), (&json!(id), &json!("queued")));
    assert_eq!(marks(&told["job"]), [true, true, false]);
    assert_eq!(site.seen(&id).await["cancelling"], true);
    // Whoever asks once more wants nothing else.
    site.cancel(id.as_str()).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stopped_says_why() {
    let site = Site::new().await;
    let deletion = site.job(|volume_id| Task::DeleteVolume { volume_id }).await;
    site.refuses_to_cancel(&deletion, "A job of the kind delete_volume cannot be cancelled.").await;
    assert_eq!(marks(&site.seen(&deletion).await), [false, false, false]);

    let (settled, undone, over) = (site.creation().await, site.creation().await, site.creation().await);
    let now = site.app().world.now();
    let mut repository = site.app().database.begin().await.unwrap();
    assert!(repository.settle_job(&settled).await.unwrap());
    repository.begin_undo(&undone, Cause::Fatal, "why", "", now).await.unwrap();
    repository.finish_job(&over, &JobOutcome::Done, None, now).await.unwrap();
    repository.finish_job(&deletion, &JobOutcome::Failed, None, now).await.unwrap();
    repository.commit().await.unwrap();
    site.refuses_to_cancel(&settled, "The job has come too far: what it did stays.").await;
    assert_eq!(marks(&site.seen(&settled).await), [false, false, false]);
    site.refuses_to_cancel(&undone, "The job did not succeed and is being undone.").await;
    assert_eq!(marks(&site.seen(&undone).await), [false, false, true]);
    site.refuses_to_cancel(&over, "The job is over: it is done.").await;
    assert_eq!(marks(&site.seen(&over).await), [false, false, false]);
    site.refuses_to_cancel(&deletion, "The job is over: it is failed.").await;

    for unknown in ["a5e0b0c4-0000-4000-8000-000000000001", "nothing"] {
        let refused = site.cancel(unknown).await.expect(404).json();
        let message = format!("There is no job {unknown}.");
        assert_eq!(refused, json!({"error": {"code": 404, "message": message}}));
    }
}
