-- What this service has heard of photos: enough to accept a comment, and to let a photo's author delete one.
CREATE TABLE known_photo (
    id           BINARY(16)  NOT NULL,
    author_id    BINARY(16)  NOT NULL,
    published_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

-- Photos that were deleted. A tombstone beats a "published" that arrives late.
CREATE TABLE deleted_photo (
    id         BINARY(16)  NOT NULL,
    deleted_at DATETIME(6) NOT NULL,
    -- When the last comment under it was removed; NULL while there may be some.
    swept_at   DATETIME(6) NULL,
    PRIMARY KEY (id),
    KEY by_swept (swept_at, deleted_at)
) ENGINE = InnoDB;

-- Comments, and replies to them: two levels. Ids are UUIDv7, so the order of ids is the order of time.
CREATE TABLE comment (
    id         BINARY(16)    NOT NULL,
    photo_id   BINARY(16)    NOT NULL,
    -- The top-level comment that this one answers; NULL at the top level. It never dangles: a top-level comment
    -- keeps its row for as long as it has replies.
    reply_to   BINARY(16)    NULL,
    -- NULL once deleted: a tombstone says nothing of who wrote it.
    author_id  BINARY(16)    NULL,
    body       VARCHAR(2000) NOT NULL,
    created_at DATETIME(6)   NOT NULL,
    edited_at  DATETIME(6)   NULL,
    -- A deleted reply loses its row. A deleted top-level comment becomes a tombstone, is shown while it has replies,
    -- and is removed some time after the last of them. So deleting needs no lock against replying.
    deleted_at DATETIME(6)   NULL,
    PRIMARY KEY (id),
    -- Pages of a photo's top-level comments.
    KEY by_photo (photo_id, reply_to, id),
    -- Pages of replies, and whether a tombstone has any.
    KEY by_reply (reply_to, id),
    -- Pages of what a person wrote.
    KEY by_author (author_id, id),
    -- The number of comments under a photo. Counted and not kept in a column, because a counter that every
    -- comment under one photo updates makes writers on different Galera nodes fail each other.
    KEY by_photo_deleted (photo_id, deleted_at),
    -- Tombstones that may be removed.
    KEY by_deleted (deleted_at),
    CONSTRAINT deleted_is_empty CHECK ((deleted_at IS NULL) = (author_id IS NOT NULL) AND (deleted_at IS NULL OR body = ''))
) ENGINE = InnoDB;

-- Which comment a client's key stands for, so that a repeated call finds the first one. Apart from the comment,
-- because a repeat that arrives after the comment was deleted must not write it again.
CREATE TABLE comment_key (
    author_id  BINARY(16)    NOT NULL,
    client_key VARBINARY(64) NOT NULL,
    comment_id BINARY(16)    NOT NULL,
    created_at DATETIME(6)   NOT NULL,
    PRIMARY KEY (author_id, client_key),
    -- Old keys are forgotten.
    KEY by_created (created_at)
) ENGINE = InnoDB;
