-- Turns of agents that were asked for and are not over: they wait, are at work, or are tried again.

CREATE TABLE turns (
  session_id TEXT PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
  runs       TEXT NOT NULL,     -- ids, JSON: the first and its retries
  request    TEXT NOT NULL,     -- as it was asked, JSON; secrets by name, never a value
  fork       TEXT NOT NULL,     -- what the volume is made from, JSON
  asked_at   REAL NOT NULL,
  due_at     REAL NOT NULL,     -- it is not tried again before
  ends_at    REAL               -- no run works longer; NULL: none has begun
) STRICT;

-- Of an agent's run: which retry of its turn it is, and how it ended. A session is queued while its run is.

ALTER TABLE runs ADD COLUMN turn TEXT NOT NULL DEFAULT '{}';
