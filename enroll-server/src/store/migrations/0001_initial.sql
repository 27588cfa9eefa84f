-- Times are seconds since 1970. STRICT tables: a wrong type is an error, not a surprise.

CREATE TABLE makers (
    sha256 BLOB    NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    name   TEXT    NOT NULL,
    der    BLOB    NOT NULL,
    added  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
    device        TEXT    NOT NULL PRIMARY KEY,
    model         TEXT,
    idevid_sha256 BLOB    CHECK (length(idevid_sha256) = 32),
    state         TEXT    NOT NULL CHECK (state IN ('registered', 'held', 'enrolled', 'revoked')),
    -- NULL: nothing is approved; empty: the next enrollment; 32 bytes: the request with this key.
    approval      BLOB    CHECK (length(approval) IN (0, 32)),
    added         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One identity key stands for one device.
CREATE UNIQUE INDEX devices_by_idevid ON devices (idevid_sha256) WHERE idevid_sha256 IS NOT NULL;

-- Every request that got as far as a serial number. The unique columns are what makes a nonce and a key
-- count once: over all replicas, and after a restart.
CREATE TABLE certificates (
    serial        BLOB    NOT NULL PRIMARY KEY CHECK (length(serial) = 16),
    device        TEXT    NOT NULL REFERENCES devices (device),
    state         TEXT    NOT NULL CHECK (state IN ('held', 'intent', 'issued', 'revoked', 'voided')),
    point         BLOB    NOT NULL CHECK (length(point) = 65),
    key_sha256    BLOB    NOT NULL UNIQUE CHECK (length(key_sha256) = 32),
    nonce         BLOB    UNIQUE CHECK (length(nonce) = 32),
    parent        BLOB    CHECK (length(parent) = 16),
    not_before    INTEGER NOT NULL,
    not_after     INTEGER NOT NULL,
    recorded      INTEGER NOT NULL,
    evidence_kind INTEGER,
    evidence      BLOB,
    der           BLOB,
    revoked       INTEGER,
    reason        TEXT,
    CHECK (nonce IS NOT NULL OR parent IS NOT NULL),
    CHECK ((der IS NOT NULL) = (state IN ('issued', 'revoked'))),
    CHECK ((revoked IS NOT NULL) = (state = 'revoked'))
) STRICT, WITHOUT ROWID;

CREATE INDEX certificates_by_device ON certificates (device, recorded);
CREATE INDEX certificates_open ON certificates (state) WHERE state IN ('held', 'intent');
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE state = 'revoked';
CREATE INDEX certificates_by_time ON certificates (recorded);

-- The text of a token is a secret and never stored.
CREATE TABLE tokens (
    sha256  BLOB    NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    id      TEXT    NOT NULL UNIQUE,
    device  TEXT,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used_by TEXT,
    used_by_key BLOB CHECK (length(used_by_key) = 32),
    revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1))
) STRICT, WITHOUT ROWID;

-- The audit trail: rows are added, never changed.
CREATE TABLE events (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    device TEXT,
    detail TEXT    NOT NULL
) STRICT;

CREATE INDEX events_by_device ON events (device, kind, at) WHERE device IS NOT NULL;

CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events BEGIN
    SELECT RAISE(ABORT, 'events are not changed');
END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events BEGIN
    SELECT RAISE(ABORT, 'events are not deleted');
END;

-- Numbers that rise: `revocations` with every change of the revocation list, `crl` with every list published,
-- `makers` with every maker added.
CREATE TABLE counters (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('revocations', 0), ('crl', 0), ('makers', 0);
