-- When the author last changed the title or the description; NULL until then. Readers of feeds go by it.
ALTER TABLE photo ADD COLUMN IF NOT EXISTS edited_at DATETIME(6) NULL;
-- SHA-256 of the title and the description that it was published with. Publishing the same upload again with another
-- input is a mistake of the client, and answering the first photo would lose the texts. NULL in rows of the release
-- before, which match any input.
ALTER TABLE photo ADD COLUMN IF NOT EXISTS input_hash BINARY(32) NULL;
