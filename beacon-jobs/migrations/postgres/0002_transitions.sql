-- The transitions, each one call. A statement inside a function sees what was committed before it
-- began: so each function first takes its locks, in the order that all keep (jobs, executions,
-- attempts, stops), and decides with statements after that.
--
-- A batch is handed over as arrays, with a round for each item: items of one round touch different
-- executions and attempts, and each round sees what those before it have changed.
--
-- `@plan` stands for settings that keep a plan that was made while the tables were small
-- from being used when they are large.

-- All times come from here.
CREATE FUNCTION @.beacon_now() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';

-- Of an execution's stops the one with the greatest is shown, of equal ones the newest.
CREATE FUNCTION @.beacon_unsettledness(settled BOOLEAN, state TEXT) RETURNS INTEGER LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN settled THEN 0 ELSE 8 END + CASE state
        WHEN 'requested' THEN 4 WHEN 'acknowledged' THEN 3 WHEN 'unconfirmed' THEN 2 WHEN 'confirmed' THEN 1
        ELSE 0
    END
$$;

-- Why a write with this fence is refused; null when it is not.
CREATE FUNCTION @.beacon_refusal(status TEXT, holder UUID, epoch BIGINT, writer UUID, writer_epoch BIGINT)
RETURNS TEXT LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN status = 'running' AND holder = writer AND epoch = writer_epoch THEN NULL
        WHEN status = 'cancelled' THEN 'cancelled'
        WHEN status IN ('completed', 'failed') THEN 'finished'
        ELSE 'lost'
    END
$$;

-- The stops of a job's executions: [state, settled, how many, how many of these are cancelled].
CREATE FUNCTION @.beacon_stop_counts(seq BIGINT) RETURNS TEXT LANGUAGE sql STABLE AS $$
    SELECT json_agg(json_build_array(c.state, c.settled, c.total, c.cancelled))::text FROM (
        SELECT b.state, b.settled, count(*) AS total, count(*) FILTER (WHERE e.status = 22) AS cancelled
        FROM (
            SELECT DISTINCT ON (t.execution) t.execution, t.state, t.settled
            FROM @.beacon_stops t WHERE t.execution BETWEEN $1 * 131072 AND $1 * 131072 + 131071
            ORDER BY t.execution, @.beacon_unsettledness(t.settled, t.state) DESC, t.number DESC
        ) b JOIN @.beacon_executions e ON e.key = b.execution
        GROUP BY b.state, b.settled
    ) c
$$;

CREATE FUNCTION @.beacon_lock_jobs(p_job TEXT[]) RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM FROM @.beacon_jobs j WHERE j.id = ANY (p_job) ORDER BY j.seq FOR SHARE;
END $$;

CREATE FUNCTION @.beacon_lock_executions(p_job TEXT[], p_index BIGINT[]) RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM FROM @.beacon_executions e
    WHERE e.key IN (
        SELECT j.seq * 131072 + w.index FROM unnest(p_job, p_index) AS w (job, index)
        JOIN @.beacon_jobs j ON j.id = w.job WHERE w.index < j.executions
    )
    ORDER BY e.key FOR NO KEY UPDATE;
END $$;

CREATE FUNCTION @.beacon_lock_attempts(p_attempt UUID[]) RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM FROM @.beacon_attempts a WHERE a.id = ANY (p_attempt) ORDER BY a.execution, a.number FOR NO KEY UPDATE;
    PERFORM FROM @.beacon_stops t
    WHERE (t.execution, t.number) IN (
        SELECT a.execution, a.number FROM @.beacon_attempts a WHERE a.id = ANY (p_attempt)
    )
    ORDER BY t.execution, t.number FOR NO KEY UPDATE;
END $$;

-- The start barrier.
CREATE FUNCTION @.beacon_start(
    p_round INTEGER[], p_job TEXT[], p_incarnation UUID[], p_epoch BIGINT[], p_index BIGINT[], p_attempt UUID[]
) RETURNS TABLE (place BIGINT, outcome TEXT, number INTEGER) LANGUAGE plpgsql
@plan
AS $$
#variable_conflict use_column
DECLARE
    v_now TIMESTAMPTZ;
BEGIN
    PERFORM @.beacon_lock_jobs(p_job);
    PERFORM @.beacon_lock_executions(p_job, p_index);
    v_now := @.beacon_now();
    FOR v_round IN 1 .. (SELECT max(r) FROM unnest(p_round) r) LOOP
        RETURN QUERY
        WITH s AS (
            SELECT w.place, w.attempt, w.incarnation, w.epoch, e.key, e.attempts, p.executor,
                coalesce(
                    @.beacon_refusal(j.status, j.incarnation, j.epoch, w.incarnation, w.epoch),
                    CASE
                        WHEN e.key IS NULL THEN 'lost'
                        WHEN e.status >= 20 THEN 'finished'
                        -- A repeated start, after its answer was lost.
                        WHEN e.status > 10 THEN CASE
                            WHEN a.id = w.attempt AND t.execution IS NULL THEN 'again' ELSE 'lost' END
                        WHEN NOT j.allow_overlap AND EXISTS (
                            SELECT FROM @.beacon_stops o WHERE o.execution = e.key AND NOT o.settled
                        ) THEN 'stop_open'
                        WHEN EXISTS (SELECT FROM @.beacon_attempts x WHERE x.id = w.attempt) THEN 'lost'
                        ELSE 'started'
                    END
                ) AS outcome
            FROM unnest(p_round, p_job, p_incarnation, p_epoch, p_index, p_attempt) WITH ORDINALITY
                AS w (round, job, incarnation, epoch, index, attempt, place)
            LEFT JOIN @.beacon_jobs j ON j.id = w.job
            LEFT JOIN @.beacon_executions e ON e.key = j.seq * 131072 + w.index AND w.index < j.executions
            LEFT JOIN @.beacon_specs p ON p.key = e.key
            LEFT JOIN @.beacon_attempts a ON a.execution = e.key AND a.number = e.attempts
            LEFT JOIN @.beacon_stops t ON t.execution = e.key AND t.number = e.attempts
            WHERE w.round = v_round
        ), changed AS (
            UPDATE @.beacon_executions e SET status = 11, attempts = e.attempts + 1, counted = e.counted + 1,
                started_at = coalesce(e.started_at, v_now)
            FROM s WHERE e.key = s.key AND s.outcome = 'started'
        ), added AS (
            INSERT INTO @.beacon_attempts (execution, number, id, incarnation, epoch, executor, started_at)
            SELECT s.key, s.attempts + 1, s.attempt, s.incarnation, s.epoch, s.executor, v_now
            FROM s WHERE s.outcome = 'started'
        )
        SELECT s.place, CASE s.outcome WHEN 'again' THEN 'started' ELSE s.outcome END,
            CASE s.outcome WHEN 'started' THEN s.attempts + 1 WHEN 'again' THEN s.attempts END
        FROM s;
    END LOOP;
END $$;

-- The handles of attempts, and the permits to begin.
CREATE FUNCTION @.beacon_save(
    p_round INTEGER[], p_job TEXT[], p_incarnation UUID[], p_epoch BIGINT[], p_index BIGINT[], p_attempt UUID[],
    p_handle TEXT[], p_mode TEXT, p_grace INTERVAL
) RETURNS TABLE (place BIGINT, outcome TEXT) LANGUAGE plpgsql
@plan
AS $$
#variable_conflict use_column
DECLARE
    v_now TIMESTAMPTZ;
BEGIN
    PERFORM @.beacon_lock_jobs(p_job);
    PERFORM @.beacon_lock_executions(p_job, p_index);
    PERFORM @.beacon_lock_attempts(p_attempt);
    v_now := @.beacon_now();
    FOR v_round IN 1 .. (SELECT max(r) FROM unnest(p_round) r) LOOP
        RETURN QUERY
        WITH s AS (
            SELECT w.place, w.handle, e.key, e.status, a.execution, a.number, a.executor,
                a.handle IS DISTINCT FROM w.handle AS is_new, t.execution IS NOT NULL AS has_stop,
                -- Under way, and its handle is enough to watch it: the business of whoever holds the job.
                coalesce(e.status IN (11, 12) AND c.id = w.attempt AND a.handle IS NOT NULL, false) AS is_watchable,
                coalesce(
                    @.beacon_refusal(j.status, j.incarnation, j.epoch, w.incarnation, w.epoch),
                    CASE WHEN e.status IN (11, 12) AND c.id = w.attempt AND t.execution IS NULL
                        THEN 'granted' ELSE 'lost' END
                ) AS outcome
            FROM unnest(p_round, p_job, p_incarnation, p_epoch, p_index, p_attempt, p_handle) WITH ORDINALITY
                AS w (round, job, incarnation, epoch, index, attempt, handle, place)
            LEFT JOIN @.beacon_jobs j ON j.id = w.job
            LEFT JOIN @.beacon_executions e ON e.key = j.seq * 131072 + w.index AND w.index < j.executions
            LEFT JOIN @.beacon_attempts c ON c.execution = e.key AND c.number = e.attempts
            LEFT JOIN @.beacon_attempts a ON a.id = w.attempt
            LEFT JOIN @.beacon_stops t ON t.execution = a.execution AND t.number = a.number
            WHERE w.round = v_round
        ), saved AS (
            UPDATE @.beacon_attempts a SET handle = s.handle
            FROM s WHERE a.execution = s.execution AND a.number = s.number AND s.is_new
        ), begun AS (
            UPDATE @.beacon_executions e SET status = 12
            FROM s WHERE e.key = s.key AND s.status = 11 AND s.outcome = 'granted'
        ), requested AS (
            INSERT INTO @.beacon_stops
                (execution, number, executor, state, settled, mode, force_at, requested_at, due_at, tries)
            SELECT s.execution, s.number, s.executor, 'requested', false, p_mode, v_now + p_grace, v_now, v_now, 0
            FROM s WHERE s.execution IS NOT NULL AND NOT s.has_stop AND s.outcome <> 'granted'
                AND NOT (s.outcome = 'lost' AND s.is_watchable)
            ON CONFLICT DO NOTHING
        ), reopened AS (
            UPDATE @.beacon_stops t SET due_at = v_now, settled = false,
                state = CASE WHEN t.settled THEN 'requested' ELSE t.state END,
                confirmed_at = CASE WHEN NOT t.settled THEN t.confirmed_at END,
                why = CASE WHEN t.settled THEN 'opened again: a handle was saved after the stop was settled'
                    ELSE t.why END
            FROM s WHERE t.execution = s.execution AND t.number = s.number
                AND s.has_stop AND s.is_new AND s.outcome <> 'granted'
        )
        SELECT s.place, CASE WHEN s.execution IS NULL AND s.outcome = 'granted' THEN 'lost' ELSE s.outcome END
        FROM s;
    END LOOP;
END $$;

-- Seals attempts that are locked, each once. The strongest seal stays; one by the minter reopens
-- what rested on time. Tells whether an open stop is due by that.
CREATE FUNCTION @.beacon_seal_locked(p_attempt UUID[], p_by TEXT[], p_now TIMESTAMPTZ) RETURNS BOOLEAN LANGUAGE plpgsql
AS $$
DECLARE
    v_due BOOLEAN;
BEGIN
    WITH s AS (
        SELECT a.execution, a.number, w.sealed_by,
            coalesce(a.sealed_by = 'time' AND w.sealed_by = 'minter' AND t.state = 'confirmed', false) AS reopens,
            t.settled
        FROM unnest(p_attempt, p_by) AS w (attempt, sealed_by)
        JOIN @.beacon_attempts a ON a.id = w.attempt
        LEFT JOIN @.beacon_stops t ON t.execution = a.execution AND t.number = a.number
        WHERE a.sealed_by IS NULL OR (a.sealed_by = 'time' AND w.sealed_by <> 'time')
    ), sealed AS (
        UPDATE @.beacon_attempts a SET sealed_by = s.sealed_by
        FROM s WHERE a.execution = s.execution AND a.number = s.number
    ), due AS (
        UPDATE @.beacon_stops t SET due_at = p_now, settled = false,
            state = CASE WHEN s.reopens THEN 'requested' ELSE t.state END,
            confirmed_at = CASE WHEN NOT s.reopens THEN t.confirmed_at END,
            why = CASE WHEN s.reopens THEN
                'opened again: the node that had begun the attempt came back after its seal by time'
                ELSE t.why END
        FROM s WHERE t.execution = s.execution AND t.number = s.number AND (s.reopens OR NOT s.settled)
    )
    SELECT coalesce(bool_or(s.reopens OR NOT s.settled), false) INTO v_due FROM s;
    RETURN v_due;
END $$;

CREATE FUNCTION @.beacon_seal(p_round INTEGER[], p_attempt UUID[], p_by TEXT[]) RETURNS BOOLEAN LANGUAGE plpgsql
@plan
AS $$
DECLARE
    v_now TIMESTAMPTZ;
    v_due BOOLEAN := false;
BEGIN
    PERFORM @.beacon_lock_attempts(p_attempt);
    v_now := @.beacon_now();
    FOR v_round IN 1 .. (SELECT max(r) FROM unnest(p_round) r) LOOP
        v_due := @.beacon_seal_locked(
            ARRAY(SELECT attempt FROM unnest(p_round, p_attempt) AS w (round, attempt) WHERE round = v_round),
            ARRAY(SELECT sealed_by FROM unnest(p_round, p_by) AS w (round, sealed_by) WHERE round = v_round),
            v_now
        ) OR v_due;
    END LOOP;
    RETURN v_due;
END $$;

-- How attempts ended: `p_result` is completed, failed, or retry for one that failed and returns to queued.
CREATE FUNCTION @.beacon_finish(
    p_round INTEGER[], p_job TEXT[], p_incarnation UUID[], p_epoch BIGINT[], p_index BIGINT[], p_attempt UUID[],
    p_sealed BOOLEAN[], p_result TEXT[], p_counts BOOLEAN[], p_error TEXT[], p_output TEXT[],
    p_mode TEXT, p_grace INTERVAL
) RETURNS TABLE (place BIGINT, outcome TEXT, is_due BOOLEAN) LANGUAGE plpgsql
@plan
AS $$
#variable_conflict use_column
DECLARE
    v_now TIMESTAMPTZ;
    v_sealed UUID[];
BEGIN
    PERFORM @.beacon_lock_jobs(p_job);
    PERFORM @.beacon_lock_executions(p_job, p_index);
    PERFORM @.beacon_lock_attempts(p_attempt);
    v_now := @.beacon_now();
    FOR v_round IN 1 .. (SELECT max(r) FROM unnest(p_round) r) LOOP
        v_sealed := ARRAY(SELECT attempt FROM unnest(p_round, p_attempt, p_sealed) AS w (round, attempt, sealed)
            WHERE round = v_round AND sealed);
        IF cardinality(v_sealed) > 0 THEN
            PERFORM @.beacon_seal_locked(v_sealed, array_fill('minter'::text, ARRAY[cardinality(v_sealed)]), v_now);
        END IF;
        RETURN QUERY
        WITH r AS (
            SELECT w.place, w.result, w.counts, w.error, w.output, e.key, e.status, a.execution, a.number, a.executor,
                t.execution IS NOT NULL AS has_stop, b.error AS old_error, b.output AS old_output,
                coalesce(c.id = w.attempt, false) AS is_last,
                coalesce(e.status IN (11, 12) AND c.id = w.attempt AND a.handle IS NOT NULL, false) AS is_watchable,
                coalesce(
                    @.beacon_refusal(j.status, j.incarnation, j.epoch, w.incarnation, w.epoch),
                    CASE
                        WHEN c.id = w.attempt AND (e.status IN (11, 12) OR (e.status = 10 AND w.result = 'failed'))
                            THEN 'recorded'
                        ELSE 'lost'
                    END
                ) AS outcome
            FROM unnest(p_round, p_job, p_incarnation, p_epoch, p_index, p_attempt, p_result, p_counts, p_error, p_output)
                WITH ORDINALITY
                AS w (round, job, incarnation, epoch, index, attempt, result, counts, error, output, place)
            LEFT JOIN @.beacon_jobs j ON j.id = w.job
            LEFT JOIN @.beacon_executions e ON e.key = j.seq * 131072 + w.index AND w.index < j.executions
            LEFT JOIN @.beacon_results b ON b.key = e.key
            LEFT JOIN @.beacon_attempts c ON c.execution = e.key AND c.number = e.attempts
            LEFT JOIN @.beacon_attempts a ON a.id = w.attempt
            LEFT JOIN @.beacon_stops t ON t.execution = a.execution AND t.number = a.number
            WHERE w.round = v_round
        ), v AS (
            SELECT r.*, CASE
                WHEN r.outcome = 'recorded' THEN 'recorded'
                -- This very finish was recorded before, and only its answer was lost.
                WHEN r.is_last AND (
                    (r.result = 'completed' AND r.status = 20 AND r.old_output = r.output)
                    OR (r.result = 'failed' AND r.status = 21 AND r.old_error = r.error)
                    OR (r.result = 'retry' AND r.status = 10 AND r.old_error = r.error)
                ) THEN 'repeated'
                ELSE r.outcome
            END AS verdict
            FROM r
        ), s AS (
            SELECT v.*, v.execution IS NOT NULL AND CASE v.verdict
                WHEN 'recorded' THEN v.result <> 'completed'
                WHEN 'repeated' THEN false
                -- Under way, and its handle is enough to watch it: the business of whoever holds the job.
                WHEN 'lost' THEN NOT v.is_watchable
                ELSE true
            END AS ends
            FROM v
        ), changed AS (
            UPDATE @.beacon_executions e SET
                status = CASE s.result WHEN 'completed' THEN 20 WHEN 'failed' THEN 21 ELSE 10 END,
                counted = CASE WHEN s.counts THEN e.counted ELSE greatest(e.counted - 1, 0) END,
                finished_at = CASE WHEN s.result = 'retry' THEN e.finished_at ELSE v_now END
            FROM s WHERE e.key = s.key AND s.verdict = 'recorded'
        ), brought AS (
            INSERT INTO @.beacon_results (key, error, output)
            SELECT s.key, s.error, s.output FROM s WHERE s.verdict = 'recorded'
            ON CONFLICT (key) DO UPDATE SET error = excluded.error, output = excluded.output
        ), late AS (
            UPDATE @.beacon_attempts a SET late_output = s.output
            FROM s WHERE a.execution = s.execution AND a.number = s.number
                AND s.verdict NOT IN ('recorded', 'repeated') AND s.output IS NOT NULL AND a.late_output IS NULL
        ), requested AS (
            INSERT INTO @.beacon_stops
                (execution, number, executor, state, settled, mode, force_at, requested_at, due_at, tries)
            SELECT s.execution, s.number, s.executor, 'requested', false, p_mode, v_now + p_grace, v_now, v_now, 0
            FROM s WHERE s.ends AND NOT s.has_stop
            ON CONFLICT DO NOTHING
        )
        SELECT s.place, s.verdict, s.ends FROM s;
    END LOOP;
END $$;

-- Gives a job its outcome: null when an execution is not over. `p_error` says why the unfinished
-- ones fail, when the job's time is up.
CREATE FUNCTION @.beacon_finish_job(
    p_job TEXT, p_incarnation UUID, p_epoch BIGINT, p_error TEXT, p_mode TEXT, p_grace INTERVAL
) RETURNS TABLE (refusal TEXT, status TEXT, is_due BOOLEAN) LANGUAGE plpgsql
@plan
AS $$
#variable_conflict use_column
DECLARE
    v_job @.beacon_jobs;
    v_now TIMESTAMPTZ;
    v_outcome TEXT;
    v_due BOOLEAN := false;
BEGIN
    SELECT * INTO v_job FROM @.beacon_jobs j WHERE j.id = p_job FOR NO KEY UPDATE;
    refusal := @.beacon_refusal(v_job.status, v_job.incarnation, v_job.epoch, p_incarnation, p_epoch);
    IF refusal IS NOT NULL THEN
        status := v_job.status;
        RETURN NEXT;
        RETURN;
    END IF;
    v_now := @.beacon_now();
    IF p_error IS NULL THEN
        SELECT CASE
            WHEN count(*) FILTER (WHERE e.status < 20) > 0 THEN NULL
            WHEN count(*) FILTER (WHERE e.status = 20)::float8 / nullif(count(*), 0)::float8 >= v_job.min_success_rate
                THEN 'completed'
            ELSE 'failed'
        END INTO v_outcome
        FROM @.beacon_executions e WHERE e.key BETWEEN v_job.seq * 131072 AND v_job.seq * 131072 + 131071;
    ELSE
        INSERT INTO @.beacon_stops
            (execution, number, executor, state, settled, mode, force_at, requested_at, due_at, tries)
        SELECT a.execution, a.number, a.executor, 'requested', false, p_mode, v_now + p_grace, v_now, v_now, 0
        FROM @.beacon_executions e JOIN @.beacon_attempts a ON a.execution = e.key AND a.number = e.attempts
        WHERE e.key BETWEEN v_job.seq * 131072 AND v_job.seq * 131072 + 131071 AND e.status IN (11, 12)
        ON CONFLICT DO NOTHING;
        v_due := FOUND;
        INSERT INTO @.beacon_results (key, error)
        SELECT e.key, p_error FROM @.beacon_executions e
        WHERE e.key BETWEEN v_job.seq * 131072 AND v_job.seq * 131072 + 131071 AND e.status < 20
        ON CONFLICT (key) DO UPDATE SET error = excluded.error;
        UPDATE @.beacon_executions e SET status = 21, finished_at = v_now
        WHERE e.key BETWEEN v_job.seq * 131072 AND v_job.seq * 131072 + 131071 AND e.status < 20;
        v_outcome := 'failed';
    END IF;
    IF v_outcome IS NOT NULL THEN
        UPDATE @.beacon_jobs j SET status = v_outcome, finished_at = v_now WHERE j.seq = v_job.seq;
    END IF;
    RETURN QUERY SELECT NULL::text, v_outcome, v_due;
END $$;
