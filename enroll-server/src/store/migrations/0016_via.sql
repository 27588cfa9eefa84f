-- By which protocol, and by what authentication there, a certificate was asked for.
ALTER TABLE certificates ADD COLUMN via TEXT NOT NULL DEFAULT 'native'
    CHECK (via IN ('native', 'est-idevid', 'est-token', 'est-ldevid'));
