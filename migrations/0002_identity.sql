-- Who there is, and what they may do: Identity of our own (`identity.mode = "standalone"`).

CREATE TABLE domains (
    id          TEXT    PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    description TEXT    NOT NULL,
    enabled     BOOLEAN NOT NULL,
    created_at  BIGINT  NOT NULL
);

CREATE TABLE projects (
    id          TEXT    PRIMARY KEY,
    domain_id   TEXT    NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    enabled     BOOLEAN NOT NULL,
    -- What else clients want to be kept, an object.
    extra       JSONB   NOT NULL,
    created_at  BIGINT  NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE users (
    id                 TEXT    PRIMARY KEY,
    domain_id          TEXT    NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    name               TEXT    NOT NULL,
    -- Argon2id, with its salt and parameters; null for a user who cannot log in with one.
    password_hash      TEXT,
    enabled            BOOLEAN NOT NULL,
    default_project_id TEXT,
    -- Tokens issued before this moment are not good any more.
    tokens_valid_from  BIGINT  NOT NULL,
    extra              JSONB   NOT NULL,
    created_at         BIGINT  NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE roles (
    id          TEXT   PRIMARY KEY,
    name        TEXT   NOT NULL UNIQUE,
    description TEXT,
    created_at  BIGINT NOT NULL
);

-- Whoever has the first has the second.
CREATE TABLE implied_roles (
    role_id    TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    implied_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (role_id, implied_id)
);

CREATE TABLE role_assignments (
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- project, domain or system; the id of the first two, `all` of the last.
    scope      TEXT NOT NULL,
    scope_id   TEXT NOT NULL,
    role_id    TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, scope, scope_id, role_id)
);
CREATE INDEX role_assignments_by_scope ON role_assignments (scope, scope_id);

CREATE TABLE application_credentials (
    id           TEXT    PRIMARY KEY,
    user_id      TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id   TEXT    NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name         TEXT    NOT NULL,
    description  TEXT,
    secret_hash  TEXT    NOT NULL,
    -- An array of ids: what it may do, as long as its user may.
    roles        JSONB   NOT NULL,
    -- Whether it may be used to make others.
    unrestricted BOOLEAN NOT NULL,
    expires_at   BIGINT,
    created_at   BIGINT  NOT NULL,
    UNIQUE (user_id, name)
);

-- Tokens that were taken back one by one, until they would have expired.
CREATE TABLE revoked_tokens (
    audit_id   TEXT   PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);

-- What tokens are signed with: the newest signs, all are believed.
CREATE TABLE signing_keys (
    id         TEXT   PRIMARY KEY,
    -- 32 bytes in base64.
    secret     TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
