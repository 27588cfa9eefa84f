-- Sign-ins to the dashboard, for all servers on this database. Only hashes stand here: neither a link nor a session can be
-- made from them.
--   role:        'viewer', 'operator' or 'admin';
--   used:        0, 1 once it has opened a session, 2 once someone came with it again;
--   certificate: SHA-256 of the client certificate that a session was opened with, and that has to come with it.
CREATE TABLE dashboard_links (
    sha256  BLOB    NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    label   TEXT    NOT NULL,
    role    TEXT    NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE dashboard_sessions (
    sha256      BLOB    NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    id          TEXT    NOT NULL UNIQUE,
    label       TEXT    NOT NULL,
    role        TEXT    NOT NULL,
    certificate BLOB    CHECK (length(certificate) = 32),
    created     INTEGER NOT NULL,
    seen        INTEGER NOT NULL,
    expires     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
