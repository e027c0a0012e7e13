-- Login sessions that have ended. The access tokens of a session live up to ten minutes longer than it does; every
-- service refuses them by this table. A row is deleted once no token of its session can be valid.
CREATE TABLE IF NOT EXISTS ended_session (
    -- The `sid` of the tokens.
    session_id  BINARY(16)  NOT NULL,
    recorded_at DATETIME(6) NOT NULL,
    PRIMARY KEY (session_id),
    KEY by_recorded (recorded_at)
) ENGINE = InnoDB;
