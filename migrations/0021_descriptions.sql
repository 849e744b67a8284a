-- When a volume was last described anew (its name, its metadata), and when it had last been changed in another way before
-- that: who copies it need not mind the one, and must mind the other. An older version writes neither, and so each change
-- of its own counts.
ALTER TABLE volumes ADD COLUMN described_at BIGINT;
ALTER TABLE volumes ADD COLUMN used_at BIGINT;
