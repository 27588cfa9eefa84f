-- What was decided about requests, and why. Nothing here decides anything: it explains, and is put before new
-- policies. How much there is of each class is bounded, because a refusal costs a stranger nothing.
CREATE TABLE appraisals (
    number          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at              INTEGER NOT NULL,
    device          TEXT    NOT NULL,
    -- 0: accepted or held; 1: refused, the evidence was genuine; 2: refused, a known device; 3: refused, unknown.
    class           INTEGER NOT NULL CHECK (class BETWEEN 0 AND 3),
    asked           TEXT    NOT NULL CHECK (asked IN ('challenge', 'enroll', 'renew')),
    device_group    TEXT,
    ruled           TEXT    NOT NULL CHECK (ruled IN ('accepted', 'held', 'refused')),
    reject          INTEGER,
    rule            TEXT,
    reason          TEXT,
    policy          BLOB    CHECK (length(policy) = 32),
    by_candidate    INTEGER NOT NULL CHECK (by_candidate IN (0, 1)),
    -- What the policy that did not decide would have done.
    other_policy    BLOB    CHECK (length(other_policy) = 32),
    other_ruled     TEXT    CHECK (other_ruled IN ('accepted', 'held', 'refused')),
    other_rule      TEXT,
    rules           TEXT    NOT NULL,
    appraised_case  TEXT,
    nonce           BLOB    CHECK (length(nonce) = 32),
    evidence_sha256 BLOB    CHECK (length(evidence_sha256) = 32),
    evidence_kind   INTEGER,
    evidence        BLOB,
    -- A CBOR array of byte strings.
    endorsements    BLOB,
    CHECK ((ruled = 'refused') = (class > 0)),
    CHECK ((other_policy IS NULL) = (other_ruled IS NULL))
) STRICT;

CREATE INDEX appraisals_by_device ON appraisals (device, class, number);
CREATE INDEX appraisals_unproved ON appraisals (class, number) WHERE class > 1;
CREATE INDEX appraisals_by_time ON appraisals (at);
CREATE INDEX appraisals_compared ON appraisals (other_policy) WHERE other_policy IS NOT NULL;

-- Short texts that a server leaves for operators, such as which policies it has loaded.
CREATE TABLE notes (
    name TEXT NOT NULL PRIMARY KEY,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- For the quota of a group: devices that hold an identity.
DROP INDEX devices_by_group;
CREATE INDEX devices_by_group_and_state ON devices (device_group, state);
