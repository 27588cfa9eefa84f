-- A device whose request waits for an operator may have a certificate in force: it belongs to those whose trust bundle a
-- rollover asks for.
DROP INDEX devices_by_trust;
CREATE INDEX devices_by_trust ON devices (trust_number) WHERE state IN ('held', 'enrolled', 'suspended');
