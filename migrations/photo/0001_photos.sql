-- An uploaded picture that nobody but its owner knows of yet. Publishing moves it into `photo` under the same id,
-- so a second try finds what the first one made.
CREATE TABLE upload (
    id          BINARY(16)        NOT NULL,
    owner_id    BINARY(16)        NOT NULL,
    -- The folder of its files. Random, because whoever knows it can read them.
    file_key    BINARY(16)        NOT NULL,
    -- SHA-256 of what was sent: the same bytes again by the same person are the same upload.
    digest      BINARY(32)        NOT NULL,
    -- Pixels, after the camera's orientation was applied. Which renditions there are follows from these.
    width       SMALLINT UNSIGNED NOT NULL,
    height      SMALLINT UNSIGNED NOT NULL,
    -- ThumbHash.
    placeholder VARBINARY(32)     NOT NULL,
    created_at  DATETIME(6)       NOT NULL,
    expires_at  DATETIME(6)       NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY by_digest (owner_id, digest),
    -- The reconciler walks the store and the rows side by side, in the order of this key.
    KEY by_file_key (file_key),
    KEY by_expiry (expires_at)
) ENGINE = InnoDB;

CREATE TABLE photo (
    id           BINARY(16)        NOT NULL,
    author_id    BINARY(16)        NOT NULL,
    file_key     BINARY(16)        NOT NULL,
    title        VARCHAR(120)      NOT NULL,
    alt_text     VARCHAR(1000)     NULL,
    width        SMALLINT UNSIGNED NOT NULL,
    height       SMALLINT UNSIGNED NOT NULL,
    placeholder  VARBINARY(32)     NOT NULL,
    published_at DATETIME(6)       NOT NULL,
    -- The day in the site's time zone on which it competes. Written once: a later change of the zone must not
    -- move a photo from one day's contest into another's.
    hot_day      DATE              NOT NULL,
    PRIMARY KEY (id),
    KEY by_published (published_at, id),
    KEY by_author (author_id, published_at, id),
    KEY by_file_key (file_key)
) ENGINE = InnoDB;

-- Photos that were deleted. Other services ask by id, long afterwards, whether a photo is gone or was never there.
CREATE TABLE deleted_photo (
    id         BINARY(16)  NOT NULL,
    author_id  BINARY(16)  NOT NULL,
    deleted_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

-- Folders of files to be removed. Written in the transaction that removes the row which they belonged to: files
-- cannot be removed in a transaction, and must not be removed before it commits.
CREATE TABLE garbage (
    file_key BINARY(16)  NOT NULL,
    since    DATETIME(6) NOT NULL,
    PRIMARY KEY (file_key),
    KEY by_since (since)
) ENGINE = InnoDB;
