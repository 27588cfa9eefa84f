-- What a held request showed, as JSON: for the operator who has to decide.
ALTER TABLE certificates ADD COLUMN shown TEXT;
