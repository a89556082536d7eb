-- When a run's output, and what was listed of its connections, were let go of; null: they are there.

ALTER TABLE runs ADD COLUMN log_let_go_at REAL;
CREATE INDEX runs_with_logs ON runs (created_at DESC, id) WHERE log_let_go_at IS NULL;

-- What passed in connections whose rows were let go of: budgets go on counting it.

CREATE TABLE passed (
  run_id TEXT PRIMARY KEY,   -- as in connections
  bytes  INTEGER NOT NULL    -- both ways together
) STRICT;
CREATE INDEX connections_by_time ON connections (at);
CREATE TRIGGER count_passed AFTER DELETE ON connections BEGIN
  INSERT INTO passed VALUES (OLD.run_id, OLD.sent + OLD.received)
    ON CONFLICT (run_id) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
