-- Times are nanoseconds since 1970-01-01 UTC. Words (status, state, mode, ...) are those of the
-- crate's types. An execution's key is its job's seq * 131072 + its place in the job's list, so that
-- the executions of a job lie side by side and a job's end is one range.

CREATE TABLE beacon_jobs (
    seq INTEGER PRIMARY KEY,            -- the order of submission
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    idempotency_key TEXT,
    digest BLOB NOT NULL,
    rules TEXT NOT NULL,                -- JSON, without the executions
    executors TEXT NOT NULL,            -- JSON array, sorted
    executions INTEGER NOT NULL,        -- how many
    allow_overlap INTEGER NOT NULL,     -- of the rules
    created_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    incarnation BLOB,                   -- who holds it, if somebody does
    epoch INTEGER NOT NULL,             -- how often it was taken
    started_at INTEGER,
    finished_at INTEGER,
    cancelled_from TEXT,                -- the record of the cancel that ended it
    cancelled_by TEXT,
    cancel_reason TEXT,
    cancel_mode TEXT,
    executions_cancelled INTEGER
) STRICT;
CREATE UNIQUE INDEX beacon_jobs_key ON beacon_jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX beacon_jobs_owner ON beacon_jobs (owner);
-- For those that wait and those that run, in the order of submission, and for those that ended, by
-- when. One index for all three: each page that a cancel changes is written and synced.
CREATE INDEX beacon_jobs_status ON beacon_jobs (status, finished_at);

-- What was submitted; never changed.
CREATE TABLE beacon_specs (
    key INTEGER PRIMARY KEY,
    executor TEXT NOT NULL,
    spec TEXT NOT NULL,                 -- JSON, without the input
    input TEXT NOT NULL                 -- JSON
) STRICT;

-- The state of each execution. A cancel rewrites all of a job: so a row is narrow, has no second
-- index, and does not change its size when only the status changes.
CREATE TABLE beacon_executions (
    key INTEGER PRIMARY KEY,
    status INTEGER NOT NULL,            -- queued 10, starting 11, running 12, completed 20, failed 21, cancelled 22
    attempts INTEGER NOT NULL,
    counted INTEGER NOT NULL,           -- those that count toward max_attempts
    started_at INTEGER,
    finished_at INTEGER                 -- of a cancelled one, see its job
) STRICT;

-- What the last ended attempt of an execution brought. No error is shown of a cancelled execution.
CREATE TABLE beacon_results (
    key INTEGER PRIMARY KEY,
    error TEXT,                         -- JSON
    output TEXT                         -- JSON
) STRICT;

CREATE TABLE beacon_attempts (
    execution INTEGER NOT NULL,
    number INTEGER NOT NULL,
    id BLOB NOT NULL,
    incarnation BLOB NOT NULL,          -- who minted it
    epoch INTEGER NOT NULL,
    executor TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    handle TEXT,                        -- JSON
    sealed_by TEXT,
    late_output TEXT,                   -- JSON
    PRIMARY KEY (execution, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX beacon_attempts_id ON beacon_attempts (id);

-- The stops that were requested, one for an attempt at most.
CREATE TABLE beacon_stops (
    execution INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    settled INTEGER NOT NULL,
    mode TEXT NOT NULL,
    force_at INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    due_at INTEGER,                     -- when it is driven next; never when absent
    tries INTEGER NOT NULL,
    confirmed_at INTEGER,
    evidence TEXT,                      -- JSON
    why TEXT,
    -- Of an execution's stops the one with the greatest is shown, of equal ones the newest.
    unsettledness INTEGER NOT NULL GENERATED ALWAYS AS (
        (settled = 0) * 8 + CASE state
            WHEN 'requested' THEN 4 WHEN 'acknowledged' THEN 3 WHEN 'unconfirmed' THEN 2 WHEN 'confirmed' THEN 1
            ELSE 0
        END
    ) VIRTUAL,
    PRIMARY KEY (execution, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX beacon_stops_due ON beacon_stops (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE beacon_audit (
    job INTEGER NOT NULL,
    number INTEGER NOT NULL,            -- counts the entries of the job
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    reason TEXT,
    detail TEXT NOT NULL,               -- JSON
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE beacon_nodes (
    incarnation BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    process TEXT NOT NULL,              -- JSON
    host TEXT NOT NULL,                 -- of the process
    executors TEXT NOT NULL,            -- JSON array
    lease_until INTEGER NOT NULL,
    ended_at INTEGER,
    ended_how TEXT
) STRICT, WITHOUT ROWID;

-- Which incarnations have held which jobs: a node's row stays as long as it has one here.
CREATE TABLE beacon_holders (
    incarnation BLOB NOT NULL,
    job INTEGER NOT NULL,
    PRIMARY KEY (incarnation, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX beacon_holders_job ON beacon_holders (job);
