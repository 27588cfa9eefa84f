-- Revocation lists by distribution point, and what changed since a list was made.

-- The list that a certificate names; 0 is the complete one. The default is a constant, so that no row has to be
-- written anew. It never changes for a certificate that was signed.
ALTER TABLE certificates ADD COLUMN crl_partition INTEGER NOT NULL DEFAULT 0;

-- Partitions are filled one after the other. When the last certificate of one has ended, its list ends. The address
-- is that in its certificates, whatever the settings say later.
CREATE TABLE crl_partitions (
    issuer       INTEGER NOT NULL,
    number       INTEGER NOT NULL CHECK (number > 0),
    url          TEXT    NOT NULL,
    certificates INTEGER NOT NULL,
    ends         INTEGER NOT NULL,
    PRIMARY KEY (issuer, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX crl_partitions_by_end ON crl_partitions (ends);

-- All that a list says of a certificate, so that the rows with their evidence are not read.
DROP INDEX certificates_revoked;
CREATE INDEX certificates_revoked ON certificates (not_after, issuer, crl_partition, revoked, reason, state)
    WHERE state = 'revoked';

-- Every certificate whose place on a list may have changed, in order. Written by triggers, so that no change gets
-- around it; the oldest rows go, and who was away for so long reads everything anew.
CREATE TABLE revocation_changes (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    serial BLOB    NOT NULL CHECK (length(serial) = 16)
) STRICT;

CREATE TRIGGER certificate_is_revoked AFTER UPDATE OF state ON certificates
WHEN NEW.state = 'revoked' AND OLD.state <> 'revoked' BEGIN
    INSERT INTO revocation_changes (serial) VALUES (NEW.serial);
END;

CREATE TRIGGER certificate_is_issued_on_hold AFTER UPDATE OF state ON certificates
WHEN NEW.state = 'issued'
    AND EXISTS (SELECT 1 FROM devices WHERE device = NEW.device AND state = 'suspended') BEGIN
    INSERT INTO revocation_changes (serial) VALUES (NEW.serial);
END;

CREATE TRIGGER hold_of_device_changes AFTER UPDATE OF state ON devices
WHEN (OLD.state = 'suspended') <> (NEW.state = 'suspended') BEGIN
    INSERT INTO revocation_changes (serial)
        SELECT serial FROM certificates WHERE device = NEW.device AND state = 'issued';
END;

CREATE TRIGGER revocation_changes_are_few AFTER INSERT ON revocation_changes BEGIN
    DELETE FROM revocation_changes WHERE number <= NEW.number - 200000;
END;
