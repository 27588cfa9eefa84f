-- A device may have thousands of certificates behind it. Whether one of them is in force stands in the index now, so that
-- the next request reads no row of the others.
DROP INDEX certificates_by_device;
CREATE INDEX certificates_by_device ON certificates (device, recorded, state);
