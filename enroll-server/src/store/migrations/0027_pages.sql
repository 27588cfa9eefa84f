-- Fewer pages for each enrollment. By group and state, a device that got its certificate left one place of an index for
-- another one; now there is an index by group, which nothing but a move to another group changes, and one of those that may
-- have an identity, which a quota counts. Claims of devices stand in the order in which they come, and not in that of the devices'
-- names, where each first one parted a page.
DROP INDEX devices_by_group_and_state;
CREATE INDEX devices_by_group ON devices (device_group);
CREATE INDEX devices_by_group_enrolled ON devices (device_group)
    WHERE state = 'held' OR state = 'enrolled' OR state = 'suspended';

CREATE TABLE device_claims_new (
    device           TEXT    NOT NULL PRIMARY KEY REFERENCES devices (device),
    software_name    TEXT,
    software_version TEXT,
    debug            INTEGER,
    measurements     TEXT    NOT NULL,
    evidence_sha256  BLOB    CHECK (length(evidence_sha256) = 32),
    at               INTEGER NOT NULL
) STRICT;
INSERT INTO device_claims_new
    SELECT device, software_name, software_version, debug, measurements, evidence_sha256, at FROM device_claims;
DROP TABLE device_claims;
ALTER TABLE device_claims_new RENAME TO device_claims;
