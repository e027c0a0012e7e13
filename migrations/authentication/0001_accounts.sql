-- Accounts, login sessions, signing keys, and the counters that slow guessing down.

-- A person. The row goes when the account is deleted; the id then stays in departed_account, and nothing else does.
CREATE TABLE account (
    id            BINARY(16)   NOT NULL,
    -- As it was typed, for showing.
    email         VARCHAR(254) NOT NULL,
    -- In lower case, for comparing. The fold is the service's and not a collation's, so that the unique key, the
    -- lookup and the counters of wrong guesses all mean the same address.
    email_folded  VARCHAR(254) NOT NULL,
    -- A PHC string: it names its own parameters, so these can be raised without touching older rows.
    password_hash VARCHAR(160) NOT NULL,
    moderator     BOOLEAN      NOT NULL DEFAULT FALSE,
    created_at    DATETIME(6)  NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY by_email (email_folded)
) ENGINE = InnoDB;

-- One login on one device: the family of the refresh tokens that follow from it. Without its row none of them works.
CREATE TABLE session (
    id               BINARY(16)   NOT NULL,
    account_id       BINARY(16)   NOT NULL,
    user_agent       VARCHAR(255) NULL,
    created_at       DATETIME(6)  NOT NULL,
    last_used_at     DATETIME(6)  NOT NULL,
    -- Moves on with every use; an abandoned login ends by itself.
    expires_at       DATETIME(6)  NOT NULL,
    -- The highest generation of which a token was used. A token of an older generation is then a replay. Compared
    -- and swapped in one UPDATE, so two replicas cannot both believe that they were first.
    used_generation  INT UNSIGNED NOT NULL DEFAULT 0,
    -- Tokens before this generation were withdrawn (the password was changed): they are refused, but they are no
    -- sign of theft and do not end the session.
    first_generation INT UNSIGNED NOT NULL DEFAULT 1,
    PRIMARY KEY (id),
    KEY by_account (account_id, last_used_at),
    KEY by_expiry (expires_at)
) ENGINE = InnoDB;

-- Every refresh token that was handed out, used or not, until it would have expired: only what is remembered can be
-- recognised as a replay. Only hashes: what is read here signs nobody in. SHA-256 is enough for 256 random bits.
CREATE TABLE refresh_token (
    token_hash BINARY(32)   NOT NULL,
    session_id BINARY(16)   NOT NULL,
    -- The first token of a session is of generation 1; whatever answers a token of generation n is of n + 1.
    generation INT UNSIGNED NOT NULL,
    expires_at DATETIME(6)  NOT NULL,
    PRIMARY KEY (token_hash),
    KEY by_expiry (expires_at)
) ENGINE = InnoDB;

-- The keys that sign access tokens. Published from their insertion on, signing from signs_from on until a later one
-- takes over, deleted when the last token that they signed has expired.
CREATE TABLE signing_key (
    -- Counts up. Two replicas that both find a key missing insert the same number, and one of them wins.
    number      INT UNSIGNED NOT NULL,
    -- The `kid` of the tokens.
    id          BINARY(16)   NOT NULL,
    -- XChaCha20-Poly1305 under a key derived from KEY_SECRET: a copy of this table signs nothing.
    nonce       BINARY(24)   NOT NULL,
    sealed      BINARY(48)   NOT NULL,
    signs_from  DATETIME(6)  NOT NULL,
    created_at  DATETIME(6)  NOT NULL,
    PRIMARY KEY (number)
) ENGINE = InnoDB;

-- How often something was tried in the window that ends at ends_at. Rows, so that all replicas count together.
CREATE TABLE attempt (
    -- A keyed hash of what is limited (an address, an account, both): no address and no e-mail is kept in clear.
    subject BINARY(32)   NOT NULL,
    tries   INT UNSIGNED NOT NULL,
    ends_at DATETIME(6)  NOT NULL,
    PRIMARY KEY (subject),
    KEY by_end (ends_at)
) ENGINE = InnoDB;

-- From where an account has been signed in to. Such an address keeps its own count of wrong guesses, so that strangers
-- who use up an account's guesses do not lock its owner out.
CREATE TABLE known_address (
    account_id   BINARY(16)  NOT NULL,
    -- A keyed hash, as above.
    address      BINARY(32)  NOT NULL,
    last_used_at DATETIME(6) NOT NULL,
    PRIMARY KEY (account_id, address),
    KEY by_last_use (last_used_at)
) ENGINE = InnoDB;
