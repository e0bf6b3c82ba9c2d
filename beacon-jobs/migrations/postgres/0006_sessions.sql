-- Who is signed in, where a server lets people sign in.

-- Nonces that were given out and not used.
CREATE TABLE @.beacon_nonces (
    nonce TEXT COLLATE "C" PRIMARY KEY,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX beacon_nonces_expiry ON @.beacon_nonces (expires_at);

CREATE TABLE @.beacon_sessions (
    token TEXT COLLATE "C" PRIMARY KEY, -- the SHA-256 of the token
    subject TEXT COLLATE "C" NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX beacon_sessions_expiry ON @.beacon_sessions (expires_at);
