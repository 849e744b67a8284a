-- The order of jobs. It grows along whatever happened one after the other, also when the clocks of the processes that
-- enqueued them differ: ids sort by those clocks.
ALTER TABLE jobs ADD COLUMN ordinal BIGINT NOT NULL DEFAULT 0;
-- The pool that it keeps busy: the host of a volume, or empty for that of the images. NULL when the request that
-- brings the bytes carries it out.
ALTER TABLE jobs ADD COLUMN place TEXT;
CREATE INDEX jobs_by_ordinal ON jobs (ordinal);
CREATE INDEX jobs_of_project ON jobs (project_id) WHERE finished_at IS NULL;
