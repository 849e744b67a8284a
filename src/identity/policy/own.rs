//! Rules of our own extensions.

use super::table::rules;

rules! {
    CONTEXT_IS_ADMIN = "context_is_admin": "role:admin";
    /// One job, with its progress; asked too for each job of a list.
    JOB_GET = "pumice:job:get":
        "rule:context_is_admin or (role:reader and project_id:%(project_id)s)";
    JOB_GET_ALL = "pumice:job:get_all":
        "rule:context_is_admin or (role:reader and project_id:%(project_id)s)";
    /// To stop one, by who may see it.
    JOB_CANCEL = "pumice:job:cancel":
        "rule:context_is_admin or (role:member and project_id:%(project_id)s)";
    /// What went wrong in words for operators: names of pools and machines may stand in it.
    JOB_ERROR_DETAIL = "pumice:job:error_detail": "rule:context_is_admin";
}
