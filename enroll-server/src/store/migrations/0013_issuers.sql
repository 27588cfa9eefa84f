-- The issuing CAs, each with a short number that its certificates bear. Keys are never here.
CREATE TABLE issuers (
    number INTEGER NOT NULL PRIMARY KEY,
    sha256 BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    der    BLOB    NOT NULL,
    added  INTEGER NOT NULL
) STRICT;

-- 1 is the first issuing CA that this database saw, and the only one before this step. The default is a constant, so
-- that no row has to be written anew.
ALTER TABLE certificates ADD COLUMN issuer INTEGER NOT NULL DEFAULT 1;
