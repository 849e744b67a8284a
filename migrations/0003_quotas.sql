-- What a volume is being extended to, in GiB: it counts as if it were so large already. Null unless it is extended.
ALTER TABLE volumes ADD COLUMN growing_to BIGINT;
-- What a project uses is counted, from these indexes alone.
CREATE INDEX volumes_by_use ON volumes (project_id, volume_type_id, size, growing_to);
CREATE INDEX snapshots_by_use ON snapshots (project_id, volume_id, size);
CREATE INDEX images_by_use ON images (project_id, status, size);

-- Limits that an administrator has set. Negative: none. The class `default` stands for the configuration's defaults.
CREATE TABLE quotas (
    project_id TEXT   NOT NULL,
    resource   TEXT   NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (project_id, resource)
);
CREATE TABLE quota_classes (
    class_name TEXT   NOT NULL,
    resource   TEXT   NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (class_name, resource)
);

-- A row a project, for one purpose: who is about to count and then to add holds it until that is done.
CREATE TABLE quota_turns (
    project_id TEXT PRIMARY KEY
);
