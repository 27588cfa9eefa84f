-- The tables as steps 1 to 19 left them in SQLite, where the comments on them are. Integers are BIGINT, truths 0 and 1,
-- times seconds since 1970. Texts are ordered by their bytes, as there, whatever the locale of the database.

-- The number that a table gave last, as SQLite keeps it by itself. A sequence would not do: it leaves gaps behind a
-- transaction that was rolled back, and shows a number before the row that has it.
CREATE TABLE sequences (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seq  BIGINT           NOT NULL
);
INSERT INTO sequences (name, seq) VALUES
    ('events', 0), ('appraisals', 0), ('reference_sets', 0), ('profiles', 0), ('revocation_changes', 0);

CREATE FUNCTION next_of(of TEXT) RETURNS BIGINT LANGUAGE sql AS
    'UPDATE sequences SET seq = seq + 1 WHERE name = of RETURNING seq';

CREATE TABLE makers (
    sha256 BYTEA            NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    name   TEXT COLLATE "C" NOT NULL,
    der    BYTEA            NOT NULL,
    added  BIGINT           NOT NULL
);

CREATE TABLE devices (
    device        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    model         TEXT COLLATE "C",
    idevid_sha256 BYTEA            CHECK (length(idevid_sha256) = 32),
    state         TEXT COLLATE "C" NOT NULL
        CHECK (state IN ('registered', 'held', 'enrolled', 'suspended', 'revoked', 'retired')),
    changed       BIGINT           NOT NULL,
    approval      BYTEA            CHECK (length(approval) IN (0, 32)),
    denied        TEXT COLLATE "C",
    added         BIGINT           NOT NULL,
    device_group  TEXT COLLATE "C" NOT NULL DEFAULT 'default',
    trust_number  BIGINT,
    trust_at      BIGINT,
    CHECK (approval IS NULL OR denied IS NULL)
);
CREATE UNIQUE INDEX devices_by_idevid ON devices (idevid_sha256) WHERE idevid_sha256 IS NOT NULL;
CREATE INDEX devices_by_group_and_state ON devices (device_group, state);
CREATE INDEX devices_by_rare_state ON devices (state)
    WHERE state IN ('held', 'suspended', 'revoked', 'retired');
CREATE INDEX devices_by_trust ON devices (trust_number) WHERE state IN ('enrolled', 'suspended');

CREATE TABLE device_tags (
    tag    TEXT COLLATE "C" NOT NULL,
    device TEXT COLLATE "C" NOT NULL REFERENCES devices (device),
    PRIMARY KEY (tag, device)
);
CREATE INDEX device_tags_by_device ON device_tags (device);

CREATE TABLE certificates (
    serial        BYTEA            NOT NULL PRIMARY KEY CHECK (length(serial) = 16),
    device        TEXT COLLATE "C" NOT NULL REFERENCES devices (device),
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('held', 'intent', 'issued', 'revoked', 'voided')),
    point         BYTEA            NOT NULL CHECK (length(point) = 65),
    key_sha256    BYTEA            NOT NULL UNIQUE CHECK (length(key_sha256) = 32),
    nonce         BYTEA            UNIQUE CHECK (length(nonce) = 32),
    parent        BYTEA            CHECK (length(parent) = 16),
    not_before    BIGINT           NOT NULL,
    not_after     BIGINT           NOT NULL,
    recorded      BIGINT           NOT NULL,
    evidence_kind BIGINT,
    evidence      BYTEA,
    der           BYTEA,
    revoked       BIGINT,
    reason        TEXT COLLATE "C",
    shown         TEXT COLLATE "C",
    issuer        BIGINT           NOT NULL DEFAULT 1,
    crl_partition BIGINT           NOT NULL DEFAULT 0,
    via           TEXT COLLATE "C" NOT NULL DEFAULT 'native'
        CHECK (via IN ('native', 'est-idevid', 'est-token', 'est-ldevid')),
    profile       BIGINT           NOT NULL DEFAULT 0,
    CHECK (nonce IS NOT NULL OR parent IS NOT NULL),
    CHECK ((der IS NOT NULL) = (state IN ('issued', 'revoked'))),
    CHECK ((revoked IS NOT NULL) = (state = 'revoked'))
);
CREATE INDEX certificates_by_device ON certificates (device, recorded);
CREATE INDEX certificates_open ON certificates (state) WHERE state IN ('held', 'intent');
CREATE INDEX certificates_by_time ON certificates (recorded);
CREATE INDEX certificates_revoked ON certificates (not_after, issuer, crl_partition, revoked, reason, state)
    WHERE state = 'revoked';
CREATE INDEX certificates_live ON certificates (issuer, not_after, device) WHERE state = 'issued';

CREATE TABLE tokens (
    sha256       BYTEA            NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    id           TEXT COLLATE "C" NOT NULL UNIQUE,
    device       TEXT COLLATE "C",
    created      BIGINT           NOT NULL,
    expires      BIGINT           NOT NULL,
    used_by      TEXT COLLATE "C",
    used_by_key  BYTEA            CHECK (length(used_by_key) = 32),
    revoked      BIGINT           NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    device_group TEXT COLLATE "C"
);

CREATE TABLE events (
    number          BIGINT           NOT NULL PRIMARY KEY DEFAULT next_of('events'),
    at              BIGINT           NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL,
    device          TEXT COLLATE "C",
    detail          TEXT COLLATE "C" NOT NULL,
    severity        TEXT COLLATE "C" NOT NULL DEFAULT 'info',
    reason          TEXT COLLATE "C",
    evidence_sha256 BYTEA            CHECK (length(evidence_sha256) = 32),
    actor           TEXT COLLATE "C" NOT NULL DEFAULT 'system',
    salt            BYTEA,
    source          TEXT COLLATE "C",
    action          TEXT COLLATE "C"
);
CREATE INDEX events_by_device ON events (device, kind, at) WHERE device IS NOT NULL;
CREATE INDEX events_by_kind ON events (kind, number);

CREATE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are not changed and not deleted';
END $$;
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION events_stay();
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION events_stay();
CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON events EXECUTE FUNCTION events_stay();

CREATE TABLE counters (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT           NOT NULL
);
INSERT INTO counters (name, value)
    VALUES ('revocations', 0), ('crl', 0), ('makers', 0), ('reference', 0), ('rollover', 0);

CREATE TABLE device_claims (
    device           TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES devices (device),
    software_name    TEXT COLLATE "C",
    software_version TEXT COLLATE "C",
    debug            BIGINT,
    measurements     TEXT COLLATE "C" NOT NULL,
    evidence_sha256  BYTEA            CHECK (length(evidence_sha256) = 32),
    at               BIGINT           NOT NULL
);

CREATE TABLE attestation_keys (
    instance BYTEA            NOT NULL PRIMARY KEY CHECK (length(instance) = 32),
    device   TEXT COLLATE "C" NOT NULL UNIQUE,
    spki     BYTEA            NOT NULL UNIQUE,
    maker    BYTEA            REFERENCES makers (sha256),
    model    TEXT COLLATE "C",
    added    BIGINT           NOT NULL
);

CREATE TABLE appraisals (
    number          BIGINT           NOT NULL PRIMARY KEY DEFAULT next_of('appraisals'),
    at              BIGINT           NOT NULL,
    device          TEXT COLLATE "C" NOT NULL,
    class           BIGINT           NOT NULL CHECK (class BETWEEN 0 AND 3),
    asked           TEXT COLLATE "C" NOT NULL CHECK (asked IN ('challenge', 'enroll', 'renew')),
    device_group    TEXT COLLATE "C",
    ruled           TEXT COLLATE "C" NOT NULL CHECK (ruled IN ('accepted', 'held', 'refused')),
    reject          BIGINT,
    rule            TEXT COLLATE "C",
    reason          TEXT COLLATE "C",
    policy          BYTEA            CHECK (length(policy) = 32),
    by_candidate    BIGINT           NOT NULL CHECK (by_candidate IN (0, 1)),
    other_policy    BYTEA            CHECK (length(other_policy) = 32),
    other_ruled     TEXT COLLATE "C" CHECK (other_ruled IN ('accepted', 'held', 'refused')),
    other_rule      TEXT COLLATE "C",
    rules           TEXT COLLATE "C" NOT NULL,
    appraised_case  TEXT COLLATE "C",
    nonce           BYTEA            CHECK (length(nonce) = 32),
    evidence_sha256 BYTEA            CHECK (length(evidence_sha256) = 32),
    evidence_kind   BIGINT,
    evidence        BYTEA,
    endorsements    BYTEA,
    CHECK ((ruled = 'refused') = (class > 0)),
    CHECK ((other_policy IS NULL) = (other_ruled IS NULL))
);
CREATE INDEX appraisals_by_device ON appraisals (device, class, number);
CREATE INDEX appraisals_unproved ON appraisals (class, number) WHERE class > 1;
CREATE INDEX appraisals_by_time ON appraisals (at);
CREATE INDEX appraisals_compared ON appraisals (other_policy) WHERE other_policy IS NOT NULL;

CREATE TABLE notes (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    text TEXT COLLATE "C" NOT NULL
);

CREATE TABLE maker_crls (
    issuer BYTEA            NOT NULL PRIMARY KEY CHECK (length(issuer) = 32),
    maker  BYTEA            NOT NULL REFERENCES makers (sha256),
    number BYTEA            NOT NULL CHECK (length(number) = 20),
    added  BIGINT           NOT NULL,
    chain  TEXT COLLATE "C" NOT NULL,
    der    BYTEA            NOT NULL
);

CREATE TABLE credentials (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind         TEXT COLLATE "C" NOT NULL CHECK (kind IN ('device-key', 'group-key', 'batch')),
    name         TEXT COLLATE "C" NOT NULL,
    device       TEXT COLLATE "C",
    device_group TEXT COLLATE "C",
    secret       BYTEA,
    certificate  BYTEA,
    hold         BIGINT           NOT NULL DEFAULT 0 CHECK (hold IN (0, 1)),
    created      BIGINT           NOT NULL,
    expires      BIGINT,
    revoked      BIGINT,
    quota        BIGINT,
    used         BIGINT           NOT NULL DEFAULT 0,
    CHECK ((device IS NOT NULL) = (kind = 'device-key')),
    CHECK ((secret IS NULL) = (kind = 'batch')),
    CHECK ((certificate IS NOT NULL) = (kind = 'batch')),
    CHECK (quota IS NULL OR used <= quota)
);
CREATE INDEX credentials_by_device ON credentials (device) WHERE device IS NOT NULL;

CREATE TABLE credential_devices (
    credential TEXT COLLATE "C" NOT NULL REFERENCES credentials (id),
    device     TEXT COLLATE "C" NOT NULL REFERENCES devices (device),
    identity   BYTEA            NOT NULL CHECK (length(identity) = 32),
    at         BIGINT           NOT NULL,
    PRIMARY KEY (credential, device)
);
CREATE INDEX credential_devices_by_device ON credential_devices (device);

CREATE TABLE imports (
    sha256      BYTEA  NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    started     BIGINT NOT NULL,
    updated     BIGINT NOT NULL,
    bytes       BIGINT NOT NULL,
    lines       BIGINT NOT NULL,
    added       BIGINT NOT NULL,
    completed   BIGINT NOT NULL,
    unchanged   BIGINT NOT NULL,
    conflicting BIGINT NOT NULL,
    bad         BIGINT NOT NULL,
    finished    BIGINT NOT NULL CHECK (finished IN (0, 1))
);

CREATE TABLE webhooks (
    name          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    cursor        BIGINT           NOT NULL,
    attempts      BIGINT           NOT NULL DEFAULT 0,
    next_attempt  BIGINT,
    problem       TEXT COLLATE "C",
    last_attempt  BIGINT,
    last_delivery BIGINT,
    delivered     BIGINT           NOT NULL DEFAULT 0,
    failed        BIGINT           NOT NULL DEFAULT 0,
    lease_owner   TEXT COLLATE "C",
    lease_until   BIGINT
);

CREATE TABLE webhook_parked (
    webhook TEXT COLLATE "C" NOT NULL REFERENCES webhooks (name),
    event   BIGINT           NOT NULL REFERENCES events (number),
    at      BIGINT           NOT NULL,
    problem TEXT COLLATE "C" NOT NULL,
    again   BIGINT           NOT NULL DEFAULT 0 CHECK (again IN (0, 1)),
    PRIMARY KEY (webhook, event)
);

CREATE TABLE release_keys (
    sha256  BYTEA            NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    maker   TEXT COLLATE "C" NOT NULL,
    spki    BYTEA            NOT NULL,
    added   BIGINT           NOT NULL,
    removed BIGINT
);

CREATE TABLE reference_sets (
    id             BIGINT           NOT NULL PRIMARY KEY DEFAULT next_of('reference_sets'),
    maker          TEXT COLLATE "C" NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    version        BIGINT           NOT NULL CHECK (version >= 0),
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'superseded', 'withdrawn')),
    format         TEXT COLLATE "C" NOT NULL,
    manifest       TEXT COLLATE "C",
    profile        TEXT COLLATE "C",
    file_sha256    BYTEA            NOT NULL CHECK (length(file_sha256) = 32),
    content_sha256 BYTEA            NOT NULL CHECK (length(content_sha256) = 32),
    signer_sha256  BYTEA            CHECK (length(signer_sha256) = 32),
    signer         TEXT COLLATE "C",
    not_before     BIGINT,
    not_after      BIGINT,
    imported       BIGINT           NOT NULL,
    ended          BIGINT,
    CHECK ((ended IS NULL) = (state = 'active'))
);
CREATE UNIQUE INDEX reference_sets_active ON reference_sets (maker, name) WHERE state = 'active';
CREATE INDEX reference_sets_by_name ON reference_sets (maker, name, version);

CREATE TABLE reference_values (
    set_id            BIGINT           NOT NULL REFERENCES reference_sets (id),
    position          BIGINT           NOT NULL,
    model             TEXT COLLATE "C",
    instance          BYTEA            CHECK (length(instance) = 32),
    implementation_id BYTEA            CHECK (length(implementation_id) = 32),
    component         TEXT COLLATE "C" NOT NULL,
    version           TEXT COLLATE "C",
    digest            BYTEA            NOT NULL CHECK (length(digest) IN (32, 48, 64)),
    signer            BYTEA,
    PRIMARY KEY (set_id, position)
);
CREATE INDEX reference_values_by_digest ON reference_values (digest);

CREATE TABLE issuers (
    number BIGINT NOT NULL PRIMARY KEY,
    sha256 BYTEA  NOT NULL UNIQUE CHECK (length(sha256) = 32),
    der    BYTEA  NOT NULL,
    added  BIGINT NOT NULL
);

CREATE TABLE log_leaves (
    position BIGINT           NOT NULL PRIMARY KEY CHECK (position >= 0),
    kind     TEXT COLLATE "C" NOT NULL CHECK (kind IN ('issued', 'revoked', 'discarded', 'event')),
    serial   BYTEA,
    event    BIGINT,
    leaf     BYTEA,
    CHECK ((serial IS NULL) = (kind = 'event')),
    CHECK ((event IS NOT NULL) = (kind = 'event'))
);
CREATE INDEX log_leaves_by_serial ON log_leaves (serial) WHERE serial IS NOT NULL;

CREATE TABLE log_head (
    one  BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    size BIGINT NOT NULL CHECK (size >= 0),
    note TEXT COLLATE "C"
);
INSERT INTO log_head (one, size, note) VALUES (1, 0, NULL);

CREATE TABLE crl_partitions (
    issuer       BIGINT           NOT NULL,
    number       BIGINT           NOT NULL CHECK (number > 0),
    url          TEXT COLLATE "C" NOT NULL,
    certificates BIGINT           NOT NULL,
    ends         BIGINT           NOT NULL,
    PRIMARY KEY (issuer, number)
);
CREATE INDEX crl_partitions_by_end ON crl_partitions (ends);

CREATE TABLE revocation_changes (
    number BIGINT NOT NULL PRIMARY KEY DEFAULT next_of('revocation_changes'),
    serial BYTEA  NOT NULL CHECK (length(serial) = 16)
);

CREATE FUNCTION note_certificate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO revocation_changes (serial) VALUES (NEW.serial);
    RETURN NULL;
END $$;
CREATE TRIGGER certificate_is_revoked AFTER UPDATE OF state ON certificates FOR EACH ROW
    WHEN (NEW.state = 'revoked' AND OLD.state <> 'revoked') EXECUTE FUNCTION note_certificate();

CREATE FUNCTION note_issued_on_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO revocation_changes (serial)
        SELECT NEW.serial FROM devices WHERE device = NEW.device AND state = 'suspended';
    RETURN NULL;
END $$;
CREATE TRIGGER certificate_is_issued_on_hold AFTER UPDATE OF state ON certificates FOR EACH ROW
    WHEN (NEW.state = 'issued') EXECUTE FUNCTION note_issued_on_hold();

CREATE FUNCTION note_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO revocation_changes (serial)
        SELECT serial FROM certificates WHERE device = NEW.device AND state = 'issued';
    RETURN NULL;
END $$;
CREATE TRIGGER hold_of_device_changes AFTER UPDATE OF state ON devices FOR EACH ROW
    WHEN ((OLD.state = 'suspended') <> (NEW.state = 'suspended')) EXECUTE FUNCTION note_hold();

CREATE FUNCTION keep_changes_few() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM revocation_changes WHERE number <= NEW.number - 200000;
    RETURN NULL;
END $$;
CREATE TRIGGER revocation_changes_are_few AFTER INSERT ON revocation_changes FOR EACH ROW
    EXECUTE FUNCTION keep_changes_few();

CREATE TABLE wanted_renewals (
    device   TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES devices (device),
    since    BIGINT           NOT NULL,
    actor    TEXT COLLATE "C" NOT NULL,
    turn     BIGINT           NOT NULL,
    due      BIGINT           NOT NULL,
    attempts BIGINT           NOT NULL DEFAULT 0,
    told     BIGINT,
    problem  TEXT COLLATE "C"
);
CREATE INDEX wanted_renewals_by_due ON wanted_renewals (due);

CREATE TABLE leases (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    owner TEXT COLLATE "C" NOT NULL,
    until BIGINT           NOT NULL
);

CREATE TABLE profiles (
    number BIGINT           NOT NULL PRIMARY KEY DEFAULT next_of('profiles'),
    sha256 BYTEA            NOT NULL UNIQUE CHECK (length(sha256) = 32),
    name   TEXT COLLATE "C" NOT NULL,
    text   TEXT COLLATE "C" NOT NULL
);

CREATE TABLE trust_bundles (
    number BIGINT NOT NULL PRIMARY KEY,
    signed BYTEA  NOT NULL,
    added  BIGINT NOT NULL
);

CREATE TABLE rollovers (
    number  BIGINT           NOT NULL PRIMARY KEY,
    step    TEXT COLLATE "C" NOT NULL CHECK (step IN ('prepared', 'switched', 'retired', 'aborted')),
    plan    TEXT COLLATE "C" NOT NULL,
    issuer  BYTEA            NOT NULL CHECK (length(issuer) = 32),
    bundle  BIGINT           REFERENCES trust_bundles (number),
    begun   BIGINT           NOT NULL,
    changed BIGINT           NOT NULL
);
CREATE UNIQUE INDEX rollovers_under_way ON rollovers ((1)) WHERE step IN ('prepared', 'switched');
