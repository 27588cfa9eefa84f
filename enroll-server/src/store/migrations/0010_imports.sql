-- How far the import of an inventory file is; written with each chunk of its rows, so that one which was
-- interrupted goes on at the right row.
CREATE TABLE imports (
    sha256      BLOB    NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    started     INTEGER NOT NULL,
    updated     INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    lines       INTEGER NOT NULL,
    added       INTEGER NOT NULL,
    completed   INTEGER NOT NULL,
    unchanged   INTEGER NOT NULL,
    conflicting INTEGER NOT NULL,
    bad         INTEGER NOT NULL,
    finished    INTEGER NOT NULL CHECK (finished IN (0, 1))
) STRICT, WITHOUT ROWID;
