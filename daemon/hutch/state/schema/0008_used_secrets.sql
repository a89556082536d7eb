-- Which secrets were put into the requests of a connection: their names, with commas. Never a value.

ALTER TABLE connections ADD COLUMN secrets TEXT NOT NULL DEFAULT '';
