//! All SQL that the store sends, and the scripts that make what it speaks to.
//!
//! `@.` stands for the schema. `OFFSET 0` has a range of executions read job after job: joined as they
//! are, all executions that there are may be read for one job. The transitions are functions in that schema: their text is in the
//! scripts.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// The scripts in `migrations/postgres`, oldest first. One that was released is never edited.
pub(super) const SCRIPTS: &[(i64, &str, &str)] = &[
    (1, "tables", include_str!("../../../migrations/postgres/0001_tables.sql")),
    (2, "transitions", include_str!("../../../migrations/postgres/0002_transitions.sql")),
    (3, "stops", include_str!("../../../migrations/postgres/0003_stops.sql")),
    (4, "jobs", include_str!("../../../migrations/postgres/0004_jobs.sql")),
    (5, "cancel_many", include_str!("../../../migrations/postgres/0005_cancel_many.sql")),
    (6, "sessions", include_str!("../../../migrations/postgres/0006_sessions.sql")),
    (7, "progress", include_str!("../../../migrations/postgres/0007_progress.sql")),
];

/// What `@plan` stands for in a script: a plan that was made while a table was small is not used
/// once it is large.
const PLAN: &str = "SET plan_cache_mode = force_generic_plan SET enable_seqscan = off \
    SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off";

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        /// A statement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Statement {
            $($(#[$doc])* $name),+
        }

        impl Statement {
            /// All of them, in the order of their declaration, which is that of [`Statements`].
            pub(super) const ALL: &[(Self, &str)] = &[$((Self::$name, $sql)),+];
        }
    };
}

/// The columns that `sql::record` reads, the progress, and the executors that live nodes have, where
/// that is of interest.
macro_rules! record {
    () => {
        "j.seq, j.id, j.owner, j.status, j.rules, j.executors, j.created_at, j.started_at, \
         j.cancelled_from, j.finished_at, j.cancelled_by, j.cancel_reason, j.cancel_mode, j.executions_cancelled, \
         (SELECT json_agg(json_build_array(p.status, p.total))::text FROM ( \
            SELECT e.status, count(*) AS total FROM @.beacon_executions e \
            WHERE e.key BETWEEN j.seq * 131072 AND j.seq * 131072 + 131071 GROUP BY e.status) p), \
         CASE WHEN j.status = 'queued' THEN ARRAY( \
            SELECT DISTINCT x.name FROM @.beacon_nodes n, unnest(n.executors) x (name) \
            WHERE n.ended_at IS NULL AND n.lease_until > @.beacon_now()) ELSE ARRAY[]::text[] END"
    };
}

/// A page of jobs before `$1`, newest first, with the labels `$2`. `$order` is the order of
/// submission in the index that has these jobs.
macro_rules! list {
    ($order:literal, $which:literal) => {
        concat!(
            "SELECT ",
            record!(),
            " FROM @.beacon_jobs j WHERE ",
            $order,
            " < $1 AND j.labels @> $2 AND ",
            $which,
            " ORDER BY ",
            $order,
            " DESC LIMIT $3"
        )
    };
}

statements! {
    Begin = "BEGIN";
    BeginRead = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    Commit = "COMMIT";

    Start = "SELECT place, outcome, number FROM @.beacon_start($1, $2, $3, $4, $5, $6)";
    Save = "SELECT place, outcome FROM @.beacon_save($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    Report = "SELECT place, recorded FROM @.beacon_report($1, $2, $3, $4, $5, $6, $7)";
    Seal = "SELECT @.beacon_seal($1, $2, $3)";
    Finish = "SELECT place, outcome, is_due \
        FROM @.beacon_finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    FinishJob = "SELECT refusal, status, is_due FROM @.beacon_finish_job($1, $2, $3, $4, $5, $6)";

    Cancel = "SELECT * FROM @.beacon_cancel($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    CancelMany = "SELECT * FROM @.beacon_cancel_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    TakeStops = "SELECT * FROM @.beacon_take_stops($1, $2, $3, $4, $5, $6)";
    LoadAttempts = "SELECT * FROM @.beacon_load_attempts($1)";
    StoreStops = "SELECT @.beacon_store_stops($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    StopClosed = "INSERT INTO @.beacon_audit (job, number, at, actor, action, reason, detail) \
        SELECT w.job, (SELECT coalesce(max(x.number), 0) + 1 FROM @.beacon_audit x WHERE x.job = w.job), \
          @.beacon_now(), w.actor, 'stop_closed', w.reason, json_build_object('attempt', w.attempt) \
        FROM (VALUES ($1::bigint, $2::text, $3::text, $4::uuid)) w (job, actor, reason, attempt)";

    Submit = "SELECT outcome, job, status \
        FROM @.beacon_submit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    SubmitMore = "INSERT INTO @.beacon_specs (key, executor, spec, input) \
        SELECT j.seq * 131072 + $2::bigint + w.place - 1, w.executor, w.spec, w.input FROM @.beacon_jobs j, \
          unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS w (executor, spec, input, place) \
        WHERE j.id = $1";
    Take = "SELECT seq, id, epoch, started_at, rules FROM @.beacon_take($1, $2, $3, $4, $5)";
    Release = "SELECT released, is_due FROM @.beacon_release($1, $2, $3, $4)";
    Prune = "SELECT @.beacon_prune($1, $2, $3)";

    Join = "INSERT INTO @.beacon_nodes (incarnation, name, process, executors, lease_until, host) \
        VALUES ($1, $2, $3, $4, @.beacon_now() + $5, $6) ON CONFLICT DO NOTHING";
    Heartbeat = "UPDATE @.beacon_nodes n SET lease_until = @.beacon_now() + $2 \
        WHERE n.incarnation = $1 AND n.ended_at IS NULL AND n.lease_until > @.beacon_now() RETURNING true";
    EndNode = "UPDATE @.beacon_nodes n SET ended_at = c.now, ended_how = $2, \
          lease_until = least(n.lease_until, c.now) \
        FROM (SELECT @.beacon_now() AS now OFFSET 0) c WHERE n.incarnation = $1 AND n.ended_at IS NULL";
    Nodes = "SELECT n.incarnation, n.name, n.process, n.executors, n.lease_until, @.beacon_now() \
        FROM @.beacon_nodes n WHERE n.ended_at IS NULL ORDER BY n.incarnation";

    DrivenStops = "SELECT s.state, width_bucket(extract(epoch FROM @.beacon_now() - s.requested_at)::float8, $1)::int8 AS age, \
          count(*) \
        FROM @.beacon_stops s WHERE s.due_at IS NOT NULL AND s.state <> 'confirmed' GROUP BY 1, 2";

    Get = concat!("SELECT ", record!(), ", @.beacon_stop_counts(j.seq) FROM @.beacon_jobs j WHERE j.id = $1");
    GetExecutions = "SELECT e.key, e.status, e.attempts, e.started_at, \
          CASE WHEN e.status = 22 THEN j.finished_at ELSE e.finished_at END, \
          (SELECT c.progress FROM @.beacon_attempts c WHERE c.execution = e.key AND c.number = e.attempts), p.spec, r.error, r.output, ( \
            SELECT a.late_output FROM @.beacon_attempts a WHERE a.execution = e.key AND a.late_output IS NOT NULL \
            ORDER BY a.number DESC LIMIT 1 \
          ), t.state, t.requested_at, t.confirmed_at, t.evidence, t.why \
        FROM @.beacon_jobs j \
        CROSS JOIN LATERAL ( \
          SELECT x.* FROM @.beacon_executions x \
          WHERE x.key BETWEEN j.seq * 131072 + $2 AND j.seq * 131072 + $3 ORDER BY x.key OFFSET 0 \
        ) e \
        JOIN @.beacon_specs p ON p.key = e.key \
        LEFT JOIN @.beacon_results r ON r.key = e.key \
        LEFT JOIN LATERAL ( \
          SELECT s.* FROM @.beacon_stops s WHERE s.execution = e.key \
          ORDER BY @.beacon_unsettledness(s.settled, s.state) DESC, s.number DESC LIMIT 1 \
        ) t ON true \
        WHERE j.id = $1 ORDER BY e.key";
    Outline = "SELECT e.key, e.status, e.attempts, e.started_at, \
          CASE WHEN e.status = 22 THEN j.finished_at ELSE e.finished_at END, \
          (SELECT c.progress FROM @.beacon_attempts c WHERE c.execution = e.key AND c.number = e.attempts), r.error, \
          t.state, t.requested_at, t.confirmed_at, t.evidence, t.why \
        FROM @.beacon_jobs j \
        CROSS JOIN LATERAL ( \
          SELECT x.* FROM @.beacon_executions x \
          WHERE x.key BETWEEN j.seq * 131072 AND j.seq * 131072 + 131071 ORDER BY x.key OFFSET 0 \
        ) e \
        LEFT JOIN @.beacon_results r ON r.key = e.key \
        LEFT JOIN LATERAL ( \
          SELECT s.* FROM @.beacon_stops s WHERE s.execution = e.key \
          ORDER BY @.beacon_unsettledness(s.settled, s.state) DESC, s.number DESC LIMIT 1 \
        ) t ON true \
        WHERE j.id = $1 ORDER BY e.key";
    List = list!("j.seq", "true");
    ListOwner = list!("j.seq + 0", "j.owner = $4 AND ($5::text IS NULL OR j.status = $5)");
    ListQueued = list!("j.seq + 0", "j.status = 'queued'");
    ListRunning = list!("j.seq + 0", "j.status = 'running'");
    // For outcomes, which are frequent: reading backwards soon has a page.
    ListEnded = list!("j.seq", "j.status = $4");
    Audit = "SELECT a.at, a.actor, a.action, a.reason, a.detail FROM @.beacon_jobs j \
        JOIN @.beacon_audit a ON a.job = j.seq WHERE j.id = $1 ORDER BY a.number";
    Claimed = "SELECT w.place, e.status, e.counted, p.spec, p.input, a.number, a.id, a.started_at, a.handle, t.state, \
          @.beacon_now() \
        FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w (seq, epoch, place) \
        JOIN @.beacon_jobs j ON j.seq = w.seq AND j.status = 'running' AND j.incarnation = $3 AND j.epoch = w.epoch \
        CROSS JOIN LATERAL ( \
          SELECT x.* FROM @.beacon_executions x \
          WHERE x.key BETWEEN w.seq * 131072 AND w.seq * 131072 + 131071 ORDER BY x.key OFFSET 0 \
        ) e \
        JOIN @.beacon_specs p ON p.key = e.key \
        LEFT JOIN @.beacon_attempts a ON a.execution = e.key AND a.number = e.attempts \
        LEFT JOIN @.beacon_stops t ON t.execution = a.execution AND t.number = a.number \
        ORDER BY w.place, e.key";
    Held = "SELECT j.id, j.status, j.incarnation, j.epoch, j.cancelled_by, j.cancel_reason, ( \
          SELECT min(t.force_at) FROM @.beacon_stops t \
          WHERE t.execution BETWEEN j.seq * 131072 AND j.seq * 131072 + 131071 AND NOT t.settled), @.beacon_now() \
        FROM ( \
          SELECT h.seq FROM @.beacon_jobs h WHERE h.status = 'running' AND h.incarnation = $1 \
          UNION SELECT n.seq FROM @.beacon_jobs n WHERE n.id = ANY ($2) \
        ) w JOIN @.beacon_jobs j ON j.seq = w.seq ORDER BY j.id";

    // What has expired goes by and by, and never where somebody else is at it.
    GiveNonce = "WITH expired AS (DELETE FROM @.beacon_nonces n WHERE n.nonce IN ( \
            SELECT x.nonce FROM @.beacon_nonces x WHERE x.expires_at <= @.beacon_now() \
            LIMIT 100 FOR UPDATE SKIP LOCKED)) \
        INSERT INTO @.beacon_nonces (nonce, expires_at) VALUES ($1, @.beacon_now() + $2) RETURNING expires_at";
    OpenSession = "WITH expired AS (DELETE FROM @.beacon_sessions s WHERE s.token IN ( \
            SELECT x.token FROM @.beacon_sessions x WHERE x.expires_at <= @.beacon_now() \
            LIMIT 100 FOR UPDATE SKIP LOCKED)), \
          used AS (DELETE FROM @.beacon_nonces n \
            WHERE n.nonce = $1 AND n.expires_at > @.beacon_now() RETURNING true) \
        INSERT INTO @.beacon_sessions (token, subject, expires_at) \
        SELECT $2, $3, @.beacon_now() + $4 FROM used RETURNING expires_at";
    Session = "SELECT s.subject, s.expires_at FROM @.beacon_sessions s \
        WHERE s.token = $1 AND s.expires_at > @.beacon_now()";
    EndSession = "DELETE FROM @.beacon_sessions s \
        WHERE s.token = $1 AND s.expires_at > @.beacon_now() RETURNING true";

    // One row: the version, whether commits are synced, and whether the tables are there.
    Check = "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), \
          current_setting('synchronous_commit'), to_regclass('@._beacon_jobs_migrations') IS NOT NULL";
    // The same, with the settings of a connection of our own: how long a statement may take, and those
    // that `@plan` gives the functions, for the reads.
    Greet = "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), \
          current_setting('synchronous_commit'), set_config('statement_timeout', $1, false), \
          set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false), \
          set_config('enable_bitmapscan', 'off', false), set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false), \
          set_config('jit', 'off', false)";
    Notify = "SELECT pg_notify($1, $2)";
}

/// The statements with the schema in them.
#[derive(Debug)]
pub(super) struct Statements {
    texts: Vec<Arc<str>>,
}

impl Statements {
    pub(super) fn new(schema: &str) -> Self {
        Self { texts: Statement::ALL.iter().map(|(_, sql)| in_schema(sql, schema).into()).collect() }
    }

    pub(super) fn text(&self, statement: Statement) -> SqlStr {
        // The place of a variant in the enum is its place in the list.
        let text = self.texts.get(statement as usize).map_or_else(|| Arc::from(""), Arc::clone);
        AssertSqlSafe(text).into_sql_str()
    }
}

/// Puts the schema into a script. Its name was checked to be a plain word.
pub(super) fn in_schema(sql: &str, schema: &str) -> String {
    sql.replace("@plan", PLAN).replace("@.", &format!("\"{schema}\"."))
}
