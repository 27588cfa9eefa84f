-- As the step for SQLite, where the comments are.
CREATE TABLE dashboard_links (
    sha256  BYTEA            NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    label   TEXT COLLATE "C" NOT NULL,
    role    TEXT COLLATE "C" NOT NULL,
    created BIGINT           NOT NULL,
    expires BIGINT           NOT NULL,
    used    BIGINT           NOT NULL DEFAULT 0
);

CREATE TABLE dashboard_sessions (
    sha256      BYTEA            NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    id          TEXT COLLATE "C" NOT NULL UNIQUE,
    label       TEXT COLLATE "C" NOT NULL,
    role        TEXT COLLATE "C" NOT NULL,
    certificate BYTEA            CHECK (length(certificate) = 32),
    created     BIGINT           NOT NULL,
    seen        BIGINT           NOT NULL,
    expires     BIGINT           NOT NULL
);
