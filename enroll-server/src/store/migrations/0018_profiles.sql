-- What certificates were to contain when they were recorded: a profile with everything filled in but the device's
-- identifier. Few rows, shared by many certificates, never changed.
CREATE TABLE profiles (
    number INTEGER NOT NULL PRIMARY KEY,
    sha256 BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    name   TEXT    NOT NULL,
    text   TEXT    NOT NULL
) STRICT;

-- 0: recorded before there were profiles. The default is a constant, so that no row has to be written anew.
ALTER TABLE certificates ADD COLUMN profile INTEGER NOT NULL DEFAULT 0;
