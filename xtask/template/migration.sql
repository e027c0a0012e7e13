-- A sample belongs to the account that created it. There is no key into the schema of authentication, because each service
-- reads only its own schema. Rows of a deleted account are removed by an event, and by the sweep.
CREATE TABLE IF NOT EXISTS sample (
    id         BINARY(16)   NOT NULL,
    owner_id   BINARY(16)   NOT NULL,
    title      VARCHAR(120) NOT NULL,
    created_at DATETIME(6)  NOT NULL,
    PRIMARY KEY (id),
    KEY by_owner (owner_id, created_at)
) ENGINE = InnoDB;
