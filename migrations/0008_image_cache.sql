-- Raw copies of images that are not raw, beside volumes, which are cloned from them.
CREATE TABLE image_cache (
    -- The name on the pool.
    name TEXT NOT NULL PRIMARY KEY,
    image_id TEXT NOT NULL,
    -- The name of the backend in whose pool it lies.
    backend TEXT NOT NULL,
    -- GiB.
    size BIGINT NOT NULL,
    used_at BIGINT NOT NULL
);

CREATE INDEX image_cache_image ON image_cache (image_id);
