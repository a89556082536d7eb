-- Volumes of an ended run whose newest changes the store has not yet: {volume: why}.

ALTER TABLE runs ADD COLUMN unsynced TEXT NOT NULL DEFAULT '{}';
CREATE INDEX runs_unsynced ON runs (id) WHERE unsynced <> '{}';
