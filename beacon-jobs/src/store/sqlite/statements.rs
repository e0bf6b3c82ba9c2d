//! All SQL of the store.
//!
//! Parameters are written `$1`, `$2`, ...: sqlx numbers those alike in every statement of a
//! script, while it miscounts `?` and `?1` across several.

/// A script of statements that runs in one go, with its words for either kind of transaction.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// In a transaction of the store's own.
    pub(super) own: &'static str,
    /// Inside a transaction of the host program, as a savepoint.
    pub(super) host: &'static str,
    pub(super) opens: bool,
    pub(super) closes: bool,
}

/// Ends what a failed step left open.
pub(super) const ROLLBACK: &str = "ROLLBACK";
/// The same inside a transaction of the host program.
pub(super) const ROLLBACK_TO: &str = "ROLLBACK TO beacon_jobs; RELEASE beacon_jobs";

macro_rules! step {
    // The savepoint takes the write lock at once: what is read after it is the newest.
    (begin $($sql:tt)*) => { Step {
        own: concat!("BEGIN IMMEDIATE; ", $($sql)*),
        host: concat!("SAVEPOINT beacon_jobs; UPDATE beacon_jobs SET epoch = epoch WHERE 0; ", $($sql)*),
        opens: true,
        closes: false,
    } };
    (within $($sql:tt)*) => { Step {
        own: concat!($($sql)*),
        host: concat!($($sql)*),
        opens: false,
        closes: false,
    } };
    (commit $($sql:tt)*) => { Step {
        own: concat!($($sql)*, "; COMMIT"),
        host: concat!($($sql)*, "; RELEASE beacon_jobs"),
        opens: false,
        closes: true,
    } };
}

macro_rules! steps {
    ($($kind:ident $name:ident { $($sql:tt)* })+) => {
        $(pub(super) const $name: Step = step!($kind $($sql)*);)+
        #[cfg(test)]
        pub(super) const STEPS: &[(&str, Step)] = &[$((stringify!($name), $name)),+];
    };
}

macro_rules! reads {
    ($($name:ident { $($sql:tt)* })+) => {
        $(pub(super) const $name: &str = concat!($($sql)*);)+
        #[cfg(test)]
        pub(super) const READS: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

/// The keys of a job's executions.
macro_rules! in_job {
    ($key:literal, $seq:literal) => {
        concat!($key, " BETWEEN ", $seq, " * 131072 AND ", $seq, " * 131072 + 131071")
    };
}

/// An attempt `a` with its stop `t`: the columns that `sql::attempt` reads.
macro_rules! attempt {
    () => {
        "a.number, a.id, a.incarnation, a.epoch, a.executor, a.started_at, a.handle, a.sealed_by, \
         a.late_output, t.state, t.settled, t.mode, t.force_at, t.requested_at, t.due_at, t.tries, \
         t.confirmed_at, t.evidence, t.why"
    };
}

macro_rules! stop_of_attempt {
    () => {
        "LEFT JOIN beacon_stops t ON t.execution = a.execution AND t.number = a.number"
    };
}

/// Attempts by their ids.
macro_rules! attempts_by_id {
    ($ids:literal) => {
        concat!(
            "SELECT j.id, a.execution, ",
            attempt!(),
            " FROM json_each(",
            $ids,
            ") w \
             CROSS JOIN beacon_attempts a ON a.id = unhex(w.value) \
             CROSS JOIN beacon_jobs j ON j.seq = a.execution / 131072 ",
            stop_of_attempt!()
        )
    };
}

/// An open stop `t` of attempt `a` of job `j`: the columns that `sql::item` reads.
macro_rules! item {
    () => {
        "j.id, t.execution, a.id, a.executor, a.incarnation, a.handle, a.sealed_by, t.state, t.mode, \
         t.force_at, t.requested_at, t.tries, t.evidence"
    };
}

/// What is known of those who minted attempts.
macro_rules! minters {
    () => {
        "SELECT incarnation, lease_until, ended_at, ended_how, host FROM beacon_nodes"
    };
}

/// The stops of a job's executions by state, each execution with that of its least settled
/// attempt; and how many of those executions are cancelled.
macro_rules! stop_counts {
    ($range:expr) => {
        concat!(
            "SELECT b.state, b.settled, count(*), sum(e.status = 22) FROM ( \
               SELECT t.execution, t.state, t.settled, max(t.unsettledness * 4294967296 + t.number) \
               FROM beacon_stops t WHERE ",
            $range,
            " GROUP BY t.execution \
             ) b JOIN beacon_executions e ON e.key = b.execution GROUP BY b.state, b.settled"
        )
    };
}

/// Requests the stop of each attempt under way of a range of executions.
macro_rules! request_stops {
    () => {
        "INSERT INTO beacon_stops \
           (execution, number, state, settled, mode, force_at, requested_at, due_at, tries) \
         SELECT a.execution, a.number, 'requested', 0, $5, $6, $4, $4, 0 \
         FROM beacon_attempts a CROSS JOIN beacon_executions e ON e.key = a.execution \
         WHERE a.execution BETWEEN $1 AND $2 AND e.status IN (11, 12) AND a.number = e.attempts \
         ON CONFLICT DO NOTHING"
    };
}

/// What a start and the save of a handle change.
macro_rules! store {
    () => {
        "REPLACE INTO beacon_executions (key, status, attempts, counted, started_at, finished_at) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each($1); \
         INSERT INTO beacon_attempts (execution, number, id, incarnation, epoch, executor, started_at, \
           handle, sealed_by, late_output) \
         SELECT value ->> 0, value ->> 1, unhex(value ->> 2), unhex(value ->> 3), value ->> 4, value ->> 5, \
           value ->> 6, value ->> 7, value ->> 8, value ->> 9 FROM json_each($2) WHERE true \
         ON CONFLICT (execution, number) DO UPDATE SET \
           handle = excluded.handle, sealed_by = excluded.sealed_by, late_output = excluded.late_output"
    };
}

/// What a finish changes besides.
macro_rules! store_results {
    () => {
        "REPLACE INTO beacon_results (key, error, output) \
         SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($3)"
    };
}

/// What a stop changes besides.
macro_rules! store_stops {
    () => {
        "REPLACE INTO beacon_stops (execution, number, state, settled, mode, force_at, requested_at, due_at, \
           tries, confirmed_at, evidence, why) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
           value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11 FROM json_each($4); \
         INSERT INTO beacon_audit (job, number, at, actor, action, reason, detail) \
         SELECT value ->> 0, (SELECT coalesce(max(number), 0) + 1 FROM beacon_audit WHERE job = value ->> 0), \
           value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each($5)"
    };
}

/// The attempts under way whose stop a cancel is about to request, one text with a line for each:
/// rows would cost several times as much. `$and` keeps out those whose stop is requested already.
macro_rules! opened {
    ($and:expr) => {
        concat!(
            "SELECT group_concat(line, '\n') FROM ( \
               SELECT e.key || '\t' || hex(a.id) || '\t' || hex(a.incarnation) || '\t' || a.executor \
                 || '\t' || ifnull(n.lease_until, '') || '\t' || ifnull(n.ended_at, '') \
                 || '\t' || ifnull(n.ended_how, '') || '\t' || ifnull(n.host, '') \
                 || '\t' || ifnull(a.sealed_by, '') || '\t' || ifnull(a.handle, '') AS line \
               FROM beacon_attempts a CROSS JOIN beacon_executions e ON e.key = a.execution \
               LEFT JOIN beacon_nodes n ON n.incarnation = a.incarnation \
               WHERE a.execution BETWEEN $1 AND $2 AND e.status IN (11, 12) AND a.number = e.attempts",
            $and,
            " LIMIT $10)"
        )
    };
}

/// Cancels a job and its executions. `$11` is `total_changes()` from before the stops were
/// requested; this update of the job is the one other change.
macro_rules! cancel {
    () => {
        "UPDATE beacon_executions SET status = 22 WHERE key BETWEEN $1 AND $2 AND status < 20; \
         UPDATE beacon_jobs SET executions_cancelled = changes(), status = 'cancelled', finished_at = $4, \
           cancelled_from = $9, cancelled_by = $7, cancel_reason = $8, cancel_mode = $5 WHERE seq = $3; \
         INSERT INTO beacon_audit (job, number, at, actor, action, reason, detail) \
         SELECT seq, (SELECT coalesce(max(number), 0) + 1 FROM beacon_audit WHERE job = $3), \
           $4, $7, 'cancelled', $8, json_object('previous_status', $9, 'mode', $5, \
             'executions_cancelled', executions_cancelled, \
             'stops_requested', total_changes() - $11 - executions_cancelled - 1) \
         FROM beacon_jobs WHERE seq = $3"
    };
}

/// Open stops that a harsher cancel shortens.
macro_rules! hastened {
    () => {
        "t.execution BETWEEN $1 AND $2 AND t.settled = 0 AND $6 < max(t.force_at, $4)"
    };
}

/// Stops that are due, of these executors, those that have waited longest first. `$5` are the
/// executors whose work can be ended only from its own host, `$6` is this host, and what was asked
/// for before `$7` may be said to be out of reach.
macro_rules! due {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM beacon_stops t \
             CROSS JOIN beacon_attempts a ON a.execution = t.execution AND a.number = t.number \
             CROSS JOIN beacon_jobs j ON j.seq = t.execution / 131072 \
             WHERE t.due_at <= $1 AND a.executor IN (SELECT value FROM json_each($2)) \
               AND (a.executor NOT IN (SELECT value FROM json_each($5)) \
                 OR EXISTS (SELECT 1 FROM beacon_nodes n \
                   WHERE n.incarnation = a.incarnation AND n.host = $6) \
                 OR (t.settled = 0 AND t.state <> 'unconfirmed' AND t.requested_at <= $7)) \
             ORDER BY t.due_at, t.execution, t.number LIMIT $3"
        )
    };
}

/// Takes jobs of which `$free` is true, first come first served.
macro_rules! take {
    ($free:literal) => {
        concat!(
            "UPDATE beacon_jobs SET status = 'running', incarnation = $1, epoch = epoch + 1, \
               started_at = coalesce(started_at, $2) \
             WHERE seq IN ( \
               SELECT j.seq FROM beacon_jobs j WHERE ",
            $free,
            " AND NOT EXISTS (SELECT 1 FROM json_each(j.executors) x \
                   WHERE x.value NOT IN (SELECT value FROM json_each($3))) \
                 AND EXISTS (SELECT 1 FROM beacon_nodes n \
                   WHERE n.incarnation = $1 AND n.ended_at IS NULL AND n.lease_until > $2) \
               ORDER BY j.seq LIMIT $4) \
             RETURNING seq, id, epoch, started_at, rules; \
             INSERT OR IGNORE INTO beacon_holders (incarnation, job) \
             SELECT $1, seq FROM beacon_jobs WHERE status = 'running' AND incarnation = $1"
        )
    };
}

steps! {
    begin BEGIN { "" }

    commit COMMIT { "SELECT 1" }

    begin LOAD {
        "SELECT j.id, j.seq, j.status, j.incarnation, j.epoch, j.allow_overlap, \
           e.key, e.status, e.counted, e.started_at, e.finished_at, p.executor, r.error, r.output, ",
        attempt!(),
        " FROM json_each($1) g \
         CROSS JOIN beacon_jobs j ON j.id = g.key \
         LEFT JOIN json_each(g.value) x ON x.value < j.executions \
         LEFT JOIN beacon_executions e ON e.key = j.seq * 131072 + x.value \
         LEFT JOIN beacon_specs p ON p.key = e.key \
         LEFT JOIN beacon_results r ON r.key = e.key \
         LEFT JOIN beacon_attempts a ON a.execution = e.key ",
        stop_of_attempt!()
    }

    within LOAD_ATTEMPTS { attempts_by_id!("$1") }

    within STORE_PROGRESS {
        "UPDATE beacon_attempts SET progress = w.value ->> 1 FROM json_each($1) w \
         WHERE beacon_attempts.id = unhex(w.value ->> 0)"
    }

    commit STORE { store!() }

    commit STORE_RESULTS { store!(), "; ", store_results!() }

    commit STORE_ALL { store!(), "; ", store_results!(), "; ", store_stops!() }

    begin CANCEL_READ {
        "SELECT j.seq, j.owner, j.status, j.cancelled_from, j.finished_at, j.cancelled_by, j.cancel_reason, \
           j.cancel_mode, j.executions_cancelled, \
           EXISTS (SELECT 1 FROM beacon_attempts a WHERE ", in_job!("a.execution", "j.seq"), "), \
           EXISTS (SELECT 1 FROM beacon_stops t WHERE ", in_job!("t.execution", "j.seq"), "), \
           total_changes() \
         FROM beacon_jobs j WHERE j.id = $1"
    }

    commit CANCEL_UNSTARTED { cancel!() }

    commit CANCEL { opened!(""), "; ", request_stops!(), "; ", cancel!() }

    commit CANCEL_COUNTED {
        opened!(" AND NOT EXISTS (SELECT 1 FROM beacon_stops t \
            WHERE t.execution = a.execution AND t.number = a.number)"),
        "; ", request_stops!(), "; ", cancel!(), "; ",
        stop_counts!("t.execution BETWEEN $1 AND $2")
    }

    commit CANCEL_AGAIN {
        "SELECT ", item!(), " FROM beacon_stops t \
         CROSS JOIN beacon_attempts a ON a.execution = t.execution AND a.number = t.number \
         CROSS JOIN beacon_jobs j ON j.seq = $3 WHERE ", hastened!(), "; ",
        minters!(),
        "; UPDATE beacon_stops AS t SET force_at = $6, mode = $5, due_at = $4 WHERE ", hastened!(), "; \
         INSERT INTO beacon_audit (job, number, at, actor, action, reason, detail) \
         SELECT $3, (SELECT coalesce(max(number), 0) + 1 FROM beacon_audit WHERE job = $3), $4, $7, \
           'escalated', $8, json_object('mode', $5, 'stops_hastened', changes()) WHERE changes() > 0; ",
        stop_counts!("t.execution BETWEEN $1 AND $2")
    }

    begin FINISH_READ {
        "SELECT seq, status, incarnation, epoch, rules FROM beacon_jobs WHERE id = $1; \
         SELECT e.status, count(*) FROM beacon_jobs j JOIN beacon_executions e ON ",
        in_job!("e.key", "j.seq"),
        " WHERE j.id = $1 GROUP BY e.status"
    }

    commit FINISH {
        "UPDATE beacon_jobs SET status = $2, finished_at = $3 WHERE seq = $1"
    }

    commit TIME_OUT {
        request_stops!(),
        "; INSERT INTO beacon_results (key, error) \
         SELECT key, $7 FROM beacon_executions \
         WHERE key BETWEEN $1 AND $2 AND status < 20 \
         ON CONFLICT (key) DO UPDATE SET error = excluded.error; \
         UPDATE beacon_executions SET status = 21, finished_at = $4 \
         WHERE key BETWEEN $1 AND $2 AND status < 20; \
         UPDATE beacon_jobs SET status = 'failed', finished_at = $4 WHERE seq = $3"
    }

    begin SUBMIT_READ {
        "SELECT id, owner = $1 AND digest = $4, status FROM beacon_jobs WHERE owner = $1 AND idempotency_key = $2; \
         SELECT id, owner = $1 AND digest = $4, status FROM beacon_jobs WHERE id = $3"
    }

    within SUBMIT_JOB {
        "INSERT INTO beacon_jobs (id, owner, idempotency_key, digest, rules, executors, executions, \
           created_at, allow_overlap, status, epoch) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'queued', 0)"
    }

    within SUBMIT_SPECS {
        "INSERT INTO beacon_specs (key, executor, spec, input) \
         SELECT j.seq * 131072 + (w.value ->> 0), w.value ->> 1, w.value ->> 2, w.value ->> 3 \
         FROM beacon_jobs j CROSS JOIN json_each($2) w WHERE j.id = $1"
    }

    commit SUBMIT_END {
        "INSERT INTO beacon_executions (key, status, attempts, counted) \
         SELECT p.key, 10, 0, 0 FROM beacon_jobs j CROSS JOIN beacon_specs p ON ",
        in_job!("p.key", "j.seq"),
        " WHERE j.id = $1; \
         INSERT INTO beacon_audit (job, number, at, actor, action, detail) \
         SELECT seq, 1, created_at, owner, 'submitted', json_object('executions', executions) \
         FROM beacon_jobs WHERE id = $1"
    }

    commit CLAIM { take!("j.status = 'queued' AND j.finished_at IS NULL") }

    commit TAKE_OVER {
        take!("j.status = 'running' AND j.finished_at IS NULL AND j.id NOT IN (SELECT value FROM json_each($5)) \
            AND (j.incarnation IS NULL OR j.incarnation = $1 OR NOT EXISTS ( \
            SELECT 1 FROM beacon_nodes o \
            WHERE o.incarnation = j.incarnation AND o.ended_at IS NULL AND o.lease_until > $2))")
    }

    begin RELEASE {
        "UPDATE beacon_jobs SET incarnation = NULL \
         WHERE id = $1 AND status = 'running' AND incarnation = $2 AND epoch = $3"
    }

    begin JOIN_READ {
        "SELECT incarnation, name, process, executors, lease_until FROM beacon_nodes \
         WHERE ended_at IS NULL OR incarnation = $1 ORDER BY incarnation = $1 DESC, lease_until DESC LIMIT 1"
    }

    commit JOIN {
        "INSERT INTO beacon_nodes (incarnation, name, process, executors, lease_until, host) \
         VALUES ($1, $2, $3, $4, $5, $6)"
    }

    commit HEARTBEAT {
        "UPDATE beacon_nodes SET lease_until = $3 \
         WHERE incarnation = $1 AND ended_at IS NULL AND lease_until > $2"
    }

    commit END_NODE {
        "UPDATE beacon_nodes SET ended_at = $2, ended_how = $3, lease_until = min(lease_until, $2) \
         WHERE incarnation = $1 AND ended_at IS NULL"
    }

    commit TAKE_STOPS {
        due!(item!()), "; ",
        minters!(),
        "; UPDATE beacon_stops SET due_at = $4 WHERE (execution, number) IN (",
        due!("t.execution, t.number"),
        ")"
    }

    within PRUNE_PICK {
        "SELECT j.seq, j.executions FROM beacon_jobs j \
         WHERE j.status IN ('completed', 'failed', 'cancelled') AND j.finished_at <= $1 \
           AND NOT EXISTS (SELECT 1 FROM beacon_stops t WHERE ", in_job!("t.execution", "j.seq"), " \
             AND (t.settled = 0 OR (t.state = 'confirmed' AND t.due_at IS NOT NULL))) \
         LIMIT $2"
    }

    within PRUNE_JOB {
        "DELETE FROM beacon_stops WHERE execution BETWEEN $1 AND $2; \
         DELETE FROM beacon_attempts WHERE execution BETWEEN $1 AND $2; \
         DELETE FROM beacon_results WHERE key BETWEEN $1 AND $2; \
         DELETE FROM beacon_executions WHERE key BETWEEN $1 AND $2; \
         DELETE FROM beacon_specs WHERE key BETWEEN $1 AND $2; \
         DELETE FROM beacon_audit WHERE job = $3; \
         DELETE FROM beacon_holders WHERE job = $3; \
         DELETE FROM beacon_jobs WHERE seq = $3"
    }

    commit PRUNE_NODES {
        "DELETE FROM beacon_nodes WHERE ended_at IS NOT NULL \
           AND NOT EXISTS (SELECT 1 FROM beacon_holders h WHERE h.incarnation = beacon_nodes.incarnation)"
    }

    commit GIVE_NONCE {
        "DELETE FROM beacon_nonces WHERE expires_at <= $1; \
         INSERT INTO beacon_nonces (nonce, expires_at) VALUES ($2, $3)"
    }

    within USE_NONCE {
        "DELETE FROM beacon_nonces WHERE expires_at <= $1; \
         DELETE FROM beacon_nonces WHERE nonce = $2 RETURNING nonce"
    }

    commit OPEN_SESSION {
        "DELETE FROM beacon_sessions WHERE expires_at <= $1; \
         INSERT INTO beacon_sessions (token, subject, expires_at) VALUES ($2, $3, $4)"
    }

    commit END_SESSION {
        "DELETE FROM beacon_sessions WHERE token = $2 AND expires_at > $1 RETURNING token"
    }

    begin CHECK { "UPDATE beacon_jobs SET epoch = epoch WHERE 0" }
}

/// The columns that `sql::record` reads.
macro_rules! record {
    () => {
        "j.seq, j.id, j.owner, j.status, j.rules, j.executors, j.created_at, j.started_at, \
         j.cancelled_from, j.finished_at, j.cancelled_by, j.cancel_reason, j.cancel_mode, \
         j.executions_cancelled"
    };
}

macro_rules! live_executors {
    ($now:literal) => {
        concat!(
            "SELECT DISTINCT x.value FROM beacon_nodes n, json_each(n.executors) x \
             WHERE n.ended_at IS NULL AND n.lease_until > ",
            $now
        )
    };
}

/// A page of jobs before `$1`, newest first, with the labels `$2`.
macro_rules! list {
    ($which:literal) => {
        concat!(
            "SELECT ",
            record!(),
            " FROM beacon_jobs j WHERE ",
            $which,
            " AND j.seq < $1 AND NOT EXISTS ( \
                SELECT 1 FROM json_each($2) f WHERE NOT EXISTS ( \
                  SELECT 1 FROM json_each(j.rules, '$.labels') l WHERE l.key = f.key AND l.value = f.value)) \
             ORDER BY j.seq DESC LIMIT $3; ",
            live_executors!("$4")
        )
    };
}

/// The job `$1` at the time `$2`: its record, the executors that live nodes have, its progress, and
/// its stops, counted.
macro_rules! job {
    () => {
        concat!(
            "SELECT ",
            record!(),
            " FROM beacon_jobs j WHERE j.id = $1; ",
            live_executors!("$2"),
            "; SELECT j.seq, e.status, count(*) FROM beacon_jobs j CROSS JOIN beacon_executions e ON ",
            in_job!("e.key", "j.seq"),
            " WHERE j.id = $1 GROUP BY e.status; ",
            stop_counts!(concat!(
                "t.execution BETWEEN (SELECT seq FROM beacon_jobs WHERE id = $1) * 131072 \
                 AND (SELECT seq FROM beacon_jobs WHERE id = $1) * 131072 + 131071"
            ))
        )
    };
}

/// The state of an execution `e` of job `j`.
macro_rules! state {
    () => {
        "e.key, e.status, e.attempts, e.started_at, iif(e.status = 22, j.finished_at, e.finished_at), ( \
           SELECT c.progress FROM beacon_attempts c WHERE c.execution = e.key AND c.number = e.attempts)"
    };
}

/// What an execution `e` brought, `r`, and the stop that it shows, `t`.
macro_rules! result_and_stop {
    () => {
        "LEFT JOIN beacon_results r ON r.key = e.key \
         LEFT JOIN beacon_stops t ON t.execution = e.key AND t.number = ( \
           SELECT number FROM beacon_stops WHERE execution = e.key \
           ORDER BY unsettledness DESC, number DESC LIMIT 1 \
         )"
    };
}

reads! {
    GET {
        job!(),
        "; SELECT ", state!(), ", p.spec, r.error, r.output, ( \
             SELECT a.late_output FROM beacon_attempts a WHERE a.execution = e.key AND a.late_output IS NOT NULL \
             ORDER BY a.number DESC LIMIT 1 \
           ), t.state, t.requested_at, t.confirmed_at, t.evidence, t.why \
         FROM beacon_jobs j \
         CROSS JOIN beacon_executions e ON e.key BETWEEN j.seq * 131072 + $3 AND j.seq * 131072 + $4 \
         CROSS JOIN beacon_specs p ON p.key = e.key ",
        result_and_stop!(),
        " WHERE j.id = $1"
    }

    OUTLINE {
        job!(),
        "; SELECT ", state!(), ", r.error, t.state, t.requested_at, t.confirmed_at, t.evidence, t.why \
         FROM beacon_jobs j CROSS JOIN beacon_executions e ON ", in_job!("e.key", "j.seq"), " ",
        result_and_stop!(),
        " WHERE j.id = $1 ORDER BY e.key"
    }

    LIST { list!("true") }

    LIST_OWNER { list!("j.owner = $5 AND ($6 IS NULL OR j.status = $6)") }

    // For queued and running: an index has them in the order of submission.
    LIST_OPEN { list!("j.status = $5 AND j.finished_at IS NULL") }

    // For outcomes, which are frequent: reading backwards soon has a page.
    LIST_ENDED { list!("+j.status = $5") }

    PROGRESS {
        "SELECT w.value, e.status, count(*) FROM json_each($1) w CROSS JOIN beacon_executions e ON ",
        in_job!("e.key", "w.value"),
        " GROUP BY w.value, e.status"
    }

    AUDIT {
        "SELECT a.at, a.actor, a.action, a.reason, a.detail FROM beacon_jobs j \
         CROSS JOIN beacon_audit a ON a.job = j.seq WHERE j.id = $1 ORDER BY a.number"
    }

    CLAIMED {
        "SELECT e.status, e.counted, p.spec, p.input, a.number, a.id, a.started_at, a.handle, t.state \
         FROM beacon_jobs j \
         CROSS JOIN beacon_executions e ON ", in_job!("e.key", "j.seq"), " \
         CROSS JOIN beacon_specs p ON p.key = e.key \
         LEFT JOIN beacon_attempts a ON a.execution = e.key AND a.number = e.attempts ",
        stop_of_attempt!(),
        " WHERE j.id = $1 AND j.status = 'running' AND j.incarnation = $2 AND j.epoch = $3 ORDER BY e.key"
    }

    HELD {
        "SELECT j.id, j.status, j.incarnation, j.epoch, j.cancelled_by, j.cancel_reason, ( \
           SELECT min(t.force_at) FROM beacon_stops t WHERE ", in_job!("t.execution", "j.seq"), " \
             AND t.settled = 0) \
         FROM beacon_jobs j WHERE (j.status = 'running' AND j.incarnation = $1) \
           OR j.id IN (SELECT value FROM json_each($2)) ORDER BY j.id"
    }

    SESSION {
        "SELECT subject, expires_at FROM beacon_sessions WHERE token = $2 AND expires_at > $1"
    }

    DRIVEN_STOPS {
        "SELECT state, (SELECT count(*) FROM json_each($2) b WHERE b.value <= $1 - requested_at) AS age, count(*) \
         FROM beacon_stops WHERE due_at IS NOT NULL AND state <> 'confirmed' GROUP BY state, age"
    }

    NODES {
        "SELECT incarnation, name, process, executors, lease_until FROM beacon_nodes \
         WHERE ended_at IS NULL ORDER BY incarnation"
    }
}
