-- Attestation keys that an operator registered, found by the instance identifier in a PSA token (RFC 9783). One key
-- is in one device, and a device has one.
CREATE TABLE attestation_keys (
    instance BLOB    NOT NULL PRIMARY KEY CHECK (length(instance) = 32),
    device   TEXT    NOT NULL UNIQUE,
    spki     BLOB    NOT NULL UNIQUE,
    maker    BLOB    REFERENCES makers (sha256),
    model    TEXT,
    added    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
