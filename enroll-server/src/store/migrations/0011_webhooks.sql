-- One durable cursor a webhook over the append-only events: what lies behind it was delivered, skipped or parked.
CREATE TABLE webhooks (
    name          TEXT    NOT NULL PRIMARY KEY,
    cursor        INTEGER NOT NULL,
    -- Failed attempts for the event after the cursor, and when the next one is due.
    attempts      INTEGER NOT NULL DEFAULT 0,
    next_attempt  INTEGER,
    problem       TEXT,
    last_attempt  INTEGER,
    last_delivery INTEGER,
    delivered     INTEGER NOT NULL DEFAULT 0,
    failed        INTEGER NOT NULL DEFAULT 0,
    -- Only one process delivers at a time.
    lease_owner   TEXT,
    lease_until   INTEGER
) STRICT, WITHOUT ROWID;

-- Events that a receiver refused for good. `again`: an operator wants them sent again.
CREATE TABLE webhook_parked (
    webhook TEXT    NOT NULL REFERENCES webhooks (name),
    event   INTEGER NOT NULL REFERENCES events (number),
    at      INTEGER NOT NULL,
    problem TEXT    NOT NULL,
    again   INTEGER NOT NULL DEFAULT 0 CHECK (again IN (0, 1)),
    PRIMARY KEY (webhook, event)
) STRICT, WITHOUT ROWID;
