-- What volumes and snapshots have beside the making and deleting of them: transfers to another project, messages to
-- users, and what an administrator says of them.

-- `NN%`, as `os-update_snapshot_status` set it; null: what the status implies.
ALTER TABLE snapshots ADD COLUMN progress TEXT;

-- A volume that is offered to whoever has the key.
CREATE TABLE transfers (
    id                TEXT    PRIMARY KEY,
    volume_id         TEXT    NOT NULL REFERENCES volumes (id) ON DELETE CASCADE,
    source_project_id TEXT    NOT NULL,
    name              TEXT,
    -- The key itself is known to nobody but its holder: hexadecimal digits of salt and hash.
    salt              TEXT    NOT NULL,
    key_hash          TEXT    NOT NULL,
    no_snapshots      BOOLEAN NOT NULL,
    created_at        BIGINT  NOT NULL
);
CREATE INDEX transfers_by_volume ON transfers (volume_id);
CREATE INDEX transfers_by_age ON transfers (created_at DESC, id DESC);

-- Why something that a user asked for did not come about.
CREATE TABLE messages (
    id            TEXT   PRIMARY KEY,
    project_id    TEXT   NOT NULL,
    request_id    TEXT,
    -- `VOLUME` or `VOLUME_SNAPSHOT`, and its id; it may be gone.
    resource_type TEXT   NOT NULL,
    resource_uuid TEXT,
    event_id      TEXT   NOT NULL,
    message_level TEXT   NOT NULL,
    created_at    BIGINT NOT NULL
);
CREATE INDEX messages_by_project ON messages (project_id, created_at DESC, id DESC);
CREATE INDEX messages_by_age ON messages (created_at DESC, id DESC);
