-- Keys that makers sign releases with. A key that was removed stays, for what it signed.
CREATE TABLE release_keys (
    sha256  BLOB    NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    maker   TEXT    NOT NULL,
    spki    BLOB    NOT NULL,
    added   INTEGER NOT NULL,
    removed INTEGER
) STRICT, WITHOUT ROWID;

-- Sets of reference values, every version that was ever imported. One version of a set counts at a time.
CREATE TABLE reference_sets (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    maker          TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    version        INTEGER NOT NULL CHECK (version >= 0),
    state          TEXT    NOT NULL CHECK (state IN ('active', 'superseded', 'withdrawn')),
    format         TEXT    NOT NULL,
    manifest       TEXT,
    profile        TEXT,
    -- Of the file it came in, and of the part of it that this set was read from.
    file_sha256    BLOB    NOT NULL CHECK (length(file_sha256) = 32),
    content_sha256 BLOB    NOT NULL CHECK (length(content_sha256) = 32),
    -- NULL: not signed.
    signer_sha256  BLOB    CHECK (length(signer_sha256) = 32),
    signer         TEXT,
    not_before     INTEGER,
    not_after      INTEGER,
    imported       INTEGER NOT NULL,
    ended          INTEGER,
    CHECK ((ended IS NULL) = (state = 'active'))
) STRICT;

CREATE UNIQUE INDEX reference_sets_active ON reference_sets (maker, name) WHERE state = 'active';
CREATE INDEX reference_sets_by_name ON reference_sets (maker, name, version);

CREATE TABLE reference_values (
    set_id            INTEGER NOT NULL REFERENCES reference_sets (id),
    position          INTEGER NOT NULL,
    model             TEXT,
    instance          BLOB CHECK (length(instance) = 32),
    implementation_id BLOB CHECK (length(implementation_id) = 32),
    component         TEXT NOT NULL,
    version           TEXT,
    digest            BLOB NOT NULL CHECK (length(digest) IN (32, 48, 64)),
    signer            BLOB,
    PRIMARY KEY (set_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX reference_values_by_digest ON reference_values (digest);

-- Rises with every change of what counts.
INSERT INTO counters (name, value) VALUES ('reference', 0);
