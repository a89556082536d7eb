-- Runs by the run whose agent has begun them, as the plan of each says.

CREATE INDEX runs_by_parent ON runs (json_extract(policy, '$.requested.begun_by'));
