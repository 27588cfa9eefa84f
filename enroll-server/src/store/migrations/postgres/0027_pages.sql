-- As the step for SQLite, where the comments are; rows have no order by their keys here.
DROP INDEX devices_by_group_and_state;
CREATE INDEX devices_by_group ON devices (device_group);
CREATE INDEX devices_by_group_enrolled ON devices (device_group)
    WHERE state = 'held' OR state = 'enrolled' OR state = 'suspended';
