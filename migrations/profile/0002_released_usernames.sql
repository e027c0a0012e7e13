-- Usernames that were given up, by a rename or with the account. Links and mentions still point at them, so that nobody
-- but their last owner may claim them for 90 days.
CREATE TABLE IF NOT EXISTS released_username (
    username    VARCHAR(30) NOT NULL,
    owner_id    BINARY(16)  NOT NULL,
    released_at DATETIME(6) NOT NULL,
    PRIMARY KEY (username),
    KEY by_owner (owner_id, released_at),
    KEY by_release (released_at)
) ENGINE = InnoDB;
