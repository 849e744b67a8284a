//! Rules of the Image API: Glance's.

use super::table::rules;

const ADMIN_OR_MEMBER: &str = "rule:context_is_admin or (role:member and project_id:%(project_id)s)";
const ADMIN_OR_READER_OR_SHARED: &str = "rule:context_is_admin or role:reader and (project_id:%(project_id)s or \
     project_id:%(member_id)s)";
const ADMIN_OR_READER_OF_NAMESPACE: &str = "rule:context_is_admin or (role:reader and \
    (project_id:%(project_id)s or 'public':%(visibility)s))";
const BY_METADEF_ADMIN: &str = "rule:metadef_admin";

rules! {
    /// Makes a caller an administrator: sees all, and is not held to owners.
    CONTEXT_IS_ADMIN = "context_is_admin": "role:admin";
    /// What rules of old policy files refer to.
    DEFAULT = "default": "";
    /// Likewise.
    METADEF_DEFAULT = "metadef_default": "";
    /// Likewise.
    MANAGE_IMAGE_CACHE = "manage_image_cache": "rule:context_is_admin";
    /// Another service, which asks with its own token.
    SERVICE_API = "service_api": "role:service or role:admin";
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
    GET_IMAGE_LOCATION = "get_image_location": "rule:context_is_admin or (role:reader and project_id:%(project_id)s)";
    SET_IMAGE_LOCATION = "set_image_location": ADMIN_OR_MEMBER;
    FETCH_IMAGE_LOCATION = "fetch_image_location": "rule:service_api";
    ADD_IMAGE_LOCATION = "add_image_location":
        "rule:service_api or (role:member and project_id:%(project_id)s and project_id:%(owner)s)";
    DELETE_IMAGE_LOCATION = "delete_image_location": "rule:context_is_admin";
    COPY_IMAGE = "copy_image": "rule:context_is_admin";
    STORES_INFO_DETAIL = "stores_info_detail": "rule:context_is_admin or rule:service_api";
    GET_METADEF_NAMESPACE = "get_metadef_namespace": ADMIN_OR_READER_OF_NAMESPACE;
    GET_METADEF_NAMESPACES = "get_metadef_namespaces":
        "rule:context_is_admin or (role:reader and project_id:%(project_id)s)";
    MODIFY_METADEF_NAMESPACE = "modify_metadef_namespace": BY_METADEF_ADMIN;
    ADD_METADEF_NAMESPACE = "add_metadef_namespace": BY_METADEF_ADMIN;
    DELETE_METADEF_NAMESPACE = "delete_metadef_namespace": BY_METADEF_ADMIN;
    GET_METADEF_OBJECT = "get_metadef_object": ADMIN_OR_READER_OF_NAMESPACE;
    GET_METADEF_OBJECTS = "get_metadef_objects": ADMIN_OR_READER_OF_NAMESPACE;
    MODIFY_METADEF_OBJECT = "modify_metadef_object": BY_METADEF_ADMIN;
    ADD_METADEF_OBJECT = "add_metadef_object": BY_METADEF_ADMIN;
    DELETE_METADEF_OBJECT = "delete_metadef_object": BY_METADEF_ADMIN;
    LIST_METADEF_RESOURCE_TYPES = "list_metadef_resource_types": ADMIN_OR_READER_OF_NAMESPACE;
    GET_METADEF_RESOURCE_TYPE = "get_metadef_resource_type": ADMIN_OR_READER_OF_NAMESPACE;
    ADD_METADEF_RESOURCE_TYPE_ASSOCIATION = "add_metadef_resource_type_association": BY_METADEF_ADMIN;
    REMOVE_METADEF_RESOURCE_TYPE_ASSOCIATION = "remove_metadef_resource_type_association": BY_METADEF_ADMIN;
    GET_METADEF_PROPERTY = "get_metadef_property": ADMIN_OR_READER_OF_NAMESPACE;
    GET_METADEF_PROPERTIES = "get_metadef_properties": ADMIN_OR_READER_OF_NAMESPACE;
    MODIFY_METADEF_PROPERTY = "modify_metadef_property": BY_METADEF_ADMIN;
    ADD_METADEF_PROPERTY = "add_metadef_property": BY_METADEF_ADMIN;
    REMOVE_METADEF_PROPERTY = "remove_metadef_property": BY_METADEF_ADMIN;
    GET_METADEF_TAG = "get_metadef_tag": ADMIN_OR_READER_OF_NAMESPACE;
    GET_METADEF_TAGS = "get_metadef_tags": ADMIN_OR_READER_OF_NAMESPACE;
    MODIFY_METADEF_TAG = "modify_metadef_tag": BY_METADEF_ADMIN;
    ADD_METADEF_TAG = "add_metadef_tag": BY_METADEF_ADMIN;
    ADD_METADEF_TAGS = "add_metadef_tags": BY_METADEF_ADMIN;
    DELETE_METADEF_TAG = "delete_metadef_tag": BY_METADEF_ADMIN;
    DELETE_METADEF_TAGS = "delete_metadef_tags": BY_METADEF_ADMIN;
    /// What the rules above refer to.
    METADEF_ADMIN = "metadef_admin": "rule:context_is_admin";
    TASKS_API_ACCESS = "tasks_api_access": "rule:context_is_admin";
    GET_MEMBERS = "get_members": ADMIN_OR_READER_OR_SHARED;
    GET_MEMBER = "get_member": ADMIN_OR_READER_OR_SHARED;
    ADD_MEMBER = "add_member": ADMIN_OR_MEMBER;
    DELETE_MEMBER = "delete_member": ADMIN_OR_MEMBER;
    /// The project that an image was given to decides for itself.
    MODIFY_MEMBER = "modify_member": "rule:context_is_admin or (role:member and project_id:%(member_id)s)";
    UPLOAD_IMAGE = "upload_image": ADMIN_OR_MEMBER;
    DEACTIVATE = "deactivate": ADMIN_OR_MEMBER;
    REACTIVATE = "reactivate": ADMIN_OR_MEMBER;
}

/// Those that a token for the whole system, or for a domain, does not do for, whatever its roles: all but these.
pub(super) fn is_in_project(rule: &str) -> bool {
    let others = [CONTEXT_IS_ADMIN, DEFAULT, METADEF_ADMIN, METADEF_DEFAULT, SERVICE_API];
    others.iter().all(|other| other.name() != rule)
}
