-- The tables that every subgraph's schema has beside its own. Each service keeps its own copies:
-- no service reads another's schema.

-- What has happened here and must happen elsewhere. A row is written in the transaction of the change
-- itself, so there is no change without its event and no event without its change.
CREATE TABLE outbox (
    id          BINARY(16)   NOT NULL,
    kind        VARCHAR(64)  NOT NULL,
    data        JSON         NOT NULL,
    occurred_at DATETIME(6)  NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

-- One row per event and subscriber that has not acknowledged it yet. The event goes when its last delivery goes.
CREATE TABLE outbox_delivery (
    subscriber VARCHAR(64)  NOT NULL,
    event_id   BINARY(16)   NOT NULL,
    attempts   INT UNSIGNED NOT NULL DEFAULT 0,
    -- When to try next: a subscriber that is down is asked less and less often.
    due_at     DATETIME(6)  NOT NULL,
    PRIMARY KEY (subscriber, event_id),
    KEY by_event (event_id),
    KEY by_due (due_at)
) ENGINE = InnoDB;

-- The ids of the events that were applied here, written in the transaction that applied them: a repeat does nothing.
CREATE TABLE inbox (
    event_id    BINARY(16)  NOT NULL,
    received_at DATETIME(6) NOT NULL,
    PRIMARY KEY (event_id),
    KEY by_received (received_at)
) ENGINE = InnoDB;

-- Who does a job of which there must be one at a time. A row and not GET_LOCK, which Galera does not replicate.
CREATE TABLE lease (
    name       VARCHAR(64) NOT NULL,
    holder     BINARY(16)  NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB;

-- Accounts that were deleted. Their tokens live up to ten minutes longer than they do, and an event of theirs may
-- arrive late: whoever is listed here is refused and stays gone.
CREATE TABLE departed_account (
    user_id     BINARY(16)  NOT NULL,
    departed_at DATETIME(6) NOT NULL,
    -- When the last row of this account was removed from this schema; NULL while there may be some.
    swept_at    DATETIME(6) NULL,
    PRIMARY KEY (user_id),
    KEY by_swept (swept_at)
) ENGINE = InnoDB;
