-- How many devices, certificates and wanted renewals there are, for the metrics: kept by triggers in the change itself,
-- so that no change gets around it and whoever asks reads a few rows. By kind and state, and
--   device:      `whose` is the trust bundle it confirmed last, -1 for none;
--   certificate: `whose` is its issuing CA, `ends` the hour (since 1970) in which an issued one ends, else 0. Held ones and
--                intents are few and not here: they have an index, and issuing changes one count and not three;
--   renewal:     'told' or 'untold'.
CREATE TABLE counts (
    kind   TEXT    NOT NULL,
    state  TEXT    NOT NULL,
    ends   INTEGER NOT NULL,
    whose  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (kind, state, ends, whose)
) STRICT, WITHOUT ROWID;

INSERT INTO counts (kind, state, ends, whose, number)
    SELECT 'device', state, 0, coalesce(trust_number, -1), count(*) FROM devices GROUP BY 2, 4
    UNION ALL
    SELECT 'certificate', state, iif(state = 'issued', not_after / 3600, 0), issuer, count(*) FROM certificates
        WHERE state NOT IN ('held', 'intent') GROUP BY 2, 3, 4
    UNION ALL
    SELECT 'renewal', iif(told IS NULL, 'untold', 'told'), 0, 0, count(*) FROM wanted_renewals GROUP BY 2;

CREATE TRIGGER device_is_counted AFTER INSERT ON devices BEGIN
    INSERT INTO counts VALUES ('device', NEW.state, 0, coalesce(NEW.trust_number, -1), 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER device_is_counted_anew AFTER UPDATE OF state, trust_number ON devices
WHEN OLD.state <> NEW.state OR OLD.trust_number IS NOT NEW.trust_number BEGIN
    UPDATE counts SET number = number - 1 WHERE kind = 'device' AND state = OLD.state AND ends = 0
        AND whose = coalesce(OLD.trust_number, -1);
    INSERT INTO counts VALUES ('device', NEW.state, 0, coalesce(NEW.trust_number, -1), 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER device_is_not_counted AFTER DELETE ON devices BEGIN
    UPDATE counts SET number = number - 1 WHERE kind = 'device' AND state = OLD.state AND ends = 0
        AND whose = coalesce(OLD.trust_number, -1);
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

CREATE TRIGGER renewal_is_counted AFTER INSERT ON wanted_renewals BEGIN
    INSERT INTO counts VALUES ('renewal', iif(NEW.told IS NULL, 'untold', 'told'), 0, 0, 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER renewal_is_counted_anew AFTER UPDATE OF told ON wanted_renewals
WHEN (OLD.told IS NULL) <> (NEW.told IS NULL) BEGIN
    UPDATE counts SET number = number - 1
        WHERE kind = 'renewal' AND state = iif(OLD.told IS NULL, 'untold', 'told') AND ends = 0 AND whose = 0;
    INSERT INTO counts VALUES ('renewal', iif(NEW.told IS NULL, 'untold', 'told'), 0, 0, 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER renewal_is_not_counted AFTER DELETE ON wanted_renewals BEGIN
    UPDATE counts SET number = number - 1
        WHERE kind = 'renewal' AND state = iif(OLD.told IS NULL, 'untold', 'told') AND ends = 0 AND whose = 0;
END;
