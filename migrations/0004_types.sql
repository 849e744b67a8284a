-- What volume types have beside extra specs: QoS specs, an encryption, the projects that may use a private one, and the
-- projects whose default they are.

CREATE TABLE qos_specs (
    id         TEXT   PRIMARY KEY,
    name       TEXT   NOT NULL UNIQUE,
    -- Who carries them out: front-end, back-end or both.
    consumer   TEXT   NOT NULL,
    -- An object of texts and nulls, as extra specs are.
    specs      JSONB  NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT
);

ALTER TABLE volume_types ADD COLUMN qos_specs_id TEXT REFERENCES qos_specs (id);
ALTER TABLE volume_types ADD COLUMN updated_at BIGINT;
CREATE INDEX volume_types_by_qos_specs ON volume_types (qos_specs_id);

-- Who may use a type that is not public.
CREATE TABLE volume_type_projects (
    volume_type_id TEXT   NOT NULL REFERENCES volume_types (id) ON DELETE CASCADE,
    project_id     TEXT   NOT NULL,
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (volume_type_id, project_id)
);
CREATE INDEX volume_type_projects_by_project ON volume_type_projects (project_id);

CREATE TABLE volume_type_encryptions (
    volume_type_id   TEXT   PRIMARY KEY REFERENCES volume_types (id) ON DELETE CASCADE,
    id               TEXT   NOT NULL,
    provider         TEXT   NOT NULL,
    control_location TEXT   NOT NULL,
    cipher           TEXT,
    -- Bits.
    key_size         BIGINT,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT
);

-- The type of a project's volumes when the request does not say.
CREATE TABLE default_volume_types (
    project_id     TEXT PRIMARY KEY,
    volume_type_id TEXT NOT NULL REFERENCES volume_types (id)
);
CREATE INDEX default_volume_types_by_type ON default_volume_types (volume_type_id);
