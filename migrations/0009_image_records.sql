-- Projects that a `shared` image was given to.
CREATE TABLE image_members (
    image_id   TEXT   NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    -- A project.
    member_id  TEXT   NOT NULL,
    -- Whether the project wants it in its lists: pending, accepted or rejected.
    status     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (image_id, member_id)
);
CREATE INDEX image_members_by_member ON image_members (member_id, status);

-- Metadata definitions: what keys of images, volumes, flavors and so on mean. A namespace holds them.
CREATE TABLE metadef_namespaces (
    id           TEXT    PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    display_name TEXT,
    description  TEXT,
    -- public or private.
    visibility   TEXT    NOT NULL,
    protected    BOOLEAN NOT NULL,
    project_id   TEXT,
    created_at   BIGINT  NOT NULL,
    updated_at   BIGINT  NOT NULL
);

-- What is in a namespace: objects, properties, tags, and the resource types that it is for.
CREATE TABLE metadef_items (
    id           TEXT   PRIMARY KEY,
    namespace_id TEXT   NOT NULL REFERENCES metadef_namespaces (id) ON DELETE CASCADE,
    -- object, property, tag or resource_type.
    kind         TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    -- All but the name, an object.
    definition   JSONB  NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    UNIQUE (namespace_id, kind, name)
);

-- All that were ever named. The first ones are those that Glance's own definitions are for.
CREATE TABLE metadef_resource_types (
    name       TEXT   PRIMARY KEY,
    created_at BIGINT NOT NULL
);
INSERT INTO metadef_resource_types (name, created_at) VALUES
    ('OS::Cinder::Volume', 1795564800000000),
    ('OS::Glance::Image', 1795564800000000),
    ('OS::Nova::Aggregate', 1795564800000000),
    ('OS::Nova::Flavor', 1795564800000000),
    ('OS::Nova::Server', 1795564800000000),
    ('OS::Trove::Instance', 1795564800000000);
