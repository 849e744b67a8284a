-- Moved to the trash by `pumice audit --repair`: an administrator says when it goes, no sweeper does.
ALTER TABLE leftovers ADD COLUMN kept BOOLEAN NOT NULL DEFAULT FALSE;
