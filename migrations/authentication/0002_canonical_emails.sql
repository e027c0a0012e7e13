-- Whether email_folded is the canonical form: composed letters, the domain as DNS has it. Rows from before are brought
-- into that form by the service, because the database knows neither NFC nor IDNA.
ALTER TABLE account
    ADD COLUMN IF NOT EXISTS email_is_canonical BOOLEAN NOT NULL DEFAULT FALSE,
    ADD KEY IF NOT EXISTS by_canonical (email_is_canonical);
