-- Certificates that are no device's and were revoked: of brokers, of servers, and of this server at brokers. Which of them were
-- issued stands nowhere; an operator shows the certificate. They are on the complete list of their CA, and on no other.
CREATE TABLE peer_revocations (
    serial    BLOB    NOT NULL PRIMARY KEY CHECK (length(serial) = 16),
    issuer    INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    subject   TEXT    NOT NULL,
    revoked   INTEGER NOT NULL,
    reason    TEXT    NOT NULL
) STRICT;
CREATE INDEX peer_revocations_by_end ON peer_revocations (not_after);
