-- Which rule let a connection through, or was missing; and of a refused one, what is in the way, for people.

ALTER TABLE connections ADD COLUMN rule TEXT NOT NULL DEFAULT '';
ALTER TABLE connections ADD COLUMN told TEXT NOT NULL DEFAULT '';
