-- Cancels many jobs in one commit. See 0003_stops.sql.

-- As `beacon_cancel` of one job after another, in the order asked. Each row has its job's place in that
-- order; a job's last row is that with the outcome. The jobs that can be cancelled are dealt with together, and the
-- others, which are few or change nothing, one by one. Here the plans are made for each call, for how
-- many there are, and what the store's connections forbid is allowed: the joins are of what this call gathered, and
-- ten thousand by ten thousand take minutes without a hash. `OFFSET 0` has rows looked up job after job, never all
-- that there are for each.
CREATE FUNCTION @.beacon_cancel_many(
    p_jobs TEXT[], p_actor TEXT, p_is_admin BOOLEAN, p_reason TEXT, p_mode TEXT, p_grace INTERVAL, p_most BIGINT,
    p_token UUID, p_channel TEXT, p_from TEXT
) RETURNS TABLE (
    job TEXT, execution BIGINT, attempt UUID, executor TEXT, incarnation UUID, handle TEXT, sealed_by TEXT,
    state TEXT, mode TEXT, force_at TIMESTAMPTZ, requested_at TIMESTAMPTZ, tries INTEGER, evidence TEXT,
    at TIMESTAMPTZ, lease_until TIMESTAMPTZ, ended_at TIMESTAMPTZ, ended_how TEXT, host TEXT,
    outcome TEXT, status TEXT, cancelled_from TEXT, cancelled_at TIMESTAMPTZ, cancelled_by TEXT, reason TEXT,
    cancel_mode TEXT, executions_cancelled INTEGER, stops TEXT,
    place BIGINT
) LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = on
SET enable_mergejoin = on SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_now TIMESTAMPTZ;
    -- The jobs that are cancelled now: keys, names, former states, and places in the order asked.
    v_seqs BIGINT[];
    v_ids TEXT[];
    v_from TEXT[];
    v_places BIGINT[];
    -- Those of them that have had stops before.
    v_stopped BIGINT[];
    -- Their executions, and those of these that are stopped, with the attempts.
    v_keys BIGINT[];
    v_live BIGINT[];
    v_numbers INTEGER[];
    v_changed BIGINT[];
    v_opened BIGINT[];
    v_rest RECORD;
BEGIN
    -- One after another, by index, however large the table is. Jobs are locked in the order of their keys.
    SELECT array_agg(f.seq), array_agg(f.place) INTO v_seqs, v_places
    FROM (
        SELECT x.seq, min(w.place) AS place FROM unnest(p_jobs) WITH ORDINALITY AS w (job, place)
        CROSS JOIN LATERAL (SELECT y.seq FROM @.beacon_jobs y WHERE y.id = w.job OFFSET 0) x
        GROUP BY x.seq ORDER BY x.seq
    ) f;
    SELECT array_agg(j.seq), array_agg(j.id), array_agg(j.status), array_agg(w.place) INTO v_seqs, v_ids, v_from, v_places
    FROM unnest(v_seqs, v_places) AS w (seq, place) CROSS JOIN LATERAL (
        SELECT x.seq, x.id, x.status, x.owner FROM @.beacon_jobs x WHERE x.seq = w.seq OFFSET 0 FOR NO KEY UPDATE
    ) j
    WHERE j.status IN ('queued', 'running') AND (p_is_admin OR j.owner = p_actor);
    v_now := @.beacon_now();
    v_stopped := ARRAY(
        SELECT s FROM unnest(v_seqs) s
        WHERE EXISTS (
            SELECT FROM @.beacon_stops t WHERE t.execution BETWEEN s * 131072 AND s * 131072 + 131071 OFFSET 0
        )
    );
    SELECT array_agg(e.key), array_agg(e.key) FILTER (WHERE e.status > 10), array_agg(e.attempts) FILTER (WHERE e.status > 10)
    INTO v_keys, v_live, v_numbers
    FROM unnest(v_seqs) s CROSS JOIN LATERAL (
        SELECT x.key, x.status, x.attempts FROM @.beacon_executions x
        WHERE x.key BETWEEN s * 131072 AND s * 131072 + 131071 AND x.status < 20 ORDER BY x.key OFFSET 0
    ) e;
    IF cardinality(v_stopped) > 0 THEN
        SELECT array_agg(l.key), array_agg(l.number) INTO v_live, v_numbers
        FROM unnest(v_live, v_numbers) AS l (key, number)
        WHERE NOT EXISTS (
            SELECT FROM @.beacon_stops t WHERE t.execution = l.key AND t.number = l.number OFFSET 0
        );
    END IF;
    -- Nobody else adds a stop to a job that is locked, so all of these are added.
    INSERT INTO @.beacon_stops
        (execution, number, executor, state, settled, mode, force_at, requested_at, due_at, tries)
    SELECT l.key, l.number, a.executor, 'requested', false, p_mode, v_now + p_grace, v_now, v_now, 0
    FROM unnest(v_live, v_numbers) AS l (key, number)
    JOIN @.beacon_attempts a ON a.execution = l.key AND a.number = l.number;
    RETURN QUERY
    SELECT i.*, NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text, NULL::text, NULL::integer,
        NULL::text, w.place
    FROM @.beacon_items(v_live[:p_most], v_numbers[:p_most], v_now) i
    JOIN unnest(v_seqs, v_places) AS w (seq, place) ON w.seq = i.execution / 131072
    ORDER BY i.execution;
    UPDATE @.beacon_executions e SET status = 22 FROM unnest(v_keys) k WHERE e.key = k;
    SELECT array_agg(coalesce(c.total, 0) ORDER BY w.place), array_agg(coalesce(o.total, 0) ORDER BY w.place)
    INTO v_changed, v_opened
    FROM unnest(v_seqs) WITH ORDINALITY AS w (seq, place)
    LEFT JOIN (SELECT k / 131072 AS seq, count(*) AS total FROM unnest(v_keys) k GROUP BY 1) c ON c.seq = w.seq
    LEFT JOIN (SELECT k / 131072 AS seq, count(*) AS total FROM unnest(v_live) k GROUP BY 1) o ON o.seq = w.seq;
    UPDATE @.beacon_jobs j SET status = 'cancelled', finished_at = v_now, cancelled_from = j.status, cancelled_by = p_actor,
        cancel_reason = p_reason, cancel_mode = p_mode, cancel_token = p_token, executions_cancelled = w.changed
    FROM unnest(v_seqs, v_changed) AS w (seq, changed) WHERE j.seq = w.seq;
    INSERT INTO @.beacon_audit (job, number, at, actor, action, reason, detail)
    SELECT w.seq, (SELECT coalesce(max(x.number), 0) + 1 FROM @.beacon_audit x WHERE x.job = w.seq), v_now,
        p_actor, 'cancelled', p_reason,
        json_build_object('previous_status', w.status, 'mode', p_mode, 'executions_cancelled', w.changed,
            'stops_requested', w.opened)
    FROM unnest(v_seqs, v_from, v_changed, v_opened) AS w (seq, status, changed, opened);
    IF p_channel IS NOT NULL THEN
        -- As many names to a message as fit, for a listener has a limited memory.
        PERFORM pg_notify(p_channel, json_build_object('from', p_from, 'cancelled', json_agg(w.id))::text)
        FROM unnest(v_ids) WITH ORDINALITY AS w (id, place) GROUP BY (w.place - 1) / 50;
    END IF;
    RETURN QUERY
    SELECT NULL::text, NULL::bigint, NULL::uuid, NULL::text, NULL::uuid, NULL::text, NULL::text, NULL::text,
        NULL::text, NULL::timestamptz, NULL::timestamptz, NULL::integer, NULL::text, NULL::timestamptz,
        NULL::timestamptz, NULL::timestamptz, NULL::text, NULL::text,
        'cancelled', 'cancelled', w.status, v_now, p_actor, p_reason, p_mode, w.changed::integer,
        CASE
            WHEN w.seq = ANY (v_stopped) THEN @.beacon_stop_counts(w.seq)
            WHEN w.opened > 0 THEN json_build_array(json_build_array('requested', false, w.opened, w.opened))::text
        END,
        w.place
    FROM unnest(v_seqs, v_from, v_places, v_changed, v_opened) AS w (seq, status, place, changed, opened);
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
