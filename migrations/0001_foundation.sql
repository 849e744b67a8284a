-- One text for SQLite and PostgreSQL. Identifiers are TEXT, moments BIGINT (microseconds since 1970, UTC),
-- JSONB is text with JSON in it on SQLite.

CREATE TABLE images (
    id               TEXT    PRIMARY KEY,
    project_id       TEXT,
    name             TEXT,
    status           TEXT    NOT NULL,
    -- What it was before it was asked to be deleted, to go back to when the store refuses.
    previous_status  TEXT,
    visibility       TEXT    NOT NULL,
    protected        BOOLEAN NOT NULL,
    os_hidden        BOOLEAN NOT NULL,
    container_format TEXT,
    disk_format      TEXT,
    -- Bytes; unknown until uploaded.
    size             BIGINT,
    virtual_size     BIGINT,
    checksum         TEXT,
    os_hash_algo     TEXT,
    os_hash_value    TEXT,
    -- GiB and MiB.
    min_disk         BIGINT  NOT NULL,
    min_ram          BIGINT  NOT NULL,
    -- Custom properties, an object of texts.
    properties       JSONB   NOT NULL,
    -- An object {tag: true}: a set that both engines can ask for a key.
    tags             JSONB   NOT NULL,
    -- Where the bytes are: rbd://<fsid>/<pool>/<image>/<snapshot>
    location         TEXT,
    created_at       BIGINT  NOT NULL,
    updated_at       BIGINT  NOT NULL
);
CREATE INDEX images_by_age ON images (created_at DESC, id DESC);

CREATE TABLE volume_types (
    id          TEXT    PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    description TEXT,
    is_public   BOOLEAN NOT NULL,
    extra_specs JSONB   NOT NULL,
    created_at  BIGINT  NOT NULL
);

CREATE TABLE volumes (
    id                TEXT    PRIMARY KEY,
    project_id        TEXT    NOT NULL,
    user_id           TEXT    NOT NULL,
    name              TEXT,
    description       TEXT,
    -- GiB.
    size              BIGINT  NOT NULL,
    status            TEXT    NOT NULL,
    previous_status   TEXT,
    availability_zone TEXT    NOT NULL,
    host              TEXT,
    volume_type_id    TEXT    NOT NULL REFERENCES volume_types (id),
    bootable          BOOLEAN NOT NULL,
    multiattach       BOOLEAN NOT NULL,
    snapshot_id       TEXT,
    source_volume_id  TEXT,
    image_id          TEXT,
    metadata          JSONB   NOT NULL,
    -- What the image said of itself; null for a volume that never saw one.
    image_metadata    JSONB,
    created_at        BIGINT  NOT NULL,
    updated_at        BIGINT
);
CREATE INDEX volumes_by_age ON volumes (created_at DESC, id DESC);
CREATE INDEX volumes_by_project ON volumes (project_id, created_at DESC, id DESC);
CREATE INDEX volumes_by_type ON volumes (volume_type_id);

CREATE TABLE snapshots (
    id              TEXT   PRIMARY KEY,
    -- A snapshot holds its volume: a volume with snapshots cannot be deleted.
    volume_id       TEXT   NOT NULL REFERENCES volumes (id),
    project_id      TEXT   NOT NULL,
    user_id         TEXT   NOT NULL,
    name            TEXT,
    description     TEXT,
    -- GiB, of the volume when it was taken.
    size            BIGINT NOT NULL,
    status          TEXT   NOT NULL,
    previous_status TEXT,
    metadata        JSONB  NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT
);
CREATE INDEX snapshots_by_age ON snapshots (created_at DESC, id DESC);
CREATE INDEX snapshots_by_volume ON snapshots (volume_id);

CREATE TABLE jobs (
    id            TEXT    PRIMARY KEY,
    kind          TEXT    NOT NULL,
    -- What it works on, for instance volume/<id>. Jobs on one resource run one after the other.
    resource_type TEXT    NOT NULL,
    resource_id   TEXT    NOT NULL,
    -- What it reads from while it runs: a snapshot, a volume, an image. Jobs that share a source run together,
    -- a job on the source itself waits for them, and they for an earlier one on the source.
    source_id     TEXT,
    project_id    TEXT,
    request_id    TEXT,
    payload       JSONB   NOT NULL,
    state         TEXT    NOT NULL,
    step          TEXT,
    bytes_done    BIGINT  NOT NULL,
    bytes_total   BIGINT  NOT NULL,
    attempts      BIGINT  NOT NULL,
    -- Not before this moment.
    run_at        BIGINT  NOT NULL,
    -- Who works on it, and until when that is believed without a heartbeat.
    lease_owner   TEXT,
    lease_until   BIGINT,
    -- Grows with each claim; a worker writes only under the number it was given.
    fence         BIGINT  NOT NULL,
    cancel        BOOLEAN NOT NULL,
    -- Why it is being, or was, undone.
    cause         TEXT,
    -- For the user, and for the operator.
    error         TEXT,
    error_detail  TEXT,
    created_at    BIGINT  NOT NULL,
    started_at    BIGINT,
    updated_at    BIGINT  NOT NULL,
    finished_at   BIGINT
);
-- The queue is short, the history is long: the claim reads only what is not over.
CREATE INDEX jobs_to_do ON jobs (run_at, id) WHERE finished_at IS NULL;
CREATE INDEX jobs_of_resource ON jobs (resource_id, id);
CREATE INDEX jobs_of_source ON jobs (source_id) WHERE finished_at IS NULL;
-- For whoever follows changes.
CREATE INDEX jobs_by_change ON jobs (updated_at);
CREATE INDEX jobs_over ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- Images on a pool that nothing names any more, kept only because clones still read from them:
-- volume-<id>.deleted, or trash entries by their former name. Removed with their last clone.
CREATE TABLE leftovers (
    pool       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (pool, name)
);
