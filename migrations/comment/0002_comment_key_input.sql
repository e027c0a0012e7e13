-- SHA-256 of what was sent with the key. A key that is used again with another input is a mistake of the client, and
-- answering the first comment would lose the text. NULL in rows of the release before, which match any input.
ALTER TABLE comment_key ADD COLUMN IF NOT EXISTS input_hash BINARY(32) NULL;
