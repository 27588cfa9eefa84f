-- What an operator hands out so that devices can enroll: symmetric keys, and batches with a claim certificate.
CREATE TABLE credentials (
    id           TEXT    NOT NULL PRIMARY KEY,
    kind         TEXT    NOT NULL CHECK (kind IN ('device-key', 'group-key', 'batch')),
    name         TEXT    NOT NULL,
    device       TEXT,
    device_group TEXT,
    -- Wrapped under a key that is not in the database.
    secret       BLOB,
    certificate  BLOB,
    hold         INTEGER NOT NULL DEFAULT 0 CHECK (hold IN (0, 1)),
    created      INTEGER NOT NULL,
    expires      INTEGER,
    revoked      INTEGER,
    quota        INTEGER,
    used         INTEGER NOT NULL DEFAULT 0,
    CHECK ((device IS NOT NULL) = (kind = 'device-key')),
    CHECK ((secret IS NULL) = (kind = 'batch')),
    CHECK ((certificate IS NOT NULL) = (kind = 'batch')),
    CHECK (quota IS NULL OR used <= quota)
) STRICT, WITHOUT ROWID;

CREATE INDEX credentials_by_device ON credentials (device) WHERE device IS NOT NULL;

-- Which devices a credential brought in: each counts once.
CREATE TABLE credential_devices (
    credential TEXT    NOT NULL REFERENCES credentials (id),
    device     TEXT    NOT NULL REFERENCES devices (device),
    identity   BLOB    NOT NULL CHECK (length(identity) = 32),
    at         INTEGER NOT NULL,
    PRIMARY KEY (credential, device)
) STRICT, WITHOUT ROWID;

CREATE INDEX credential_devices_by_device ON credential_devices (device);

-- A token may be limited to a group, whose devices it brings in.
ALTER TABLE tokens ADD COLUMN device_group TEXT;
