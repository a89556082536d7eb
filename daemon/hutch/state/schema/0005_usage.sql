-- What models used, read in their own answers outside the sandbox: summed per run, day, host and model.

CREATE TABLE usage (
  run_id                TEXT NOT NULL,     -- a run's id, or the session's of a kept sandbox
  day                   TEXT NOT NULL,     -- 2026-11-21, UTC
  host                  TEXT NOT NULL,
  model                 TEXT NOT NULL,     -- as the answers name it
  session_id            TEXT,
  principal             TEXT NOT NULL,
  requests              INTEGER NOT NULL,
  incomplete            INTEGER NOT NULL,  -- of those, answers that broke off or did not say all: a lower bound
  unpriced              INTEGER NOT NULL,  -- of those, answers whose price nobody knew
  input_tokens          INTEGER NOT NULL,  -- without cache reads and writes
  output_tokens         INTEGER NOT NULL,
  cache_read_tokens     INTEGER NOT NULL,
  cache_write_tokens    INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL,  -- of those, for an hour
  web_searches          INTEGER NOT NULL,
  cost_pico_usd         INTEGER NOT NULL,  -- by the price of the moment, 10^-12 of a dollar
  charged_tokens        INTEGER NOT NULL,  -- what budgets count: where an answer did not say all, more than it said
  charged_pico_usd      INTEGER NOT NULL,
  PRIMARY KEY (run_id, day, host, model)
) STRICT;
CREATE INDEX usage_by_session ON usage (session_id);
CREATE INDEX usage_by_principal ON usage (principal, day);

-- The budgets of a run as they stood at its end: a list of {name, per, ...}.

ALTER TABLE runs ADD COLUMN budgets TEXT NOT NULL DEFAULT '[]';
