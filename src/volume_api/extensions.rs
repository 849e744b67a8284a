//! `GET /extensions`, `GET /extensions/{alias}`: those extensions of the real service that are all here.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::fault::{Fault, answer};
use super::request::Call;

#[derive(Clone, Copy, Serialize, ToSchema)]
pub struct Extension {
    name: &'static str,
    alias: &'static str,
    description: &'static str,
    updated: &'static str,
    #[schema(value_type = Vec<String>)]
    links: [&'static str; 0],
}

const EXTENSIONS: [Extension; 29] = [
    Extension {
        name: "AdminActions",
        alias: "os-admin-actions",
        description: "Actions of administrators on volumes and snapshots.",
        updated: "2012-08-25T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "AvailabilityZones",
        alias: "os-availability-zone",
        description: "Lists the availability zones.",
        updated: "2013-06-27T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "Capabilities",
        alias: "capabilities",
        description: "Tells what a backend can do.",
        updated: "2015-08-31T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "ExtendedServices",
        alias: "os-extended-services",
        description: "Tells why a service is disabled.",
        updated: "2014-01-10T00:00:00-00:00",
        links: [],
    },
    Extension {
        name: "ExtendedSnapshotAttributes",
        alias: "os-extended-snapshot-attributes",
        description: "Tells a snapshot's project and progress.",
        updated: "2012-06-19T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "Hosts",
        alias: "os-hosts",
        description: "Tells what lies on which host.",
        updated: "2011-06-29T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "Qos_specs_manage",
        alias: "qos-specs",
        description: "Limits that volumes of some types have.",
        updated: "2013-08-02T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "QuotaClasses",
        alias: "os-quota-class-sets",
        description: "Limits under a name, such as those of all projects without their own.",
        updated: "2012-03-12T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "Quotas",
        alias: "os-quota-sets",
        description: "Limits of projects.",
        updated: "2011-08-08T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "Scheduler_stats",
        alias: "scheduler-stats",
        description: "Tells how much room there is in which pool.",
        updated: "2014-09-07T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "SchedulerHints",
        alias: "OS-SCH-HNT",
        description: "Takes hints where a volume is to lie.",
        updated: "2013-04-18T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "Services",
        alias: "os-services",
        description: "Lists services; enables and disables them.",
        updated: "2012-10-28T00:00:00-00:00",
        links: [],
    },
    Extension {
        name: "SnapshotActions",
        alias: "os-snapshot-actions",
        description: "Lets a status and progress of a snapshot be reported.",
        updated: "2013-07-16T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "SnapshotManage",
        alias: "os-snapshot-manage",
        description: "Makes snapshots of those that lie on a pool.",
        updated: "2014-12-31T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "SnapshotUnmanage",
        alias: "os-snapshot-unmanage",
        description: "Lets go of a snapshot that stays on its pool.",
        updated: "2014-12-31T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "TypesExtraSpecs",
        alias: "os-types-extra-specs",
        description: "What a volume type says beside its name.",
        updated: "2011-08-24T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "TypesManage",
        alias: "os-types-manage",
        description: "Makes, changes and deletes volume types.",
        updated: "2011-08-24T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "UsedLimits",
        alias: "os-used-limits",
        description: "Tells in the limits how much of them is used.",
        updated: "2013-10-03T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "VolumeActions",
        alias: "os-volume-actions",
        description: "What is done with volumes.",
        updated: "2012-05-31T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "VolumeEncryptionMetadata",
        alias: "os-volume-encryption-metadata",
        description: "Tells how a volume is encrypted.",
        updated: "2013-07-10T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "VolumeHostAttribute",
        alias: "os-vol-host-attr",
        description: "Tells where a volume lies.",
        updated: "2011-11-03T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "VolumeImageMetadata",
        alias: "os-vol-image-meta",
        description: "Tells what the image of a volume said of itself.",
        updated: "2012-12-07T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "VolumeManage",
        alias: "os-volume-manage",
        description: "Makes volumes of images that lie on a pool.",
        updated: "2014-02-10T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "VolumeMigStatusAttribute",
        alias: "os-vol-mig-status-attr",
        description: "Tells how far a volume has migrated.",
        updated: "2013-08-08T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "VolumeTenantAttribute",
        alias: "os-vol-tenant-attr",
        description: "Tells a volume's project.",
        updated: "2011-11-03T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "VolumeTransfer",
        alias: "os-volume-transfer",
        description: "Gives volumes to other projects.",
        updated: "2013-05-29T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "VolumeTypeAccess",
        alias: "os-volume-type-access",
        description: "Says which projects may use a private volume type.",
        updated: "2014-06-26T00:00:00Z",
        links: [],
    },
    Extension {
        name: "VolumeTypeEncryption",
        alias: "encryption",
        description: "Says how volumes of a type are to be encrypted.",
        updated: "2013-07-01T00:00:00+00:00",
        links: [],
    },
    Extension {
        name: "VolumeUnmanage",
        alias: "os-volume-unmanage",
        description: "Lets go of a volume whose image stays on its pool.",
        updated: "2012-05-31T00:00:00+00:00",
        links: [],
    },
];

#[derive(Serialize, ToSchema)]
#[schema(as = Extensions)]
pub struct Many {
    #[schema(value_type = Vec<Extension>)]
    extensions: [Extension; 29],
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneExtension)]
pub struct One {
    extension: Extension,
}

#[utoipa::path(
    get, path = "/v3/extensions", tag = "extensions", operation_id = "list_extensions",
    responses((status = 200, body = Many)),
)]
pub async fn list(_: Call) -> Result<Response, Fault> {
    Ok(answer(StatusCode::OK, &Many { extensions: EXTENSIONS }))
}

#[utoipa::path(
    get, path = "/v3/extensions/{alias}", tag = "extensions", operation_id = "show_extension",
    params(("alias" = String, Path)),
    responses((status = 200, body = One), (status = 404, description = "No such extension")),
)]
pub async fn show(_: Call, Path(alias): Path<String>) -> Result<Response, Fault> {
    let extension = EXTENSIONS.into_iter().find(|extension| extension.alias == alias);
    Ok(answer(StatusCode::OK, &One { extension: extension.ok_or(Fault::NotFound)? }))
}
