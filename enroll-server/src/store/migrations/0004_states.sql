-- Six states, the time of the last change, denials. SQLite cannot change a CHECK: the table is made anew, with
-- foreign keys off (the references of other tables are to its name) and checked before the commit.

CREATE TABLE devices_new (
    device        TEXT    NOT NULL PRIMARY KEY,
    model         TEXT,
    idevid_sha256 BLOB    CHECK (length(idevid_sha256) = 32),
    state         TEXT    NOT NULL
        CHECK (state IN ('registered', 'held', 'enrolled', 'suspended', 'revoked', 'retired')),
    changed       INTEGER NOT NULL,
    -- NULL: nothing is approved; empty: the next enrollment; 32 bytes: the request with this key.
    approval      BLOB    CHECK (length(approval) IN (0, 32)),
    -- Why an operator denied the device's enrollment.
    denied        TEXT,
    added         INTEGER NOT NULL,
    device_group  TEXT    NOT NULL DEFAULT 'default',
    CHECK (approval IS NULL OR denied IS NULL)
) STRICT, WITHOUT ROWID;

INSERT INTO devices_new (device, model, idevid_sha256, state, changed, approval, added, device_group)
    SELECT device, model, idevid_sha256, state,
           coalesce((SELECT max(at) FROM events WHERE events.device = devices.device), added),
           approval, added, device_group
    FROM devices;

DROP TABLE devices;
ALTER TABLE devices_new RENAME TO devices;

CREATE UNIQUE INDEX devices_by_idevid ON devices (idevid_sha256) WHERE idevid_sha256 IS NOT NULL;
CREATE INDEX devices_by_group ON devices (device_group);
-- The states in which few devices are.
CREATE INDEX devices_by_rare_state ON devices (state)
    WHERE state IN ('held', 'suspended', 'revoked', 'retired');

-- An operator's own words on devices.
CREATE TABLE device_tags (
    tag    TEXT NOT NULL,
    device TEXT NOT NULL REFERENCES devices (device),
    PRIMARY KEY (tag, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_tags_by_device ON device_tags (device);
