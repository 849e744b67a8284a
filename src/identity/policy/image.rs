//! Rules of the Image API: Glance's.

use super::table::rules;

const ADMIN_OR_MEMBER: &str = "rule:context_is_admin or (role:member and project_id:%(project_id)s)";

rules! {
    /// Makes a caller an administrator: sees all, and is not held to owners.
    CONTEXT_IS_ADMIN = "context_is_admin": "role:admin";
    /// What rules of old policy files refer to.
    DEFAULT = "default": "";
    ADD_IMAGE = "add_image":
        "rule:context_is_admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)";
    DELETE_IMAGE = "delete_image": ADMIN_OR_MEMBER;
    GET_IMAGE = "get_image":
        "rule:context_is_admin or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s or \
         'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))";
    GET_IMAGES = "get_images": "rule:context_is_admin or (role:reader and project_id:%(project_id)s)";
    MODIFY_IMAGE = "modify_image": ADMIN_OR_MEMBER;
    PUBLICIZE_IMAGE = "publicize_image": "rule:context_is_admin";
    COMMUNITIZE_IMAGE = "communitize_image": ADMIN_OR_MEMBER;
    DOWNLOAD_IMAGE = "download_image":
        "rule:context_is_admin or (role:member and (project_id:%(project_id)s or project_id:%(member_id)s or \
         'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))";
    UPLOAD_IMAGE = "upload_image": ADMIN_OR_MEMBER;
    DEACTIVATE = "deactivate": ADMIN_OR_MEMBER;
    REACTIVATE = "reactivate": ADMIN_OR_MEMBER;
}

/// Those that a token for the whole system does not do for, whatever its roles: all but these two.
pub(super) fn is_in_project(rule: &str) -> bool {
    ![CONTEXT_IS_ADMIN.name(), DEFAULT.name()].contains(&rule)
}
