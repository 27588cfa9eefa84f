-- Tokens are listed page by page, the newest first.
CREATE INDEX tokens_by_time ON tokens (created, id);
