//! What quotas say is in use, against a count of what there is.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::STORAGE_QUOTA;
use super::super::model::{Kind, stores_of};
use super::Verdict;

const MIB: i64 = 1 << 20;

impl Verdict<'_> {
    pub(super) async fn quotas_are_true(&mut self) {
        self.quotas_of_volumes().await;
        self.quotas_of_images().await;
    }

    async fn quotas_of_volumes(&mut self) {
        let (mut volumes, snapshots) = (self.rows(Kind::Volume).await, self.rows(Kind::Snapshot).await);
        let project = "00000000-0000-0000-0000-000000000000";
        let project =
            volumes.first().and_then(|row| row["os-vol-tenant-attr:tenant_id"].as_str()).unwrap_or(project);
        let path = format!("/volume/v3/os-quota-sets/{project}?usage=true");
        let usage = self.server.get(&path).await["quota_set"].clone();
        // They are shown as any that failed.
        for status in ["error_managing", "error_managing_deleting"] {
            let path = format!("/volume/v3/volumes/detail?status={status}");
            let never_managed = self.server.list(&path, "volumes").await;
            volumes.retain(|row| never_managed.iter().all(|other| other["id"] != row["id"]));
        }
        let sum = |rows: &[Value]| rows.iter().filter_map(|row| row["size"].as_i64()).sum::<i64>();
        for (name, counted) in [
            ("volumes", volumes.len() as i64),
            ("snapshots", snapshots.len() as i64),
            ("gigabytes", sum(&volumes) + sum(&snapshots)),
        ] {
            if usage[name]["in_use"] != counted {
                self.findings.push(format!("quota {name}: {} instead of {counted}", usage[name]));
            }
        }
    }

    async fn quotas_of_images(&mut self) {
        let images = self.rows(Kind::Image).await;
        let is_arriving = |row: &&Value| row["status"] == "uploading";
        let size = |row: &Value| row["size"].as_i64().unwrap_or_default();
        let usage = self.server.get("/image/v2/info/usage").await["usage"].clone();
        let (arriving, rest): (Vec<&Value>, Vec<&Value>) = images.iter().partition(is_arriving);
        for (name, counted) in [
            ("image_count_total", images.len() as i64),
            ("image_count_uploading", arriving.len() as i64),
            ("image_stage_total", arriving.iter().map(|row| size(row)).sum::<i64>() / MIB),
            ("image_size_total", rest.iter().map(|row| size(row)).sum::<i64>() / MIB),
        ] {
            if usage[name]["usage"] != counted {
                self.findings.push(format!("quota {name}: {} instead of {counted}", usage[name]));
            }
        }
        // Each store counts.
        let stored: i64 = rest.iter().map(|row| size(row) * stores_of(row).len() as i64).sum();
        let left = self.storage_left().await;
        if left != Some(STORAGE_QUOTA as i64 - stored) {
            self.findings.push(format!("user_storage_quota: {left:?} are left, and {stored} are stored"));
        }
    }

    /// Only a refusal tells.
    async fn storage_left(&self) -> Option<i64> {
        let draft = json!({"disk_format": "raw", "container_format": "bare"});
        let (_, image) = self.server.send(Method::POST, "/image/v2/images", Some(draft)).await;
        let path = format!("/image/v2/images/{}", image["id"].as_str()?);
        let (status, said) = self.server.promise(&path, STORAGE_QUOTA + 1).await;
        self.server.send(Method::DELETE, &path, None).await;
        if status != StatusCode::PAYLOAD_TOO_LARGE {
            return None;
        }
        let end = said.find(" bytes remaining")?;
        said[..end].rsplit(' ').next()?.parse().ok()
    }
}
