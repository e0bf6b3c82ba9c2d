-- How far an attempt has come, as its executor tells: JSON.
ALTER TABLE @.beacon_attempts ADD COLUMN progress TEXT;

-- Only from who holds the job, and of the current attempt.
CREATE FUNCTION @.beacon_report(
    p_round INTEGER[], p_job TEXT[], p_incarnation UUID[], p_epoch BIGINT[], p_index BIGINT[], p_attempt UUID[],
    p_progress TEXT[]
) RETURNS TABLE (place BIGINT, recorded BOOLEAN) LANGUAGE plpgsql
@plan
AS $$
#variable_conflict use_column
BEGIN
    PERFORM @.beacon_lock_jobs(p_job);
    PERFORM @.beacon_lock_executions(p_job, p_index);
    FOR v_round IN 1 .. (SELECT max(r) FROM unnest(p_round) r) LOOP
        RETURN QUERY
        WITH s AS (
            SELECT w.place, w.progress, a.execution, a.number,
                coalesce(
                    @.beacon_refusal(j.status, j.incarnation, j.epoch, w.incarnation, w.epoch) IS NULL
                        AND e.status IN (11, 12) AND a.id = w.attempt, false
                ) AS recorded
            FROM unnest(p_round, p_job, p_incarnation, p_epoch, p_index, p_attempt, p_progress) WITH ORDINALITY
                AS w (round, job, incarnation, epoch, index, attempt, progress, place)
            LEFT JOIN @.beacon_jobs j ON j.id = w.job
            LEFT JOIN @.beacon_executions e ON e.key = j.seq * 131072 + w.index AND w.index < j.executions
            LEFT JOIN @.beacon_attempts a ON a.execution = e.key AND a.number = e.attempts
            WHERE w.round = v_round
        ), told AS (
            UPDATE @.beacon_attempts a SET progress = s.progress
            FROM s WHERE a.execution = s.execution AND a.number = s.number AND s.recorded
        )
        SELECT s.place, s.recorded FROM s;
    END LOOP;
END $$;
