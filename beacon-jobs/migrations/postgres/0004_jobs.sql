-- Jobs come, are taken, given back, and forgotten. See 0002_transitions.sql.

-- Takes a job in. The first specs come with it; `more` others are inserted after.
CREATE FUNCTION @.beacon_submit(
    p_job TEXT, p_owner TEXT, p_key TEXT, p_digest BYTEA, p_rules TEXT, p_labels JSONB, p_executors TEXT[],
    p_executions INTEGER, p_allow_overlap BOOLEAN, p_rate DOUBLE PRECISION,
    p_executor TEXT[], p_spec TEXT[], p_input TEXT[]
) RETURNS TABLE (outcome TEXT, job TEXT, status TEXT) LANGUAGE plpgsql
@plan
AS $$
#variable_conflict use_column
DECLARE
    v_other @.beacon_jobs;
    v_seq BIGINT;
    v_now TIMESTAMPTZ;
BEGIN
    LOOP
        SELECT * INTO v_other FROM @.beacon_jobs j WHERE j.owner = p_owner AND j.idempotency_key = p_key;
        IF v_other.seq IS NULL THEN
            SELECT * INTO v_other FROM @.beacon_jobs j WHERE j.id = p_job;
        END IF;
        IF v_other.seq IS NOT NULL THEN
            RETURN QUERY SELECT
                CASE WHEN v_other.owner = p_owner AND v_other.digest = p_digest THEN 'existing' ELSE 'conflict' END,
                v_other.id::text, v_other.status::text;
            RETURN;
        END IF;
        v_now := @.beacon_now();
        INSERT INTO @.beacon_jobs (id, owner, idempotency_key, digest, rules, labels, executors, executions,
            allow_overlap, min_success_rate, created_at, status, epoch)
        VALUES (p_job, p_owner, p_key, p_digest, p_rules, p_labels, p_executors, p_executions,
            p_allow_overlap, p_rate, v_now, 'queued', 0)
        ON CONFLICT DO NOTHING
        RETURNING seq INTO v_seq;
        -- Somebody else has taken the id or the key since: look again.
        EXIT WHEN v_seq IS NOT NULL;
    END LOOP;
    INSERT INTO @.beacon_executions (key, status, attempts, counted)
    SELECT v_seq * 131072 + i, 10, 0, 0 FROM generate_series(0, p_executions - 1) i;
    INSERT INTO @.beacon_specs (key, executor, spec, input)
    SELECT v_seq * 131072 + w.place - 1, w.executor, w.spec, w.input
    FROM unnest(p_executor, p_spec, p_input) WITH ORDINALITY AS w (executor, spec, input, place);
    INSERT INTO @.beacon_audit (job, number, at, actor, action, detail)
    VALUES (v_seq, 1, v_now, p_owner, 'submitted', json_build_object('executions', p_executions));
    RETURN QUERY SELECT 'created', p_job, 'queued';
END $$;

-- Takes queued jobs, or with `p_over` running ones that nobody alive holds and those that this
-- incarnation holds and does not run. First come, first served.
CREATE FUNCTION @.beacon_take(
    p_incarnation UUID, p_executors TEXT[], p_limit BIGINT, p_over BOOLEAN, p_running TEXT[]
) RETURNS TABLE (seq BIGINT, id TEXT, epoch BIGINT, started_at TIMESTAMPTZ, rules TEXT) LANGUAGE plpgsql
@plan
AS $$
#variable_conflict use_column
DECLARE
    v_now TIMESTAMPTZ := @.beacon_now();
    v_alive UUID[];
    v_seqs BIGINT[];
BEGIN
    v_alive := ARRAY(SELECT n.incarnation FROM @.beacon_nodes n WHERE n.ended_at IS NULL AND n.lease_until > v_now);
    IF NOT p_incarnation = ANY (v_alive) THEN
        RETURN;
    END IF;
    IF p_over THEN
        v_alive := array_remove(v_alive, p_incarnation);
        v_seqs := ARRAY(
            SELECT j.seq FROM @.beacon_jobs j
            WHERE j.status = 'running' AND (j.incarnation IS NULL OR NOT j.incarnation = ANY (v_alive))
                AND NOT j.id = ANY (p_running) AND j.executors <@ p_executors
            ORDER BY j.seq + 0 LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
        );
    ELSE
        v_seqs := ARRAY(
            SELECT j.seq FROM @.beacon_jobs j WHERE j.status = 'queued' AND j.executors <@ p_executors
            ORDER BY j.seq + 0 LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
        );
    END IF;
    IF cardinality(v_seqs) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO @.beacon_holders (incarnation, job) SELECT p_incarnation, s FROM unnest(v_seqs) s ON CONFLICT DO NOTHING;
    RETURN QUERY
    UPDATE @.beacon_jobs j SET status = 'running', incarnation = p_incarnation, epoch = j.epoch + 1,
        started_at = coalesce(j.started_at, v_now)
    WHERE j.seq = ANY (v_seqs)
    RETURNING j.seq, j.id::text, j.epoch, j.started_at, j.rules;
END $$;

-- Gives a running job back, and seals the attempts named.
CREATE FUNCTION @.beacon_release(p_job TEXT, p_incarnation UUID, p_epoch BIGINT, p_sealed UUID[])
RETURNS TABLE (released BOOLEAN, is_due BOOLEAN) LANGUAGE plpgsql
@plan
AS $$
BEGIN
    UPDATE @.beacon_jobs j SET incarnation = NULL
    WHERE j.id = p_job AND j.status = 'running' AND j.incarnation = p_incarnation AND j.epoch = p_epoch;
    released := FOUND;
    is_due := false;
    IF released AND cardinality(p_sealed) > 0 THEN
        PERFORM @.beacon_lock_attempts(p_sealed);
        is_due := @.beacon_seal_locked(p_sealed, array_fill('minter'::text, ARRAY[cardinality(p_sealed)]), @.beacon_now());
    END IF;
    RETURN NEXT;
END $$;

-- Deletes jobs that ended before, and have no stop that is open or watched. Returns how many.
CREATE FUNCTION @.beacon_prune(p_keep INTERVAL, p_limit BIGINT, p_most_executions BIGINT) RETURNS BIGINT LANGUAGE plpgsql
@plan
AS $$
DECLARE
    v_before TIMESTAMPTZ := @.beacon_now() - p_keep;
    v_job RECORD;
    v_first BIGINT;
    v_jobs BIGINT := 0;
    v_executions BIGINT := 0;
BEGIN
    FOR v_job IN
        SELECT j.seq, j.executions FROM @.beacon_jobs j
        WHERE j.finished_at <= v_before AND NOT EXISTS (
            SELECT FROM @.beacon_stops t
            WHERE t.execution BETWEEN j.seq * 131072 AND j.seq * 131072 + 131071
                AND (NOT t.settled OR (t.state = 'confirmed' AND t.due_at IS NOT NULL))
            OFFSET 0
        )
        LIMIT p_limit FOR UPDATE SKIP LOCKED
    LOOP
        EXIT WHEN v_executions >= p_most_executions;
        v_first := v_job.seq * 131072;
        v_jobs := v_jobs + 1;
        v_executions := v_executions + v_job.executions;
        DELETE FROM @.beacon_stops WHERE execution BETWEEN v_first AND v_first + 131071;
        DELETE FROM @.beacon_attempts WHERE execution BETWEEN v_first AND v_first + 131071;
        DELETE FROM @.beacon_results WHERE key BETWEEN v_first AND v_first + 131071;
        DELETE FROM @.beacon_executions WHERE key BETWEEN v_first AND v_first + 131071;
        DELETE FROM @.beacon_specs WHERE key BETWEEN v_first AND v_first + 131071;
        DELETE FROM @.beacon_audit WHERE job = v_job.seq;
        DELETE FROM @.beacon_holders WHERE job = v_job.seq;
        DELETE FROM @.beacon_jobs WHERE seq = v_job.seq;
    END LOOP;
    DELETE FROM @.beacon_nodes n WHERE n.ended_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM @.beacon_holders h WHERE h.incarnation = n.incarnation);
    RETURN v_jobs;
END $$;
