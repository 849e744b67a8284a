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
    SELECT id, 0, location, TRUE FROM images
    WHERE status IN ('active', 'deactivated')
        OR (status = 'deleted' AND previous_status IN ('active', 'deactivated'));
-- An import was giving the bytes the image's own name.
INSERT INTO image_locations (image_id, position, ready)
    SELECT image_id, 0, FALSE FROM staged_images WHERE taken AND image_id NOT IN (SELECT image_id FROM image_locations);
ALTER TABLE images DROP COLUMN location;
ALTER TABLE staged_images DROP COLUMN taken;
