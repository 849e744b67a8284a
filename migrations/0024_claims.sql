-- A claim looks at the first jobs of each project in each place, at those that run, and at those that are cancelled, and
-- not at all that wait.
CREATE INDEX jobs_in_line ON jobs (COALESCE(project_id, ''), COALESCE(place, ''), run_at, ordinal, id) WHERE finished_at IS NULL;
CREATE INDEX jobs_by_state ON jobs (state, project_id, place, lease_owner) WHERE finished_at IS NULL;
CREATE INDEX jobs_cancelled ON jobs (run_at) WHERE finished_at IS NULL AND cancel;
