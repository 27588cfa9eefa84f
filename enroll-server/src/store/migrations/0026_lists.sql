-- SQLite makes a table of a list of three or more each time that a statement has to look into it: a device that went from
-- one state to another made five of them, a tenth of what an enrollment cost. The same conditions are written without
-- lists; what a table holds is the same, so that its text is all that changes (sqlite.org/lang_altertable.html, section 8).
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (state IN (''registered'', ''held'', ''enrolled'', ''suspended'', ''revoked'', ''retired''))',
    'CHECK (state = ''registered'' OR state = ''held'' OR state = ''enrolled'' OR state = ''suspended'' OR state = ''revoked'' OR state = ''retired'')')
    WHERE type = 'table' AND name = 'devices';
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'CHECK (state IN (''held'', ''intent'', ''issued'', ''revoked'', ''voided''))',
    'CHECK (state = ''held'' OR state = ''intent'' OR state = ''issued'' OR state = ''revoked'' OR state = ''voided'')'),
    'CHECK (via IN (''native'', ''est-idevid'', ''est-token'', ''est-ldevid''))',
    'CHECK (via = ''native'' OR via = ''est-idevid'' OR via = ''est-token'' OR via = ''est-ldevid'')')
    WHERE type = 'table' AND name = 'certificates';
UPDATE sqlite_schema SET sql = replace(replace(replace(sql,
    'CHECK (asked IN (''challenge'', ''enroll'', ''renew''))',
    'CHECK (asked = ''challenge'' OR asked = ''enroll'' OR asked = ''renew'')'),
    'CHECK (ruled IN (''accepted'', ''held'', ''refused''))',
    'CHECK (ruled = ''accepted'' OR ruled = ''held'' OR ruled = ''refused'')'),
    'CHECK (other_ruled IN (''accepted'', ''held'', ''refused''))',
    'CHECK (other_ruled = ''accepted'' OR other_ruled = ''held'' OR other_ruled = ''refused'')')
    WHERE type = 'table' AND name = 'appraisals';
UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (kind IN (''issued'', ''revoked'', ''discarded'', ''event''))',
    'CHECK (kind = ''issued'' OR kind = ''revoked'' OR kind = ''discarded'' OR kind = ''event'')')
    WHERE type = 'table' AND name = 'log_leaves';

PRAGMA writable_schema = RESET;

DROP INDEX devices_by_rare_state;
CREATE INDEX devices_by_rare_state ON devices (state)
    WHERE state = 'held' OR state = 'suspended' OR state = 'revoked' OR state = 'retired';
DROP INDEX devices_by_trust;
CREATE INDEX devices_by_trust ON devices (trust_number)
    WHERE state = 'held' OR state = 'enrolled' OR state = 'suspended';
