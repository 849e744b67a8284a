-- A row that stands in for a volume's next copy while Nova moves what an instance has: its image is named by that volume.
ALTER TABLE volumes ADD COLUMN name_id TEXT;
CREATE UNIQUE INDEX volumes_name_id ON volumes (name_id) WHERE name_id IS NOT NULL;
