-- A device may have thousands of certificates behind it, one or two of them in force. With the state in front of the time,
-- a request goes to those at once; behind it, it went through the entries of all.
DROP INDEX certificates_by_device;
CREATE INDEX certificates_by_device ON certificates (device, state, recorded);
