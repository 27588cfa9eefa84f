-- Renewals that an operator wants, at most one a device: gone when the device has a newer certificate, or is out of
-- service for good.
CREATE TABLE wanted_renewals (
    device     TEXT    NOT NULL PRIMARY KEY REFERENCES devices (device),
    since      INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    -- The device's turn, by the rate that the operator gave: it is not told before.
    turn       INTEGER NOT NULL,
    -- When the broker is handed the command next.
    due        INTEGER NOT NULL,
    -- How often the broker was handed it, and when it last took it.
    attempts   INTEGER NOT NULL DEFAULT 0,
    told       INTEGER,
    -- Why it is not known to have reached the device.
    problem    TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX wanted_renewals_by_due ON wanted_renewals (due);

-- Work that one process does at a time.
CREATE TABLE leases (
    name  TEXT    NOT NULL PRIMARY KEY,
    owner TEXT    NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
