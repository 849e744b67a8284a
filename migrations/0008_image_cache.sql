-- Raw copies of images that are not raw, on the volumes' pool: volumes are cloned from them.
CREATE TABLE image_cache (
    -- The name on the pool.
    name TEXT NOT NULL PRIMARY KEY,
    image_id TEXT NOT NULL,
    -- GiB.
    size BIGINT NOT NULL,
    used_at BIGINT NOT NULL
);

CREATE INDEX image_cache_image ON image_cache (image_id);
