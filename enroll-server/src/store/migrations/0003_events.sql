-- Events say how much they matter, why, on which evidence, and who caused them.
ALTER TABLE events ADD COLUMN severity TEXT NOT NULL DEFAULT 'info';
ALTER TABLE events ADD COLUMN reason TEXT;
ALTER TABLE events ADD COLUMN evidence_sha256 BLOB CHECK (length(evidence_sha256) = 32);
ALTER TABLE events ADD COLUMN actor TEXT NOT NULL DEFAULT 'system';
CREATE INDEX events_by_kind ON events (kind, number);

-- What a device was last accepted with: what the next evidence is compared with. Measurements: a JSON array of
-- component and digest.
CREATE TABLE device_claims (
    device           TEXT    NOT NULL PRIMARY KEY REFERENCES devices (device),
    software_name    TEXT,
    software_version TEXT,
    debug            INTEGER,
    measurements     TEXT    NOT NULL,
    evidence_sha256  BLOB    CHECK (length(evidence_sha256) = 32),
    at               INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
