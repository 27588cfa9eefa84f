-- Keys and batches are listed page by page, the newest first.
CREATE INDEX credentials_by_time ON credentials (kind, created, id);
