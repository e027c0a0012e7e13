-- How people appear to others. The id is the account's; there is no key into the authentication service's
-- schema, because that service may be another's.
CREATE TABLE profile (
    id           BINARY(16)   NOT NULL,
    -- NULL until one is claimed; the stand-in name is made from the id and never stored. Kept in lower case, so
    -- that the unique key is what decides between two people who claim one name at once.
    username     VARCHAR(30)  NULL,
    -- NULL means: show the username.
    display_name VARCHAR(60)  NULL,
    bio          VARCHAR(500) NULL,
    joined_at    DATETIME(6)  NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY by_username (username)
) ENGINE = InnoDB;
