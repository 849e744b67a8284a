-- Tokens tell the epoch of their user, which a new password and being disabled bring to an end: clocks of different machines
-- say less of what came first. An older version neither tells nor changes it, and goes by `tokens_valid_from`, as all do.
ALTER TABLE users ADD COLUMN token_epoch BIGINT NOT NULL DEFAULT 0;
