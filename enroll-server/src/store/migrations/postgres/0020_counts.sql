-- As the step for SQLite, where the comments are. Triggers on INSERT count each row that comes.
CREATE TABLE counts (
    kind   TEXT COLLATE "C" NOT NULL,
    state  TEXT COLLATE "C" NOT NULL,
    ends   BIGINT           NOT NULL,
    whose  BIGINT           NOT NULL,
    number BIGINT           NOT NULL,
    PRIMARY KEY (kind, state, ends, whose)
);

INSERT INTO counts (kind, state, ends, whose, number)
    SELECT 'device', state, 0, coalesce(trust_number, -1), count(*) FROM devices GROUP BY 2, 4
    UNION ALL
    SELECT 'certificate', state, CASE state WHEN 'issued' THEN not_after / 3600 ELSE 0 END, issuer, count(*)
        FROM certificates WHERE state NOT IN ('held', 'intent') GROUP BY 2, 3, 4
    UNION ALL
    SELECT 'renewal', CASE WHEN told IS NULL THEN 'untold' ELSE 'told' END, 0, 0, count(*) FROM wanted_renewals
        GROUP BY 2;

CREATE FUNCTION add_to_counts(of_kind TEXT, of_state TEXT, of_ends BIGINT, of_whose BIGINT, change BIGINT)
RETURNS VOID LANGUAGE sql AS
    'INSERT INTO counts VALUES (of_kind, of_state, of_ends, of_whose, change)
        ON CONFLICT (kind, state, ends, whose) DO UPDATE SET number = counts.number + change';

CREATE FUNCTION count_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM add_to_counts('device', OLD.state, 0, coalesce(OLD.trust_number, -1), -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM add_to_counts('device', NEW.state, 0, coalesce(NEW.trust_number, -1), 1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER device_is_counted AFTER INSERT ON devices FOR EACH ROW EXECUTE FUNCTION count_device();
CREATE TRIGGER device_is_counted_anew AFTER UPDATE OF state, trust_number ON devices FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.trust_number IS DISTINCT FROM NEW.trust_number)
    EXECUTE FUNCTION count_device();
CREATE TRIGGER device_is_not_counted AFTER DELETE ON devices FOR EACH ROW EXECUTE FUNCTION count_device();

CREATE FUNCTION count_certificate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.state NOT IN ('held', 'intent') THEN
        PERFORM add_to_counts('certificate', OLD.state,
            CASE OLD.state WHEN 'issued' THEN OLD.not_after / 3600 ELSE 0 END, OLD.issuer, -1);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.state NOT IN ('held', 'intent') THEN
        PERFORM add_to_counts('certificate', NEW.state,
            CASE NEW.state WHEN 'issued' THEN NEW.not_after / 3600 ELSE 0 END, NEW.issuer, 1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER certificate_is_counted AFTER INSERT ON certificates FOR EACH ROW
    WHEN (NEW.state NOT IN ('held', 'intent')) EXECUTE FUNCTION count_certificate();
CREATE TRIGGER certificate_is_counted_anew AFTER UPDATE OF state, not_after, issuer ON certificates FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.not_after <> NEW.not_after OR OLD.issuer <> NEW.issuer)
    EXECUTE FUNCTION count_certificate();
CREATE TRIGGER certificate_is_not_counted AFTER DELETE ON certificates FOR EACH ROW
    EXECUTE FUNCTION count_certificate();

CREATE FUNCTION count_renewal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM add_to_counts('renewal', CASE WHEN OLD.told IS NULL THEN 'untold' ELSE 'told' END, 0, 0, -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM add_to_counts('renewal', CASE WHEN NEW.told IS NULL THEN 'untold' ELSE 'told' END, 0, 0, 1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER renewal_is_counted AFTER INSERT ON wanted_renewals FOR EACH ROW EXECUTE FUNCTION count_renewal();
CREATE TRIGGER renewal_is_counted_anew AFTER UPDATE OF told ON wanted_renewals FOR EACH ROW
    WHEN ((OLD.told IS NULL) <> (NEW.told IS NULL)) EXECUTE FUNCTION count_renewal();
CREATE TRIGGER renewal_is_not_counted AFTER DELETE ON wanted_renewals FOR EACH ROW
    EXECUTE FUNCTION count_renewal();
