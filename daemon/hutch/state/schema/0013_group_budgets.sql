-- What all attempts of a group may spend together on models.

ALTER TABLE groups ADD COLUMN budget_usd REAL;
ALTER TABLE groups ADD COLUMN budget_tokens INTEGER;
CREATE INDEX attempts_by_volume ON attempts (volume);
