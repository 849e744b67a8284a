//! Rules of the Block Storage API: Cinder's.

use super::table::rules;

const ADMIN: &str = "rule:admin_api";
const MEMBER: &str = "rule:xena_system_admin_or_project_member";
const READER: &str = "rule:xena_system_admin_or_project_reader";

rules! {
    /// Makes a caller an administrator: sees all projects, and what `is_admin:True` asks for.
    CONTEXT_IS_ADMIN = "context_is_admin": "role:admin";
    ADMIN_OR_OWNER = "admin_or_owner":
        "is_admin:True or (role:admin and is_admin_project:True) or project_id:%(project_id)s";
    SYSTEM_OR_DOMAIN_OR_PROJECT_ADMIN = "system_or_domain_or_project_admin":
        "(role:admin and system_scope:all) or (role:admin and domain_id:%(domain_id)s) or \
         (role:admin and project_id:%(project_id)s)";
    ADMIN_API = "admin_api": "is_admin:True or (role:admin and is_admin_project:True)";
    ADMIN_OR_READER = "xena_system_admin_or_project_reader":
        "(role:admin) or (role:reader and project_id:%(project_id)s)";
    ADMIN_OR_MEMBER = "xena_system_admin_or_project_member":
        "(role:admin) or (role:member and project_id:%(project_id)s)";

    CREATE = "volume:create": MEMBER;
    CREATE_FROM_IMAGE = "volume:create_from_image": MEMBER;
    GET = "volume:get": READER;
    GET_ALL = "volume:get_all": READER;
    UPDATE = "volume:update": MEMBER;
    DELETE = "volume:delete": MEMBER;
    FORCE_DELETE = "volume:force_delete": ADMIN;
    ADMIN_FORCE_DELETE = "volume_extension:volume_admin_actions:force_delete": ADMIN;
    RESET_STATUS = "volume_extension:volume_admin_actions:reset_status": ADMIN;
    REVERT = "volume:revert_to_snapshot": MEMBER;
    EXTEND = "volume:extend": MEMBER;
    EXTEND_ATTACHED = "volume:extend_attached_volume": MEMBER;
    UPLOAD_IMAGE = "volume_extension:volume_actions:upload_image": MEMBER;
    UPLOAD_PUBLIC = "volume_extension:volume_actions:upload_public": ADMIN;
    REIMAGE = "volume:reimage": MEMBER;
    REIMAGE_RESERVED = "volume:reimage_reserved": MEMBER;
    EXTEND_COMPLETE = "volume_extension:volume_admin_actions:extend_volume_completion": ADMIN;
    UPDATE_READONLY = "volume:update_readonly_flag": MEMBER;
    RESERVE = "volume_extension:volume_actions:reserve": MEMBER;
    UNRESERVE = "volume_extension:volume_actions:unreserve": MEMBER;
    BEGIN_DETACHING = "volume_extension:volume_actions:begin_detaching": MEMBER;
    ROLL_DETACHING = "volume_extension:volume_actions:roll_detaching": MEMBER;
    ATTACH = "volume_extension:volume_actions:attach": MEMBER;
    DETACH = "volume_extension:volume_actions:detach": MEMBER;
    FORCE_DETACH = "volume_extension:volume_admin_actions:force_detach": ADMIN;
    INITIALIZE_CONNECTION = "volume_extension:volume_actions:initialize_connection": MEMBER;
    TERMINATE_CONNECTION = "volume_extension:volume_actions:terminate_connection": MEMBER;
    HOST_ATTRIBUTE = "volume_extension:volume_host_attribute": ADMIN;
    TENANT_ATTRIBUTE = "volume_extension:volume_tenant_attribute": READER;
    MIG_STATUS_ATTRIBUTE = "volume_extension:volume_mig_status_attribute": ADMIN;
    IMAGE_METADATA_SHOW = "volume_extension:volume_image_metadata:show": READER;

    IMAGE_METADATA_SET = "volume_extension:volume_image_metadata:set": MEMBER;
    IMAGE_METADATA_REMOVE = "volume_extension:volume_image_metadata:remove": MEMBER;
    ENCRYPTION_METADATA = "volume_extension:volume_encryption_metadata": READER;

    ATTACHMENT_CREATE = "volume:attachment_create": MEMBER;
    ATTACHMENT_UPDATE = "volume:attachment_update": MEMBER;
    ATTACHMENT_DELETE = "volume:attachment_delete": MEMBER;
    ATTACHMENT_COMPLETE = "volume:attachment_complete": MEMBER;
    /// Attaching a volume that boots, and that someone has already, once more.
    MULTIATTACH_BOOTABLE = "volume:multiattach_bootable_volume": MEMBER;

    GET_METADATA = "volume:get_volume_metadata": READER;
    CREATE_METADATA = "volume:create_volume_metadata": MEMBER;
    UPDATE_METADATA = "volume:update_volume_metadata": MEMBER;
    DELETE_METADATA = "volume:delete_volume_metadata": MEMBER;

    GET_ALL_SNAPSHOTS = "volume:get_all_snapshots": READER;
    CREATE_SNAPSHOT = "volume:create_snapshot": MEMBER;
    GET_SNAPSHOT = "volume:get_snapshot": READER;
    UPDATE_SNAPSHOT = "volume:update_snapshot": MEMBER;
    DELETE_SNAPSHOT = "volume:delete_snapshot": MEMBER;
    SNAPSHOT_RESET_STATUS = "volume_extension:snapshot_admin_actions:reset_status": ADMIN;
    SNAPSHOT_FORCE_DELETE = "volume_extension:snapshot_admin_actions:force_delete": ADMIN;
    SNAPSHOT_UPDATE_STATUS = "snapshot_extension:snapshot_actions:update_snapshot_status": MEMBER;
    EXTENDED_SNAPSHOT_ATTRIBUTES = "volume_extension:extended_snapshot_attributes": READER;
    GET_SNAPSHOT_METADATA = "volume:get_snapshot_metadata": READER;
    UPDATE_SNAPSHOT_METADATA = "volume:update_snapshot_metadata": MEMBER;
    DELETE_SNAPSHOT_METADATA = "volume:delete_snapshot_metadata": MEMBER;

    LIST_MANAGEABLE_VOLUMES = "volume_extension:list_manageable": ADMIN;
    MANAGE_VOLUME = "volume_extension:volume_manage": ADMIN;
    UNMANAGE_VOLUME = "volume_extension:volume_unmanage": ADMIN;
    LIST_MANAGEABLE_SNAPSHOTS = "snapshot_extension:list_manageable": ADMIN;
    MANAGE_SNAPSHOT = "snapshot_extension:snapshot_manage": ADMIN;
    UNMANAGE_SNAPSHOT = "snapshot_extension:snapshot_unmanage": ADMIN;

    GET_ALL_TRANSFERS = "volume:get_all_transfers": READER;
    CREATE_TRANSFER = "volume:create_transfer": MEMBER;
    GET_TRANSFER = "volume:get_transfer": READER;
    ACCEPT_TRANSFER = "volume:accept_transfer": MEMBER;
    DELETE_TRANSFER = "volume:delete_transfer": MEMBER;

    GET_ALL_MESSAGES = "message:get_all": READER;
    GET_MESSAGE = "message:get": READER;
    DELETE_MESSAGE = "message:delete": MEMBER;

    BACKUP_GET_ALL = "backup:get_all": READER;
    BACKUP_CREATE = "backup:create": MEMBER;
    GROUP_GET_ALL = "group:get_all": READER;
    GROUP_SNAPSHOT_GET_ALL = "group:get_all_group_snapshots": READER;

    TYPE_GET = "volume_extension:type_get": READER;
    TYPE_GET_ALL = "volume_extension:type_get_all": READER;
    TYPE_EXTRA_SPECS = "volume_extension:access_types_extra_specs": READER;
    TYPE_READ_SENSITIVE = "volume_extension:types_extra_specs:read_sensitive": ADMIN;
    TYPE_QOS_SPECS_ID = "volume_extension:access_types_qos_specs_id": ADMIN;
    TYPE_ACCESS = "volume_extension:volume_type_access": MEMBER;
    TYPE_CREATE = "volume_extension:type_create": ADMIN;
    TYPE_UPDATE = "volume_extension:type_update": ADMIN;
    TYPE_DELETE = "volume_extension:type_delete": ADMIN;
    EXTRA_SPECS_GET_ALL = "volume_extension:types_extra_specs:index": READER;
    EXTRA_SPECS_CREATE = "volume_extension:types_extra_specs:create": ADMIN;
    EXTRA_SPECS_GET = "volume_extension:types_extra_specs:show": READER;
    EXTRA_SPECS_UPDATE = "volume_extension:types_extra_specs:update": ADMIN;
    EXTRA_SPECS_DELETE = "volume_extension:types_extra_specs:delete": ADMIN;
    TYPE_ACCESS_ADD = "volume_extension:volume_type_access:addProjectAccess": ADMIN;
    TYPE_ACCESS_REMOVE = "volume_extension:volume_type_access:removeProjectAccess": ADMIN;
    TYPE_ACCESS_GET_ALL = "volume_extension:volume_type_access:get_all_for_type": ADMIN;
    /// What rules of old policy files refer to.
    ENCRYPTION = "volume_extension:volume_type_encryption": ADMIN;
    ENCRYPTION_CREATE = "volume_extension:volume_type_encryption:create": ADMIN;
    ENCRYPTION_GET = "volume_extension:volume_type_encryption:get": ADMIN;
    ENCRYPTION_UPDATE = "volume_extension:volume_type_encryption:update": ADMIN;
    ENCRYPTION_DELETE = "volume_extension:volume_type_encryption:delete": ADMIN;
    DEFAULT_TYPE_SET = "volume_extension:default_set_or_update": ADMIN;
    DEFAULT_TYPE_GET = "volume_extension:default_get": ADMIN;
    DEFAULT_TYPE_GET_ALL = "volume_extension:default_get_all": ADMIN;
    DEFAULT_TYPE_UNSET = "volume_extension:default_unset": ADMIN;
    /// Making volumes of types that several instances may attach at once.
    MULTIATTACH = "volume:multiattach": MEMBER;

    QOS_GET_ALL = "volume_extension:qos_specs_manage:get_all": ADMIN;
    QOS_GET = "volume_extension:qos_specs_manage:get": ADMIN;
    QOS_CREATE = "volume_extension:qos_specs_manage:create": ADMIN;
    QOS_UPDATE = "volume_extension:qos_specs_manage:update": ADMIN;
    QOS_DELETE = "volume_extension:qos_specs_manage:delete": ADMIN;

    QUOTAS_SHOW = "volume_extension:quotas:show": READER;
    QUOTAS_UPDATE = "volume_extension:quotas:update": ADMIN;
    QUOTAS_DELETE = "volume_extension:quotas:delete": ADMIN;
    QUOTA_CLASSES_GET = "volume_extension:quota_classes:get": ADMIN;
    QUOTA_CLASSES_UPDATE = "volume_extension:quota_classes:update": ADMIN;
    USED_LIMITS = "limits_extension:used_limits": READER;

    SERVICES_INDEX = "volume_extension:services:index": ADMIN;
    SERVICES_UPDATE = "volume_extension:services:update": ADMIN;
    FREEZE_HOST = "volume:freeze_host": ADMIN;
    THAW_HOST = "volume:thaw_host": ADMIN;
    FAILOVER_HOST = "volume:failover_host": ADMIN;
    HOSTS = "volume_extension:hosts": ADMIN;
    POOLS = "scheduler_extension:scheduler_stats:get_pools": ADMIN;
    CAPABILITIES = "volume_extension:capabilities": ADMIN;
    CLUSTERS_GET = "clusters:get": ADMIN;
    CLUSTERS_GET_ALL = "clusters:get_all": ADMIN;
    CLUSTERS_UPDATE = "clusters:update": ADMIN;
    WORKERS_CLEANUP = "workers:cleanup": ADMIN;
    RETYPE = "volume:retype": MEMBER;
    MIGRATE = "volume_extension:volume_admin_actions:migrate_volume": ADMIN;
    MIGRATE_COMPLETION = "volume_extension:volume_admin_actions:migrate_volume_completion": ADMIN;
}
