-- What a project uses is counted from these, by the status that a volume has and by what it is on the way to.
CREATE INDEX volumes_by_status ON volumes (project_id, volume_type_id, status, name_id, size, growing_to);
CREATE INDEX volumes_on_their_way ON volumes (project_id, retyping_to) WHERE retyping_to IS NOT NULL;
-- Lists of jobs: the newest first, of everybody and of a project.
CREATE INDEX jobs_by_age ON jobs (created_at DESC, id DESC);
CREATE INDEX jobs_of_project_by_age ON jobs (project_id, created_at DESC, id DESC);
