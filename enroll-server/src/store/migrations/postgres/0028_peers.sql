-- As the step for SQLite, where the comments are.
CREATE TABLE peer_revocations (
    serial    BYTEA            NOT NULL PRIMARY KEY CHECK (length(serial) = 16),
    issuer    BIGINT           NOT NULL,
    not_after BIGINT           NOT NULL,
    subject   TEXT COLLATE "C" NOT NULL,
    revoked   BIGINT           NOT NULL,
    reason    TEXT COLLATE "C" NOT NULL
);
CREATE INDEX peer_revocations_by_end ON peer_revocations (not_after);
