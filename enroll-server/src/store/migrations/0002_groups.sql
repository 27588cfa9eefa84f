-- Devices belong to groups; a policy is for a group.
ALTER TABLE devices ADD COLUMN device_group TEXT NOT NULL DEFAULT 'default';
CREATE INDEX devices_by_group ON devices (device_group);
