-- What arrived for an image and is to become its content.
CREATE TABLE staged_images (
    image_id      TEXT    PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    -- Of the bytes, in the pool.
    name          TEXT    NOT NULL,
    -- Bytes.
    size          BIGINT  NOT NULL,
    checksum      TEXT,
    os_hash_algo  TEXT,
    os_hash_value TEXT
);

-- Where the bytes of an image are: several rows, when it is in several stores.
CREATE TABLE image_locations (
    image_id TEXT    NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    -- In the order in which they were added.
    position BIGINT  NOT NULL,
    -- The id of the store; null: that of `[images]`.
    store    TEXT,
    -- rbd://<fsid>/<pool>/<image>/<snapshot>, null until the snapshot is there; or the address of a web server.
    url      TEXT,
    -- What its user keeps with it, an object; null for none.
    metadata JSONB,
    -- False while the bytes are being brought there, or removed: nobody reads them.
    ready    BOOLEAN NOT NULL,
    PRIMARY KEY (image_id, position)
);
INSERT INTO image_locations (image_id, position, url, ready)
    SELECT id, 0, location, TRUE FROM images WHERE status IN ('active', 'deactivated');
ALTER TABLE images DROP COLUMN location;
