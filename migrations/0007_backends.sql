-- Places for volumes: who serves them and whether they are to be used; volumes on their way to another place.

-- What runs, as it last said itself, and what administrators said of it.
CREATE TABLE services (
    -- A number to name it by.
    id              BIGINT  NOT NULL,
    -- <host>@<backend> of a place for volumes.
    host            TEXT    NOT NULL,
    binary_name     TEXT    NOT NULL,
    zone            TEXT    NOT NULL,
    disabled        BOOLEAN NOT NULL,
    disabled_reason TEXT,
    frozen          BOOLEAN NOT NULL,
    -- Of a place for volumes: whether it answered, bytes, and the GiB of all volumes there.
    answers         BOOLEAN NOT NULL,
    total_bytes     BIGINT,
    free_bytes      BIGINT,
    provisioned     BIGINT  NOT NULL,
    created_at      BIGINT  NOT NULL,
    -- The last sign of life.
    seen_at         BIGINT  NOT NULL,
    -- The last change by an administrator.
    updated_at      BIGINT,
    PRIMARY KEY (host, binary_name)
);

ALTER TABLE volumes ADD COLUMN migration_status TEXT;
-- The type it is to have, which counts from now on.
ALTER TABLE volumes ADD COLUMN retyping_to TEXT REFERENCES volume_types (id);
-- How much lies where.
CREATE INDEX volumes_by_host ON volumes (host, size);
