-- `@.` stands for the store's schema. Words (status, state, mode, ...) are those of the crate's
-- types. An execution's key is its job's seq * 131072 + its place in the job's list, so that the
-- executions of a job lie side by side and a job's end is one range.

CREATE TABLE @.beacon_jobs (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of submission
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    owner TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C",
    digest BYTEA NOT NULL,
    rules TEXT NOT NULL,                -- JSON, without the executions
    labels JSONB NOT NULL,              -- of the rules
    executors TEXT[] NOT NULL,          -- sorted
    executions INTEGER NOT NULL,        -- how many
    allow_overlap BOOLEAN NOT NULL,     -- of the rules
    min_success_rate DOUBLE PRECISION NOT NULL, -- of the rules
    created_at TIMESTAMPTZ NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    incarnation UUID,                   -- who holds it, if somebody does
    epoch BIGINT NOT NULL,              -- how often it was taken
    started_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    cancelled_from TEXT,                -- the record of the cancel that ended it
    cancelled_by TEXT,
    cancel_reason TEXT,
    cancel_mode TEXT,
    cancel_token UUID,                  -- which call it was
    executions_cancelled INTEGER
);
CREATE UNIQUE INDEX beacon_jobs_key ON @.beacon_jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- `seq + 0` is the order of submission in an index that the primary key cannot stand in for: by that
-- one a few jobs of an owner or a status would be looked for among all.
CREATE INDEX beacon_jobs_owner ON @.beacon_jobs (owner, (seq + 0));
-- Jobs without an outcome are few, whatever has piled up: each question about them has an index
-- that holds no others.
CREATE INDEX beacon_jobs_queued ON @.beacon_jobs ((seq + 0)) WHERE status = 'queued';
CREATE INDEX beacon_jobs_running ON @.beacon_jobs ((seq + 0)) WHERE status = 'running';
CREATE INDEX beacon_jobs_held ON @.beacon_jobs (incarnation) WHERE status = 'running';
CREATE INDEX beacon_jobs_ended ON @.beacon_jobs (finished_at) WHERE finished_at IS NOT NULL;

-- What was submitted; never changed.
CREATE TABLE @.beacon_specs (
    key BIGINT PRIMARY KEY,
    executor TEXT COLLATE "C" NOT NULL,
    spec TEXT NOT NULL,                 -- JSON, without the input
    input TEXT NOT NULL                 -- JSON
);

-- The state of each execution. A cancel rewrites all of a job: so a row is narrow and has no second
-- index, and pages keep room for the next version of their rows.
CREATE TABLE @.beacon_executions (
    key BIGINT PRIMARY KEY,
    status SMALLINT NOT NULL,           -- queued 10, starting 11, running 12, completed 20, failed 21, cancelled 22
    attempts INTEGER NOT NULL,
    counted INTEGER NOT NULL,           -- those that count toward max_attempts
    started_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ             -- of a cancelled one, see its job
) WITH (fillfactor = 70);

-- What the last ended attempt of an execution brought. No error is shown of a cancelled execution.
CREATE TABLE @.beacon_results (
    key BIGINT PRIMARY KEY,
    error TEXT,                         -- JSON
    output TEXT                         -- JSON
);

CREATE TABLE @.beacon_attempts (
    execution BIGINT NOT NULL,
    number INTEGER NOT NULL,
    id UUID NOT NULL,
    incarnation UUID NOT NULL,          -- who minted it
    epoch BIGINT NOT NULL,
    executor TEXT COLLATE "C" NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    handle TEXT,                        -- JSON
    sealed_by TEXT,
    late_output TEXT,                   -- JSON
    PRIMARY KEY (execution, number)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX beacon_attempts_id ON @.beacon_attempts (id);

-- The stops that were requested, one for an attempt at most.
CREATE TABLE @.beacon_stops (
    execution BIGINT NOT NULL,
    number INTEGER NOT NULL,
    executor TEXT COLLATE "C" NOT NULL, -- of the attempt
    state TEXT NOT NULL,
    settled BOOLEAN NOT NULL,
    mode TEXT NOT NULL,
    force_at TIMESTAMPTZ NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL,
    due_at TIMESTAMPTZ,                 -- when it is driven next; never when absent
    tries INTEGER NOT NULL,
    confirmed_at TIMESTAMPTZ,
    evidence TEXT,                      -- JSON
    why TEXT,
    PRIMARY KEY (execution, number)
);
CREATE INDEX beacon_stops_due ON @.beacon_stops (due_at, execution, number) WHERE due_at IS NOT NULL;

CREATE TABLE @.beacon_audit (
    job BIGINT NOT NULL,
    number INTEGER NOT NULL,            -- counts the entries of the job
    at TIMESTAMPTZ NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    reason TEXT,
    detail TEXT NOT NULL,               -- JSON
    PRIMARY KEY (job, number)
);

CREATE TABLE @.beacon_nodes (
    incarnation UUID PRIMARY KEY,
    name TEXT NOT NULL,
    process TEXT NOT NULL,              -- JSON
    host TEXT NOT NULL,                 -- of the process
    executors TEXT[] NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    ended_how TEXT
) WITH (fillfactor = 50);

-- Which incarnations have held which jobs: a node's row stays as long as it has one here.
CREATE TABLE @.beacon_holders (
    incarnation UUID NOT NULL,
    job BIGINT NOT NULL,
    PRIMARY KEY (incarnation, job)
);
CREATE INDEX beacon_holders_job ON @.beacon_holders (job);
