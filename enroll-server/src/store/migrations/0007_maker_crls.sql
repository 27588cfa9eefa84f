-- The newest revocation list of each CA of a maker. It is verified again whenever it is read; the number stands
-- here so that it cannot go back.
CREATE TABLE maker_crls (
    issuer BLOB    NOT NULL PRIMARY KEY CHECK (length(issuer) = 32),
    maker  BLOB    NOT NULL REFERENCES makers (sha256),
    number BLOB    NOT NULL CHECK (length(number) = 20),
    added  INTEGER NOT NULL,
    -- Certificates in PEM of the CAs between the maker and the issuer; empty where the maker itself issues.
    chain  TEXT    NOT NULL,
    der    BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
