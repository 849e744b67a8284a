-- What the job did stays from now on: it cannot be cancelled any more.
ALTER TABLE jobs ADD COLUMN settled BOOLEAN NOT NULL DEFAULT FALSE;
