-- The vote ledger, what is counted from it, and the timelines that are ranked by it.

-- What vote knows of a photo, and its tally as far as it has been folded.
-- A deleted photo keeps its row as a tombstone, and for that the row is not deleted but marked: `published` and
-- `deleted` then meet on one primary key, in whichever order they arrive, also on two nodes of a cluster at once.
CREATE TABLE photo_score (
    photo_id     BINARY(16)  NOT NULL,
    -- These three are NULL where only the deletion, or only a vote, has been heard of.
    author_id    BINARY(16)  NULL,
    published_at DATETIME(6) NULL,
    -- Set once, by photo, in the site's time zone.
    hot_day      DATE        NULL,
    deleted_at   DATETIME(6) NULL,
    -- Signed: folded in the order of their ids, a withdrawal may come before the vote that it withdraws.
    up           INT         NOT NULL DEFAULT 0,
    down         INT         NOT NULL DEFAULT 0,
    -- When a recount last repaired this row. Written so that two recounts of one photo meet on its row.
    recounted_at DATETIME(6) NULL,
    -- The rank is made of generated columns, so it cannot disagree with the tally.
    listed       TINYINT(1)  AS (deleted_at IS NULL AND hot_day IS NOT NULL) STORED,
    score        INT         AS (up - down) STORED,
    -- The lower bound of the Wilson score interval (E. B. Wilson, 1927) for the share of up votes with z = 1.28, in
    -- units of 1e-12, so that it is compared exactly. With n votes: (up + z²/2 − z·√(up·down/n + z²/4)) / (n + z²).
    wilson       BIGINT      AS (IF(up <= 0 OR up + down <= 0, 0, ROUND(1e12 *
                                 (up + 0.8192e0 - 1.28e0 * SQRT(GREATEST(1e0 * up * down / (up + down) + 0.4096e0, 0e0)))
                                 / (up + down + 1.6384e0)))) STORED,
    PRIMARY KEY (photo_id),
    -- Hot and Trending read these backwards and need nothing but the index.
    KEY by_day (hot_day, listed, score, wilson, published_at, photo_id),
    KEY by_rank (listed, score, wilson, published_at, photo_id)
) ENGINE = InnoDB;

-- The ledger: one row per person and photo. A vote that was taken back is a 0, because a row that stays is locked
-- by itself, while a row that is missing would be locked by the gap that other people's votes go into.
CREATE TABLE vote (
    photo_id BINARY(16)  NOT NULL,
    user_id  BINARY(16)  NOT NULL,
    value    TINYINT     NOT NULL,
    -- What `value` was before the last time it was set; their difference is what that vote changed.
    previous TINYINT     NOT NULL DEFAULT 0,
    cast_at  DATETIME(6) NOT NULL,
    PRIMARY KEY (photo_id, user_id),
    KEY by_user (user_id),
    CONSTRAINT value_is_a_vote CHECK (value BETWEEN -1 AND 1)
) ENGINE = InnoDB;

-- What votes have changed and the fold has not yet added to photo_score. Voters only ever insert here: a counter
-- that all voters of a photo update would make them wait for each other, and on a cluster fail.
-- A row of two zeros says that a photo has appeared or gone, so that its timelines are ranked anew.
CREATE TABLE vote_delta (
    id       BINARY(16) NOT NULL,
    photo_id BINARY(16) NOT NULL,
    up       INT        NOT NULL,
    down     INT        NOT NULL,
    PRIMARY KEY (id),
    -- A tally that is shown adds the deltas of its photo.
    KEY by_photo (photo_id, up, down)
) ENGINE = InnoDB;

-- Deleted photos of which votes may still be here.
CREATE TABLE photo_sweep (
    photo_id   BINARY(16)  NOT NULL,
    deleted_at DATETIME(6) NOT NULL,
    -- Swept at once, and once more when no vote can be on its way that began before the deletion.
    due_at     DATETIME(6) NOT NULL,
    PRIMARY KEY (photo_id),
    KEY by_due (due_at)
) ENGINE = InnoDB;

-- The ranked timelines: 'trending', and one per day. Only the fold writes here.
CREATE TABLE timeline (
    name    VARCHAR(10)     NOT NULL,
    -- Goes up whenever the fold may have changed the order.
    version BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB;

-- The order of a timeline at one version, for those who page through it. Shared, so that any replica answers the
-- next page; made by the first reader of a version, so that there are no more of them than the order changed.
CREATE TABLE snapshot (
    timeline          VARCHAR(10)     NOT NULL,
    version           BIGINT UNSIGNED NOT NULL,
    id                BINARY(16)      NOT NULL,
    length            INT UNSIGNED    NOT NULL,
    expires_at        DATETIME(6)     NOT NULL,
    -- The rank of the last photo where the timeline goes on beyond the snapshot.
    tail_score        INT             NULL,
    tail_wilson       BIGINT          NULL,
    tail_published_at DATETIME(6)     NULL,
    PRIMARY KEY (timeline, version, id),
    KEY by_expiry (expires_at)
) ENGINE = InnoDB;

-- The ids of a snapshot, 240 to a row, 16 bytes each: a page reads a row or two, not the whole snapshot. At this
-- size InnoDB keeps them in the index page.
CREATE TABLE snapshot_chunk (
    snapshot_id BINARY(16)      NOT NULL,
    ordinal     INT UNSIGNED    NOT NULL,
    ids         VARBINARY(3840) NOT NULL,
    PRIMARY KEY (snapshot_id, ordinal)
) ENGINE = InnoDB;

-- The archive: a row per day that had photos, made by the fold. The winner is recorded once, when the day ends.
CREATE TABLE hot_day (
    day       DATE        NOT NULL,
    closed_at DATETIME(6) NULL,
    winner_id BINARY(16)  NULL,
    PRIMARY KEY (day),
    KEY by_closing (closed_at, day),
    KEY by_winner (winner_id)
) ENGINE = InnoDB;
