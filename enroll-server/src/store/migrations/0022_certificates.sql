-- Certificates in the order in which they come, no longer in that of their random serial numbers: an enrollment writes the
-- page that the last one wrote, and a row with its evidence fits into a page. The table is made anew, with the same
-- columns, conditions, indexes and triggers.

-- It reads a table that is not there for a moment.
DROP TRIGGER hold_of_device_changes;

CREATE TABLE certificates_new (
    serial        BLOB    NOT NULL PRIMARY KEY CHECK (length(serial) = 16),
    device        TEXT    NOT NULL REFERENCES devices (device),
    state         TEXT    NOT NULL CHECK (state IN ('held', 'intent', 'issued', 'revoked', 'voided')),
    point         BLOB    NOT NULL CHECK (length(point) = 65),
    key_sha256    BLOB    NOT NULL UNIQUE CHECK (length(key_sha256) = 32),
    nonce         BLOB    UNIQUE CHECK (length(nonce) = 32),
    parent        BLOB    CHECK (length(parent) = 16),
    not_before    INTEGER NOT NULL,
    not_after     INTEGER NOT NULL,
    recorded      INTEGER NOT NULL,
    evidence_kind INTEGER,
    evidence      BLOB,
    der           BLOB,
    revoked       INTEGER,
    reason        TEXT,
    shown         TEXT,
    issuer        INTEGER NOT NULL DEFAULT 1,
    crl_partition INTEGER NOT NULL DEFAULT 0,
    via           TEXT    NOT NULL DEFAULT 'native'
        CHECK (via IN ('native', 'est-idevid', 'est-token', 'est-ldevid')),
    profile       INTEGER NOT NULL DEFAULT 0,
    CHECK (nonce IS NOT NULL OR parent IS NOT NULL),
    CHECK ((der IS NOT NULL) = (state IN ('issued', 'revoked'))),
    CHECK ((revoked IS NOT NULL) = (state = 'revoked'))
) STRICT;

INSERT INTO certificates_new
    SELECT serial, device, state, point, key_sha256, nonce, parent, not_before, not_after, recorded, evidence_kind,
           evidence, der, revoked, reason, shown, issuer, crl_partition, via, profile
    FROM certificates ORDER BY recorded;

DROP TABLE certificates;
ALTER TABLE certificates_new RENAME TO certificates;

CREATE INDEX certificates_by_device ON certificates (device, recorded);
CREATE INDEX certificates_open ON certificates (state) WHERE state IN ('held', 'intent');
CREATE INDEX certificates_by_time ON certificates (recorded);
CREATE INDEX certificates_revoked ON certificates (not_after, issuer, crl_partition, revoked, reason, state, serial)
    WHERE state = 'revoked';
CREATE INDEX certificates_live ON certificates (issuer, not_after, device) WHERE state = 'issued';

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

CREATE TRIGGER certificate_is_counted AFTER INSERT ON certificates
WHEN NEW.state NOT IN ('held', 'intent') BEGIN
    INSERT INTO counts
        VALUES ('certificate', NEW.state, iif(NEW.state = 'issued', NEW.not_after / 3600, 0), NEW.issuer, 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER certificate_is_counted_anew AFTER UPDATE OF state, not_after, issuer ON certificates
WHEN OLD.state <> NEW.state OR OLD.not_after <> NEW.not_after OR OLD.issuer <> NEW.issuer BEGIN
    UPDATE counts SET number = number - 1 WHERE kind = 'certificate' AND state = OLD.state
        AND ends = iif(OLD.state = 'issued', OLD.not_after / 3600, 0) AND whose = OLD.issuer;
    INSERT INTO counts
        SELECT 'certificate', NEW.state, iif(NEW.state = 'issued', NEW.not_after / 3600, 0), NEW.issuer, 1
        WHERE NEW.state NOT IN ('held', 'intent')
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER certificate_is_not_counted AFTER DELETE ON certificates BEGIN
    UPDATE counts SET number = number - 1 WHERE kind = 'certificate' AND state = OLD.state
        AND ends = iif(OLD.state = 'issued', OLD.not_after / 3600, 0) AND whose = OLD.issuer;
END;
