-- The leaves of the log (docs/log.md), in their order, which the transaction that a leaf tells of has fixed. `leaf` is
-- what is logged. It is NULL once it stands in the log's tiles, and NULL for what happened before its issuing CA was
-- known here: it is then made from the row that it names. Rows stay.
CREATE TABLE log_leaves (
    position INTEGER NOT NULL PRIMARY KEY CHECK (position >= 0),
    kind     TEXT    NOT NULL CHECK (kind IN ('issued', 'revoked', 'discarded', 'event')),
    serial   BLOB,
    event    INTEGER,
    leaf     BLOB,
    CHECK ((serial IS NULL) = (kind = 'event')),
    CHECK ((event IS NOT NULL) = (kind = 'event'))
) STRICT;
CREATE INDEX log_leaves_by_serial ON log_leaves (serial) WHERE serial IS NOT NULL;

-- The last checkpoint that was signed: it is here before it is anywhere else, so that none is ever signed that does not
-- extend it.
CREATE TABLE log_head (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL CHECK (size >= 0),
    note TEXT
) STRICT;
INSERT INTO log_head (one, size, note) VALUES (1, 0, NULL);

-- The salt of the commitment to a row that stands in the log; from where, and by which command or call, the row was
-- caused.
ALTER TABLE events ADD COLUMN salt BLOB;
ALTER TABLE events ADD COLUMN source TEXT;
ALTER TABLE events ADD COLUMN action TEXT;

-- What happened before there was a log comes first.
INSERT INTO log_leaves (position, kind, serial, event, leaf)
SELECT row_number() OVER (ORDER BY at, rank, serial, event) - 1, kind, serial, event, NULL FROM (
    SELECT recorded AS at, 0 AS rank, 'issued' AS kind, serial, NULL AS event FROM certificates
    WHERE der IS NOT NULL
    UNION ALL
    SELECT revoked, 1, 'revoked', serial, NULL FROM certificates WHERE state = 'revoked'
    UNION ALL
    SELECT at, 2, 'event', NULL, number FROM events
);
