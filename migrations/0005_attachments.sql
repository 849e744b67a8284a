-- Who uses a volume, or is about to.

CREATE TABLE attachments (
    id          TEXT   PRIMARY KEY,
    volume_id   TEXT   NOT NULL REFERENCES volumes (id) ON DELETE CASCADE,
    -- The server that uses it; null for a host that uses it itself.
    instance_id TEXT,
    status      TEXT   NOT NULL,
    host        TEXT,
    mountpoint  TEXT,
    -- rw or ro; null as long as nobody said.
    mode        TEXT,
    -- How the volume is reached, as the host was told; null before that.
    access      JSONB,
    attached_at BIGINT,
    created_at  BIGINT NOT NULL
);
CREATE INDEX attachments_by_age ON attachments (created_at DESC, id DESC);
CREATE INDEX attachments_by_volume ON attachments (volume_id);

-- Texts that the service keeps with a volume and shows among its metadata: readonly, attached_mode.
ALTER TABLE volumes ADD COLUMN admin_metadata JSONB NOT NULL DEFAULT '{}';
