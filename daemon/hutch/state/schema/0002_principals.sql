-- Whose a run or session is, who has which token, and what was shared with whom.

ALTER TABLE sessions ADD COLUMN principal TEXT NOT NULL DEFAULT 'owner';
ALTER TABLE runs ADD COLUMN principal TEXT NOT NULL DEFAULT 'owner';
CREATE INDEX sessions_by_principal ON sessions (principal, created_at DESC, id);
CREATE INDEX runs_by_principal ON runs (principal, created_at DESC, id);

CREATE TABLE tokens (
  id         TEXT PRIMARY KEY,
  principal  TEXT NOT NULL,
  digest     BLOB NOT NULL,   -- SHA-256 of the token, which is not kept
  created_at REAL NOT NULL,
  expires_at REAL,
  revoked_at REAL
) STRICT;

CREATE TABLE shares (
  volume     TEXT NOT NULL,   -- with its workspace
  principal  TEXT NOT NULL,
  level      TEXT NOT NULL CHECK (level IN ('none', 'ro', 'rw', 'owner')),
  created_at REAL NOT NULL,
  PRIMARY KEY (volume, principal)
) STRICT;
CREATE INDEX shares_by_principal ON shares (principal);
