-- Volumes that another cluster has too, and places that can see to it.

ALTER TABLE services ADD COLUMN mirrors BOOLEAN NOT NULL DEFAULT FALSE;
-- Null where it lies in a place that cannot.
ALTER TABLE volumes ADD COLUMN replication_status TEXT;
