-- What a run had of this host, and what it changed there: {folder, mode, changed, ...}; empty: nothing.

ALTER TABLE runs ADD COLUMN workspace TEXT NOT NULL DEFAULT '{}';
