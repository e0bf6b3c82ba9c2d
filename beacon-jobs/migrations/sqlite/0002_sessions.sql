-- Who is signed in, where a server lets people sign in.

-- Nonces that were given out and not used.
CREATE TABLE beacon_nonces (
    nonce TEXT PRIMARY KEY NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX beacon_nonces_expiry ON beacon_nonces (expires_at);

CREATE TABLE beacon_sessions (
    token TEXT PRIMARY KEY NOT NULL,    -- the SHA-256 of the token
    subject TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX beacon_sessions_expiry ON beacon_sessions (expires_at);
