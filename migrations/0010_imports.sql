-- What arrived for an image and is to become its content.
CREATE TABLE staged_images (
    image_id      TEXT    PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    -- Of the bytes, in the pool.
    name          TEXT    NOT NULL,
    -- Bytes.
    size          BIGINT  NOT NULL,
    checksum      TEXT,
    os_hash_algo  TEXT,
    os_hash_value TEXT,
    -- An import is giving the bytes the image's own name: from now on it is ours to remove.
    taken         BOOLEAN NOT NULL
);
