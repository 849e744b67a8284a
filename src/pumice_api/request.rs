//! Who asks, and what they may do.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::fault::Fault;
use crate::db::Job;
use crate::http::{App, RequestContext};
use crate::identity::Caller;
use crate::identity::policy::{Api, Guard, Rule, Target, own as rules};
use crate::model::ProjectId;

#[derive(Clone)]
pub(crate) struct Call {
    pub project_id: ProjectId,
    caller: Arc<Caller>,
    guard: Guard,
}

impl Call {
    fn new(app: &App, caller: Arc<Caller>) -> Self {
        let project_id = caller.project_id.clone().unwrap_or_default();
        let guard = Guard::new(&app.policies, Api::Own, caller.clone());
        Self { project_id, caller, guard }
    }

    /// The same caller before the rules of now: those that an answer without an end began with may be read again
    /// meanwhile.
    pub fn renewed(&self, app: &App) -> Self {
        Self::new(app, self.caller.clone())
    }

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
        Ok(Self::new(app, context.caller))
    }
}
