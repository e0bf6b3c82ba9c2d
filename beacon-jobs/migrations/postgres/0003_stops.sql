-- Cancels, stops and what becomes of them. See 0002_transitions.sql.

-- Stops as work items, in the order asked, with what is known of those who minted the attempts.
CREATE FUNCTION @.beacon_items(p_execution BIGINT[], p_number INTEGER[], p_now TIMESTAMPTZ) RETURNS TABLE (
    job TEXT, execution BIGINT, attempt UUID, executor TEXT, incarnation UUID, handle TEXT, sealed_by TEXT,
    state TEXT, mode TEXT, force_at TIMESTAMPTZ, requested_at TIMESTAMPTZ, tries INTEGER, evidence TEXT,
    at TIMESTAMPTZ, lease_until TIMESTAMPTZ, ended_at TIMESTAMPTZ, ended_how TEXT, host TEXT
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT j.id::text, t.execution, a.id, t.executor::text, a.incarnation, a.handle, a.sealed_by, t.state, t.mode, t.force_at,
        t.requested_at, t.tries, t.evidence, p_now, n.lease_until, n.ended_at, n.ended_how, n.host
    FROM unnest(p_execution, p_number) WITH ORDINALITY AS w (execution, number, place)
    JOIN @.beacon_stops t ON t.execution = w.execution AND t.number = w.number
    JOIN @.beacon_attempts a ON a.execution = w.execution AND a.number = w.number
    JOIN @.beacon_jobs j ON j.seq = w.execution / 131072
    LEFT JOIN @.beacon_nodes n ON n.incarnation = a.incarnation
    ORDER BY w.place;
END $$;

-- Cancels a job. Returns the stops that it opened, or that a later cancel has hastened, and last a
-- row with the outcome: cancelled, before, finished, not_yours, not_found.
CREATE FUNCTION @.beacon_cancel(
    p_job TEXT, p_actor TEXT, p_is_admin BOOLEAN, p_reason TEXT, p_mode TEXT, p_grace INTERVAL, p_most BIGINT,
    p_token UUID, p_channel TEXT, p_from TEXT
) RETURNS TABLE (
    job TEXT, execution BIGINT, attempt UUID, executor TEXT, incarnation UUID, handle TEXT, sealed_by TEXT,
    state TEXT, mode TEXT, force_at TIMESTAMPTZ, requested_at TIMESTAMPTZ, tries INTEGER, evidence TEXT,
    at TIMESTAMPTZ, lease_until TIMESTAMPTZ, ended_at TIMESTAMPTZ, ended_how TEXT, host TEXT,
    outcome TEXT, status TEXT, cancelled_from TEXT, cancelled_at TIMESTAMPTZ, cancelled_by TEXT, reason TEXT,
    cancel_mode TEXT, executions_cancelled INTEGER, stops TEXT
) LANGUAGE plpgsql
@plan
AS $$
#variable_conflict use_column
DECLARE
    v_job @.beacon_jobs;
    v_first BIGINT;
    v_now TIMESTAMPTZ;
    v_executions BIGINT[];
    v_numbers INTEGER[];
    v_before BIGINT;
    v_opened BIGINT := 0;
    v_changed BIGINT := 0;
    v_had_stops BOOLEAN := true;
    v_is_news BOOLEAN := false;
BEGIN
    -- Decides every race: whoever else wants the job waits for what this call makes of it.
    SELECT * INTO v_job FROM @.beacon_jobs j WHERE j.id = p_job FOR NO KEY UPDATE;
    v_now := @.beacon_now();
    v_first := v_job.seq * 131072;
    IF v_job.seq IS NULL THEN
        outcome := 'not_found';
    ELSIF NOT p_is_admin AND v_job.owner <> p_actor THEN
        outcome := 'not_yours';
    ELSIF v_job.cancelled_from IS NOT NULL AND v_job.cancel_token = p_token THEN
        -- This very call had committed, and its answer was lost.
        outcome := 'cancelled';
        SELECT array_agg(o.execution), array_agg(o.number) INTO v_executions, v_numbers FROM (
            SELECT t.execution, t.number FROM @.beacon_stops t
            WHERE t.execution BETWEEN v_first AND v_first + 131071 AND NOT t.settled
            ORDER BY t.execution, t.number LIMIT p_most
        ) o;
    ELSIF v_job.cancelled_from IS NOT NULL THEN
        outcome := 'before';
        PERFORM FROM @.beacon_stops t
        WHERE t.execution BETWEEN v_first AND v_first + 131071 AND NOT t.settled
        ORDER BY t.execution, t.number FOR NO KEY UPDATE;
        WITH hastened AS (
            UPDATE @.beacon_stops t SET force_at = v_now + p_grace, mode = p_mode, due_at = v_now
            WHERE t.execution BETWEEN v_first AND v_first + 131071 AND NOT t.settled
                AND v_now + p_grace < greatest(t.force_at, v_now)
            RETURNING t.execution, t.number
        )
        SELECT array_agg(h.execution ORDER BY h.execution, h.number), array_agg(h.number ORDER BY h.execution, h.number)
        INTO v_executions, v_numbers FROM hastened h;
        v_is_news := v_executions IS NOT NULL;
        IF v_is_news THEN
            INSERT INTO @.beacon_audit (job, number, at, actor, action, reason, detail)
            SELECT v_job.seq, (SELECT coalesce(max(x.number), 0) + 1 FROM @.beacon_audit x WHERE x.job = v_job.seq), v_now,
                p_actor, 'escalated', p_reason,
                json_build_object('mode', p_mode, 'stops_hastened', cardinality(v_executions));
        END IF;
    ELSIF v_job.status NOT IN ('queued', 'running') THEN
        outcome := 'finished';
    ELSE
        outcome := 'cancelled';
        v_is_news := true;
        SELECT count(*) INTO v_before FROM @.beacon_stops t WHERE t.execution BETWEEN v_first AND v_first + 131071;
        v_had_stops := v_before > 0;
        IF v_job.started_at IS NOT NULL THEN
            -- Nobody else adds a stop to a job that is locked, so all of these are added. And what is added is not
            -- looked up again: most of the time of many executions goes with their stops.
            RETURN QUERY
            WITH live AS MATERIALIZED (
                SELECT a.execution, a.number, a.id, a.executor, a.incarnation, a.handle, a.sealed_by
                FROM @.beacon_executions e JOIN @.beacon_attempts a ON a.execution = e.key AND a.number = e.attempts
                WHERE e.key BETWEEN v_first AND v_first + 131071 AND e.status IN (11, 12)
                    AND NOT (v_had_stops AND EXISTS (
                        SELECT FROM @.beacon_stops t WHERE t.execution = e.key AND t.number = e.attempts OFFSET 0
                    ))
            ), opened AS (
                INSERT INTO @.beacon_stops
                    (execution, number, executor, state, settled, mode, force_at, requested_at, due_at, tries)
                SELECT l.execution, l.number, l.executor, 'requested', false, p_mode, v_now + p_grace, v_now, v_now, 0
                FROM live l
            )
            SELECT p_job, l.execution, l.id, l.executor::text, l.incarnation, l.handle, l.sealed_by, 'requested', p_mode,
                v_now + p_grace, v_now, 0, NULL::text, v_now, n.lease_until, n.ended_at, n.ended_how, n.host,
                NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text, NULL::text, NULL::integer,
                NULL::text
            FROM (SELECT * FROM live ORDER BY execution LIMIT p_most) l
            LEFT JOIN @.beacon_nodes n ON n.incarnation = l.incarnation;
            SELECT count(*) - v_before INTO v_opened FROM @.beacon_stops t
            WHERE t.execution BETWEEN v_first AND v_first + 131071;
        END IF;
        UPDATE @.beacon_executions e SET status = 22
        WHERE e.key BETWEEN v_first AND v_first + 131071 AND e.status < 20;
        GET DIAGNOSTICS v_changed = ROW_COUNT;
        UPDATE @.beacon_jobs j SET status = 'cancelled', finished_at = v_now, cancelled_from = v_job.status,
            cancelled_by = p_actor, cancel_reason = p_reason, cancel_mode = p_mode, cancel_token = p_token,
            executions_cancelled = v_changed
        WHERE j.seq = v_job.seq;
        INSERT INTO @.beacon_audit (job, number, at, actor, action, reason, detail)
        SELECT v_job.seq, (SELECT coalesce(max(x.number), 0) + 1 FROM @.beacon_audit x WHERE x.job = v_job.seq), v_now,
            p_actor, 'cancelled', p_reason,
            json_build_object('previous_status', v_job.status, 'mode', p_mode, 'executions_cancelled', v_changed,
                'stops_requested', v_opened);
        v_job.finished_at := v_now;
        v_job.cancelled_from := v_job.status;
        v_job.cancelled_by := p_actor;
        v_job.cancel_reason := p_reason;
        v_job.cancel_mode := p_mode;
        v_job.executions_cancelled := v_changed;
        v_job.status := 'cancelled';
    END IF;
    IF v_executions IS NOT NULL THEN
        RETURN QUERY SELECT i.*, NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text, NULL::text,
            NULL::integer, NULL::text
        FROM @.beacon_items(v_executions, v_numbers, v_now) i;
    END IF;
    IF v_is_news AND p_channel IS NOT NULL THEN
        PERFORM pg_notify(p_channel, json_build_object('from', p_from, 'cancelled', json_build_array(p_job))::text);
    END IF;
    RETURN QUERY SELECT NULL::text, NULL::bigint, NULL::uuid, NULL::text, NULL::uuid, NULL::text, NULL::text, NULL::text,
        NULL::text, NULL::timestamptz, NULL::timestamptz, NULL::integer, NULL::text, NULL::timestamptz,
        NULL::timestamptz, NULL::timestamptz, NULL::text, NULL::text,
        outcome, v_job.status::text, v_job.cancelled_from, v_job.finished_at, v_job.cancelled_by, v_job.cancel_reason,
        v_job.cancel_mode, v_job.executions_cancelled,
        CASE
            WHEN outcome NOT IN ('cancelled', 'before') THEN NULL
            WHEN v_had_stops THEN @.beacon_stop_counts(v_job.seq)
            WHEN v_opened > 0 THEN json_build_array(json_build_array('requested', false, v_opened, v_opened))::text
        END;
END $$;

-- Takes stops that are due, of these executors, those that have waited longest first. Work of the
-- executors `p_bound` can be ended only from its own host; what was asked for longer than `p_missing` ago may be
-- said to be out of reach by anybody.
CREATE FUNCTION @.beacon_take_stops(
    p_executors TEXT[], p_hold INTERVAL, p_limit BIGINT, p_bound TEXT[], p_here TEXT, p_missing INTERVAL
) RETURNS TABLE (
    job TEXT, execution BIGINT, attempt UUID, executor TEXT, incarnation UUID, handle TEXT, sealed_by TEXT,
    state TEXT, mode TEXT, force_at TIMESTAMPTZ, requested_at TIMESTAMPTZ, tries INTEGER, evidence TEXT,
    at TIMESTAMPTZ, lease_until TIMESTAMPTZ, ended_at TIMESTAMPTZ, ended_how TEXT, host TEXT
) LANGUAGE plpgsql
@plan
AS $$
#variable_conflict use_column
DECLARE
    v_now TIMESTAMPTZ := @.beacon_now();
    v_executions BIGINT[];
    v_numbers INTEGER[];
BEGIN
    SELECT array_agg(d.execution), array_agg(d.number) INTO v_executions, v_numbers FROM (
        SELECT t.execution, t.number FROM @.beacon_stops t
        WHERE t.due_at <= v_now AND t.executor = ANY (p_executors) AND (
            NOT t.executor = ANY (p_bound)
            OR EXISTS (
                SELECT FROM @.beacon_attempts a JOIN @.beacon_nodes n ON n.incarnation = a.incarnation
                WHERE a.execution = t.execution AND a.number = t.number AND n.host = p_here
            )
            OR (NOT t.settled AND t.state <> 'unconfirmed' AND t.requested_at <= v_now - p_missing)
        )
        ORDER BY t.due_at, t.execution, t.number LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    ) d;
    -- Nothing is lost with it: stops taken before a crash of the server are due again after it. And a stop
    -- does not wait for a second sync after that of its cancel.
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE @.beacon_stops t SET due_at = v_now + p_hold
    FROM unnest(v_executions, v_numbers) AS w (execution, number)
    WHERE t.execution = w.execution AND t.number = w.number;
    RETURN QUERY SELECT i.* FROM @.beacon_items(v_executions, v_numbers, v_now) i;
END $$;

-- Locks attempts and their stops, and reads them.
CREATE FUNCTION @.beacon_load_attempts(p_attempt UUID[]) RETURNS TABLE (
    job TEXT, execution BIGINT, number INTEGER, id UUID, incarnation UUID, epoch BIGINT, executor TEXT,
    started_at TIMESTAMPTZ, handle TEXT, sealed_by TEXT, late_output TEXT, state TEXT, settled BOOLEAN, mode TEXT,
    force_at TIMESTAMPTZ, requested_at TIMESTAMPTZ, due_at TIMESTAMPTZ, tries INTEGER, confirmed_at TIMESTAMPTZ,
    evidence TEXT, why TEXT, at TIMESTAMPTZ
) LANGUAGE plpgsql
@plan
AS $$
#variable_conflict use_column
BEGIN
    PERFORM @.beacon_lock_attempts(p_attempt);
    RETURN QUERY
    SELECT j.id::text, a.execution, a.number, a.id, a.incarnation, a.epoch, a.executor::text, a.started_at, a.handle, a.sealed_by,
        a.late_output, t.state, t.settled, t.mode, t.force_at, t.requested_at, t.due_at, t.tries, t.confirmed_at,
        t.evidence, t.why, @.beacon_now()
    FROM @.beacon_attempts a JOIN @.beacon_jobs j ON j.seq = a.execution / 131072
    LEFT JOIN @.beacon_stops t ON t.execution = a.execution AND t.number = a.number
    WHERE a.id = ANY (p_attempt);
END $$;

-- Writes back what stop calls changed.
CREATE FUNCTION @.beacon_store_stops(
    p_execution BIGINT[], p_number INTEGER[], p_sealed_by TEXT[], p_state TEXT[], p_settled BOOLEAN[], p_mode TEXT[],
    p_force_at TIMESTAMPTZ[], p_requested_at TIMESTAMPTZ[], p_due_at TIMESTAMPTZ[], p_tries INTEGER[],
    p_confirmed_at TIMESTAMPTZ[], p_evidence TEXT[], p_why TEXT[]
) RETURNS void LANGUAGE plpgsql
@plan
AS $$
BEGIN
    UPDATE @.beacon_attempts a SET sealed_by = w.sealed_by
    FROM unnest(p_execution, p_number, p_sealed_by) AS w (execution, number, sealed_by)
    WHERE a.execution = w.execution AND a.number = w.number AND a.sealed_by IS DISTINCT FROM w.sealed_by;
    UPDATE @.beacon_stops t SET state = w.state, settled = w.settled, mode = w.mode, force_at = w.force_at,
        requested_at = w.requested_at, due_at = w.due_at, tries = w.tries, confirmed_at = w.confirmed_at,
        evidence = w.evidence, why = w.why
    FROM unnest(p_execution, p_number, p_state, p_settled, p_mode, p_force_at, p_requested_at, p_due_at, p_tries,
        p_confirmed_at, p_evidence, p_why)
        AS w (execution, number, state, settled, mode, force_at, requested_at, due_at, tries, confirmed_at, evidence, why)
    WHERE t.execution = w.execution AND t.number = w.number;
END $$;
