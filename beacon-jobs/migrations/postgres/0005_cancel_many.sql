-- Cancels many jobs in one commit. See 0003_stops.sql.

-- As `beacon_cancel` of one job after another, in the order asked. Each row has its job's place in that
-- order; a job's last row is that with the outcome. The jobs that can be cancelled are dealt with together, and the
-- others, which are few or change nothing, one by one. Here the plans are made for each call, for how
-- many there are. `OFFSET 0` has rows looked up job after job, never all that there are for each.
CREATE FUNCTION @.beacon_cancel_many(
    p_jobs TEXT[], p_actor TEXT, p_is_admin BOOLEAN, p_reason TEXT, p_mode TEXT, p_grace INTERVAL, p_most BIGINT,
    p_token UUID, p_channel TEXT, p_from TEXT
) RETURNS TABLE (
    job TEXT, execution BIGINT, attempt UUID, executor TEXT, incarnation UUID, handle TEXT, sealed_by TEXT,
    state TEXT, mode TEXT, force_at TIMESTAMPTZ, requested_at TIMESTAMPTZ, tries INTEGER, at TIMESTAMPTZ,
    lease_until TIMESTAMPTZ, ended_at TIMESTAMPTZ, ended_how TEXT, host TEXT,
    outcome TEXT, status TEXT, cancelled_from TEXT, cancelled_at TIMESTAMPTZ, cancelled_by TEXT, reason TEXT,
    cancel_mode TEXT, executions_cancelled INTEGER, stops TEXT,
    place BIGINT
) LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_now TIMESTAMPTZ;
    v_seqs BIGINT[];
    v_places BIGINT[];
    v_stopped BIGINT[];
    v_executions BIGINT[];
    v_numbers INTEGER[];
    v_keys BIGINT[];
    v_changed BIGINT[];
    v_opened BIGINT[];
    v_rest RECORD;
BEGIN
    PERFORM FROM @.beacon_jobs j WHERE j.id = ANY (p_jobs) ORDER BY j.seq FOR NO KEY UPDATE;
    v_now := @.beacon_now();
    SELECT array_agg(j.seq ORDER BY j.seq), array_agg(w.place ORDER BY j.seq) INTO v_seqs, v_places
    FROM (
        SELECT u.job, min(u.place) AS place FROM unnest(p_jobs) WITH ORDINALITY AS u (job, place) GROUP BY u.job
    ) w CROSS JOIN LATERAL (SELECT x.seq, x.status, x.owner FROM @.beacon_jobs x WHERE x.id = w.job OFFSET 0) j
    WHERE j.status IN ('queued', 'running') AND (p_is_admin OR j.owner = p_actor);
    v_stopped := ARRAY(
        SELECT s FROM unnest(v_seqs) s
        WHERE EXISTS (
            SELECT FROM @.beacon_stops t WHERE t.execution BETWEEN s * 131072 AND s * 131072 + 131071 OFFSET 0
        )
    );
    v_keys := ARRAY(
        SELECT e.key FROM unnest(v_seqs) s CROSS JOIN LATERAL (
            SELECT x.key FROM @.beacon_executions x
            WHERE x.key BETWEEN s * 131072 AND s * 131072 + 131071 AND x.status < 20 ORDER BY x.key OFFSET 0
        ) e
    );
    WITH opened AS (
        INSERT INTO @.beacon_stops AS t
            (execution, number, executor, state, settled, mode, force_at, requested_at, due_at, tries)
        SELECT a.execution, a.number, a.executor, 'requested', false, p_mode, v_now + p_grace, v_now, v_now, 0
        FROM unnest(v_keys) k
        JOIN @.beacon_executions e ON e.key = k
        JOIN @.beacon_attempts a ON a.execution = e.key AND a.number = e.attempts
        WHERE e.status IN (11, 12)
        ON CONFLICT DO NOTHING
        RETURNING t.execution, t.number
    )
    SELECT array_agg(o.execution ORDER BY o.execution, o.number), array_agg(o.number ORDER BY o.execution, o.number)
    INTO v_executions, v_numbers FROM opened o;
    UPDATE @.beacon_executions e SET status = 22 FROM unnest(v_keys) k WHERE e.key = k;
    SELECT array_agg(coalesce(c.total, 0) ORDER BY s), array_agg(coalesce(o.total, 0) ORDER BY s) INTO v_changed, v_opened
    FROM unnest(v_seqs) s
    LEFT JOIN (SELECT k / 131072 AS seq, count(*) AS total FROM unnest(v_keys) k GROUP BY 1) c ON c.seq = s
    LEFT JOIN (SELECT x / 131072 AS seq, count(*) AS total FROM unnest(v_executions) x GROUP BY 1) o ON o.seq = s;
    UPDATE @.beacon_jobs j SET status = 'cancelled', finished_at = v_now, cancelled_from = j.status, cancelled_by = p_actor,
        cancel_reason = p_reason, cancel_mode = p_mode, cancel_token = p_token, executions_cancelled = w.changed
    FROM unnest(v_seqs, v_changed) AS w (seq, changed) WHERE j.seq = w.seq;
    INSERT INTO @.beacon_audit (job, number, at, actor, action, reason, detail)
    SELECT w.seq, (SELECT coalesce(max(x.number), 0) + 1 FROM @.beacon_audit x WHERE x.job = w.seq), v_now,
        p_actor, 'cancelled', p_reason,
        json_build_object('previous_status', j.cancelled_from, 'mode', p_mode, 'executions_cancelled', w.changed,
            'stops_requested', w.opened)
    FROM unnest(v_seqs, v_changed, v_opened) AS w (seq, changed, opened) JOIN @.beacon_jobs j ON j.seq = w.seq;
    IF p_channel IS NOT NULL THEN
        -- As many names to a message as fit, for a listener has a limited memory.
        PERFORM pg_notify(p_channel, json_build_object('from', p_from, 'cancelled', json_agg(n.id))::text)
        FROM (
            SELECT j.id, (row_number() OVER (ORDER BY j.seq) - 1) / 50 AS message
            FROM unnest(v_seqs) s JOIN @.beacon_jobs j ON j.seq = s
        ) n GROUP BY n.message;
    END IF;
    RETURN QUERY
    SELECT i.*, NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text, NULL::text, NULL::integer,
        NULL::text, w.place
    FROM (
        SELECT array_agg(o.execution) AS executions, array_agg(o.number) AS numbers FROM (
            SELECT u.execution, u.number, row_number() OVER (PARTITION BY u.execution / 131072 ORDER BY u.execution) AS nth
            FROM unnest(v_executions, v_numbers) AS u (execution, number)
        ) o WHERE o.nth <= p_most
    ) few
    CROSS JOIN LATERAL @.beacon_items(few.executions, few.numbers, v_now) i
    JOIN unnest(v_seqs, v_places) AS w (seq, place) ON w.seq = i.execution / 131072
    ORDER BY w.place, i.execution;
    RETURN QUERY
    SELECT NULL::text, NULL::bigint, NULL::uuid, NULL::text, NULL::uuid, NULL::text, NULL::text, NULL::text,
        NULL::text, NULL::timestamptz, NULL::timestamptz, NULL::integer, NULL::timestamptz, NULL::timestamptz,
        NULL::timestamptz, NULL::text, NULL::text,
        'cancelled', j.status::text, j.cancelled_from, j.finished_at, j.cancelled_by, j.cancel_reason, j.cancel_mode,
        j.executions_cancelled,
        CASE
            WHEN j.seq = ANY (v_stopped) THEN @.beacon_stop_counts(j.seq)
            WHEN w.opened > 0 THEN json_build_array(json_build_array('requested', false, w.opened, w.opened))::text
        END,
        w.place
    FROM unnest(v_seqs, v_places, v_opened) AS w (seq, place, opened) JOIN @.beacon_jobs j ON j.seq = w.seq;
    FOR v_rest IN
        SELECT u.job, u.place, u.nth = 1 AS is_first
        FROM (
            SELECT x.job, x.place, row_number() OVER (PARTITION BY x.job ORDER BY x.place) AS nth
            FROM unnest(p_jobs) WITH ORDINALITY AS x (job, place)
        ) u
        WHERE NOT EXISTS (SELECT FROM unnest(v_places) p WHERE p = u.place)
        ORDER BY u.place
    LOOP
        -- Named again, a job was cancelled before, if by this very call.
        RETURN QUERY SELECT c.*, v_rest.place FROM @.beacon_cancel(
            v_rest.job, p_actor, p_is_admin, p_reason, p_mode, p_grace, p_most,
            CASE WHEN v_rest.is_first THEN p_token END,
            p_channel, p_from
        ) c;
    END LOOP;
END $$;
