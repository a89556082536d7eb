-- What a turn gave as its result, in the form that it was asked for, as JSON; null: none was asked for.

ALTER TABLE runs ADD COLUMN result TEXT NOT NULL DEFAULT 'null';
ALTER TABLE sessions ADD COLUMN result TEXT NOT NULL DEFAULT 'null';
