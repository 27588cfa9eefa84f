-- Which trust bundle a device said that it holds, in a request that proved who asks.
ALTER TABLE devices ADD COLUMN trust_number INTEGER;
ALTER TABLE devices ADD COLUMN trust_at INTEGER;
-- Who has not moved, found without reading every device.
CREATE INDEX devices_by_trust ON devices (trust_number) WHERE state IN ('enrolled', 'suspended');
CREATE INDEX certificates_live ON certificates (issuer, not_after, device) WHERE state = 'issued';

-- Every trust bundle there was, as it was signed.
CREATE TABLE trust_bundles (
    number INTEGER NOT NULL PRIMARY KEY,
    signed BLOB    NOT NULL,
    added  INTEGER NOT NULL
) STRICT;

-- Every rollover of a CA, at most one of them under way. The plan is JSON: certificates, and where keys are; never
-- a key.
CREATE TABLE rollovers (
    number  INTEGER NOT NULL PRIMARY KEY,
    step    TEXT    NOT NULL CHECK (step IN ('prepared', 'switched', 'retired', 'aborted')),
    plan    TEXT    NOT NULL,
    issuer  BLOB    NOT NULL CHECK (length(issuer) = 32),
    bundle  INTEGER REFERENCES trust_bundles (number),
    begun   INTEGER NOT NULL,
    changed INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX rollovers_under_way ON rollovers ((1)) WHERE step IN ('prepared', 'switched');

-- Rises with every trust bundle and every step of a rollover.
INSERT INTO counters (name, value) VALUES ('rollover', 0);
