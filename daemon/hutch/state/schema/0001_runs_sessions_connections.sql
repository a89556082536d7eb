-- Times are seconds since 1970-01-01 UTC. Lists and maps are JSON.

CREATE TABLE sessions (
  id               TEXT PRIMARY KEY,
  kind             TEXT NOT NULL CHECK (kind IN ('agent', 'sandbox')),
  status           TEXT NOT NULL CHECK (status IN ('running', 'idle', 'failed', 'ended', 'lost')),
  name             TEXT,
  agent            TEXT,
  agent_session_id TEXT,
  method           TEXT NOT NULL,
  volume           TEXT,
  request          TEXT NOT NULL DEFAULT '{}',  -- what later turns repeat: model, network, limits; never a secret
  created_at       REAL NOT NULL,
  updated_at       REAL NOT NULL,
  last_message     TEXT,
  error            TEXT
) STRICT;
CREATE INDEX sessions_by_time ON sessions (created_at DESC, id);
CREATE INDEX sessions_by_volume ON sessions (volume, agent);

CREATE TABLE runs (
  id                 TEXT PRIMARY KEY,
  session_id         TEXT REFERENCES sessions (id) ON DELETE SET NULL,
  status             TEXT NOT NULL,
  command            TEXT NOT NULL,
  method             TEXT NOT NULL,
  policy             TEXT NOT NULL,
  created_at         REAL NOT NULL,
  ended_at           REAL,
  duration_s         REAL,
  exit_code          INTEGER,
  signal             INTEGER,
  reason             TEXT NOT NULL DEFAULT '',
  stdout_bytes       INTEGER NOT NULL DEFAULT 0,
  stderr_bytes       INTEGER NOT NULL DEFAULT 0,
  dropped_bytes      INTEGER NOT NULL DEFAULT 0,
  volumes            TEXT NOT NULL DEFAULT '[]',
  snapshots          TEXT NOT NULL DEFAULT '{}',
  changed            TEXT NOT NULL DEFAULT '{}',
  input_tokens       INTEGER,
  output_tokens      INTEGER,
  cache_read_tokens  INTEGER,
  cache_write_tokens INTEGER,
  cost_usd           REAL
) STRICT;
CREATE INDEX runs_by_time ON runs (created_at DESC, id);
CREATE INDEX runs_by_session ON runs (session_id, created_at);
CREATE INDEX runs_unfinished ON runs (status) WHERE ended_at IS NULL;

CREATE TABLE connections (
  run_id     TEXT NOT NULL,      -- a run's id, or the session's of a kept sandbox
  at         REAL NOT NULL,
  host       TEXT NOT NULL,
  address    TEXT,
  port       INTEGER NOT NULL,
  sent       INTEGER NOT NULL,   -- bytes out of the sandbox
  received   INTEGER NOT NULL,   -- bytes into the sandbox
  duration_s REAL NOT NULL,
  refused    TEXT,               -- why, when it was
  count      INTEGER NOT NULL    -- 1, or of so many connections this row is the sum
) STRICT;
CREATE INDEX connections_by_run ON connections (run_id, at);
