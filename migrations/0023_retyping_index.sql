-- The volumes that are to have a type: looked for while nobody else may use the type, and once more when it goes.
CREATE INDEX volumes_by_next_type ON volumes (retyping_to) WHERE retyping_to IS NOT NULL;
