//! Who asks, and what they may do.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::fault::Fault;
use crate::db::Job;
use crate::http::{App, RequestContext};
use crate::identity::policy::{Api, Guard, Rule, Target, own as rules};
use crate::model::ProjectId;

#[derive(Clone)]
pub(crate) struct Call {
    pub project_id: ProjectId,
    guard: Guard,
}

impl Call {
    pub fn check_list(&self) -> Result<(), Fault> {
        self.check(rules::JOB_GET_ALL, &self.guard.own())
    }

    /// Whose jobs a list holds; `None`: everybody's.
    pub fn only_of(&self) -> Option<String> {
        (!self.guard.is_admin()).then(|| self.project_id.to_string())
    }

    pub fn check_cancel(&self, job: &Job) -> Result<(), Fault> {
        self.check(rules::JOB_CANCEL, &target(job))
    }

    fn check(&self, rule: Rule, target: &Target) -> Result<(), Fault> {
        if self.guard.allows(rule, target) { Ok(()) } else { Err(Fault::Forbidden(rule)) }
    }

    /// The job as far as the caller may see it.
    pub fn seen(&self, mut job: Job) -> Option<Job> {
        let target = target(&job);
        if !self.guard.allows(rules::JOB_GET, &target) {
            return None;
        }
        if !self.guard.allows(rules::JOB_ERROR_DETAIL, &target) {
            job.error_detail = None;
        }
        Some(job)
    }
}

fn target(job: &Job) -> Target {
    Target::new()
        .with("kind", &job.kind)
        .with_option("project_id", job.project_id.as_ref().map(|id| id.as_str()))
}

impl FromRequestParts<App> for Call {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let context = RequestContext::from_request_parts(parts, app).await?;
        let guard = Guard::new(&app.policies, Api::Own, context.caller);
        Ok(Self { project_id: context.project_id, guard })
    }
}
