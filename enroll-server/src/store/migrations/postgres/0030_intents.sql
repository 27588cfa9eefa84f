-- As the step for SQLite, where the comments are.
ALTER TABLE certificates ADD COLUMN intent_mac BYTEA;
