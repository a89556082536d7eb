-- Which event of a run's job told of a connection, so that it is stored once; none where the daemon saw it itself.

ALTER TABLE connections ADD COLUMN event INTEGER;
