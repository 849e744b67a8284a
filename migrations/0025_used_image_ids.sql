-- Ids of images that are gone. Nobody makes another image of one: who keeps bytes by an id, as Nova does, would
-- take what it has for the new one's.
CREATE TABLE used_image_ids (
    id TEXT PRIMARY KEY
);
-- Of those that went before, what is still known.
INSERT INTO used_image_ids (id)
    SELECT DISTINCT resource_id FROM jobs
    WHERE resource_type = 'image' AND NOT EXISTS (SELECT 1 FROM images WHERE images.id = jobs.resource_id);
