-- One task attempted several times at once, from one snapshot of a volume; each attempt is a session.

CREATE TABLE groups (
  id         TEXT PRIMARY KEY,
  principal  TEXT NOT NULL,
  agent      TEXT NOT NULL,
  prompt     TEXT NOT NULL,      -- for a person's eyes, shortened
  volume     TEXT NOT NULL,      -- where they began, and where one of them may be kept
  snapshot   INTEGER NOT NULL,
  workspace  TEXT,               -- DIR:MODE
  created_at REAL NOT NULL
) STRICT;
CREATE INDEX groups_by_time ON groups (created_at DESC, id);

CREATE TABLE attempts (
  group_id      TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
  number        INTEGER NOT NULL,
  volume        TEXT NOT NULL,   -- its fork
  session_id    TEXT,            -- none yet: its start is under way
  model         TEXT,
  variant       TEXT,            -- what was added to the prompt
  keeping       TEXT,            -- the volume that it is being kept as; none: it is not
  kept_as       TEXT,
  kept_snapshot INTEGER,
  PRIMARY KEY (group_id, number)
) STRICT;
CREATE INDEX attempts_by_session ON attempts (session_id);
